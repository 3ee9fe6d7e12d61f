"""A pool of worker processes, on the side of its callers.

```
 caller thread                dispatcher thread (1 per pool)            worker process i
 submit ── pickle ──┬─ idle worker? ── frame ───────────────────────▶  recv ▸ unpickle ▸ run ▸ pickle ▸ send
                    └─ else queue ──▶ batches sized by measured time ▶        │  (shared page: which task of the
 Future ◀─ result ──────────────── one private socket pair per worker ◀───────┘   batch is running now)
                                   + ends of workers + wake-up + deadlines
```

The pool owns the queue and the table of workers, and sends tasks to workers from any
thread that finds both. The `Dispatcher` reads the workers' answers.
"""  # noqa: E501 - a picture

from __future__ import annotations

import contextlib
import enum
import sys
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.calls.targets import AsyncTarget
from parallelize.process.parent.dispatcher import Dispatcher
from parallelize.process.parent.starter import Starter
from parallelize.process.parent.tasks import segment_ledger
from parallelize.process.parent.tasks.batch import CallBatch
from parallelize.process.parent.tasks.call import CallTask, Task
from parallelize.process.parent.tasks.coroutine import Coroutines, CoroutineTask
from parallelize.process.parent.tasks.queue import COROUTINES, TaskQueue
from parallelize.process.parent.tasks.rows import RowsTask, encode_rows
from parallelize.process.parent.tasks.stream import StreamTask
from parallelize.process.parent.tasks.worker_handle import WorkerHandle, WorkerStage
from parallelize.runtime import lifecycle, locks
from parallelize.runtime.options import DEFAULTS

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence

    from parallelize.calls.call import Rows
    from parallelize.calls.open_maps import OpenMaps
    from parallelize.errors import WorkerStartError
    from parallelize.futures.future import Future
    from parallelize.process.memory.segments import Placed
    from parallelize.process.parent.tasks.coroutine import Take
    from parallelize.process.start.config import PoolSettings
    from parallelize.process.start.early import Prestart
    from parallelize.process.wire.frames import Part
    from parallelize.runtime.agenda import Deadline
    from parallelize.runtime.options import CallOptions
    from parallelize.streams.channel import Channel


_new_lock = locks.reentrant("pool")
_new_preparing = locks.reentrant("preparing")


#: Seconds that running calls have when the parent process ends because of an error.
ABANDON_GRACE = 0.5

#: Fewer calls than this are sent one by one.
LEAST_BATCHED = 4

#: Seconds until frames that did not fit into a worker's control socket are retried.
CONTROL_RETRY = 0.005

#: Seconds that a worker has to end when it is released, before it is killed.
LEAVE_GRACE = 3.0


class PoolState(enum.Enum):
    """The life of a pool."""

    FRESH = "nothing is started"
    OPEN = "takes calls"
    CLOSING = "finishes the calls it has"
    STOPPING = "lets nothing begin while its workers are killed"
    CLOSED = "has no worker and no thread"
    FORGOTTEN = "belongs to the parent of this forked process"


_ENDING = (PoolState.CLOSING, PoolState.STOPPING)


