"""The queue of one pool, and the workers to which its tasks are sent.

Any thread that holds the pool's lock and finds both a task and a worker with time sends
the one to the other. The pool adds tasks; the dispatcher's thread processes what
workers send, and calls `Scheduler.assign` for each that has time again.
"""

from __future__ import annotations

import logging
from functools import partial

from parallelize.calls.tally import Tally
from parallelize.process.parent.buffers import Buffers
from parallelize.process.parent.deadlines import Deadlines
from parallelize.process.parent.deferred import Deferred
from parallelize.process.parent.tasks.call import CallTask, Task
from parallelize.process.parent.tasks.coroutine import Coroutines
from parallelize.process.parent.tasks.queue import CALLS, COROUTINES, TaskQueue
from parallelize.process.parent.tasks.segment_ledger import SegmentLedger
from parallelize.process.parent.tasks.stream import Streams
from parallelize.process.parent.tasks.worker_handle import WorkerHandle, WorkerStage
from parallelize.process.parent.workers import Starter, Workers
from parallelize.process.wire.descriptors import TooFewDescriptorsError, say_small
from parallelize.runtime import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    from parallelize.errors import WorkerStartError
    from parallelize.process.parent.tasks.coroutine import Take
    from parallelize.process.start.config import PoolSettings
    from parallelize.process.wire.frames import Part

    class Waker(Protocol):
        """What wakes the dispatcher's thread."""

        def wake(self) -> None:
            """Make the thread check the pool; the caller holds the pool's lock."""

        def wake_unlocked(self) -> None:
            """The same, without the lock; callable from finalizers."""

        def is_here(self) -> bool:
            """Whether this is the dispatcher's thread."""
            ...


_log = logging.getLogger("parallelize")

_new_lock = locks.reentrant("pool")

#: Fewer calls than this are sent one by one.
LEAST_BATCHED = 4


