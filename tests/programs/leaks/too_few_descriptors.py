import collections, resource

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)


def attempt(more):
    ex = executor(3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() - 1 + more, hard))
    try:
        told = [outcome(f) for f in [ex.submit(abs, -i) for i in range(4)]]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    ok = all(t == i or "Too many open files" in str(t) for i, t in enumerate(told))
    later = [outcome(f) for f in [ex.submit(abs, -i) for i in range(4)]]
    ex.shutdown()
    if not ok or later != [0, 1, 2, 3]:
        print(more, told, later)
    return told == [0, 1, 2, 3]


abs_works = executor(1).submit(abs, -1).result()  # all is imported
try:
    executor(1).submit(os._exit, 1).result()
except Exception:
    pass
from parallelize import WorkerStartError

str(WorkerStartError("x", "y")), repr(OSError(24, "x"))
import gc

gc.collect()
while children():
    time.sleep(0.01)
files = open_files()
served = [attempt(more) for more in range(MOST)]
print(False in served, True in served)
gc.collect()
print(nothing_left(files))
