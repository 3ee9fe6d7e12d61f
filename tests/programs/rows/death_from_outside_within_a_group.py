def task(i):
    note(f"{i}:{os.getpid()}")
    return i


def killer(over):
    while not over.wait(0.05):
        if ran := runs():
            try:
                os.kill(int(ran[-1].partition(":")[2]), 9)
            except OSError:
                pass  # it has not been replaced yet


count, over = 40_000, threading.Event()
with executor(2) as ex:
    list(ex.map(abs, range(10)))
    thread = threading.Thread(target=killer, args=(over,))
    thread.start()
    rows = list(ex.map(task, range(count), return_exceptions=True))
    over.set()
    thread.join()
failed = [i for i, each in enumerate(rows) if each != i]
print({type(rows[i]).__name__ for i in failed} <= {"WorkerDied"})
print(0 < len(failed) < 200)
marks = [int(each.partition(":")[0]) for each in runs()]
print(len(marks) == len(set(marks)), set(range(count)) - set(marks) <= set(failed))
