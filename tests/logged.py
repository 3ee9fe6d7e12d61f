"""Functions that log and warn in workers."""

import logging
import os
import select
import threading
import warnings


class Late(UserWarning):
    """A class of warnings that workers do not know when they start."""


class Stubborn:
    """Cannot be pickled, and shows where it was shown."""

    def __reduce__(self):
        raise TypeError("no")

    def __str__(self):
        return f"stubborn in {os.getpid()}"


class Travels:
    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return type(other) is Travels and other.number == self.number

    __hash__ = None


class Trap:
    """Can be pickled, but not built again in another process."""

    def __reduce__(self):
        return _only_in, (os.getpid(),)

    def __str__(self):
        return "a trap"


def _only_in(pid):
    if os.getpid() != pid:
        raise LookupError("not here")
    return Trap()


def log(name, level, message, *args, **kwargs):
    logging.getLogger(name).log(level, message, *args, **kwargs)
    return os.getpid()


def log_many(name, count):
    for number in range(count):
        logging.getLogger(name).warning("%d", number)
    return os.getpid()


def log_stubborn(name):
    logging.getLogger(name).warning(
        "see %s", Stubborn(), extra={"odd": Stubborn(), "even": Travels(2)}
    )
    return os.getpid()


def log_trap(name):
    logging.getLogger(name).warning("see %s", Trap())


def log_error(name, error):
    try:
        raise error
    except Exception:
        logging.getLogger(name).exception("it failed")


def log_at_exit(name):
    import atexit

    atexit.register(logging.getLogger(name).warning, "goodbye")


def log_in_thread(name):
    thread = threading.Thread(target=log, args=(name, logging.WARNING, "aside"))
    thread.start()
    thread.join()


def log_and_die(name):
    logging.getLogger(name).error("last words")
    os._exit(3)


def log_and_hold(name, folder):
    from tasks import hold

    logging.getLogger(name).warning("under way")
    return hold(folder)


def log_until(folder):
    """Log all the time until the latch is released; without one, do nothing."""
    if folder is None:
        return None
    with open(os.path.join(folder, "begun"), "w"):
        pass
    go = os.open(os.path.join(folder, "go"), os.O_RDONLY | os.O_NONBLOCK)
    while not select.select([go], [], [], 0.001)[0]:
        logging.getLogger("parallel").warning("still here")
    os.close(go)
    return folder


def log_in_fork(name):
    pid = os.fork()
    if pid == 0:
        logging.getLogger(name).error("from a child's child")
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def logging_is(name):
    logger = logging.getLogger(name)
    return logger.getEffectiveLevel(), logging.root.manager.disable


def warn(text="careful", category=UserWarning):
    warnings.warn(text, category, stacklevel=1)


def warn_late():
    warnings.warn("late", Late, stacklevel=1)


def warn_own():
    class Own(UserWarning):
        pass

    warnings.warn(Own("mine"), stacklevel=1)


def warn_recorded():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn("seen here", stacklevel=1)
    return [str(each.message) for each in seen]
