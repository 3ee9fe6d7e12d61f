import os, signal, threading
import parallelize
from parallelize import threaded


@threaded
def f(x):
    return 2 * x


stop = threading.Event()


def work():
    while not stop.is_set():
        try:
            f(1).result()
            parallelize.shutdown(wait=False)
        except RuntimeError:
            pass


threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
for t in threads:
    t.start()
for _ in range(20):
    child = os.fork()
    if not child:
        signal.alarm(20)  # a child that hangs ends, and fails the test
        assert f(2).result(10) == 4
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
stop.set()
for t in threads:
    t.join()
print("well")
