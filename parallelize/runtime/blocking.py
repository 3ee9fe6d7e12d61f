"""Where a thread waits: what it can do for others, and for itself, before it does.

A thread of a pool that waits holds a place, and what it waits for may stand in a
queue behind that very place. So each wait of this library comes by here, and the
thread's `Worker`, if it is one, does two things:

```
 result(), wait(), a map's reader, ...
        │ here.worker
        ▼
 Worker.help(futures)   runs what of them stands in the queue of its own pool
 Worker.away(futures)   gives its place to others, while it really waits
 Worker.held_back()     has the pool find others a place, while a reader is slow
```

Which threads have a worker is the business of the pools. This file knows none.

Callbacks of futures are called from here, too, one after the other where they would
nest: the end of a future ends others, and chains of them may be longer than Python's
stack. A thread that waits calls those first that it has put off, as it may wait for
what they do.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from parallelize.runtime import locks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from parallelize.runtime.options import Limit

    #: Something to call, and with what.
    Action: TypeAlias = tuple[Callable[[Any], object], Any]

T = TypeVar("T")

#: How deep calls of callbacks may nest. A callback that ends another future finds that
#: one's callbacks called when it goes on, unless it is nested so deep.
NESTED = 3

_new_lock = locks.reentrant("reader")


class Worker(Protocol):
    """A thread of a pool, as seen by what it waits for."""

    def help(self, future: Future[Any]) -> None:
        """Run what the future needs of the queue of this worker's own pool."""

    def away(self, futures: Iterable[Future[Any]]) -> AbstractContextManager[Any]:
        """Within the block the thread waits for these; others have its place.

        Raises:
            RecursionError: So many wait for each other already that there is no
                thread for another.
        """
        ...

    def held_back(self) -> AbstractContextManager[Any]:
        """Within the block the thread waits for its reader, who may be anybody."""
        ...

    def note_foreign_wait(self, waiter: Any, future: Future[Any]) -> None:
        """Note a waiter of the standard library, by which this thread waits."""

    def holds(self, limit: Limit) -> bool:
        """Whether what runs here has a place in the limit."""
        ...


class _Here(threading.local):
    """What is known of this thread.

    Attributes:
        worker: The worker whose thread this is.
        pending: What is to be called, one list for each call that is being made of
            callbacks; the innermost last.
        nested: How many of these there may be.
        makes_way: Called with what is waited for, before it is: others may wait for
            what this thread would do.
        limits: The limits in which this thread has a place by calls that run serially.
        depth: How many calls run serially, one within the other.
    """

    worker: Worker | None = None
    nested: int = NESTED
    makes_way: Callable[[Iterable[Future[Any]]], object] | None = None
    limits: tuple[Limit, ...] = ()
    depth: int = 0

    def __init__(self) -> None:
        self.pending: list[deque[Action]] = []


here: _Here = _Here()


def standing_in(call: Callable[[], T]) -> Callable[[], T]:
    """Make a function for a thread in which a call of this one goes on.

    This thread does nothing but wait for it. So what it has, the other one has too: a
    call that needs a place in a limit, or waits, would else wait for this one.
    """
    has = here.worker, here.limits, here.depth

    def called() -> T:
        here.worker, here.limits, here.depth = has
        return call()

    return called


def call_in_turn(actions: Iterable[Action]) -> None:
    """Call callbacks: now, or where calls of others are nested deep, after those."""
    pending = here.pending
    if len(pending) >= here.nested:
        pending[-1].extend(actions)
        return
    own = deque(actions)
    pending.append(own)
    try:
        _call_all(own)
    finally:
        pending.pop()


def call_pending(futures: Iterable[Future[Any]] = ()) -> None:
    """Call what this thread has put off, before it waits.

    Args:
        futures: What it waits for, as far as that is known.

    Raises:
        RuntimeError: It would wait for itself.
    """
    if here.makes_way is not None:
        here.makes_way(futures)
    for actions in reversed(here.pending.copy()):
        _call_all(actions)


def _call_all(actions: deque[Action]) -> None:
    try:
        while actions:
            action, argument = actions.popleft()
            action(argument)
            del action, argument  # what has ended is not held by what has not
    except BaseException:  # Ctrl-C: it comes between two, as these raise nothing
        _call_all(actions)
        raise


@contextmanager
def away(*futures: Future[Any]) -> Generator[None]:
    """Within the block this thread waits; if it is a worker, others have its place.

    Args:
        *futures: What it waits for, as far as that is known.
    """
    if here.pending:
        call_pending(futures)
    worker = here.worker
    if worker is None:
        yield
        return
    with worker.away(futures):
        yield


def held_back() -> AbstractContextManager[Any]:
    """Within the block this thread waits for the reader of what it makes.

    It may do so for as long as the program runs, and so does not count as one of the
    pool's threads meanwhile.
    """
    if here.pending:
        call_pending()
    worker = here.worker
    return nullcontext() if worker is None else worker.held_back()


class HelpingLock:
    """A lock of the library that may be held for long, by whoever waits under it."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        # Reentrant for finalisers and signal handlers.
        self._lock = _new_lock()

    def held(self, action: Callable[[], T]) -> T:
        """Do something in one's turn, which is over afterwards although Ctrl-C came."""
        lock = self._lock
        before = locks.depth(lock)
        try:
            if not lock.acquire(blocking=False):
                with away():
                    lock.acquire()
            try:
                return action()
            finally:
                lock.release()
        except BaseException:
            locks.release_to(lock, before)
            raise

    def if_free(self, action: Callable[[], object]) -> None:
        """Do something in one's turn if it can begin at once."""
        locks.if_free(self._lock, action)
