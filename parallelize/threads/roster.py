"""The threads of a pool: how many work, who rests, and who takes a free place.

```
                    relieve(): there is work and a place
          ┌──────────────────────────────────────────────┐
          │                                              ▼
       resting ◀── the queue is empty, or ──────────  working  ◀── started
          │        too many work                      │     ▲
          ▼ after a while                     leaves()│     │returns()
        gone                                          ▼     │
                                                   away: waits for a future
```

At most ``max_workers`` threads work at a time. One that waits for a future does not
work, and another may take its place; when it comes back there is one too many for a
moment, and whoever ends a call next rests. How many threads there may be in all:

* ``max_workers``, and once more as many in the place of those that wait, run whatever
  stands in the queue.
* Above that a thread starts only where nobody of this pool works and somebody waits
  for a call in its queue, and it runs that call: the latest that was waited for, so
  that chains of waits are followed to their ends one by one.
* Above `MOST_AWAY` of these who waits gets a RecursionError instead.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from parallelize.runtime import locks
from parallelize.runtime.clock import monotonic
from parallelize.threads.workers import Worker, worker_class

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable

    from parallelize.threads.tasks import Task

_new_lock = locks.reentrant("crew")

_log = logging.getLogger("parallelize")

#: The most threads beyond twice ``max_workers``.
MOST_AWAY = 256

#: Seconds for which a thread beyond ``max_workers`` rests before it leaves.
BRIEF_REST = 1.0


def _nothing() -> None:
    pass


class _Waking(NamedTuple):
    """A worker that is being woken, and how all will stand then."""

    worker: Worker
    first: Task | None
    active: int
    turn: int


class Roster:
    """The threads of a pool and the queue from which they take calls.

    Attributes:
        max_workers: How many may work at a time, and are not held back by a reader.
        threads: Those of which it is not known that they have left.
        thread_ends: Called by each thread as the last thing that it does.
    """

    def __init__(
        self, max_workers: int, prefix: str, idle_timeout: float | None
    ) -> None:
        self.max_workers: int = max_workers
        self._prefix = prefix
        self._idle_timeout = math.inf if idle_timeout is None else idle_timeout
        self._names = itertools.count()
        self._short_of_threads = False
        self.thread_ends: Callable[[], object] = _nothing
        self._reset()

    def _reset(self) -> None:
        # Guards all below, and what the engine adds. It may be taken by who holds a
        # future's guard, and under it only the lock of lifecycle is. Reentrant
        # because a signal handler or a finaliser may submit or shut down in the
        # thread that holds it.
        self._lock = _new_lock()
        self._queue: deque[Task] = deque()
        self._husks = 0  # calls in the queue that were claimed there, at most
        self._wanted: dict[Task, int] = {}  # who waits for it; the latest last
        self._idle: list[Worker] = []
        self._waking: _Waking | None = None  # while somebody is woken
        self._active = 0  # threads that work: neither rest nor wait
        self._live = 0  # threads that have not left
        # Whether more work than should. A hint, read without the lock: who sees it
        # looks again.
        self._crowded = False
        self.threads: set[threading.Thread] = set()

    # Who takes a place.

    def start_or_wake_one(self) -> None:
        """Have a free place taken, if there is work."""
        with self._lock:
            if self._active < self.max_workers:
                self._relieve()

    def _relieve(self) -> None:
        """Set one more thread to work; fewer than ``max_workers`` do."""
        first = self._most_wanted() if self._wanted else None
        if first is None and not self._queue:
            return
        busy = self._live - len(self._idle)
        if busy >= 2 * self.max_workers:
            # Only what is needed lest all wait for ever.
            if first is None or self._active:
                return
            if busy >= 2 * self.max_workers + MOST_AWAY:
                msg = "too many threads of a pool wait for each other's calls"
                raise RecursionError(msg)
            self._crowded = True  # it is to run this call and no others
        self._set_to_work(first)

    def _set_to_work(self, first: Task | None) -> None:
        active, live = self._active, self._live
        if self._idle:
            worker = self._idle[-1]
            self._waking = _Waking(worker, first, active + 1, worker.turn + 1)
            self._wake()
            return
        try:
            self._active = active + 1
            self._start_thread(first)
        except RuntimeError:  # the system has no thread left
            self._active = active
            if not active and (first is not None or not self._live):
                raise  # nobody would ever run it
            # Those that there are will do. What was noticed once is not repeated
            # with each call.
            if not self._short_of_threads:
                self._short_of_threads = True
                _log.warning("no further thread could be started", exc_info=True)
        except BaseException:  # Ctrl-C, maybe when the thread had started
            self._active = active + self._live - live
            raise

    def _wake(self) -> None:
        """Wake who is noted; done again after Ctrl-C, it is done once."""
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

    def _start_thread(self, first: Task | None) -> None:
        worker = worker_class()(self, f"{self._prefix}_{next(self._names)}", first)
        live = self._live
        try:
            self.threads.add(worker)
            self._live = live + 1
            worker.start()
        except BaseException:  # Ctrl-C, too: then a thread that has started leaves
            self._live = live
            self.threads.discard(worker)
            raise

    def _most_wanted(self) -> Task | None:
        for wanted in reversed(self._wanted):
            for task in wanted.in_queue():
                if task.engine is self:
                    return task
        return None

    # Who waits.

    def begin_managed_wait(self) -> None:
        """A worker is about to wait: its place is free."""
        with self._lock:
            self._active -= 1

    def end_managed_wait(self) -> None:
        """A worker has waited."""
        with self._lock:
            self._active += 1
            if self._active > self.max_workers:
                self._crowded = True

    @contextmanager
    def one_more(self) -> Generator[None]:
        """Within the block one thread more may work: one is held back by a reader."""
        with self._lock:
            self.max_workers += 1
            self.start_or_wake_one()
        try:
            yield
        finally:
            with self._lock:
                self.max_workers -= 1
                self._crowded = self._is_crowded()

    def want(self, tasks: Iterable[Task]) -> None:
        """Somebody waits for these calls, the first of them first."""
        with self._lock:
            for task in reversed(list(tasks)):
                self._wanted[task] = self._wanted.pop(task, 0) + 1
            if not self._active:
                self._relieve()

    def want_no_more(self, tasks: Iterable[Task]) -> None:
        """They have ended, or are not waited for any longer."""
        with self._lock:
            for task in tasks:
                count = self._wanted.get(task, 0) - 1
                if count > 0:
                    self._wanted[task] = count
                else:
                    self._wanted.pop(task, None)

    def workers(self) -> list[Worker]:
        """The threads that there are."""
        with self._lock:
            return [each for each in self.threads if isinstance(each, Worker)]

    # Who works.

    def serve(self, worker: Worker) -> None:
        """Run calls until there is no more for this thread to do."""
        if not self._knows(worker) or not self._prepare(worker):
            return
        # A deque's popleft is atomic by contract; the lock is needed only to find
        # the queue empty and to rest in one step.
        popleft = self._queue.popleft
        task = worker.take_first()
        if task is not None:
            self._run_first(worker, task)
        del task
        while not self._crowded or self._may_go_on(worker):
            try:
                task = popleft()
            except IndexError:
                worker.running = None  # a resting thread must hold nothing
                if not self._rest(worker):
                    return
                worker.since = monotonic()
                continue
            worker.running = task
            task.run()
            del task

    def _knows(self, worker: Worker) -> bool:
        with self._lock:
            return worker in self.threads

    def _run_first(self, worker: Worker, task: Task) -> None:
        worker.running = task
        if task.run():
            self.one_is_husk()

    def _prepare(self, worker: Worker) -> bool:
        """Do what comes before the first call; return False if that failed."""
        raise NotImplementedError

    def _may_leave(self) -> bool:
        """Whether a worker without work has none to expect."""
        raise NotImplementedError

    def _may_go_on(self, worker: Worker) -> bool:
        """Rest if too many work; return False if the worker shall leave.

        Called between two calls, when more than should may be working.
        """
        worker.running = None
        while not worker.strayed:
            with self._lock:
                self._crowded = self._is_crowded()
                if not self._crowded:
                    return True
                first = self._most_wanted() if self._active == 1 else None
                if first is None and self._may_leave():
                    self._leave()
                    return False
                if first is None:
                    self._step_aside(worker)
            if first is not None:
                self._run_first(worker, first)
            elif not self._rested(worker):
                return False
            worker.running = None
        return False

    def _is_crowded(self) -> bool:
        busy = self._live - len(self._idle)
        return self._active > self.max_workers or busy > 2 * self.max_workers

    def _leave(self) -> None:
        self._active -= 1
        self._live -= 1
        self._crowded = self._is_crowded()

    def _step_aside(self, worker: Worker) -> None:
        self._active -= 1
        self._idle.append(worker)
        self._crowded = self._is_crowded()

    def _rest(self, worker: Worker) -> bool:
        """Rest until there may be a call; return False if the worker shall leave."""
        with self._lock:
            if worker.strayed:
                return False
            if self._queue:
                return True
            self._husks = 0
            if self._may_leave():
                self._leave()
                return False
            self._active -= 1
            self._idle.append(worker)
        return self._rested(worker)

    def _rested(self, worker: Worker) -> bool:
        """Rest until there is a call, then return True, or for too long."""
        while not worker.was_woken(longest := self._longest_rest()):
            with self._lock:
                # Else it was woken in that very moment.
                if worker in self._idle and longest >= self._longest_rest():
                    self._idle.remove(worker)
                    self.threads.discard(worker)
                    self._live -= 1
                    return False
        first = worker.take_first()
        if first is not None:
            self._run_first(worker, first)
        return True

    def _longest_rest(self) -> float:
        if self._live > self.max_workers:
            return min(self._idle_timeout, BRIEF_REST)
        return self._idle_timeout

    def _wake_all(self) -> None:
        while self._idle:
            self._set_to_work(None)

    # What was claimed in the queue.

    def one_is_husk(self) -> None:
        """A call was claimed in the queue; sweep when such are more than half."""
        with self._lock:
            self._husks += 1
            if self._husks > 16 and self._husks * 2 > len(self._queue):
                self._husks = 0
                self._sweep()

    def _sweep(self) -> None:
        # Once round; workers may take from the left meanwhile, without the lock.
        for _ in range(len(self._queue)):
            task = self._next()
            if task is not None and not task.done() and not task.running():
                self._queue.append(task)

    def _next(self) -> Task | None:
        try:
            return self._queue.popleft()
        except IndexError:
            return None
