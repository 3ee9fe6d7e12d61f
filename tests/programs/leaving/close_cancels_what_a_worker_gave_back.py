go, end = (os.environ["FOLDER"] + name for name in ("/go", "/end"))


def stay(path=None):
    while path and not os.path.exists(path):
        time.sleep(0.001)


files = open_files()
ex = executor(1)
for _ in range(20):
    ex.submit(stay).result()  # short: several are sent at once
gate = ex.submit(lambda: stay(go))  # another function: it teaches nothing
first = ex.submit(stay, end)
rest = [ex.submit(stay) for _ in range(20)]
open(go, "w").close()
while not rest[0].running() or len(ex._pool.scheduler.queue) < 20:
    time.sleep(0.001)
ex.shutdown(wait=False, cancel_futures=True)
print(sum(f.cancelled() for f in rest))
open(end, "w").close()
print(outcome(first), nothing_left(files))
