"""The engine of a thread pool: how calls come into its queue, and how it ends.

```
 caller                         engine (one lock)                  worker thread
 submit ── call ──▶ queue ◀──────────────────────────────── takes the next call
           │        idle: stack of resting workers ◀─────── rests on its own lock
           └─ wakes the worker on top, or starts one        and leaves after a while
```

The threads hold the engine and the executor object is only its face: when the
face is dropped the engine ends what was submitted, and its threads leave.

Threads are daemons, so that none keeps a program alive that was ended by an error
or Ctrl-C; at a normal end the hook of `parallelize.runtime.lifecycle` waits for them.
"""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Any

from parallelize.runtime import blocking, lifecycle, locks
from parallelize.threads.roster import Roster
from parallelize.threads.rows import Watch
from parallelize.threads.tasks import fail
from parallelize.threads.workers import Worker

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from parallelize.futures.future import Future
    from parallelize.threads.tasks import Task

    class OpenMaps(Protocol):
        """The maps that run in this pool."""

        def finish(self, *, unread_only: bool) -> None:
            """Start what is left of their input."""

        def cancel(self) -> None:
            """End them; what they have begun goes on."""

        def forget(self) -> None:
            """In a forked child: end them without touching their calls."""


# Programs look there for what the standard library logs in these words, too.
_log = logging.getLogger("concurrent.futures")


#: The text of the error of calls in a pool that is broken.
BROKEN = "A thread initializer failed, the thread pool is not usable anymore"


def _broken_thread_pool() -> type[RuntimeError]:
    from concurrent.futures.thread import BrokenThreadPool

    return BrokenThreadPool


