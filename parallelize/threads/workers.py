"""One thread of a pool: what it runs, and what it does where that waits."""

from __future__ import annotations

import functools
import sys
import threading
from contextvars import Context
from typing import TYPE_CHECKING, Any

from parallelize.futures.future import unended
from parallelize.runtime.blocking import here
from parallelize.runtime.clock import monotonic
from parallelize.runtime.lifecycle import daemons
from parallelize.threads.managed_wait import ManagedWait
from parallelize.threads.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future as AnyFuture
    from contextlib import AbstractContextManager

    from parallelize.futures.future import Future
    from parallelize.runtime.options import Limit
    from parallelize.threads.roster import Roster

#: How many calls must still fit onto Python's stack for a call to be run on it: its
#: end calls callbacks.
LEAST_FRAMES = 60


class Worker(threading.Thread):
    """One thread of a pool.

    Attributes:
        engine: The pool.
        since: When it rested last, or was made, in seconds of the monotonic clock.
        running: What it runs; only this thread changes it, and the next two.
        helping: What it runs within that, as that waits for it.
        absences: What it waits for just now, the innermost last.
        first: What it is to run before it looks into the queue. Whoever wakes the
            thread sets it, under the engine's lock.
        strayed: Whether it was forked away from its pool.
        wake: Held while the worker works or rests; released to wake it.
        turn: How often it was woken, in all; changed under the engine's lock before
            ``wake`` is released.
    """

    def __init__(self, engine: Roster, name: str, first: Task | None) -> None:
        # From 3.14 on a thread may start in a copy of its maker's context and would
        # hold what is in it.
        context = {"context": Context()} if sys.version_info >= (3, 14) else {}
        super().__init__(name=name, daemon=daemons, **context)  # type: ignore[arg-type]
        self.engine: Roster = engine
        self.running: Task | None = None
        self.since: float = monotonic()
        self.helping: list[Task] = []
        self.absences: list[ManagedWait] = []
        self.first: Task | None = first
        self.strayed: bool = False
        self.wake: threading.Lock = threading.Lock()
        self.wake.acquire()
        self.turn: int = 0
        self._turns = 0  # for which it has come

    def run(self) -> None:
        """Serve the pool until there is no more for this thread to do."""
        here.worker = self
        try:
            self.engine.serve(self)
        finally:
            self.engine.thread_ends()

    def was_woken(self, seconds: float) -> bool:
        """Rest until it is woken, then return True, or for so long."""
        timeout = -1 if seconds > threading.TIMEOUT_MAX else seconds
        while self.wake.acquire(timeout=timeout):
            if self._turns != self.turn:
                self._turns = self.turn
                return True
        return False

    def take_first(self) -> Task | None:
        """Return what was meant for this thread in particular, once."""
        first, self.first = self.first, None
        return first

    def waited_for(self) -> Iterator[Future[Any]]:
        """What it waits for just now."""
        for absence in self.absences.copy():
            yield from absence.futures

    def stack(self) -> Iterator[Task]:
        """What runs in this thread, one within the other."""
        running = self.running
        if running is not None:
            yield running
        yield from self.helping.copy()

    # What `parallelize.runtime.blocking` asks of it.

    def help(self, future: AnyFuture[Any]) -> None:
        """Run what the future needs and what stands in the queue of this pool.

        That is the very thing this thread would otherwise wait for. Anything else
        might want a lock that is held further down its stack.
        """
        if isinstance(future, Task) and future.waits_in_queue:  # as most do
            if future.engine is self.engine:
                self._run_here(future)
            return
        while self._help_once(future):
            pass

    def _help_once(self, future: AnyFuture[Any]) -> bool:
        ran = False
        for task in unended((future,)):
            if future.done():
                return False
            if isinstance(task, Task) and task.engine is self.engine:
                ran |= self._run_here(task)
        return ran

    def _run_here(self, task: Task) -> bool:
        if not task.waits_in_queue and not self._lends_place(task):
            return False
        _need_frames(LEAST_FRAMES)  # or a call too deep would be claimed, and never end
        self.helping.append(task)
        try:
            ran = task.run()
        finally:
            self.helping.pop()
        if ran:
            self.engine.one_is_husk()
        return ran

    def _lends_place(self, task: Task) -> bool:
        """Whether the call waits for a place in a limit that this thread gives it.

        A function that calls itself and waits is not running meanwhile, so the inner
        call may have its place: else it would wait for itself for ever.
        """
        limit, call = task.waits_for_place(), task.limited
        if limit is None or call is None or not self.holds(limit):
            return False
        return limit.take_out(call)

    def holds(self, limit: Limit) -> bool:
        """Whether what runs here has a place in the limit."""
        calls = (task.limited for task in self.stack())
        return any(call is not None and call.options.limit is limit for call in calls)

    def away(self, futures: Iterable[AnyFuture[Any]]) -> ManagedWait:
        """Within the block the thread waits for these; others have its place."""
        return ManagedWait(self, futures)

    def held_back(self) -> AbstractContextManager[None]:
        """Within the block the thread waits for its reader; others may work."""
        return self.engine.one_more()

    def note_foreign_wait(self, waiter: Any, future: AnyFuture[Any]) -> None:
        """Note a waiter of the standard library, by which this thread waits."""
        absence: ManagedWait | None = getattr(waiter, "parallelize_absence", None)
        if absence is not None:
            absence.add(future)
            return
        absence = ManagedWait(self, (future,))
        absence.begin()
        waiter.parallelize_absence = absence


def worker_class() -> type[Worker]:
    """The class of new workers: `Worker`, as a thread of what `threading` is now.

    gevent puts a class of its own in the place of `threading.Thread`, which alone can
    be joined then; that may happen after this module was loaded.
    """
    thread: type = threading.Thread
    return Worker if issubclass(Worker, thread) else _worker_class_on(thread)


@functools.cache
def _worker_class_on(thread: type[threading.Thread]) -> type[Worker]:
    return type("Worker", (Worker, thread), {})


def _need_frames(count: int) -> None:
    """Raise RecursionError unless so many calls may still be nested here."""
    if count:
        _need_frames(count - 1)
