def held():
    while not os.path.exists(GO):
        time.sleep(0.001)
    return "run"


ex = executor(1)
ended = ex.submit(abs, -1)
wait([ended])
running, queued = ex.submit(held), ex.submit(abs, -2)
rows = ex.map(abs, [-3])
while not running.running():
    time.sleep(0.001)


def work():
    print(outcome(ended))
    print(outcome(running), outcome(queued), sep="\n")
    print(len(wait([running, queued]).done), queued.cancel(), running.kill())
    try:
        print("a row", next(rows))
    except BaseException as error:
        print(type(error).__name__)


print(in_child(work))
open(GO, "w").close()
print(outcome(running), outcome(queued), list(rows))