class Scheduler:
    """Sends the tasks of one pool to its workers.

    The caller of each method holds the lock, except where the method says otherwise.

    Attributes:
        queue: The tasks that wait for a worker.
        workers: The workers.
        tally: How calls and workers have ended.
        held: Tasks that wait for values or a limit.
        coroutines: What assigns coroutines to workers.
        streams: What sends workers the credit of their readers.
        deadlines: What is to be done when.
        ledger: The ledger of the large buffers.
        buffers: What copies them, and keeps workers informed of them.
        waker: The dispatcher, once there is one.
        deferred: What is called when the lock is free.
        last_id: The last id that was assigned to a task.
        is_closing: Whether the dispatcher is to check for the end when a task ends.
        is_stopping: Whether no task may begin any more, not even as a retry.
    """

    def __init__(self, settings: PoolSettings) -> None:
        # Guards the queue and the workers, and the pool's state. Under it a future's
        # guard may be taken, never the other way round. Reentrant, because finalizers
        # and signal handlers may call in at any place.
        self.lock: threading.RLock = _new_lock()
        self.waker: Waker | None = None
        self.deadlines: Deadlines = Deadlines(self._wake_elsewhere)
        self.ledger: SegmentLedger = SegmentLedger(self._wake_unlocked)
        self.queue: TaskQueue = TaskQueue()
        starter = Starter(settings, self.ledger)
        self.workers: Workers = Workers(settings, starter, self.deadlines)
        self.buffers: Buffers = Buffers(self, self.deadlines)
        self.coroutines: Coroutines = Coroutines(self, self.deadlines.after)
        self.streams: Streams = Streams(self.workers, self._wake_unlocked)
        self.tally: Tally = Tally()
        self.held: set[Task] = set()
        self.deferred: Deferred = Deferred()
        self.last_id: int = 0
        self.is_closing: bool = False
        self.is_stopping: bool = False
        self._has_said_small = False

    # Queueing tasks.

    def add(self, task: Task) -> None:
        """Send a task to a worker, now or when one has time."""
        self.last_id += 1
        task.id = self.last_id
        if self.held:
            self.held.discard(task)
        self.queue.add(task)
        if self.ledger.collected:  # before sending: it may need the memory
            self.buffers.send_notices()
        workers = self.workers
        if workers.idle or len(workers) < workers.slots:
            self.assign_idle()
        elif self.queue.coroutines:
            self.coroutines.spread()
        elif task.lane == CALLS and self.queue.has_one_call():
            self.workers.make_room()

    def hold(self, task: Task) -> None:
        """Keep the pool open for a task that waits for values or a limit."""
        self.held.add(task)
        task.future.add_done_callback(lambda _: self.release_held(task))

    def release_held(self, task: Task) -> None:
        """Forget a task that was never enqueued; called without the lock."""
        with self.lock:
            if task in self.held:
                self.held.remove(task)
                if self.is_closing:
                    self.wake()

    def retry(self, task: Task) -> None:
        """Submit a task again after a failed attempt; called without the lock."""
        with self.lock:
            if not task.begin_retry():
                return
            self.last_id += 1
            task.id = self.last_id
            self.requeue([task])
            self.assign_idle()
        self.deferred.run()

    def retry_later(self, task: Task, seconds: float) -> bool:
        """Let a task rest after a failed attempt; called without the lock.

        Returns:
            False if there must not be another attempt.
        """
        with self.lock:
            if not task.begin_retry():
                return True  # it has been failed
            self.held.add(task)  # so that the pool stays open
        task.future.add_done_callback(lambda _: self.release_held(task))
        if task.rest(seconds):
            return True
        self.release_held(task)
        return False

    def requeue(self, tasks: Iterable[Task]) -> None:
        """Put tasks that did not begin in front of the queue.

        In a pool that is being stopped they fail, as no task begins there any more.
        """
        if not self.is_stopping:
            self.queue.put_back(tasks)
            return
        from parallelize.errors import TaskKilled

        for task in tasks:
            self.deferred.append(partial(task.abort, TaskKilled(task.name())))

    def queue_parts(self, tail: Task | None, parts: int = 1) -> None:
        """Put rows that were split off in front of the queue, in this many parts."""
        if tail is None:
            return
        tasks, limit = _divided(tail, parts), tail.options.limit
        for each in tasks:
            self.last_id += 1
            each.id = self.last_id
        if limit is None or self.is_stopping:
            self.requeue(tasks)
            return
        for each in tasks:  # they may run at the same time, so the limit applies
            self.hold(each)
            self.deferred.append(partial(limit._admit, each))

    def take_waiting(self) -> list[Task]:
        """Remove and return all tasks that no worker has."""
        waiting = [*self.held, *self.queue.drain()]
        self.held.clear()
        return waiting

    def fail_queue(self, reason: str) -> None:
        """Fail all queued tasks, because no worker can be started."""
        for task in self.queue.drain():
            self.deferred.append(partial(task.abort, start_error(reason, task.name())))
        if not self.workers:
            self.workers.starter.drop_server()
            self.wake()

    # Assigning tasks to workers.

    def assign_idle(self) -> None:
        """Assign queued tasks to idle workers; start a worker if some are left."""
        while len(self.queue) and self.workers.idle:
            self.assign(self.workers.idle.pop())
        if len(self.queue):
            self.start_worker()
        if self.queue.coroutines:
            self.coroutines.spread()

    def start_worker(self) -> None:
        """Start a worker if there may be one more."""
        if self.is_stopping or not self.workers.may_start():
            return
        try:
            worker = self.workers.start()
        except TooFewDescriptorsError as error:
            if not self._has_said_small:
                self._has_said_small = True
                counts = len(self.workers), self.workers.slots
                self.deferred.append(
                    partial(say_small, "a process pool", *counts, error)
                )
            return
        except Exception as error:  # noqa: BLE001 - any error means: no worker
            if not self.workers:  # otherwise others serve the queue
                self.fail_queue(f"{type(error).__name__}: {error}")
            return
        self.wake()
        self.assign(worker)

    def warm(self, tasks: Iterable[CallTask]) -> None:
        """Give each worker that has none, and each that may still start, one task."""
        for task in tasks:
            if self.workers.idle:
                worker = self.workers.idle.pop(0)
            elif self.is_stopping or not self.workers.may_start():
                return
            else:
                worker = self.workers.start()
                self.wake()
            self.last_id += 1
            task.id = self.last_id
            if task.begin():
                self._send(worker, worker.give(task))
                worker.begun -= task.size  # it is no call of the user's

    def assign(self, worker: WorkerHandle) -> None:
        """Give a worker as much as it should have; if it has nothing, it is idle."""
        if worker.stage in (WorkerStage.LEAVING, WorkerStage.GONE):
            return
        taken: list[Task] = []
        before = worker.channel.writer.queued
        try:
            self._dispatch(worker, taken)
        except BaseException:
            self._undo(worker, taken, before)
            raise
        if not worker.tasks:
            self.workers.on_idle(worker)
            if self.ledger.warm:
                self.buffers.trim_later()

    def _dispatch(self, worker: WorkerHandle, taken: list[Task]) -> None:
        """Take tasks from the queue, recording each in ``taken``, and send them."""
        buffers: list[Part] = []
        bounded, tasks = self.workers.are_bounded, worker.tasks
        self.queue.sharers = len(self.workers)
        take: Take = self.queue.take
        if worker.coroutines or self.queue.coroutines:
            take = self.coroutines.taker(worker)
        while not bounded or self.workers.room(worker) > 0:
            task = take(len(tasks), worker.load, taken)
            if task is None:
                break
            if bounded:
                self.queue_parts(task.split(task.size - self.workers.room(worker)))
            elif task.is_rows:
                self.queue_parts(task.split(self.queue.surplus(task)))
            elif isinstance(task, CallTask) and task.is_batched:
                task = self._batched(task, worker, taken)
            if task.begin():
                buffers += worker.give(task)
                timeout = task.options.timeout
                if timeout is not None and task.lane != COROUTINES:
                    self.deadlines.watch(worker, timeout)
            else:
                task.ended()
        if buffers:
            self._send(worker, buffers)

    def _send(self, worker: WorkerHandle, buffers: list[Part]) -> None:
        channel = worker.channel
        channel.write(buffers)
        if channel.stuck:
            self.wake()
        if channel.backlog:
            self.workers.flush_control_later(worker)
        waker = self.waker
        if waker is None or waker.is_here():
            return
        if worker.reclaim_due() is not None:  # the dispatcher reclaims them then
            waker.wake()

    def _undo(self, worker: WorkerHandle, taken: list[Task], before: int) -> None:
        """After Ctrl-C in `_dispatch`: no task that was taken is lost or sent twice."""
        for task in taken:
            if isinstance(task, CallTask):
                locks.release_to(task.future._guard, 0)
        if worker.channel.writer.has_grown(before):
            worker.channel.stuck = True  # the dispatcher sends the rest
        else:
            given = [t for t in worker.tasks.values() if t in taken or t.is_of(taken)]
            for task in given:
                worker.take_back(task)
            worker.main.forget()
            waiting = set(map(id, self.queue))
            self.requeue([task for task in taken if id(task) not in waiting])
        self.repair()

    def repair(self) -> None:
        """After Ctrl-C: mark the workers without tasks as idle, wake the dispatcher."""
        for worker in self.workers.values():
            if worker.stage is WorkerStage.SERVING and not worker.tasks:
                self.workers.on_idle(worker)
        self.wake()

    def _batched(
        self, first: CallTask, worker: WorkerHandle, taken: list[Task]
    ) -> Task:
        """Return the call, in a batch with those behind it where possible."""
        calls = self.queue.take_batch(first, worker.load, taken)
        if len(calls) < LEAST_BATCHED:
            self.queue.put_back(calls[1:])
            return first
        from parallelize.process.parent.tasks.batch import CallBatch

        batch = CallBatch(calls)
        self.last_id += 1
        batch.id, batch.cost = self.last_id, first.cost * len(calls)
        return batch

    # Reclaiming tasks.

    def reclaim(self, task: Task) -> None:
        """Reclaim the pending rows of a cancelled task; called without the lock."""
        with self.lock:
            resting = [each for each in self.held if task.shares_rows_with(each)]
            self.held.difference_update(resting)
            if resting and self.is_closing:
                self.wake()
            self.workers.reclaim(task)

    def take_back(
        self, worker: WorkerHandle, rows_id: int, rows: int, ids: Sequence[int]
    ) -> None:
        """Queue what a worker has given back: some tasks, and the last rows of one."""
        returned = [worker.tasks[id] for id in reversed(ids) if id in worker.tasks]
        for task in returned:
            worker.take_back(task)
        if (split := worker.tasks.get(rows_id)) is not None:
            parts = 1 if returned else 1 + len(self.workers.idle)  # with this worker
            self.queue_parts(worker.split_off(split, rows), parts)
        self.requeue(returned)
        self.assign_idle()
        if worker.tasks:
            # It gets nothing more. Tasks in transit are reclaimed a little later.
            worker.note_activity()
        else:
            self.assign(worker)

    # The dispatcher.

    def wake(self) -> None:
        """Wake the dispatcher, so that it checks the pool."""
        if self.waker is not None:
            self.waker.wake()

    def _wake_elsewhere(self) -> None:
        """Wake the dispatcher, unless this is its thread."""
        if self.waker is not None and not self.waker.is_here():
            self.waker.wake()

    def _wake_unlocked(self) -> None:
        """Wake the dispatcher; called without the lock, by finalizers too."""
        if self.waker is not None:
            self.waker.wake_unlocked()

    # The end.

    def close(self, *, stop: bool = False) -> None:
        """Have the dispatcher check for the end; with ``stop`` no task begins now."""
        self.is_closing = True
        self.is_stopping = self.is_stopping or stop

    def forget(self) -> list[Task]:
        """In a forked child: close the descriptors; return the tasks of the parent."""
        self.lock = _new_lock()
        tasks = [*self.take_waiting(), *self.workers.tasks()]
        for worker in self.workers.values():
            worker.close()
        self.workers.starter.forget()
        self.ledger.segments.forget()
        return tasks


def _divided(task: Task, parts: int) -> list[Task]:
    """Divide the rows of a task evenly; return the tasks, of which it is the first."""
    tasks, rest = [task], task
    for left in range(parts - 1, 0, -1):
        tail = rest.split(rest.size * left // (left + 1))
        if tail is None:
            break
        tasks.append(tail)
        rest = tail
    return tasks


def start_error(reason: str, task: str = "the call") -> WorkerStartError:
    """Return the error of a call for which no worker could be started."""
    from parallelize.errors import WorkerStartError

    return WorkerStartError(task, reason)