class State(enum.Enum):
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
        self.state: State = State.OPEN
        self._why_broken: BaseException | None = None
        #: The class of the error of calls in a pool that is broken.
        self.broken_class: Callable[[], type[RuntimeError]] = _broken_thread_pool

    def _reset(self) -> None:
        super()._reset()
        # What the crew's lock guards besides; the state, too.
        self._nothing_held = locks.Condition(self._lock)
        self._held: set[Future[Any]] = set()  # prepared, not done, maybe not queued
        self._registered = False
        self.watch: Watch = Watch()  # has a lock of its own

    # Calls come in.

    def enqueue(self, task: Task) -> None:
        """Take a new call; raise RuntimeError if the pool takes none."""
        # `locks.held`, written out, as this is the road of most calls.
        locked = locks.depth(self._lock)
        try:
            with self._lock:
                if self.state is not State.OPEN or not self._registered:
                    self._let_in()
                self._append(task)
        except BaseException:
            locks.release_to(self._lock, locked)
            raise

    def hold(self, task: Task) -> None:
        """Take a new call that has to wait before it may be queued."""
        try:
            locks.held(self._lock, self._take_in, task)
            task.add_done_callback(self._release)
        except BaseException:  # the pool is closed, or Ctrl-C
            self._release(task)
            raise

    def _take_in(self, task: Task) -> None:
        self._let_in()
        self._held.add(task)

    def enqueue_held(self, task: Task) -> None:
        """Queue a call that was held; it fails if that is no longer possible."""
        try:
            locks.held(self._lock, self._append_held, task)
        except RuntimeError as error:
            fail(task, error)

    def _append_held(self, task: Task) -> None:
        if self.state is State.BROKEN:
            raise self.broken_error()
        self._append(task)

    def _append(self, task: Task) -> None:
        task.queued = True
        self._queue.append(task)
        if self._active < self.max_workers:
            try:
                self._relieve()
            except RuntimeError:  # nobody would ever run it
                self._queue.pop()
                raise
            except BaseException:  # Ctrl-C
                self._wake()
                raise

    def enqueue_first(self, tasks: Sequence[Task]) -> None:
        """Queue parts of a call that runs, before what came later."""
        with self._lock:
            for task in reversed(tasks):
                task.queued = True
                self._queue.appendleft(task)
            for _ in tasks:
                self.start_or_wake_one()

    def _let_in(self) -> None:
        if self.state is State.CLOSED:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)
        if self.state is State.BROKEN:
            raise self.broken_error()
        if not self._registered:
            lifecycle.register(self)
            self._registered = True

    # What workers ask.

    def _prepare(self, worker: Worker) -> bool:
        return self.initialize(worker)

    def initialize(self, worker: Worker | None = None) -> bool:
        """Run the initializer in this thread; return False if that broke the pool."""
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

    def broken_by(self, why: BaseException, first: Task | None = None) -> None:
        """Fail what is queued and all that comes: the initializer has failed.

        Args:
            why: Its error.
            first: What the thread was to run first.
        """
        with self._lock:
            self.state = State.BROKEN
            self._why_broken = why
            self._wake_all()
        if first is not None:
            fail(first, self.broken_error())
        while (task := self._next()) is not None:
            fail(task, self.broken_error())

    def broken_error(self) -> RuntimeError:
        """The error of a call in a pool that is broken."""
        error = self.broken_class()(BROKEN)
        error.__cause__ = self._why_broken
        return error

    def _may_leave(self) -> bool:
        return self.state is not State.OPEN and not self._held

    # The end.

    def close(self) -> None:
        """Take no new calls; the threads leave when they have run the others."""
        with self._lock:
            if self.state is State.OPEN:
                self.state = State.CLOSED
            self._wake_all()

    def _release(self, task: Future[Any]) -> None:
        with self._lock:
            self._held.discard(task)
            if not self._held and self.state is not State.OPEN:
                self._wake_all()
                self._nothing_held.notify_all()

    def cancel_queued(self, *, on_their_way: int = 0) -> None:
        """Cancel what has not begun.

        Args:
            on_their_way: How many calls to leave to threads that come for them.
        """
        left = [task for _ in range(on_their_way) if (task := self._next()) is not None]
        while (task := self._next()) is not None:
            task.cancel()
        if left:
            self.enqueue_first(left)
        with self._lock:
            held = list(self._held)
        for future in held:
            future.cancel()

    def on_their_way(self) -> int:
        """How many threads were set to work and have not come to a call yet."""
        with self._lock:
            return sum(
                each.running is None and each not in self._idle
                for each in self.workers()
                if each.is_alive()
            )

    def is_here(self) -> bool:
        """Whether this is one of the pool's threads."""
        worker = blocking.here.worker
        return isinstance(worker, Worker) and worker.engine is self

    def join(self) -> None:
        """Return when all calls have ended and the threads of a closed pool too."""
        if self.is_here():
            return  # it would wait for itself, or two such for each other
        with blocking.away():
            with self._nothing_held:
                self._nothing_held.wait_for(lambda: not self._held)
            joined: set[threading.Thread] = set()
            while left := self._not_in(joined):
                for thread in left:
                    thread.join()
                joined |= left

    def _not_in(self, joined: set[threading.Thread]) -> set[threading.Thread]:
        # The last calls of others may have needed further threads meanwhile.
        with self._lock:
            return self.threads - joined

    def finish(self) -> None:
        """At the end of the program: run what was submitted."""
        self._maps.finish(unread_only=True)
        self.close()
        self.join()

    def abandon(self) -> None:
        """At an end by error: drop what has not begun; no thread can be stopped."""
        self._maps.cancel()
        self.close()
        self.cancel_queued()

    def forget(self) -> None:
        """In a forked child: the threads and the calls are the parent's."""
        strays = [*self._queue, *self._held]
        for thread in self.threads:
            if isinstance(thread, Worker):
                thread.strayed = True
                strays += thread.stack()
        self._reset()
        self._crowded = True  # so that the one that lives on sees that it has strayed
        for task in strays:
            task.fail_in_forked_child()
        self._maps.forget()
