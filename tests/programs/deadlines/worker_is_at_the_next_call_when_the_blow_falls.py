from parallelize.process.start.launcher import Launcher

go = os.environ["DIR"] + "/go"
halt = Launcher.halt


def late(self, id):
    open(go, "w").close()
    until(2)
    halt(self, id)


Launcher.halt = late
from parallelize.process.parent.tasks.worker_handle import WorkerHandle

WorkerHandle.reclaim = lambda self: None  # else nothing waits at the worker


def task(i):
    note(i)
    while i == 0 and not os.path.exists(go):
        time.sleep(0.001)
    time.sleep([0, 0.2, 60, 0][i])
    return i


with executor(1) as ex:
    ex.submit(time.sleep, 0).result(10)
    call = processed(timeout=0.5, executor=ex)(task)
    if FORM == "calls":
        scheduler = ex._pool.scheduler
        queue, workers = scheduler.queue, scheduler.workers
        with scheduler.lock:  # all go out as one batch
            idle, workers.idle = workers.idle, []
        futures = [call(i) for i in range(4)]
        with scheduler.lock:
            queue._seconds = {hash(next(iter(queue)).key): 0.0}
            workers.idle = idle
            scheduler.assign_idle()
        print([name(f) for f in futures])
    else:
        rows = call.map(range(4), chunksize=4, return_exceptions=True)
        print([r if type(r) is int else type(r).__name__ for r in rows])
print(runs())
