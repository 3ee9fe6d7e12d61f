"""The pool's side of coroutines: many run concurrently in one worker, on its loop.

A worker runs either coroutines or other calls, never both at a time: killing a call
kills its worker, and that must not affect coroutines. An idle worker is given the two
kinds in turn. In addition

* a worker with coroutines gets more, up to `COROUTINES_PER_LOOP`, unless other calls
  are queued and no worker runs such calls;
* a worker with other calls gets more of them, unless coroutines are queued and no
  worker runs coroutines.

So either kind may be delayed by the other, as calls in a queue are, but it never
starves.

A coroutine is stopped from inside: at its deadline, or when its future is cancelled,
`asyncio.CancelledError` is raised in it. The worker is killed only if its loop does not
process the cancellation, because a coroutine blocks it: after `UNRESPONSIVE_AFTER`
seconds, for a deadline or `Future.kill`.
"""

from __future__ import annotations

from functools import partial

from parallelize.calls.coroutines import COROUTINES_PER_LOOP, CoroutineFuture
from parallelize.errors import TaskTimeout
from parallelize.process.parent.tasks.call import CallTask
from parallelize.process.parent.tasks.queue import COROUTINES
from parallelize.process.wire import messages
from parallelize.process.wire.frames import pack
from parallelize.runtime.options import check_grace
from parallelize.runtime.typed import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Protocol

    from parallelize.futures.future import Future
    from parallelize.process.parent.tasks.call import Task, TaskOwner, TaskScheduler
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.process.wire.frames import Frame
    from parallelize.runtime.agenda import Deadline
    from parallelize.runtime.options import Args, CallOptions, Kwargs

    Take = Callable[[int, float, list[Task]], Task | None]

    class CoroutineOwner(TaskOwner, Protocol):
        """The pool of a coroutine."""

        @property
        def scheduler(self) -> CoroutineScheduler:
            """What sends coroutines to workers."""
            ...

    class CoroutineScheduler(TaskScheduler, Protocol):
        """The pool's scheduler, as coroutines see it."""

        @property
        def coroutines(self) -> Coroutines:
            """What cancels coroutines in their workers."""
            ...


#: Seconds after which a worker whose loop does not answer is killed.
UNRESPONSIVE_AFTER = 1.0


class _Future(CoroutineFuture[Any]):
    """The future of a coroutine in a process."""

    def kill(self, *, grace: float = 0.0) -> bool:
        """Cancel the call; if its loop does not process that, kill the worker."""
        seconds = max(check_grace(grace), UNRESPONSIVE_AFTER)
        call = self._call
        killed = self.cancel()
        if killed and isinstance(call, CoroutineTask):
            call.kill_if_unresponsive(seconds)
        return killed

    def abandon(self) -> None:
        call = self._call
        self.cancel()
        if call is not None:
            call.abandoned()


