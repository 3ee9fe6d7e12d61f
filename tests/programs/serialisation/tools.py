from parallelize import processed
from parallelize.errors import RemoteError, RemoteTraceback, SerializationError


def act(how):
    if how == "raises":
        raise ValueError("bad luck")
    if how == "exits":
        sys.exit("gone")
    if how == "interrupts":
        raise KeyboardInterrupt("by hand")
    if how == "dies":
        os._exit(3)
    if how == "crashes":
        __import__("faulthandler")._sigsegv()


class AtPickle:
    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        act(self.how)


class AtUnpickle:
    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        return act, (self.how,)


class InParent:
    """Cannot be built in the process `pid`, but everywhere else."""

    def __init__(self, how, pid):
        self.how, self.pid = how, pid

    def __setstate__(self, state):
        self.__dict__.update(state)
        if os.getpid() == self.pid:
            act(self.how)


def give(value):
    return value


def survives(ex, pid):
    """Whether the pool works, and with the very worker."""
    innocents = [ex.submit(pow, i, 2) for i in range(6)]
    return [outcome(f) for f in innocents] == [0, 1, 4, 9, 16, 25] and (
        ex.submit(os.getpid).result(10) == pid
    )
