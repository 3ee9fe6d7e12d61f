"""One thread of a pool: what it runs, and what it does while that waits."""

from __future__ import annotations

import functools
import sys
import threading
from contextvars import Context

from parallelize.futures.future import unended
from parallelize.runtime.blocking import here
from parallelize.runtime.clock import monotonic
from parallelize.runtime.lifecycle import daemons
from parallelize.threads.managed_wait import ManagedWait
from parallelize.threads.tasks import ThreadTask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future as AnyFuture
    from contextlib import AbstractContextManager
    from typing import Any

    from parallelize.futures.future import Future
    from parallelize.runtime.options import Limit
    from parallelize.threads.roster import Roster

#: The number of calls that must still fit on Python's stack for a call to be run on
#: it: when it ends, it runs callbacks.
LEAST_FRAMES = 60


class ThreadWorker(threading.Thread):
    """One thread of a pool.

    Attributes:
        engine: The pool.
        since: When it was last idle, or was made, in seconds of the monotonic clock.
        running: The call it runs; only this thread changes this and the next two.
        helping: The calls it runs within that one, which waits for them.
        waits: Its current waits, the innermost last.
        first: A call to run before looking into the queue. Set by the thread that
            wakes this one, under the engine's lock.
        orphaned: Whether it is in a forked child, without its pool.
        wake: Held while the worker is active or idle; released to wake it.
        index: Its number in the pool, which no other live thread of the pool has.
        done: The number of calls that it has run and that returned a result, until
            `Roster.has_ended` takes it over.
        turn: How often it has been woken; changed under the engine's lock before
            ``wake`` is released.
    """

    def __init__(
        self, engine: Roster, name: str, first: ThreadTask | None, index: int
    ) -> None:
        # Since Python 3.14 a thread may start in a copy of its creator's context, and
        # would keep its values alive.
        context = {"context": Context()} if sys.version_info >= (3, 14) else {}
        super().__init__(name=name, daemon=daemons, **context)  # type: ignore[arg-type]
        self.engine: Roster = engine
        self.index: int = index
        self.running: ThreadTask | None = None
        self.since: float = monotonic()
        self.helping: list[ThreadTask] = []
        self.waits: list[ManagedWait] = []
        self.first: ThreadTask | None = first
        self.orphaned: bool = False
        self.wake: threading.Lock = threading.Lock()
        self.wake.acquire()
        self.done: int = 0
        self.turn: int = 0
        self._turns = 0  # the value of `turn` that it has handled

    def run(self) -> None:
        """Serve the pool until there is nothing left to do for this thread."""
        here.worker = self
        here.place = self.index, self.engine.count, "threads"
        here.asked = self._is_asked
        try:
            self.engine.serve(self)
        finally:
            if here.kept is not None:
                here.kept.close()
            self.engine.thread_ends()
            self.engine.has_ended(self)

    def was_woken(self, seconds: float) -> bool:
        """Wait until it is woken, then return True; False after this many seconds."""
        spin = self.engine.awake.idle
        if not self.engine.may_stay_awake or not spin.is_free():
            return self._sleeps(seconds)
        try:
            return spin.spin(self._sees_waking) or self._sleeps(seconds)
        finally:
            spin.done()

    def _sees_waking(self) -> bool:
        if self.wake.acquire(blocking=False) and self._turns != self.turn:
            self._turns = self.turn
            return True
        return False

    def _sleeps(self, seconds: float) -> bool:
        timeout = -1 if seconds > threading.TIMEOUT_MAX else seconds
        while self.wake.acquire(timeout=timeout):
            if self._turns != self.turn:
                self._turns = self.turn
                return True
        return False

    def take_first(self) -> ThreadTask | None:
        """Return, once, the call that was meant for this thread in particular."""
        first, self.first = self.first, None
        return first

    def waited_for(self) -> Iterator[Future[Any]]:
        """The futures that it is waiting for."""
        for wait in self.waits.copy():
            yield from wait.futures

    def stack(self) -> Iterator[ThreadTask]:
        """The calls that run in this thread, each nested in the one before."""
        running = self.running
        if running is not None:
            yield running
        yield from self.helping.copy()

    def _is_asked(self) -> bool:
        """Whether the innermost call was asked to stop."""
        task = self.helping[-1] if self.helping else self.running
        return task is not None and task.is_asked()

    # The interface for `parallelize.runtime.blocking`.

    def help(self, future: AnyFuture[Any]) -> None:
        """Run what the future depends on, as far as it is in the queue of this pool.

        Only that: the thread would otherwise wait for it anyway. Any other call
        might need a lock that is held further down its stack.
        """
        if isinstance(future, ThreadTask) and future.waits_in_queue:  # the common case
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
            if isinstance(task, ThreadTask) and task.engine is self.engine:
                ran |= self._run_here(task)
        return ran

    def _run_here(self, task: ThreadTask) -> bool:
        if not task.waits_in_queue and not self._lends_place(task):
            return False
        _need_frames(LEAST_FRAMES)  # else a call might be claimed and never completed
        self.helping.append(task)
        outer, here.outer_depth = here.outer_depth, here.depth
        try:
            ran = task.run(self)
        finally:
            here.outer_depth = outer
            self.helping.pop()
        if ran:
            self.engine.note_claimed_entry()
        return ran

    def _lends_place(self, task: ThreadTask) -> bool:
        """Whether the call waits for a place in a limit that this thread can lend.

        A recursive function that waits is not running meanwhile, so the inner call may
        use its place: otherwise it would wait for itself forever.
        """
        limit, call = task.waits_for_place(), task.limited
        if limit is None or call is None or not self.holds(limit):
            return False
        if call.options.rate is not None:
            return False  # it may be too early for it
        return limit._take_out(call)

    def holds(self, limit: Limit) -> bool:
        """Whether a call that runs here has a place in the limit."""
        calls = (task.limited for task in self.stack())
        return any(call is not None and call.options.limit is limit for call in calls)

    def away(self, futures: Iterable[AnyFuture[Any]]) -> ManagedWait:
        """Within the block the thread waits for these; others may use its place."""
        return ManagedWait(self, futures)

    def held_back(self) -> AbstractContextManager[None]:
        """Within the block the thread waits for its reader; another may be active."""
        return self.engine.one_more()

    def note_foreign_wait(self, waiter: Any, future: AnyFuture[Any]) -> None:
        """Record a waiter of the standard library, on which this thread will block."""
        wait: ManagedWait | None = getattr(waiter, "parallelize_wait", None)
        if wait is not None:
            wait.add(future)
            return
        wait = ManagedWait(self, (future,))
        wait.begin()
        waiter.parallelize_wait = wait


def worker_class() -> type[ThreadWorker]:
    """The class of new workers: `ThreadWorker` on the current `threading.Thread`.

    gevent replaces `threading.Thread` by a class of its own, and only its instances
    can be joined then; that may happen after this module was loaded.
    """
    thread: type = threading.Thread
    return (
        ThreadWorker if issubclass(ThreadWorker, thread) else _worker_class_on(thread)
    )


@functools.cache
def _worker_class_on(thread: type[threading.Thread]) -> type[ThreadWorker]:
    return type("ThreadWorker", (ThreadWorker, thread), {})


def _need_frames(count: int) -> None:
    """Raise RecursionError unless this many calls can still be nested here."""
    if count:
        _need_frames(count - 1)
