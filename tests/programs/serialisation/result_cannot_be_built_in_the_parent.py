def task(pid):
    return InParent(HOW, pid)


def callback(future):
    called.append(type(future.exception()).__name__)


called = []

with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    future = ex.submit(task, os.getpid())
    future.add_done_callback(callback)
    print(outcome(future))
    print(type(future.exception().__cause__).__name__)
    rows = ex.map(task, [os.getpid()] * 3, chunksize=3, return_exceptions=True)
    print([type(each).__name__ for each in rows])
    print(survives(ex, pid))
print(called)
