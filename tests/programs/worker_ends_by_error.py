"""Workers whose own code fails, each in another way; what the calls and the log say."""

import io
import logging
import tempfile

from parallelize import dump

logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")


def raise_when_idle():
    def handler(*_):
        raise ZeroDivisionError("between calls")

    signal.signal(signal.SIGUSR2, handler)
    return os.getpid()


def break_watcher(path):
    from parallelize.process.worker import main as worker

    def fail(*_):
        raise LookupError("in the watcher")

    worker.WorkerProcess._show = fail
    open(path, "w").close()
    time.sleep(30)


def write_garbage():
    for fd in range(3, 20):
        try:
            os.write(fd, b"garbage" * 10)
        except OSError:
            pass
    time.sleep(30)


def text_of(error):
    return type(error).__name__ + " " + str(error).strip().splitlines()[-1]


with executor(1) as ex:
    victim = ex.submit(raise_when_idle).result(20)
    time.sleep(0.2)  # it has gone back to wait; nothing tells so
    os.kill(victim, signal.SIGUSR2)
    while ex.submit(os.getpid).result(20) == victim:
        time.sleep(0.01)
    print("another")

    path = os.path.join(tempfile.mkdtemp(), "broken")
    broken = ex.submit(break_watcher, path)
    while not os.path.exists(path):
        time.sleep(0.01)
    dump(io.StringIO(), timeout=0.1)  # the watcher is asked where its worker is
    error = broken.exception(20)
    print(text_of(error), "| Traceback" in f"| {error.reason}")
    print(ex.submit(abs, -2).result(20))

    error = ex.submit(write_garbage).exception(20)
    print(type(error).__name__, "is no message" in str(error))
    print(ex.submit(abs, -1).result(20))
