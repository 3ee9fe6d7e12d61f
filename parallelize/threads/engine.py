"""The engine of a thread pool: how calls enter its queue, and how it ends.

```
 caller                         engine (one lock)                  worker thread
 submit ── call ──▶ queue ◀──────────────────────────────── takes the next call
           │        idle: stack of idle workers ◀────────── blocks on its own lock
           └─ wakes the worker on top, or starts one        and ends after a timeout
```

The threads hold the engine; the executor object is only its public interface. When
the executor is garbage collected, the engine runs what was submitted and its threads
end.

Threads are daemons, so that they do not keep a program alive that was ended by an
error or Ctrl-C; at a normal exit `parallelize.runtime.lifecycle` waits for them.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import sys

from parallelize.errors import TaskTimeout
from parallelize.runtime import blocking, lifecycle, locks
from parallelize.runtime.clock import monotonic
from parallelize.runtime.native import STEPS_ARE_WHOLE
from parallelize.threads.roster import Roster, in_queue
from parallelize.threads.rows import RowsWatch
from parallelize.threads.tasks import ThreadTask, fail
from parallelize.threads.workers import ThreadWorker

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from typing import Any

    from parallelize.calls.open_maps import OpenMaps
    from parallelize.calls.stats import Stats
    from parallelize.futures.future import Future


# Programs look in that logger for messages that the standard library logs, too.
_log = logging.getLogger("concurrent.futures")


#: Seconds that idle threads have for their clean-ups when an error ends the program.
ABANDON_GRACE = 0.5


#: The message of the error of calls in a broken pool.
BROKEN = "A thread initializer failed, the thread pool is not usable anymore"


def _broken_thread_pool() -> type[RuntimeError]:
    from concurrent.futures.thread import BrokenThreadPool

    return BrokenThreadPool


class EngineState(enum.Enum):
    """The life of a pool."""

    OPEN = "takes calls"
    CLOSED = "takes no new calls, runs those it has"
    BROKEN = "the initializer failed"


class Engine(Roster):
    """The queue and the threads of a pool, from its first call to its end."""

    def __init__(
        self,
        max_workers: int,
        prefix: str,
        initializer: tuple[Callable[..., object] | None, tuple[Any, ...]],
        idle_timeout: float | None,
        maps: OpenMaps,
    ) -> None:
        super().__init__(max_workers, prefix, idle_timeout)
        self._initializer = initializer
        self._maps = maps
        self.state: EngineState = EngineState.OPEN
        self._why_broken: BaseException | None = None
        #: Returns the class of the error of calls in a broken pool.
        self.broken_class: Callable[[], type[RuntimeError]] = _broken_thread_pool

    def _reset(self) -> None:
        super()._reset()
        # Also guarded by the roster's lock, as is the state.
        self._nothing_held = locks.Condition(self._lock)
        self._held: set[Future[Any]] = set()  # prepared, not done, maybe not queued
        self._registered = False
        self.watch: RowsWatch = RowsWatch()  # has its own lock

    # Submitting calls.

    def enqueue(self, task: ThreadTask) -> None:
        """Queue a new call; raise RuntimeError if the pool accepts none.

        Most calls only wait for their turn, so no lock is taken for them: the call is
        queued first, and then it is looked whether a thread is missing. A thread that
        finds the queue empty does it the other way round, see `_become_idle`, so one
        of both sees the other.
        """
        if not STEPS_ARE_WHOLE:  # there, what one thread writes another may see later
            locks.held(self._lock, self._let_in_and_append, task)
            return
        task.queued = True
        self._queue.append(task)
        if self._active >= self.max_workers and self.state is EngineState.OPEN:
            return
        # `locks.held`, inlined, as most single calls take this path.
        locked = locks.depth(self._lock)
        try:
            with self._lock:
                if self.state is EngineState.OPEN and self._registered:
                    self._activate_for(task)
                else:
                    self._relieve(task)
        except BaseException:
            locks.release_to(self._lock, locked)
            raise

    def _let_in_and_append(self, task: ThreadTask) -> None:
        self._let_in()
        self._append(task)

    def _relieve(self, task: ThreadTask) -> None:
        """Find a thread for a call in the queue, or take it out again and raise."""
        try:
            self._let_in()
        except BaseException:  # the pool is closed, or Ctrl-C
            with contextlib.suppress(ValueError):
                self._queue.remove(task)
                raise
            return  # a thread has taken it before the pool was closed
        self._activate_for(task)

    def hold(self, task: ThreadTask) -> None:
        """Register a new call that has to wait before it may be queued."""
        try:
            locks.held(self._lock, self._take_in, task)
            task.add_done_callback(self._release)
        except BaseException:  # the pool is closed, or Ctrl-C
            self._release(task)
            raise

    def keep(self, task: ThreadTask) -> None:
        """Keep the pool open for a task that rests, even while it is closing."""
        with self._lock:
            self._held.add(task)
        task.add_done_callback(self._release)

    def _take_in(self, task: ThreadTask) -> None:
        self._let_in()
        self._held.add(task)

    def enqueue_held(self, task: ThreadTask) -> None:
        """Queue a held call; fail it if that is no longer possible."""
        try:
            locks.held(self._lock, self._append_held, task)
        except RuntimeError as error:
            fail(task, error)

    def _append_held(self, task: ThreadTask) -> None:
        if self.state is EngineState.BROKEN:
            raise self.broken_error()
        self._append(task)

    def _append(self, task: ThreadTask) -> None:
        task.queued = True
        self._queue.append(task)
        self._activate_for(task)

    def _activate_for(self, task: ThreadTask) -> None:
        if self._active >= self.max_workers:
            return
        try:
            self._activate_one()
        except RuntimeError:  # no thread would ever run it
            with contextlib.suppress(ValueError):
                self._queue.remove(task)
            raise
        except BaseException:  # Ctrl-C
            self._wake()
            raise

    def enqueue_first(self, tasks: Sequence[ThreadTask]) -> None:
        """Queue parts of a running call, before calls that were submitted later."""
        with self._lock:
            for task in reversed(tasks):
                task.queued = True
                self._queue.appendleft(task)
            for _ in tasks:
                self.start_or_wake_one()

    def warm(self, make: Callable[[], None]) -> list[ThreadTask]:
        """Start all threads, and have those that run no call call a function."""
        tasks: list[ThreadTask] = []
        with self._lock:
            self._let_in()
            while (active := self._active) < self.max_workers:
                task = ThreadTask(self, make, (), {})
                task.calls = 0  # it is none of the user's
                self._set_to_work(task)
                if self._active == active:  # the system cannot start another thread
                    break
                tasks.append(task)
        return tasks

    def _let_in(self) -> None:
        if self.state is EngineState.CLOSED:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)
        if self.state is EngineState.BROKEN:
            raise self.broken_error()
        if not self._registered:
            lifecycle.register(self)
            self._registered = True

    def stats(self) -> Stats:
        """Return how many threads and calls there are, and how calls have ended."""
        with self._lock:
            threads = [each for each in self.threads if isinstance(each, ThreadWorker)]
            idle, live, queued = self._idle.copy(), self._live, in_queue(self._queue)
            ending = [each for each in self._ending if isinstance(each, ThreadWorker)]
            held = [task for task in self._held if isinstance(task, ThreadTask)]
            done = sum(each.done for each in {*threads, *ending})
        waiting = {*queued, *(task for task in held if not task.queued)}
        active = {each: list(each.stack()) for each in threads if each not in idle}
        begun = [task for stack in active.values() for task in stack]
        sizes = [task.sizes() for task in {*waiting, *begun}]
        return self.tally.stats(
            workers=live,
            busy=sum(map(_is_busy, active.values())),
            queued=sum(size[1] for size in sizes),
            running=sum(size[0] for size in sizes),
            done=done,
        )

    # Called by workers.

    def initialize(self, worker: ThreadWorker | None = None) -> bool:
        """Run the initializer in this thread; return False if it broke the pool."""
        initializer, initargs = self._initializer
        if initializer is None:
            return True
        try:
            initializer(*initargs)
        except BaseException as error:  # noqa: BLE001 - it breaks the pool
            _log.critical("Exception in initializer:", exc_info=True)
            self.broken_by(error, None if worker is None else worker.take_first())
            return False
        return True

    def broken_by(self, why: BaseException, first: ThreadTask | None = None) -> None:
        """Fail all queued and future calls, after the initializer has failed.

        Args:
            why: The error of the initializer.
            first: The first call that the thread would have run.
        """
        with self._lock:
            self.state = EngineState.BROKEN
            self._why_broken = why
            self._wake_all()
        if first is not None:
            fail(first, self.broken_error())
        while (task := self._next()) is not None:
            fail(task, self.broken_error())

    def broken_error(self) -> RuntimeError:
        """Return the error of a call in a broken pool."""
        error = self.broken_class()(BROKEN)
        error.__cause__ = self._why_broken
        return error

    def _may_leave(self) -> bool:
        return self.state is not EngineState.OPEN and not self._held

    # Shutting down.

    def close(self) -> None:
        """Accept no new calls; the threads end when they have run the others."""
        with self._lock:
            if self.state is EngineState.OPEN:
                self.state = EngineState.CLOSED
            self._wake_all()

    def _release(self, task: Future[Any]) -> None:
        with self._lock:
            self._held.discard(task)
            if not self._held and self.state is not EngineState.OPEN:
                self._wake_all()
                self._nothing_held.notify_all()

    def cancel_queued(self, *, on_their_way: int = 0) -> None:
        """Cancel the calls that have not started.

        Args:
            on_their_way: The number of calls to leave to threads about to run them.
        """
        left = [task for _ in range(on_their_way) if (task := self._next()) is not None]
        while (task := self._next()) is not None:
            task.cancel()
        if left:
            self.enqueue_first(left)
        with self._lock:
            held = list(self._held)
        for future in held:
            if future.running():  # it is not asked to stop, but not retried either
                future._end_retries()
            else:
                future.cancel()

    def on_their_way(self) -> int:
        """Return the number of started or woken threads that have no call yet."""
        with self._lock:
            return sum(
                each.running is None and each not in self._idle
                for each in self.workers()
                if each.is_alive()
            )

    def is_here(self) -> bool:
        """Whether the calling thread is one of this pool."""
        worker = blocking.here.worker
        return isinstance(worker, ThreadWorker) and worker.engine is self

    def join(self) -> None:
        """Wait until all calls and, in a closed pool, all threads have ended."""
        if self.is_here():
            return  # it would wait for itself, or two threads for each other
        with blocking.away():
            with self._nothing_held:
                self._nothing_held.wait_for(lambda: not self._held)
            joined: set[threading.Thread] = set()
            while True:
                with self._lock:  # the last calls may have needed further threads
                    left = (self.threads | self._ending) - joined
                if not left:
                    return
                for thread in left:
                    thread.join()
                joined |= left

    def stop_taking(self, *, drop: bool) -> None:
        """Before the end of the program: accept no new calls; ``drop`` the queue."""
        if drop:
            self._maps.cancel()
        self.close()
        if drop:
            self.cancel_queued()

    def finish(self) -> None:
        """At the end of the program: run what was submitted."""
        self._maps.finish(unread_only=True)
        self.close()
        self.join()

    def abandon(self) -> None:
        """At an exit by an error: drop what has not started; threads run on."""
        self._maps.cancel()
        with self._lock:
            idle = self._idle.copy()
        self.close()
        self.cancel_queued()
        if "parallelize.inside.kept" in sys.modules:
            _await_ends(idle, ABANDON_GRACE)

    def forget(self) -> None:
        """In a forked child: the threads and the calls belong to the parent."""
        orphans = [*self._queue, *self._held]
        for thread in self.threads:
            if isinstance(thread, ThreadWorker):
                thread.orphaned = True
                orphans += thread.stack()
        self._reset()
        self._oversubscribed = (
            True  # so that the surviving thread looks whether to go on
        )
        for task in orphans:
            task._fail_in_forked_child()
        self._maps.forget()


def _is_busy(stack: Sequence[ThreadTask]) -> bool:
    """Whether a thread runs calls, also one that has timed out."""
    return any(t.running() or isinstance(t._exception, TaskTimeout) for t in stack)


def _await_ends(threads: Sequence[threading.Thread], seconds: float) -> None:
    """Wait until threads have ended, for at most this many seconds."""
    until = monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - monotonic()))
