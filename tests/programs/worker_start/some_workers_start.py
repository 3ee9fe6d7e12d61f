def start():
    note("try")
    if len(runs()) > 1:
        raise OSError("one is enough")


def task(i):
    if i == 0:  # the first worker is busy while others fail to start
        time.sleep(0.5)
    return i


with executor(4, initializer=start) as ex:
    ex.submit(abs, -1).result(10)
    got = [outcome(f) for f in [ex.submit(task, i) for i in range(60)]]
print([each for each in got if type(each) is str][:1], len(got))
print(len(runs()) <= 20 or len(runs()))
