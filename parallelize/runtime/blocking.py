"""What a thread does before it blocks, so that waiting cannot deadlock a pool.

A pool thread that blocks occupies a worker slot, and what it waits for may be queued
behind that very slot. So each wait of this library passes through this module, and if
the thread is a pool's worker, its `HelpingWorker` steps in:

```
 result(), wait(), a map's reader, ...
        │ here.worker
        ▼
 Worker.help(future)    runs it here if it is queued in the worker's own pool
 Worker.away(futures)   gives up its slot to others while it blocks
 Worker.held_back()     gives up its slot while it waits for a slow reader
```

The pools set the worker of their threads; this module knows no pool.

Callbacks of futures are called from here, too. Where calls would nest too deep they are
called one after the other instead: a completed future completes others, and such chains
may be longer than Python's stack. Before a thread blocks it calls the callbacks that it
has deferred, as it may wait for their effect.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager, nullcontext

from parallelize.runtime import locks
from parallelize.runtime.typed import Protocol, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from typing import Any, TypeAlias

    from parallelize.runtime.options import Limit

    #: A function and its argument.
    Action: TypeAlias = tuple[Callable[[Any], object], Any]

T = TypeVar("T")

#: How deep calls of callbacks may nest. A callback that completes another future finds,
#: when it goes on, that future's callbacks called, except at this depth.
NESTED = 3

_new_lock = locks.reentrant("reader")


class HelpingWorker(Protocol):
    """A pool's thread, as the code that blocks in it sees it."""

    def help(self, future: Future[Any]) -> None:
        """Run the work this future needs that is queued in the worker's own pool."""

    def away(self, futures: Iterable[Future[Any]]) -> AbstractContextManager[Any]:
        """Give up the worker's slot to others while the block waits for these.

        Raises:
            RecursionError: Too many threads wait for each other already; there is none
                left to take the slot.
        """
        ...

    def held_back(self) -> AbstractContextManager[Any]:
        """Give up the slot while the block waits for a reader, in any thread."""
        ...

    def note_foreign_wait(self, waiter: Any, future: Future[Any]) -> None:
        """Record a standard library waiter on which this thread blocks."""

    def holds(self, limit: Limit) -> bool:
        """Whether the call that runs here holds a place in the limit."""
        ...


class Kept(Protocol):
    """The objects that a thread keeps."""

    def close(self) -> None:
        """Run their clean-ups; errors in these are logged."""


class _Here(threading.local):
    """The state of the current thread.

    Attributes:
        worker: The worker whose thread this is.
        pending: Callbacks to be called: one queue for each level of nesting, the
            innermost last.
        nested: The largest number of these levels.
        makes_way: Called with the futures before this thread blocks on them, because
            others may wait for work that this thread would do.
        limits: The limits in which calls that run serially in this thread hold a place.
        depth: The number of serial calls that are nested in each other.
        outer_depth: The number of these outside of the call that a worker's thread runs
            while it waits: what runs in the thread is a serial call if there are more.
        place: Index, number of workers and kind, in the threads of a pool.
        asked: Returns whether the call that runs in this thread was asked to stop.
        kept: What `per_worker` keeps for this thread; it is closed as the thread ends.
    """

    worker: HelpingWorker | None = None
    nested: int = NESTED
    makes_way: Callable[[Iterable[Future[Any]]], object] | None = None
    limits: tuple[Limit, ...] = ()
    depth: int = 0
    outer_depth: int = 0
    place: tuple[int, int, str] | None = None
    asked: Callable[[], bool] | None = None
    kept: Kept | None = None

    def __init__(self) -> None:
        self.pending: list[deque[Action]] = []


here: _Here = _Here()


def standing_in(call: Callable[[], T]) -> Callable[[], T]:
    """Wrap a call of this thread that continues in another thread.

    This thread only waits for it, so the other thread takes over its worker, limits and
    depth. Otherwise a call there that blocks or needs a place in a limit could wait for
    this thread.
    """
    has = here.worker, here.limits, here.depth, here.place, here.asked

    def called() -> T:
        here.worker, here.limits, here.depth, here.place, here.asked = has
        return call()

    return called


def call_in_turn(actions: Iterable[Action]) -> None:
    """Call callbacks now or, if too deeply nested, after those being called."""
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
    """Call the callbacks that this thread has deferred, before it blocks.

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
            del action, argument  # do not keep it alive during the next
    except BaseException:  # Ctrl-C between two: callbacks raise nothing
        _call_all(actions)
        raise


@contextmanager
def away(*futures: Future[Any]) -> Generator[None]:
    """Give up this thread's worker slot, if it has one, while the block waits.

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
    """Give up this thread's worker slot while it waits for its reader.

    The wait may last as long as the program, so the thread does not count as one of the
    pool's meanwhile.
    """
    if here.pending:
        call_pending()
    worker = here.worker
    return nullcontext() if worker is None else worker.held_back()


class HelpingLock:
    """A lock that may be held for long; a pool's thread gives up its slot to wait."""

    __slots__ = ("_lock",)

    def __init__(self, make: Callable[[], threading.RLock] = _new_lock) -> None:
        # Reentrant for finalisers and signal handlers.
        self._lock = make()

    def held(self, action: Callable[[], T]) -> T:
        """Call an action under the lock, which is released even after Ctrl-C."""
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

    def unheld(self, action: Callable[[], T]) -> T:
        """Call an action without the lock, which this thread holds."""
        # A condition does the same while it waits.
        saved = self._lock._release_save()  # type: ignore[attr-defined]
        try:
            return action()
        finally:
            self._lock._acquire_restore(saved)  # type: ignore[attr-defined]

    def if_free(self, action: Callable[[], object]) -> None:
        """Call an action under the lock, if the lock is free."""
        locks.if_free(self._lock, action)
