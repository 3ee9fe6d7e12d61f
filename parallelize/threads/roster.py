"""The threads of a pool: how many are active, which are idle, which one runs next.

```
                 _activate_one(): there is work and a free place
          ┌──────────────────────────────────────────────┐
          │                                              ▼
        idle  ◀── the queue is empty, or ─────────   active  ◀── started
          │       too many are active                │     ▲
          ▼ after a timeout      begin_managed_wait()│     │end_managed_wait()
        ended                                        ▼     │
                                                   waiting for a future
```

At most ``max_workers`` threads are active at a time. A thread that waits for a future
is not active, and another may take its place; when it continues there is briefly one
too many, and the next thread that finishes a call becomes idle. The total number of
threads:

* ``max_workers``, and the same number again in the place of waiting ones, run any
  call from the queue.
* Beyond that a thread starts only when no thread of this pool is active and one waits
  for a call in its queue, and it runs that call: the one that was waited for last, so
  that chains of waits are followed to their ends one by one.
* Beyond `MOST_AWAY` of these, the waiting thread gets a RecursionError instead.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import deque
from contextlib import contextmanager, suppress

from parallelize.calls.tally import Tally
from parallelize.inside.place import free_index
from parallelize.runtime import locks
from parallelize.runtime.clock import monotonic
from parallelize.runtime.typed import NamedTuple
from parallelize.threads.awake import Awake, can_stay_awake
from parallelize.threads.workers import ThreadWorker, worker_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable

    from parallelize.threads.tasks import ThreadTask

_new_lock = locks.reentrant("roster")

_log = logging.getLogger("parallelize")

#: The maximum number of threads beyond twice ``max_workers``.
MOST_AWAY = 256

#: Seconds for which a thread beyond ``max_workers`` is idle before it ends.
BRIEF_IDLE = 1.0


def _nothing() -> None:
    pass


def _yes() -> bool:
    return True


class _Waking(NamedTuple):
    """A worker that is being woken, and the state after that."""

    worker: ThreadWorker
    first: ThreadTask | None
    active: int
    turn: int


class Roster:
    """The threads of a pool and the queue from which they take calls.

    Attributes:
        max_workers: The number of threads that may be active, including any that are
            blocked by a slow reader (see `one_more`).
        count: The number that its creator has set.
        threads: The threads that are not known to have ended.
        thread_ends: Called by each thread as its last action.
        tally: How calls have ended, but those that the threads themselves count.
        awake: Decides which threads wait awake.
        may_stay_awake: Whether any thread may.
    """

    def __init__(
        self, max_workers: int, prefix: str, idle_timeout: float | None
    ) -> None:
        self.max_workers: int = max_workers
        self.count: int = max_workers
        self._prefix = prefix
        self._idle_timeout = math.inf if idle_timeout is None else idle_timeout
        self._names = itertools.count()
        self._short_of_threads = False
        self.thread_ends: Callable[[], object] = _nothing
        self.may_stay_awake: bool = False  # until there is a thread
        self.may_grow: Callable[[], bool] = _yes  # asked if other threads are active
        self._reset()

    def _reset(self) -> None:
        # Guards everything below, and the engine's additions. It may be acquired while
        # holding a future's guard; only the lock of lifecycle is acquired under it.
        # Reentrant because a signal handler or a finalizer may submit or shut down in
        # the thread that holds it.
        self._lock = _new_lock()
        self._queue: deque[ThreadTask] = deque()
        self._claimed = 0  # upper bound of the number of claimed calls in the queue
        self._wanted: dict[ThreadTask, int] = {}  # to numbers of waits; the latest last
        self._idle: list[ThreadWorker] = []
        self._waking: _Waking | None = None  # while a worker is being woken
        self._active = 0  # threads that are neither idle nor waiting
        self._live = 0  # threads that have not ended
        # Whether too many threads are active. A hint, read without the lock; the
        # reader then checks it with the lock.
        self._oversubscribed = False
        self.threads: set[threading.Thread] = set()
        self._ending: set[threading.Thread] = set()  # idle for too long
        self._indices: set[int] = set()  # of the threads that have not ended
        self.tally: Tally = Tally()
        self.awake: Awake = Awake()

    # Filling a free place.

    def start_or_wake_one(self) -> None:
        """Let a thread take a free place, if there is work."""
        with self._lock:
            if self._active < self.max_workers:
                self._activate_one()

    def _activate_one(self) -> None:
        """Activate one more thread; fewer than ``max_workers`` are active."""
        first = self._most_wanted() if self._wanted else None
        if first is None and not self._queue:
            return
        busy = self._live - len(self._idle)
        if busy >= 2 * self.max_workers:
            # Only what is needed to prevent a deadlock.
            if first is None or self._active:
                return
            if busy >= 2 * self.max_workers + MOST_AWAY:
                msg = "too many threads of a pool wait for each other's calls"
                raise RecursionError(msg)
            self._oversubscribed = True  # so that it runs this call and no others
        self._set_to_work(first)

    def _set_to_work(self, first: ThreadTask | None) -> None:
        active, live = self._active, self._live
        if self._idle:
            worker = self._idle[-1]
            self._waking = _Waking(worker, first, active + 1, worker.turn + 1)
            self._wake()
            return
        if active and not self.may_grow():
            return
        try:
            self._active = active + 1
            self._start_thread(first)
        except RuntimeError:  # the system cannot start another thread
            self._active = active
            if not active and (first is not None or not self._live):
                raise  # no thread would ever run it
            # The existing threads will do. The warning is not repeated with each
            # call.
            if not self._short_of_threads:
                self._short_of_threads = True
                _log.warning("no further thread could be started", exc_info=True)
        except BaseException:  # Ctrl-C, possibly after the thread has started
            self._active = active + self._live - live
            raise

    def _wake(self) -> None:
        """Wake the recorded worker; safe to repeat after an interruption by Ctrl-C."""
        noted = self._waking
        if noted is None:
            return
        worker = noted.worker
        if worker in self._idle[-1:]:
            self._idle.pop()
        worker.first, worker.turn, self._active = noted.first, noted.turn, noted.active
        if worker.wake.locked():
            worker.wake.release()
        self._waking = None

    def _start_thread(self, first: ThreadTask | None) -> None:
        name, index = f"{self._prefix}_{next(self._names)}", free_index(self._indices)
        worker = worker_class()(self, name, first, index)
        live = self._live
        self.may_stay_awake = can_stay_awake()
        try:
            self.threads.add(worker)
            self._indices.add(index)
            self._live = live + 1
            worker.start()
        except BaseException:  # also Ctrl-C: a thread that did start then ends
            self._live = live
            self.threads.discard(worker)
            if worker.ident is None:
                self._indices.discard(index)
            raise

    def has_ended(self, worker: ThreadWorker) -> None:
        """Record that a thread has done all that it had to do."""
        with self._lock:
            self._indices.discard(worker.index)
            self._ending.discard(worker)
            self.tally.together += worker.done
            worker.done = 0

    def _most_wanted(self) -> ThreadTask | None:
        for wanted in reversed(self._wanted):
            for task in wanted.in_queue():
                if task.engine is self:
                    return task
        return None

    # Waiting threads.

    def begin_managed_wait(self) -> None:
        """Record that a worker is about to wait, which frees its place."""
        with self._lock:
            self._active -= 1

    def end_managed_wait(self) -> None:
        """Record that a worker has stopped waiting."""
        with self._lock:
            self._active += 1
            if self._active > self.max_workers:
                self._oversubscribed = True

    @contextmanager
    def one_more(self) -> Generator[None]:
        """Allow one more active thread in the block: one waits for a slow reader."""
        with self._lock:
            self.max_workers += 1
            self.start_or_wake_one()
        try:
            yield
        finally:
            with self._lock:
                self.max_workers -= 1
                self._oversubscribed = self._is_oversubscribed()

    def want(self, tasks: Iterable[ThreadTask]) -> None:
        """Record that a thread waits for these calls, for the first of them first."""
        with self._lock:
            for task in reversed(list(tasks)):
                self._wanted[task] = self._wanted.pop(task, 0) + 1
            if not self._active:
                self._activate_one()

    def want_no_more(self, tasks: Iterable[ThreadTask]) -> None:
        """Undo a `want`: the calls have ended, or the wait has."""
        with self._lock:
            for task in tasks:
                count = self._wanted.get(task, 0) - 1
                if count > 0:
                    self._wanted[task] = count
                else:
                    self._wanted.pop(task, None)

    def workers(self) -> list[ThreadWorker]:
        """Return the current threads."""
        with self._lock:
            return [each for each in self.threads if isinstance(each, ThreadWorker)]

    # Active threads.

    def serve(self, worker: ThreadWorker) -> None:
        """Run calls until there is nothing left to do for this thread."""
        with self._lock:
            is_known = worker in self.threads
        if not is_known or not self.initialize(worker):
            return
        # deque.popleft is documented as atomic; the lock is only needed to find the
        # queue empty and become idle in one step.
        popleft = self._queue.popleft
        task = worker.take_first()
        if task is not None:
            self._run_first(worker, task)
        del task
        while not self._oversubscribed or self._may_go_on(worker):
            try:
                task = popleft()
            except IndexError:
                worker.running = None  # an idle thread must not keep results alive
                if not self._become_idle(worker):
                    return
                worker.since = monotonic()
                continue
            worker.running = task
            task.run(worker)
            del task

    def _run_first(self, worker: ThreadWorker, task: ThreadTask) -> None:
        worker.running = task
        if task.run(worker):
            self.note_claimed_entry()

    def initialize(self, worker: ThreadWorker | None = None) -> bool:
        """Run what precedes the first call; return False if that failed."""
        raise NotImplementedError

    def _may_leave(self) -> bool:
        """Whether a worker that finds the queue empty may end."""
        raise NotImplementedError

    def _may_go_on(self, worker: ThreadWorker) -> bool:
        """Become idle if too many are active; return False if the worker must end.

        Called between two calls, when too many threads may be active.
        """
        worker.running = None
        while not worker.orphaned:
            with self._lock:
                self._oversubscribed = self._is_oversubscribed()
                if not self._oversubscribed:
                    return True
                first = self._most_wanted() if self._active == 1 else None
                if first is None and self._may_leave():
                    self._leave()
                    return False
                if first is None:
                    self._step_aside(worker)
            if first is not None:
                self._run_first(worker, first)
            elif not self._stay_idle(worker):
                return False
            worker.running = None
        return False

    def _is_oversubscribed(self) -> bool:
        busy = self._live - len(self._idle)
        return self._active > self.max_workers or busy > 2 * self.max_workers

    def _leave(self) -> None:
        self._active -= 1
        self._live -= 1
        self._oversubscribed = self._is_oversubscribed()

    def _step_aside(self, worker: ThreadWorker) -> None:
        self._active -= 1
        self._idle.append(worker)
        self._oversubscribed = self._is_oversubscribed()

    def _become_idle(self, worker: ThreadWorker) -> bool:
        """Be idle until there may be a call; return False if the worker must end."""
        with self._lock:
            if worker.orphaned:
                return False
            if self._queue:
                return True
            self._claimed = 0
            if self._may_leave():
                self._leave()
                return False
            self._active -= 1
            self._idle.append(worker)
            if self._queue:  # a call was queued meanwhile, without the lock
                self._idle.remove(worker)
                self._active += 1
                return True
        return self._stay_idle(worker)

    def _stay_idle(self, worker: ThreadWorker) -> bool:
        """Be idle until there is a call, then return True; False after a timeout."""
        while not worker.was_woken(longest := self._longest_idle()):
            with self._lock:
                # Otherwise it was woken at this very moment.
                if worker in self._idle and longest >= self._longest_idle():
                    self._idle.remove(worker)
                    self.threads.discard(worker)
                    self._ending.add(worker)
                    self._live -= 1
                    return False
        first = worker.take_first()
        if first is not None:
            self._run_first(worker, first)
        return True

    def _longest_idle(self) -> float:
        if self._live > self.max_workers:
            return min(self._idle_timeout, BRIEF_IDLE)
        return self._idle_timeout

    def _wake_all(self) -> None:
        while self._idle:
            self._set_to_work(None)

    # Claimed entries of the queue.

    def note_claimed_entry(self) -> None:
        """Record that a queued call was claimed; sweep when most entries are such."""
        with self._lock:
            self._claimed += 1
            if self._claimed > 16 and self._claimed * 2 > len(self._queue):
                self._claimed = 0
                self._sweep()

    def _sweep(self) -> None:
        # One pass; workers may concurrently take from the left, without the lock.
        for _ in range(len(self._queue)):
            task = self._next()
            if task is not None and not task.done() and not task.running():
                self._queue.append(task)

    def _next(self) -> ThreadTask | None:
        try:
            return self._queue.popleft()
        except IndexError:
            return None


def in_queue(queue: deque[ThreadTask]) -> list[ThreadTask]:
    """Return what is in a roster's queue; the caller holds the lock."""
    try:
        return list(queue)
    except RuntimeError:  # without the GIL: meanwhile a thread has taken a call
        found: list[ThreadTask] = []
        with suppress(IndexError):
            while True:  # the right end stays, as all that adds holds the lock
                found.append(queue[-1 - len(found)])
        return found
