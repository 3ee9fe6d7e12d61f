"""A pool of worker processes, on the side of its callers.

```
 caller thread                dispatcher thread (1 per pool)            worker process i
 submit ── pickle ──┬─ idle worker? ── frame ───────────────────────▶  recv ▸ unpickle ▸ run ▸ pickle ▸ send
                    └─ else queue ──▶ batches sized by measured time ▶        │  (shared page: which task of the
 Future ◀─ result ──────────────── one private socket pair per worker ◀───────┘   batch is running now)
                                   + ends of workers + wake-up + deadlines
```

The `Pool` makes tasks of calls; `PoolLife` opens, closes and forgets it. Its `Scheduler`
owns the queue and the workers, and sends tasks from any thread that finds both. Its
`Dispatcher` reads the workers' answers.
"""  # noqa: E501 - a picture

from __future__ import annotations

from parallelize.calls.targets import AsyncTarget
from parallelize.process.parent.life import PoolLife, PoolState
from parallelize.process.parent.tasks.call import CallTask
from parallelize.process.parent.tasks.coroutine import CoroutineTask
from parallelize.process.parent.tasks.stream import StreamTask
from parallelize.process.parent.tasks.worker_handle import WorkerStage
from parallelize.runtime import locks
from parallelize.runtime.options import DEFAULTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from parallelize.calls.call import Rows
    from parallelize.calls.stats import Stats
    from parallelize.futures.future import Future
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.parent.tasks.rows import RowsTask
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.runtime.options import Args, CallOptions, Kwargs
    from parallelize.streams.channel import Channel


class Pool(PoolLife):
    """Runs tasks on worker processes.

    Attributes:
        call_task: The class of tasks for calls; `insight.trace` replaces these classes.
        coroutine_task: The class of tasks for async calls.
        rows_task: The class of tasks for rows of calls; None: `RowsTask`.
        stream_task: The class of tasks for generators.
    """

    call_task: type[CallTask] = CallTask
    coroutine_task: type[CoroutineTask] = CoroutineTask
    rows_task: type[RowsTask] | None = None
    stream_task: type[StreamTask] = StreamTask

    # Taking calls.

    def prepare(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> CallTask:
        """Make a task of a call; raise RuntimeError after shutdown."""
        if self.state is not PoolState.OPEN:
            self._refuse_if_closed()
        # Async functions come with options that hold their name, never with DEFAULTS.
        make = self.call_task
        if options is not DEFAULTS and isinstance(fn, AsyncTarget):
            make = self.coroutine_task
        task = make(self, fn, args, kwargs, options)
        if task.waits_for or options.limit is not None or options.rate is not None:
            self._hold(task)
        return task

    def prepare_stream(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
        channel: Channel,
    ) -> StreamTask:
        """Make a task of a generator; raise RuntimeError after shutdown."""
        self._refuse_if_closed()
        task = self.stream_task(self, fn, args, kwargs, options, channel)
        if task.waits_for or options.waits:
            self._hold(task)
        return task

    def prepare_rows(self, source: Rows) -> list[Task]:
        """Make tasks of rows; raise RuntimeError after shutdown."""
        from parallelize.process.parent.tasks.rows import encode_rows

        self._refuse_if_closed()
        tasks = encode_rows(self, source)
        if source.options.limit is not None:
            for task in tasks:
                self._hold(task)
        return tasks

    def _hold(self, task: Task) -> None:
        """Keep the pool open for a task that waits for values or a limit."""
        try:
            if self.state is PoolState.FRESH:
                self._prepare()
            locks.held(self.scheduler.lock, self._take_in, task)
        except BaseException:  # no worker could be started, or Ctrl-C
            self.scheduler.release_held(task)
            raise

    def _take_in(self, task: Task) -> None:
        self._open()
        self.scheduler.hold(task)

    def enqueue(self, task: Task) -> None:
        """Send a task to a worker, now or when one has time."""
        if not task.is_rows and task.future.done():
            return  # cancelled, or its arguments cannot be pickled
        scheduler = self.scheduler
        locked = locks.depth(scheduler.lock)
        try:
            if self.state is PoolState.FRESH:
                self._prepare()
            with scheduler.lock:
                if self.state is not PoolState.OPEN:
                    self._open()
                scheduler.add(task)
        except Exception as error:  # noqa: BLE001 - closed meanwhile, or cannot start
            task.abort(error)
        except BaseException:  # Ctrl-C
            self._repair(locked)
            raise
        if scheduler.deferred:
            scheduler.deferred.run()

    def warm(self, make: Callable[[], None]) -> list[Future[None]]:
        """Start all workers, and have those that run no call call a function."""
        self._refuse_if_closed()
        new = self.coroutine_task if isinstance(make, AsyncTarget) else self.call_task
        options = DEFAULTS._replace(name="warm")
        tasks = [new(self, make, (), {}, options)]
        if tasks[0].future.done():  # it cannot be pickled
            return [tasks[0].future]
        most = self.settings.max_workers
        tasks += [new(self, make, (), {}, options) for _ in range(most - 1)]
        for task in tasks:
            task.is_counted = False
        if self.state is PoolState.FRESH:
            self._prepare()
        locks.held(self.scheduler.lock, self._warm, tasks)
        self.scheduler.deferred.run()
        return [task.future for task in tasks if task.id]

    def _warm(self, tasks: Sequence[CallTask]) -> None:
        if self.state is not PoolState.OPEN:
            self._open()
        self.scheduler.warm(tasks)

    def stats(self) -> Stats:
        """Return how many workers and calls there are, and how they have ended."""
        scheduler = self.scheduler
        with scheduler.lock:
            workers = scheduler.workers
            sizes = [_sizes(worker) for worker in workers.values()]
            waiting = [*scheduler.held, *scheduler.queue]
            return scheduler.tally.stats(
                workers=len(workers),
                busy=sum(running > 0 for running, _ in sizes),
                queued=sum(map(_left, waiting)) + sum(queued for _, queued in sizes),
                running=sum(running for running, _ in sizes),
            )

    def kill(self, task: CallTask) -> bool:
        """Stop a call: at once if it runs, otherwise before it begins."""
        from parallelize.errors import TaskKilled

        def error() -> TaskKilled:
            return TaskKilled(task.name())

        with self.scheduler.lock:
            if task.future.done():
                return False
            if task.place() is None:  # it waits for another attempt
                task.give_up(error())
            else:
                self.scheduler.deadlines.kill_call(task, error)
        self.scheduler.deferred.run()
        return True


def _left(task: Task) -> int:
    """Return how many calls of a task have not ended, and are to run."""
    return task.left if task.is_wanted() else 0


def _sizes(worker: WorkerHandle) -> tuple[int, int]:
    """Return how many calls a worker runs, and how many wait in it."""
    tasks = worker.tasks.values()
    left = sum(task.left for task in tasks)
    if worker.coroutines:
        running = sum(task.has_begun for task in tasks)
    else:
        running = min(left, int(worker.stage is not WorkerStage.STARTING))
    return running, left - running