class Pool:
    """Runs tasks on worker processes.

    Attributes:
        call_task: The class of tasks for calls; `insight.trace` replaces these classes.
        coroutine_task: The class of tasks for async calls.
        rows_task: The class of tasks for rows of calls.
        stream_task: The class of tasks for generators.
    """

    call_task: type[CallTask] = CallTask
    coroutine_task: type[CoroutineTask] = CoroutineTask
    rows_task: type[RowsTask] = RowsTask
    stream_task: type[StreamTask] = StreamTask

    def __init__(self, settings: PoolSettings, maps: OpenMaps) -> None:
        self.settings: PoolSettings = settings
        self._maps = maps
        bounds = settings.max_tasks_per_child, settings.max_memory_per_child
        self._bounded = bounds != (None, None)  # whether a worker's life is limited
        # Guards the state, the queue and the workers. Under it a future's guard
        # may be taken, never the other way round. Reentrant, because finalizers and
        # signal handlers may call in at any place.
        self.lock: threading.RLock = _new_lock()
        # Held while the initializer is pickled, which runs the user's code.
        self._preparing: threading.RLock = _new_preparing()
        self.state: PoolState = PoolState.FRESH
        self.queue: TaskQueue = TaskQueue()
        self.workers: dict[int, WorkerHandle] = {}
        self.idle: list[WorkerHandle] = []
        self.coroutines: Coroutines = Coroutines(self)
        self.held: set[Task] = set()  # prepared; they wait for values or a limit
        # Maximum number of workers: one more for each that waits for its reader.
        self.places: int = settings.max_workers
        self._moved: deque[StreamTask] = deque()  # their readers have advanced
        self._endings: deque[Callable[[], object]] = deque()  # see `settle`
        self.lending: segment_ledger.SegmentLedger = segment_ledger.SegmentLedger(
            self._ring
        )
        self.starter: Starter = Starter(settings, self.lending)
        self._dispatcher: Dispatcher | None = None
        self.broken: str | None = None  # how its initializer failed, if that broke it
        self._cools = False  # whether a trim of idle memory is scheduled
        self._last_id = 0

    def adopt(self, server: Prestart) -> None:
        """Take over a server that is already booting, and start the first worker."""
        if server.launcher is not None and locks.held(self.lock, self._adopt, server):
            self._start_early()

    def _adopt(self, server: Prestart) -> bool:
        if self.state is not PoolState.FRESH or self.starter.launcher is not None:
            return False  # another thread was faster
        lifecycle.register(self)
        # In this order: the launcher always has an owner, and if Ctrl-C leaves it with
        # two, the pool finds it closed and starts another.
        self.starter.launcher = server.launcher
        server.launcher = None
        return True

    def _start_early(self) -> None:
        """Start the first worker, which boots while the first call is pickled.

        An error here occurs again when that call is enqueued, and is reported then.
        """
        locked = locks.depth(self.lock)
        try:
            self._prepare()
            with self.lock:
                self._open()
                if not self.workers and self._may_start():
                    self._start_worker()
        except Exception:  # noqa: BLE001 - see the docstring
            return
        except BaseException:  # Ctrl-C
            with self.lock:
                self.repair()
            locks.release_to(self.lock, locked)
            raise

    # Taking calls.

    def prepare(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> CallTask:
        """Make a task of a call; raise RuntimeError after shutdown."""
        if self.state is not PoolState.OPEN:
            self._refuse_if_closed()
        # Async functions come with options that hold their name, never with DEFAULTS.
        make = self.call_task
        if options is not DEFAULTS and isinstance(fn, AsyncTarget):
            make = self.coroutine_task
        task = make(self, fn, args, kwargs, options)
        if task.waits_for or options.limit is not None:
            self._hold(task)
        return task

    def prepare_stream(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
        channel: Channel,
    ) -> StreamTask:
        """Make a task of a generator; raise RuntimeError after shutdown."""
        self._refuse_if_closed()
        task = self.stream_task(self, fn, args, kwargs, options, channel)
        if task.waits_for or options.limit is not None:
            self._hold(task)
        return task

    def prepare_rows(self, source: Rows) -> list[Task]:
        """Make tasks of rows; raise RuntimeError after shutdown."""
        self._refuse_if_closed()
        tasks = encode_rows(self, source)
        if source.options.limit is not None:
            for task in tasks:
                self._hold(task)
        return tasks

    def _hold(self, task: Task) -> None:
        try:
            if self.state is PoolState.FRESH:
                self._prepare()
            locks.held(self.lock, self._take_in, task)
            task.future.add_done_callback(lambda _: self._let_go(task))
        except BaseException:  # no worker could be started, or Ctrl-C
            self._let_go(task)
            raise

    def _take_in(self, task: Task) -> None:
        self._open()
        self.held.add(task)

    def _let_go(self, task: Task) -> None:
        with self.lock:
            if task in self.held:
                self.held.remove(task)
                self.wake_if_closing()

    def _refuse_if_closed(self) -> None:
        if self.state is PoolState.OPEN:
            return
        lifecycle.refuse_when_ending()
        if self.broken is not None:
            raise _broken_error(self.broken)
        if self.state is not PoolState.FRESH:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)

    def enqueue(self, task: Task) -> None:
        """Send a task to a worker, now or when one has time."""
        if not task.is_rows and task.future.done():
            return  # cancelled, or its arguments cannot be pickled
        self._enqueue(task)
        if self._endings:
            self.settle()

    def _enqueue(self, task: Task) -> None:
        locked = locks.depth(self.lock)
        try:
            if self.state is PoolState.FRESH:
                self._prepare()
            with self.lock:
                if self.state is not PoolState.OPEN:
                    self._open()
                self._last_id += 1
                task.id = self._last_id
                if self.held:
                    self.held.discard(task)
                self.queue.add(task)
                if self.lending.collected:  # before sending: it may need the memory
                    self.flush_segment_notices()
                if self.idle or len(self.workers) < self.places:
                    self.feed_idle()
                elif self.queue.coroutines:
                    self.coroutines.spread()
        except Exception as error:  # noqa: BLE001 - closed meanwhile, or cannot start
            task.abort(error)
        except BaseException:  # Ctrl-C
            with self.lock:
                self.repair()
            locks.release_to(self.lock, locked)
            raise

    def retry(self, task: Task) -> None:
        """Submit a task again after a failed attempt."""
        with self.lock:
            if isinstance(task, CallTask):
                if task.given_up:
                    return
                task.attempts += 1
            self._last_id += 1
            task.id = self._last_id
            self.requeue([task])
            self.feed_idle()
        self.settle()

    def requeue(self, tasks: Iterable[Task]) -> None:
        """Put tasks that did not begin in front of the queue; the caller has the lock.

        In a pool that is being stopped they fail, as no task begins there any more.
        """
        if self.state is not PoolState.STOPPING:
            self.queue.put_back(tasks)
            return
        from parallelize.errors import TaskKilled

        for task in tasks:
            self.defer(partial(task.abort, TaskKilled(task.name())))

    def has_any(self, futures: Iterable[Future[Any]]) -> bool:
        """Return whether any of these futures belongs to a call of this pool."""
        sought = {id(each) for each in futures}
        if not sought:
            return False
        with self.lock:
            tasks = [*self.held, *self.queue]
            for worker in self.workers.values():
                tasks += worker.tasks.values()
        return any(id(each) in sought for task in tasks for each in task.futures())

    # Completing futures.

    def defer(self, ending: Callable[[], object]) -> None:
        """Call ``ending`` when the lock is free; the caller holds it.

        A future's callbacks are user code: they may wait for another thread that
        wants the lock.
        """
        self._endings.append(ending)

    def settle(self) -> None:
        """Run what was deferred while the lock was held; called without it."""
        while self._endings:
            try:
                ending = self._endings.popleft()
            except IndexError:  # another thread has taken it
                return
            ending()

    def _prepare(self) -> None:
        """Prepare the starter before the pool opens, without the pool's lock."""
        locks.held(self._preparing, self.starter.prepare)

    def _open(self) -> None:
        if self.state is PoolState.OPEN or (
            self.state is PoolState.CLOSING
            and self._dispatcher is not None
            and self.broken is None
        ):
            return
        if self.broken is not None:
            raise _broken_error(self.broken)
        if self.state is not PoolState.FRESH:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)
        lifecycle.register(self)
        with contextlib.ExitStack() as undo:
            # Also a server that was started early: it has the current limits.
            undo.callback(self.starter.close_servers)
            if self.settings.method == "fork":  # before the dispatcher's thread starts
                self.starter.start_server()
            dispatcher = Dispatcher(self)
            undo.callback(dispatcher.forget)
            self.state, self._dispatcher = PoolState.OPEN, dispatcher
            undo.callback(self._unopen)
            dispatcher.start()
            undo.pop_all()

    def _unopen(self) -> None:
        self.state, self._dispatcher = PoolState.FRESH, None

    # Large buffers.

    def place(self, buffers: Sequence[memoryview], *, copied: bool) -> Placed | None:
        """Copy large buffers of a call into a segment, for a worker to read."""
        placed = self.lending.place(buffers, copied=copied)
        if self.lending.has_news:
            with self.lock:
                self.flush_segment_notices()
        return placed

    def flush_segment_notices(self) -> None:
        """Send workers the notices about segments; the caller holds the lock."""
        self.lending.send_notices(self.workers)
        if self.lending.warm:
            self._schedule_trim()

    # Streams.

    def note_moved(self, task: StreamTask) -> None:
        """Record that the reader of a stream has advanced; callable in any thread."""
        self._moved.append(task)
        self._ring()

    def flush_stream_credit(self) -> None:
        """Send workers the credit of their readers; the caller holds the lock."""
        while self._moved:
            task = self._moved.popleft()
            task.looked_at()
            if task.worker is not None:
                self.send_credit(task, task.worker)

    def send_credit(self, task: StreamTask, worker: WorkerHandle) -> None:
        """Send a worker the credit of its reader; the caller holds the lock."""
        task.send_credit(worker)
        task.update_slot()
        self.flush_control_later(worker)

    def flush_control_later(self, worker: WorkerHandle) -> None:
        """Schedule a retry if a worker's control socket was full."""
        if worker.channel.backlog:
            self.at(CONTROL_RETRY, partial(self._flush_control, worker))

    def _ring(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.ring()

    def _flush_control(self, worker: WorkerHandle) -> None:
        """Send the frames that did not fit into a worker's control socket."""
        worker.channel.flush_control()
        if worker.channel.backlog and worker.stage is not WorkerStage.GONE:
            self.at(CONTROL_RETRY, partial(self._flush_control, worker))

    # Assigning tasks to workers; the caller holds the lock.

    def feed_idle(self) -> None:
        """Assign queued tasks to idle workers; start a worker if some are left."""
        while len(self.queue) and self.idle:
            self.feed(self.idle.pop())
        if len(self.queue) and self._may_start():
            self._start_worker()
        if self.queue.coroutines:
            self.coroutines.spread()

    def feed(self, worker: WorkerHandle) -> None:
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
            self._on_idle(worker)

    def _dispatch(self, worker: WorkerHandle, taken: list[Task]) -> None:
        """Take tasks from the queue, recording each in ``taken``, and send them."""
        buffers: list[Part] = []
        bounded, tasks = self._bounded, worker.tasks
        take: Take = self.queue.take
        if worker.coroutines or self.queue.coroutines:
            take = self.coroutines.taker(worker)
        while not bounded or self._room(worker) > 0:
            task = take(len(tasks), worker.load, taken)
            if task is None:
                break
            if bounded:
                self._cut_to(task, self._room(worker))
            elif isinstance(task, CallTask) and task.is_batched:
                task = self._batched(task, worker, taken)
            if task.begin():
                buffers += worker.give(task)
                if task.options.timeout is not None:
                    self._watch_deadline(worker, task)
            else:
                task.ended()
        if buffers:
            channel = worker.channel
            channel.write(buffers)
            if channel.stuck:
                self.wake()
            if channel.backlog:
                self.at(CONTROL_RETRY, partial(self._flush_control, worker))
            self._watch_silence(worker)

    def _undo(self, worker: WorkerHandle, taken: list[Task], before: int) -> None:
        """After Ctrl-C in `_dispatch`: no task that was taken is lost or sent twice."""
        for task in taken:
            if isinstance(task, CallTask):
                locks.release_to(task.future._guard, 0)
        if worker.channel.writer.has_grown(before):
            worker.channel.stuck = True  # the dispatcher sends the rest
        else:
            given = [t for t in worker.tasks.values() if t in taken or _holds(t, taken)]
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
                self._on_idle(worker)
        self.wake()

    def _batched(
        self, first: CallTask, worker: WorkerHandle, taken: list[Task]
    ) -> Task:
        """Return the call, in a batch with those behind it where possible."""
        calls = self.queue.take_batch(first, worker.load, taken)
        if len(calls) < LEAST_BATCHED:
            self.queue.put_back(calls[1:])
            return first
        bundle = CallBatch(self, calls)
        self._last_id += 1
        bundle.id, bundle.cost = self._last_id, first.cost * len(calls)
        return bundle

    def _room(self, worker: WorkerHandle) -> int:
        """Return how many more calls the worker may be given before it is replaced."""
        if worker.heavier_than(self.settings.max_memory_per_child):
            return 0
        most = self.settings.max_tasks_per_child
        return sys.maxsize if most is None else most - worker.begun

    def _cut_to(self, task: Task, room: int) -> None:
        """Split a task of rows if it has more calls than the worker may still run."""
        if task.size > room and isinstance(task, RowsTask):
            self.split_off(task, task.size - room)

    def split_off(self, task: RowsTask, count: int) -> int:
        """Make the last rows of a task a task of their own, in front of the queue.

        Returns:
            The number of these rows.
        """
        tail = task.split(count)
        if tail is None:
            return 0
        self._last_id += 1
        tail.id = self._last_id
        if tail.options.limit is None or self.state is PoolState.STOPPING:
            self.requeue([tail])
        else:  # it may run at the same time as the rest, so the limit applies to it
            self._hold(tail)
            self.defer(partial(tail.options.limit._admit, tail))
        return tail.size

    def _on_idle(self, worker: WorkerHandle) -> None:
        """Release or keep a worker that has no tasks."""
        if self._room(worker) <= 0 or self._are_too_many():
            self.let_go(worker)
        elif worker not in self.idle:
            self.idle.append(worker)
            self._watch_idleness(worker)
            if self.lending.warm:
                self._schedule_trim()

    def _schedule_trim(self) -> None:
        """Schedule the release of memory kept for reuse, unless calls follow."""
        if not self._cools:
            self._cools = True
            self.at(segment_ledger.TRIM_AFTER, partial(self._trim, self._last_id))

    def _trim(self, last_id: int) -> None:
        self._cools = False
        if self._last_id == last_id:
            self.lending.trim_idle_memory(self.workers)
        else:
            self._schedule_trim()

    def let_go_of_surplus(self) -> None:
        """Release idle workers beyond the maximum; the caller holds the lock."""
        while self.idle and self._are_too_many():
            self.let_go(self.idle[0])

    def _are_too_many(self) -> bool:
        if len(self.workers) <= self.places:
            return False
        staying = [
            w for w in self.workers.values() if w.stage is not WorkerStage.LEAVING
        ]
        return len(staying) > self.places

    def let_go(self, worker: WorkerHandle) -> None:
        """Ask a worker to end; kill it if it does not within `LEAVE_GRACE`."""
        if worker.stage in (WorkerStage.LEAVING, WorkerStage.GONE):
            return
        if worker in self.idle:
            self.idle.remove(worker)
        worker.leave()
        self.hurry(worker)

    def hurry(self, worker: WorkerHandle) -> None:
        """Kill a worker if it has not ended within `LEAVE_GRACE`."""
        self.at(LEAVE_GRACE, worker.kill)

    def _may_start(self) -> bool:
        return (
            len(self.workers) < self.places
            and self.state is not PoolState.STOPPING
            and self.starter.may_start(others_serve=self._serves())
        )

    def _serves(self) -> bool:
        return any(w.stage is WorkerStage.SERVING for w in self.workers.values())

    def _start_worker(self) -> None:
        try:
            worker = self.starter.new_worker()
        except Exception as error:  # noqa: BLE001 - any error means: no worker
            if not self.workers:  # otherwise others serve the queue
                self.fail_queue(f"{type(error).__name__}: {error}")
            return
        self.workers[worker.id] = worker
        self.wake()
        self.feed(worker)

    def start_failed(self, reason: str, *, initializing: bool) -> None:
        """Record that a worker ended before it served; give up after some failures.

        If it may have been running the initializer and no other worker serves, the pool
        is broken. Any other reason may no longer exist at the next call.
        """
        if self.state is PoolState.STOPPING:
            return
        if self.starter.gives_up(others_serve=self._serves()):
            if initializing:
                self._break(reason)
            self.fail_queue(reason)

    def _break(self, reason: str) -> None:
        self.broken = reason
        if self.state is PoolState.OPEN:
            self.state = PoolState.CLOSING
        self.wake()

    def fail_queue(self, reason: str) -> None:
        """Fail all queued tasks, because no worker can be started."""
        for task in self.queue.drain():
            error = _broken_error(reason, task.name())
            self.defer(partial(task.abort, error))
        if not self.workers:
            self.starter.drop_server()
            self.wake()

    # Deadlines; the caller holds the lock.

    def at(self, seconds: float, action: Callable[[], object]) -> Deadline | None:
        """Schedule an action in the dispatcher's thread, if there is a dispatcher."""
        if self._dispatcher is None:
            return None
        return self._dispatcher.deadlines.after(seconds, action)

    def _watch_deadline(self, worker: WorkerHandle, task: Task) -> None:
        timeout = task.options.timeout
        if task.lane == COROUTINES:
            return  # its deadline is set when it begins
        if timeout is not None and self._dispatcher is not None:
            self._dispatcher.deadlines.watch(worker, timeout)

    def _watch_idleness(self, worker: WorkerHandle) -> None:
        if self.settings.idle_timeout is not None and self._dispatcher is not None:
            self._dispatcher.deadlines.watch_idleness(
                worker, self.settings.idle_timeout
            )

    def _watch_silence(self, worker: WorkerHandle) -> None:
        """Notify the dispatcher that it may have to reclaim tasks from the worker."""
        dispatcher = self._dispatcher
        if dispatcher is None or dispatcher.is_here():  # it checks that anyway
            return
        if worker.reclaim_due() is not None:
            self.wake()

    # Stopping calls.

    def kill(self, task: CallTask) -> bool:
        """Stop a call: at once if it runs, otherwise before it begins."""
        from parallelize.errors import TaskKilled

        with self.lock:
            if task.future.done():
                return False
            if task.place() is None:  # it waits for another attempt
                self.give_up(task, TaskKilled(task.name()))
            elif self._dispatcher is not None:
                self._dispatcher.deadlines.kill_call(
                    task, lambda: TaskKilled(task.name())
                )
        self.settle()
        return True

    def give_up(self, task: CallTask, error: BaseException) -> None:
        """Fail a call that is not running and never will; the caller has the lock."""
        task.given_up = True
        self.defer(partial(task.abort, error))

    def reclaim(self, task: RowsTask) -> None:
        """Reclaim the rows of a cancelled task that have not begun."""
        with self.lock:
            for worker in self.workers.values():
                if any(task.shares_rows_with(each) for each in worker.tasks.values()):
                    worker.reclaim()

    # Ending.

    def shutdown(self, *, wait: bool = True, cancel_futures: bool = False) -> None:
        """Accept no more calls; finish or cancel the queued ones; release workers."""
        with self.lock:
            never_opened = self.state is PoolState.FRESH
            if never_opened:
                self.state = PoolState.CLOSED
            if self.state is PoolState.OPEN:
                self.state = PoolState.CLOSING
            dropped = self._take_waiting() if cancel_futures else []
            if cancel_futures:
                self._end_retries()
            self.wake()
        if never_opened:
            self.starter.close()  # a server that was started early
        for task in dropped:
            task.drop()
        # In a signal handler, this thread may hold the lock already. The dispatcher
        # needs it, so waiting here would be a deadlock.
        if wait and self._dispatcher is not None and not locks.depth(self.lock):
            self._dispatcher.join()

    def _end_retries(self) -> None:
        for worker in self.workers.values():
            for task in worker.tasks.values():
                task.end_retries()

    def _take_waiting(self) -> list[Task]:
        waiting = [*self.held, *self.queue.drain()]
        self.held.clear()
        return waiting

    def kill_workers(self, number: int) -> None:
        """Close, drop the queued tasks, and send every worker a signal now."""
        self._stop()
        with self.lock:
            for worker in self.workers.values():
                worker.kill(number)
                self.at(LEAVE_GRACE, worker.kill)

    def _stop(self) -> None:
        """Prevent any further task from starting."""
        with self.lock:
            if self.state in (PoolState.OPEN, PoolState.CLOSING):
                self.state = PoolState.STOPPING
        self.shutdown(wait=False, cancel_futures=True)

    def finish(self) -> None:
        """At exit: finish what was submitted."""
        self._maps.finish(unread_only=True)
        self.shutdown(wait=True)

    def abandon(self) -> None:
        """At exit because of an error: drop what is queued, kill what runs."""
        self._maps.cancel()
        self._stop()
        with self.lock:
            for worker in self.workers.values():
                self.at(ABANDON_GRACE, worker.kill)
        self.shutdown(wait=True, cancel_futures=True)

    def try_finish(self) -> bool:
        """If the pool is closing and idle, release workers; True once all are gone."""
        with self.lock:
            if self.state not in _ENDING or len(self.queue) or self.held:
                return False
            for worker in list(self.workers.values()):
                if not worker.tasks:
                    self.let_go(worker)
            return not self.workers

    @property
    def last_id(self) -> int:
        """The last id that was assigned to a task."""
        return self._last_id

    @property
    def takes_nothing(self) -> bool:
        """Whether the pool was shut down."""
        return self.state in (*_ENDING, PoolState.CLOSED)

    @property
    def is_stopping(self) -> bool:
        """Whether no task may start any more, not even as a retry."""
        return self.state is PoolState.STOPPING

    @property
    def forgotten(self) -> bool:
        """Whether this is a forked child, so the pool belongs to its parent."""
        return self.state is PoolState.FORGOTTEN

    def closed(self) -> None:
        """Close the rest; called by the dispatcher when all workers are gone."""
        with self.lock:
            self.state = PoolState.CLOSED
        self.starter.close()
        self.lending.segments.close()

    def forget(self) -> None:
        """In a forked child: close its descriptors, fail the parent's futures."""
        self.lock, self._preparing = _new_lock(), _new_preparing()
        self.state = PoolState.FORGOTTEN
        self._maps.forget()
        tasks = [*self.held, *self.queue.drain()]
        for worker in self.workers.values():
            tasks += worker.tasks.values()
            worker.close()
        self.starter.forget()
        self.lending.segments.forget()
        if self._dispatcher is not None:
            self._dispatcher.forget()
        for task in tasks:
            _fail_in_child(task)

    def wake(self) -> None:
        """Wake the dispatcher, so that it checks the pool."""
        if self._dispatcher is not None:
            self._dispatcher.wake()

    def wake_if_closing(self) -> None:
        """Wake the dispatcher if the pool is closing, so that it checks for the end."""
        if self.state in _ENDING:
            self.wake()


def _broken_error(reason: str, task: str = "the call") -> WorkerStartError:
    from parallelize.errors import WorkerStartError

    return WorkerStartError(task, reason)


def _holds(task: Task, taken: list[Task]) -> bool:
    """Return whether a task is a batch of tasks that were taken."""
    return isinstance(task, CallBatch) and task.is_of(taken)


def _fail_in_child(task: Task) -> None:
    if isinstance(task, CallTask):
        task.future._fail_in_forked_child()
    elif isinstance(task, CallBatch):
        task.fail_in_forked_child()
