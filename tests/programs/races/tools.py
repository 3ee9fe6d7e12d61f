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


def done(future, seconds=5):
    until = time.monotonic() + seconds
    while not future.done() and time.monotonic() < until:
        time.sleep(0.01)
    return future


def after(seconds, number):
    threading.Timer(seconds, os.kill, (os.getpid(), number)).start()