class CoroutineTask(CallTask):
    """One call of a coroutine function.

    Attributes:
        cancel_received: Whether its worker's loop has processed the cancellation.
        retry_error: The reason for its cancellation, if it will be retried.
        deadline: Its deadline, while a worker runs it.
    """

    lane: ClassVar[int] = COROUTINES
    message: ClassVar[int] = messages.COROUTINE

    pool: CoroutineOwner  # type: ignore[mutable-override]  # set once, when it is made
    cancel_received: bool = False
    retry_error: BaseException | None = None
    deadline: Deadline | None = None

    def __init__(
        self,
        pool: CoroutineOwner,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
    ) -> None:
        super().__init__(pool, fn, args, kwargs, options)
        self.future.add_done_callback(self._future_ended)

    def _new_future(self) -> Future[Any]:
        return _Future()

    @property
    def is_batched(self) -> bool:
        return False

    def begin(self) -> bool:
        self.has_begun = self.cancel_received = False
        self.retry_error = None
        return super().begin()

    def came_back(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()  # it refers to this task
            self.deadline = None

    def _future_ended(self, _: object) -> None:
        """Cancel the coroutine if its future was cancelled while it runs."""
        if self.worker is not None:
            self.pool.scheduler.coroutines.cancel(self)

    def abandoned(self) -> None:
        if self.options.kill_on_cancel:
            self.kill_if_unresponsive()

    def kill_if_unresponsive(self, seconds: float = UNRESPONSIVE_AFTER) -> None:
        """Kill the worker if its loop does not process the cancellation in time."""
        self.pool.scheduler.coroutines.kill_if_unresponsive(self, seconds)

    def finish(self, frame: Frame) -> None:
        if self.future.done():
            return  # cancelled, or past its deadline
        if self.retry_error is not None:
            if not self.retries_after(self.retry_error):
                self.abort(self.retry_error)
        elif frame.kind == messages.ASYNC_CANCELLED:
            self.future._force_cancel()
        else:
            super().finish(frame)


class Coroutines:
    """Assigns coroutines to workers and processes the frames about them.

    The caller of each method holds the pool's lock, except for `cancel` and
    `kill_if_unresponsive`.
    """

    def __init__(
        self,
        scheduler: CoroutineScheduler,
        after: Callable[[float, Callable[[], object]], Deadline],
    ) -> None:
        """Start without any coroutines.

        Args:
            scheduler: The queue and the workers.
            after: Has the dispatcher call something later, with the lock held.
        """
        self._scheduler = scheduler
        self._after = after
        self._their_turn = True  # when both kinds wait for an idle worker

    # Assigning them.

    def taker(self, worker: WorkerHandle) -> Take:
        """Return the function that takes tasks for a worker, by the rules above."""
        queue = self._scheduler.queue
        if worker.coroutines:
            return self._take if self._are_next() else _take_none
        if worker.tasks:
            waits = queue.coroutines and not self._some_run()
            return _take_none if waits else queue.take
        if not queue.coroutines or (queue.others and not self._their_turn):
            self._their_turn = True
            return queue.take
        self._their_turn = False
        share = self._share(worker)
        return partial(self._take, most=share)

    def _are_next(self) -> bool:
        """Return whether workers with coroutines may get more of them."""
        if not self._scheduler.queue.others:
            return True
        workers = self._scheduler.workers.values()
        return any(w.tasks and not w.coroutines for w in workers)

    def _some_run(self) -> bool:
        return any(worker.coroutines for worker in self._scheduler.workers.values())

    def _share(self, worker: WorkerHandle) -> int:
        """Return how many an idle worker gets, so that others get some, too."""
        workers = self._scheduler.workers
        unstarted = workers.settings.max_workers - len(workers)
        others = sum(each is not worker for each in workers.idle)
        return -(-len(self._scheduler.queue.coroutines) // (1 + unstarted + others))

    def _take(
        self,
        ahead: int,
        load: float,
        taken: list[Task],
        *,
        most: int = COROUTINES_PER_LOOP,
    ) -> Task | None:
        lane = self._scheduler.queue.coroutines
        if not lane or ahead >= min(most, COROUTINES_PER_LOOP):
            return None
        taken.append(lane[0])  # before it leaves the queue: Ctrl-C may come between
        return lane.popleft()

    def spread(self) -> None:
        """Assign queued coroutines to workers that have some and may have more."""
        lane = self._scheduler.queue.coroutines
        while lane and self._are_next():
            running = [w for w in self._scheduler.workers.values() if w.coroutines]
            worker = min(running, key=lambda each: each.coroutines, default=None)
            if worker is None or worker.coroutines >= COROUTINES_PER_LOOP:
                return
            before = len(lane)
            self._scheduler.assign(worker)
            if len(lane) == before:  # it takes none: it is leaving
                return

    # While they run.

    def on_frame(
        self, worker: WorkerHandle, task: CoroutineTask, frame: Frame
    ) -> Task | None:
        """Process a frame about a coroutine; return the task if it has ended."""
        if frame.kind == messages.ASYNC_CANCELLED:
            worker.release(task)
            return task
        if frame.kind == messages.CANCEL_HEARD:
            task.cancel_received = True
            return None
        task.has_begun = True
        task.began(frame.extra)
        timeout = task.options.timeout
        if timeout is not None:
            expire = partial(self._expire, worker, task, task.id)
            task.deadline = self._after(timeout, expire)
        return None

    def _expire(self, worker: WorkerHandle, task: CoroutineTask, id: int) -> None:
        """Cancel a coroutine at its deadline, and retry or fail it."""
        if worker.tasks.get(id) is not task or task.future.done():
            return
        error = TaskTimeout(task.name(), task.options.timeout or 0.0)
        if task.may_retry(error):
            task.retry_error = error
            self._send_cancel(worker, id)
        else:
            task.note_attempts(error)
            self._scheduler.deferred.append(
                partial(task.abort, error)
            )  # this cancels it, too
        self._watch_response(worker, task, id)

    def cancel(self, task: CoroutineTask) -> None:
        """Raise CancelledError in a coroutine, if a worker has it."""
        with self._scheduler.lock:
            if task.worker is not None:
                self._send_cancel(task.worker, task.id)

    def kill_if_unresponsive(self, task: CoroutineTask, seconds: float) -> None:
        """Kill the worker of a cancelled coroutine if its loop does not respond."""
        with self._scheduler.lock:
            if task.worker is not None:
                self._watch_response(task.worker, task, task.id, seconds)

    def _send_cancel(self, worker: WorkerHandle, id: int) -> None:
        worker.channel.write(pack(messages.CANCEL, id, [b""]))
        if worker.channel.stuck:
            self._scheduler.wake()

    def _watch_response(
        self,
        worker: WorkerHandle,
        task: CoroutineTask,
        id: int,
        seconds: float = UNRESPONSIVE_AFTER,
    ) -> None:
        def look() -> None:
            if worker.tasks.get(id) is task and not task.cancel_received:
                worker.kill()

        self._after(seconds, look)


def _take_none(ahead: int, load: float, taken: list[Task]) -> None:
    """Take nothing from the queue."""
