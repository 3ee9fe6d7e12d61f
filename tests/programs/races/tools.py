import resource
import numpy as np


def exhausted():
    """Take all descriptors; return what gives them back."""
    taken = []
    most = max(map(int, os.listdir("/dev/fd")))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    return taken


def free(taken):
    while taken:
        os.close(taken.pop())


def until(fact, seconds=10):
    """Wait until a fact holds; say whether it does."""
    deadline = time.monotonic() + seconds
    while not (holds := fact()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return holds


def done(future, seconds=5):
    until(future.done, seconds)
    return future


def after(seconds, number):
    threading.Timer(seconds, os.kill, (os.getpid(), number)).start()
