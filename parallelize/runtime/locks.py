"""The locks of the package: what makes them, their order, and those Ctrl-C left taken.

A lock that a thread may take while it holds another stands below that one in `ORDER`,
everywhere: then no two threads wait for each other's. docs/design.md says what each
guards. Where a lock is made it is made by its name::

    _new_lock = locks.reentrant("pool")  # what makes RLocks: `threading.RLock` itself

With ``PARALLELIZE_DEBUG_LOCKS=1`` in the environment the locks hold the order, see
`ranked`; without it they are Python's own.

Nearly all are reentrant: a signal handler that makes a call or cancels one comes upon
whatever its own thread holds just then. Those that are not are never held where Python
code runs that a handler could interrupt and that it could come back to.

From Python 3.14 on an error that a signal handler raises, as Ctrl-C does, may come
after ``with lock:`` has taken the lock and before the block has begun, so that
nobody lets it go again. Who may be interrupted there notes how often his thread has
taken the lock before, and goes back to that when an error comes.
"""

from __future__ import annotations

import os
import threading
from _operator import attrgetter  # the part in C, which is there already
from contextlib import suppress

from parallelize.runtime.raised import is_a, traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    R = TypeVar("R")

#: The environment variable that has the order held.
DEBUG_VARIABLE = "PARALLELIZE_DEBUG_LOCKS"

#: The names of all locks, the outermost first. A thread that has one takes, besides
#: that one again, only such as stand in lines below. (A finaliser takes none at all.)
ORDER: tuple[tuple[str, ...], ...] = (
    ("reader", "input", "generator", "pools", "preparing", "picture", "building"),
    ("adopting", "choosing", "tracing"),
    ("closing",),
    ("pool",),
    ("future", "attempts"),
    ("crew",),
    ("loops",),
    ("loop",),
    ("limit",),
    ("watch",),
    ("timer start",),
    ("timer",),
    ("lifecycle", "rows", "arrived", "channel", "gate", "members", "counting"),
    ("segments", "answers", "puts", "hosts", "records", "progress"),
    ("outlet", "tracker"),
    ("sender",),
    ("reading", "adding", "credit", "control", "received", "shares"),
    ("leases", "modules", "kinship", "service"),
)

_RANKS = {name: rank for rank, names in enumerate(ORDER) for name in names}

#: Of these several may be held at once. Under the first of all the user's code runs,
#: which may do anything: read a map in the input of another. The futures of a
#: ``concurrent.futures.wait`` are taken in the order of their numbers.
_BESIDE_EACH_OTHER = frozenset((*ORDER[0], "future"))


def reentrant(
    name: str, make: Callable[[], threading.RLock] = threading.RLock
) -> Callable[[], threading.RLock]:
    """Return what makes the reentrant locks of a name: ``make``, unless debugged."""
    maker: Callable[[], threading.RLock] = _maker(name, make, reentrant=True)
    return maker


def plain(
    name: str, make: Callable[[], threading.Lock] = threading.Lock
) -> Callable[[], threading.Lock]:
    """Return what makes locks of a name that a thread must not take twice."""
    maker: Callable[[], threading.Lock] = _maker(name, make, reentrant=False)
    return maker


# Any: what is made while debugging only behaves as the lock.
def _maker(name: str, make: Any, *, reentrant: bool) -> Any:
    rank = _RANKS[name]
    if os.environ.get(DEBUG_VARIABLE) != "1":
        return make
    from parallelize.runtime import ranked

    beside = name in _BESIDE_EACH_OTHER
    return ranked.maker(name, rank, make, reentrant=reentrant, beside=beside)


class Latch:
    """Lets those that wait for it go on, once for all; it may be set by anybody.

    In place of `threading.Event`, whose plain lock is held for a moment by each that
    waits or sets: a signal handler that sets it then would wait for its own thread.
    """

    __slots__ = ("_closed",)

    def __init__(self) -> None:
        self._closed = threading.Lock()
        self._closed.acquire()

    def set(self) -> None:
        """Let all go on, and all that come later."""
        # It may be open, or in the hand of one that goes on just now.
        with suppress(RuntimeError):
            self._closed.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; False if so many seconds have passed before."""
        if not self._closed.acquire(timeout=-1 if timeout is None else timeout):
            return False
        self.set()
        return True


class _OfItsLock(property):
    """A method of a condition that is its lock's own; also by way of the class."""

    def __call__(self, condition: threading.Condition, *args: object) -> object:
        assert self.fget is not None
        return self.fget(condition)(*args)


class Condition(threading.Condition):
    """A condition that is left as a lock is: Ctrl-C comes between no two steps of C.

    The standard one lets its lock go in a function of Python's. An error that comes as
    that begins leaves the lock taken.
    """

    if not TYPE_CHECKING:
        __enter__ = _OfItsLock(attrgetter("_lock.__enter__"))
        __exit__ = _OfItsLock(attrgetter("_lock.__exit__"))


def depth(lock: threading.RLock) -> int:
    """How often the running thread has taken the lock and not let it go."""
    # What `threading.Condition` asks of its lock, too; there is no public name.
    count: int = lock._recursion_count()  # type: ignore[attr-defined]
    return count


def release_to(lock: threading.RLock, before: int) -> None:
    """Let the lock go until the running thread has taken it ``before`` times."""
    while depth(lock) > before:
        lock.release()


def held(lock: threading.RLock, action: Callable[..., R], *args: object) -> R:
    """Do something under a lock, which is free afterwards although Ctrl-C came."""
    before = depth(lock)
    try:
        with lock:
            return action(*args)
    except BaseException:
        release_to(lock, before)
        raise


def if_free(lock: threading.RLock, action: Callable[[], object]) -> bool:
    """Do something under a lock, as `held` does, unless that would have to wait.

    Returns:
        Whether it is done.
    """
    before = depth(lock)
    try:
        if not lock.acquire(blocking=False):
            return False
        try:
            action()
        finally:
            lock.release()
    except BaseException:
        release_to(lock, before)
        raise
    return True


def is_interrupt(error: BaseException) -> bool:
    """Whether it is a Ctrl-C that arrived just now, not an error of the user's code.

    Pickling runs the user's code, which may raise KeyboardInterrupt itself, and
    that is an error of the call like any other. One that a ``raise`` statement
    raised is such an error; the signal arrives at any other instruction.
    """
    tb = traceback_of(error) if is_a(error, KeyboardInterrupt) else None
    if tb is None:
        return False
    from opcode import opname

    while tb.tb_next is not None:
        tb = tb.tb_next
    return opname[tb.tb_frame.f_code.co_code[tb.tb_lasti]] != "RAISE_VARARGS"
