"""The package's locks: their factories, their order, and release after Ctrl-C.

A thread that holds a lock takes only locks that stand below it in `ORDER`, so no two
threads wait for each other's locks. docs/design.md says what each lock guards. Locks
are created by their name::

    _new_lock = locks.reentrant("pool")  # a factory: `threading.RLock` itself

With ``PARALLELIZE_DEBUG_LOCKS=1`` in the environment the locks enforce the order, see
`ranked`; without it they are Python's own.

Nearly all are reentrant: a signal handler may submit or cancel a call while its own
thread holds any of them. The others are never held while Python code runs that a
handler could interrupt and then need the same lock.

From Python 3.14 on, an error raised by a signal handler, such as Ctrl-C, may arrive
after ``with lock:`` has taken the lock and before the block has begun, so that nothing
releases it. Code that may be interrupted there records the recursion depth of the lock
beforehand, and restores it when an error comes.
"""

from __future__ import annotations

import os
import threading
from _operator import attrgetter  # the C part, which is loaded already
from contextlib import suppress

from parallelize.runtime.raised import is_a, traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable
    from typing import Any, TypeVar

    R = TypeVar("R")
    T = TypeVar("T")

#: The environment variable that enforces the order.
DEBUG_VARIABLE = "PARALLELIZE_DEBUG_LOCKS"

#: The names of all locks, the outermost first. A thread that holds one takes only that
#: one again or locks in lines below it. (A finaliser takes none.)
ORDER: tuple[tuple[str, ...], ...] = (
    (
        *("reader", "input", "checkpoint", "generator", "making"),
        *("pools", "preparing", "picture", "building"),
    ),
    ("adopting", "choosing", "tracing"),
    ("closing",),
    ("pool",),
    ("future", "attempts"),
    ("roster",),
    ("loops",),
    ("loop",),
    ("limit",),
    ("rate",),
    ("watch",),
    ("timer start",),
    ("timer",),
    ("lifecycle", "rows", "arrived", "channel", "in flight", "members", "counting"),
    (
        "segments",
        "answers",
        "cluster objects",
        "copies",
        "starts",
        "interpreters",
        "records",
        "progress",
    ),
    ("stream", "tracker"),
    ("sender",),
    ("reading", "adding", "credit", "control", "received", "shares"),
    ("leases", "modules", "kinship", "service"),
)

_RANKS = {name: rank for rank, names in enumerate(ORDER) for name in names}

#: Locks of these names may be held several at once. User code runs under those of the
#: first rank, and may for instance read one map as the input of another. The futures of
#: a ``concurrent.futures.wait`` are locked in the order of their ids.
_BESIDE_EACH_OTHER = frozenset((*ORDER[0], "future"))


def reentrant(
    name: str, make: Callable[[], threading.RLock] = threading.RLock
) -> Callable[[], threading.RLock]:
    """Return the factory of a name's reentrant locks: ``make``, unless debugging."""
    maker: Callable[[], threading.RLock] = _maker(name, make, reentrant=True)
    return maker


def plain(
    name: str, make: Callable[[], threading.Lock] = threading.Lock
) -> Callable[[], threading.Lock]:
    """Return the factory of a name's locks that a thread must not take twice."""
    maker: Callable[[], threading.Lock] = _maker(name, make, reentrant=False)
    return maker


# Any: what is created while debugging only behaves like the lock.
def _maker(name: str, make: Any, *, reentrant: bool) -> Any:
    rank = _RANKS[name]
    if os.environ.get(DEBUG_VARIABLE) != "1":
        return make
    from parallelize.runtime import ranked

    beside = name in _BESIDE_EACH_OTHER
    return ranked.maker(name, rank, make, reentrant=reentrant, beside=beside)


class Latch:
    """A one-time event that any thread or signal handler may set.

    `threading.Event` would not do: each wait and set holds its plain lock for a moment,
    and a signal handler that sets it then would deadlock with its own thread.
    """

    __slots__ = ("_closed",)

    def __init__(self) -> None:
        self._closed = threading.Lock()
        self._closed.acquire()

    def set(self) -> None:
        """Wake up all waiters, and let later ones pass."""
        # It may be set already, or a waiter that wakes up holds it just now.
        with suppress(RuntimeError):
            self._closed.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set; return False on a timeout."""
        seconds = -1 if timeout is None else max(timeout, 0)  # it may have passed
        if not self._closed.acquire(timeout=seconds):
            return False
        self.set()
        return True


class _OfItsLock(property):
    """A condition's method that is its lock's own method, also via the class."""

    def __call__(self, condition: threading.Condition, *args: object) -> object:
        assert self.fget is not None
        return self.fget(condition)(*args)


class Condition(threading.Condition):
    """A condition that is released in C, where Ctrl-C cannot interrupt.

    The standard one releases its lock in a Python function. An error that arrives as
    that function begins leaves the lock taken.
    """

    if not TYPE_CHECKING:
        __enter__ = _OfItsLock(attrgetter("_lock.__enter__"))
        __exit__ = _OfItsLock(attrgetter("_lock.__exit__"))


def depth(lock: threading.RLock) -> int:
    """Return how many times the current thread holds the lock."""
    # `threading.Condition` uses it, too; there is no public name.
    count: int = lock._recursion_count()  # type: ignore[attr-defined]
    return count


def release_to(lock: threading.RLock, before: int) -> None:
    """Release the lock until the current thread holds it ``before`` times."""
    while depth(lock) > before:
        lock.release()


def held(lock: threading.RLock, action: Callable[..., R], *args: object) -> R:
    """Call an action under a lock, which is released even after Ctrl-C."""
    before = depth(lock)
    try:
        with lock:
            return action(*args)
    except BaseException:
        release_to(lock, before)
        raise


def if_free(lock: threading.RLock, action: Callable[[], object]) -> bool:
    """Call an action under a lock, like `held`, unless that would block.

    Returns:
        Whether the action was called.
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


def members(weak: weakref.WeakSet[T]) -> list[T]:
    """Return the members of a weak set, while other threads drop theirs.

    Without the GIL, to iterate over it may raise RuntimeError.
    """
    references = weak.data.copy()  # type: ignore[attr-defined]  # one step
    return [each for ref in references if (each := ref()) is not None]


def at_fork(**hooks: Callable[[], object]) -> None:
    """Call functions at each `os.fork` from now on, where there are forks.

    Args:
        **hooks: What `os.register_at_fork` takes: ``before``, ``after_in_parent``,
            ``after_in_child``.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**hooks)


def renew_in_child(
    namespace: dict[str, Any], name: str, make: Callable[[], object]
) -> None:
    """Replace a lock in each forked child, as a thread of the parent may hold it.

    Args:
        namespace: The variables of the module or object that has the lock.
        name: The name of the lock there.
        make: Creates the new lock.
    """

    def renew() -> None:
        namespace[name] = make()

    at_fork(after_in_child=renew)


def is_interrupt(error: BaseException) -> bool:
    """Whether the error is a Ctrl-C that just arrived, not raised by user code.

    Pickling runs user code, which may raise KeyboardInterrupt itself: an error of the
    call like any other. An error raised by a ``raise`` statement is of that kind; the
    signal arrives at any other instruction.
    """
    tb = traceback_of(error) if is_a(error, KeyboardInterrupt) else None
    if tb is None:
        return False
    from opcode import opname

    while tb.tb_next is not None:
        tb = tb.tb_next
    return opname[tb.tb_frame.f_code.co_code[tb.tb_lasti]] != "RAISE_VARARGS"
