class TwoArguments(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class HoldsLock(Exception):
    def __init__(self):
        super().__init__("locked")
        self.lock = threading.Lock()


class ReduceRaises(Exception):
    def __reduce__(self):
        raise OSError("no")


class ReduceExits(Exception):
    def __reduce__(self):
        sys.exit(1)


class StrRaises(Exception):
    def __init__(self, a, b):
        super().__init__(a)

    def __str__(self):
        raise OSError("no")


class BuiltAsAnother(Exception):
    def __reduce__(self):
        return dict, ()


class OnlyThere(Exception):
    def __init__(self, pid=os.getpid()):
        self.pid = pid

    def __setstate__(self, state):
        if os.getpid() == state["pid"]:
            raise OSError("not here")


class Interrupts(Exception):
    def __reduce__(self):
        raise KeyboardInterrupt
