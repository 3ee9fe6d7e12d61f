"""A pool of worker processes, on the side of those who call.

```
 caller thread                dispatcher thread (1 per pool)            worker process i
 submit ── pickle ──┬─ idle worker? ── frame ───────────────────────▶  recv ▸ unpickle ▸ run ▸ pickle ▸ send
                    └─ else queue ──▶ batches sized by measured time ▶        │  (shared page: which task of the
 Future ◀─ result ──────────────── one private socket pair per worker ◀───────┘   batch is running now)
                                   + ends of workers + wake-up + deadlines
```

The pool owns the queue and the table of workers, and hands tasks to workers
from whichever thread finds both. The `Dispatcher` hears the workers.
"""  # noqa: E501 - a picture

from __future__ import annotations

import contextlib
import enum
import sys
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from parallelize.calls.targets import AsyncTarget
from parallelize.process.parent import segment_ledger
from parallelize.process.parent.dispatcher import Dispatcher
from parallelize.process.parent.starter import Starter
from parallelize.process.parent.tasks.batch import CallBatch
from parallelize.process.parent.tasks.call import CallTask, Task
from parallelize.process.parent.tasks.coroutine import Coroutines, CoroutineTask
from parallelize.process.parent.tasks.queue import COROUTINES, TaskQueue
from parallelize.process.parent.tasks.rows import RowsTask, encode_rows
from parallelize.process.parent.tasks.stream import StreamTask
from parallelize.process.parent.worker_handle import Stage, Worker
from parallelize.runtime import lifecycle, locks
from parallelize.runtime.options import DEFAULTS

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence

    from parallelize.calls.call import Rows
    from parallelize.errors import WorkerStartError
    from parallelize.futures.future import Future
    from parallelize.process.memory.segments import Placed
    from parallelize.process.parent.tasks.coroutine import Take
    from parallelize.process.start.config import Settings
    from parallelize.process.start.early import Prestart
    from parallelize.process.wire.frames import Part
    from parallelize.runtime.agenda import Deadline
    from parallelize.runtime.options import CallOptions
    from parallelize.streams.channel import Channel

    class OpenMaps(Protocol):
        """The maps that run in this pool."""

        def finish(self, *, unread_only: bool) -> None: ...
        def cancel(self) -> None: ...
        def forget(self) -> None: ...


_new_lock = locks.reentrant("pool")
_new_preparing = locks.reentrant("preparing")


#: Seconds that running calls have when the program ends by an error.
ABANDON_GRACE = 0.5

#: Fewer calls than this are sent one by one.
LEAST_BATCHED = 4

#: Seconds until what a worker's full control socket did not take is tried again.
CONTROL_RETRY = 0.005

#: Seconds that a worker has to end when it is let go, before it is killed.
LEAVE_GRACE = 3.0


class State(enum.Enum):
    """The life of a pool."""

    FRESH = "nothing is started"
    OPEN = "takes calls"
    CLOSING = "finishes the calls it has"
    STOPPING = "lets nothing begin while its workers are killed"
    CLOSED = "has no worker and no thread"
    FORGOTTEN = "belongs to the parent of this forked process"


_ENDING = (State.CLOSING, State.STOPPING)


class Pool:
    """Runs tasks on worker processes.

    Attributes:
        call_task: What becomes of a call; `insight.trace` puts its own here.
        coroutine_task: And of an async call,
        rows_task: of rows of calls,
        stream_task: and of a generator.
    """

    call_task: type[CallTask] = CallTask
    coroutine_task: type[CoroutineTask] = CoroutineTask
    rows_task: type[RowsTask] = RowsTask
    stream_task: type[StreamTask] = StreamTask

    def __init__(self, settings: Settings, maps: OpenMaps) -> None:
        self.settings: Settings = settings
        self._maps = maps
        bounds = settings.max_tasks_per_child, settings.max_memory_per_child
        self._bounded = bounds != (None, None)  # what a worker may run in its life
        # Guards the state, the queue and the workers. Under it a future's guard
        # may be taken, never the other way round. Reentrant, because a garbage
        # collection or a signal handler may call in at any place.
        self.lock: threading.RLock = _new_lock()
        # Held while the initializer is pickled, which runs the user's code.
        self._preparing: threading.RLock = _new_preparing()
        self.state: State = State.FRESH
        self.queue: TaskQueue = TaskQueue()
        self.workers: dict[int, Worker] = {}
        self.idle: list[Worker] = []
        self.coroutines: Coroutines = Coroutines(self)
        self.held: set[Task] = set()  # prepared; they wait for values or a limit
        # How many workers there may be: one more for each that a reader holds back.
        self.places: int = settings.max_workers
        self._moved: deque[StreamTask] = deque()  # whose readers have come further
        self._endings: deque[Callable[[], object]] = deque()  # see `settle`
        self.lending: segment_ledger.SegmentLedger = segment_ledger.SegmentLedger(
            self._ring
        )
        self.starter: Starter = Starter(settings, self.lending)
        self._dispatcher: Dispatcher | None = None
        self.broken: str | None = None  # how its initializer failed, if that ended it
        self._cools = False  # whether that is due at some moment
        self._last_id = 0

    def adopt(self, server: Prestart) -> None:
        """Have the workers come from a server that boots already, the first now."""
        if server.launcher is not None and locks.held(self.lock, self._adopt, server):
            self._start_early()

    def _adopt(self, server: Prestart) -> bool:
        if self.state is not State.FRESH or self.starter.launcher is not None:
            return False  # another thread was faster
        lifecycle.register(self)
        # In this order: it has an owner at any moment, and if Ctrl-C leaves it with
        # two, the pool finds it gone and starts another.
        self.starter.launcher = server.launcher
        server.launcher = None
        return True

    def _start_early(self) -> None:
        """Start the first worker, which boots while the first call is pickled.

        What fails here fails again, and is reported, when that call is enqueued.
        """
        locked = locks.depth(self.lock)
        try:
            self._prepare()
            with self.lock:
                self._open()
                if not self.workers and self._may_start():
                    self._start_worker()
        except Exception:  # noqa: BLE001 - see above
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
        if self.state is not State.OPEN:
            self._refuse_if_closed()
        # What is asynchronous comes with its name, so never with the defaults.
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
            if self.state is State.FRESH:
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
        if self.state is State.OPEN:
            return
        lifecycle.refuse_when_ending()
        if self.broken is not None:
            raise _broken_error(self.broken)
        if self.state is not State.FRESH:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)

    def enqueue(self, task: Task) -> None:
        """Hand a task to a worker, now or when one has time."""
        if not task.is_rows and task.future.done():
            return  # cancelled, or its arguments cannot be pickled
        self._enqueue(task)
        if self._endings:
            self.settle()

    def _enqueue(self, task: Task) -> None:
        locked = locks.depth(self.lock)
        try:
            if self.state is State.FRESH:
                self._prepare()
            with self.lock:
                if self.state is not State.OPEN:
                    self._open()
                self._last_id += 1
                task.id = self._last_id
                if self.held:
                    self.held.discard(task)
                self.queue.add(task)
                if self.lending.collected:  # before it is sent: it may need the room
                    self.flush_segment_notices()
                if self.idle or len(self.workers) < self.places:
                    self.feed_idle()
                elif self.queue.coroutines:
                    self.coroutines.spread()
        except Exception as error:  # noqa: BLE001 - closed meanwhile, or no start
            task.abort(error)
        except BaseException:  # Ctrl-C
            with self.lock:
                self.repair()
            locks.release_to(self.lock, locked)
            raise

    def retry(self, task: Task) -> None:
        """Hand out a task once more, after an attempt that failed."""
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

        In a pool that is being stopped they fail: nothing begins there any more.
        """
        if self.state is not State.STOPPING:
            self.queue.put_back(tasks)
            return
        from parallelize.errors import TaskKilled

        for task in tasks:
            self.defer(partial(task.abort, TaskKilled(task.name())))

    def has_any(self, futures: Iterable[Future[Any]]) -> bool:
        """Whether one of these is the future of a call that this pool has."""
        sought = {id(each) for each in futures}
        if not sought:
            return False
        with self.lock:
            tasks = [*self.held, *self.queue]
            for worker in self.workers.values():
                tasks += worker.tasks.values()
        return any(id(each) in sought for task in tasks for each in task.futures())

    # What futures are told.

    def defer(self, ending: Callable[[], object]) -> None:
        """Have something ended when the lock is free; the caller holds it.

        A future's callbacks are the user's: they may wait for another thread that
        wants the lock.
        """
        self._endings.append(ending)

    def settle(self) -> None:
        """Do what was put off while the lock was held; called without it."""
        while self._endings:
            try:
                ending = self._endings.popleft()
            except IndexError:  # another thread has taken it
                return
            ending()

    def _prepare(self) -> None:
        """Have the starter prepared before the pool opens, without the pool's lock."""
        locks.held(self._preparing, self.starter.prepare)

    def _open(self) -> None:
        if self.state is State.OPEN or (
            self.state is State.CLOSING
            and self._dispatcher is not None
            and self.broken is None
        ):
            return
        if self.broken is not None:
            raise _broken_error(self.broken)
        if self.state is not State.FRESH:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)
        lifecycle.register(self)
        with contextlib.ExitStack() as undo:
            # Also one that was started early: it lives under the limits of now.
            undo.callback(self.starter.close_servers)
            if self.settings.method == "fork":  # before there is a thread of ours
                self.starter.start_server()
            dispatcher = Dispatcher(self)
            undo.callback(dispatcher.forget)
            self.state, self._dispatcher = State.OPEN, dispatcher
            undo.callback(self._unopen)
            dispatcher.start()
            undo.pop_all()

    def _unopen(self) -> None:
        self.state, self._dispatcher = State.FRESH, None

    # Large buffers.

    def place(self, buffers: Sequence[memoryview], *, copied: bool) -> Placed | None:
        """Copy large buffers of a call to where a worker can read them."""
        placed = self.lending.place(buffers, copied=copied)
        if self.lending.has_news:
            with self.lock:
                self.flush_segment_notices()
        return placed

    def flush_segment_notices(self) -> None:
        """Tell workers what became of segments; the caller holds the lock."""
        self.lending.tell(self.workers)
        if self.lending.warm:
            self._schedule_trim()

    # Streams.

    def note_moved(self, task: StreamTask) -> None:
        """The reader of a stream has come further, in whatever thread."""
        self._moved.append(task)
        self._ring()

    def flush_stream_credit(self) -> None:
        """Tell workers how their readers stand; the caller holds the lock."""
        while self._moved:
            task = self._moved.popleft()
            task.looked_at()
            if task.worker is not None:
                self.send_credit(task, task.worker)

    def send_credit(self, task: StreamTask, worker: Worker) -> None:
        """Tell a worker how its reader stands; the caller holds the lock."""
        task.tell(worker)
        task.update_slot()
        self.flush_control_later(worker)

    def flush_control_later(self, worker: Worker) -> None:
        """Send what a worker's control socket did not take, when it takes more."""
        if worker.has_control_backlog:
            self.at(CONTROL_RETRY, partial(self._flush_control, worker))

    def _ring(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.ring()

    def _flush_control(self, worker: Worker) -> None:
        """Send what a worker's control socket could not take, when it can."""
        worker.flush_control()
        if worker.has_control_backlog and worker.stage is not Stage.GONE:
            self.at(CONTROL_RETRY, partial(self._flush_control, worker))

    # Handing tasks to workers; the caller holds the lock.

    def feed_idle(self) -> None:
        """Give what waits to idle workers, and start one more if some is left."""
        while len(self.queue) and self.idle:
            self.feed(self.idle.pop())
        if len(self.queue) and self._may_start():
            self._start_worker()
        if self.queue.coroutines:
            self.coroutines.spread()

    def feed(self, worker: Worker) -> None:
        """Give a worker as much as it should have; note it as idle if nothing."""
        if worker.stage in (Stage.LEAVING, Stage.GONE):
            return
        taken: list[Task] = []
        try:
            self._dispatch(worker, taken)
        except BaseException:
            self._undo(worker, taken)
            raise
        if not worker.tasks:
            self._on_idle(worker)

    def _dispatch(self, worker: Worker, taken: list[Task]) -> None:
        """Take tasks from the queue, noting each first, and send them."""
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
            worker.write(buffers)
            if worker.stuck:
                self.wake()
            if worker.has_control_backlog:
                self.at(CONTROL_RETRY, partial(self._flush_control, worker))
            self._watch_silence(worker)

    def _undo(self, worker: Worker, taken: list[Task]) -> None:
        """Ctrl-C came between: nothing that was taken may be lost, nor sent twice."""
        for task in taken:
            if isinstance(task, CallTask):
                locks.release_to(task.future._guard, 0)
        if worker.was_written():
            worker.stuck = True  # the dispatcher sends on
        else:
            given = [t for t in worker.tasks.values() if t in taken or _holds(t, taken)]
            for task in given:
                worker.release(task)
                worker.note_reclaimed(task)
                worker.begun -= task.size
            worker.main.forget()
            waiting = set(map(id, self.queue))
            self.requeue([task for task in taken if id(task) not in waiting])
        self.repair()

    def repair(self) -> None:
        """Note workers as idle that are, and have the dispatcher go on."""
        for worker in self.workers.values():
            if worker.stage is Stage.SERVING and not worker.tasks:
                self._on_idle(worker)
        self.wake()

    def _batched(self, first: CallTask, worker: Worker, taken: list[Task]) -> Task:
        """The call, with those behind it that can go along."""
        calls = self.queue.take_batch(first, worker.load, taken)
        if len(calls) < LEAST_BATCHED:
            self.queue.put_back(calls[1:])
            return first
        bundle = CallBatch(self, calls)
        self._last_id += 1
        bundle.id, bundle.cost = self._last_id, first.cost * len(calls)
        return bundle

    def _room(self, worker: Worker) -> int:
        """How many calls more the worker may be given in its life."""
        if worker.heavier_than(self.settings.max_memory_per_child):
            return 0
        most = self.settings.max_tasks_per_child
        return sys.maxsize if most is None else most - worker.begun

    def _cut_to(self, task: Task, room: int) -> None:
        """Keep a task of rows within the calls that a worker may still run."""
        if task.size > room and isinstance(task, RowsTask):
            self.split_off(task, task.size - room)

    def split_off(self, task: RowsTask, count: int) -> int:
        """Make the last rows of a task one of their own, in front of the queue.

        Returns:
            How many rows they are.
        """
        tail = task.split(count)
        if tail is None:
            return 0
        self._last_id += 1
        tail.id = self._last_id
        if tail.options.limit is None or self.state is State.STOPPING:
            self.requeue([tail])
        else:  # it would run beside the rest: that counts
            self._hold(tail)
            self.defer(partial(tail.options.limit.admit, tail))
        return tail.size

    def _on_idle(self, worker: Worker) -> None:
        """A worker has nothing to do: let it go or keep it."""
        if self._room(worker) <= 0 or self._are_too_many():
            self.let_go(worker)
        elif worker not in self.idle:
            self.idle.append(worker)
            self._watch_idleness(worker)
            if self.lending.warm:
                self._schedule_trim()

    def _schedule_trim(self) -> None:
        """Let go of memory that is kept warm if there are no calls for a while."""
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
        """Let idle workers go that had the places of others; the caller locks."""
        while self.idle and self._are_too_many():
            self.let_go(self.idle[0])

    def _are_too_many(self) -> bool:
        if len(self.workers) <= self.places:
            return False
        staying = [w for w in self.workers.values() if w.stage is not Stage.LEAVING]
        return len(staying) > self.places

    def let_go(self, worker: Worker) -> None:
        """Have a worker end; it is killed if it does not within a grace."""
        if worker.stage in (Stage.LEAVING, Stage.GONE):
            return
        if worker in self.idle:
            self.idle.remove(worker)
        worker.leave()
        self.hurry(worker)

    def hurry(self, worker: Worker) -> None:
        """Kill a worker if it has not ended within a grace."""
        self.at(LEAVE_GRACE, worker.kill)

    def _may_start(self) -> bool:
        return (
            len(self.workers) < self.places
            and self.state is not State.STOPPING
            and self.starter.may_start(others_serve=self._serves())
        )

    def _serves(self) -> bool:
        return any(w.stage is Stage.SERVING for w in self.workers.values())

    def _start_worker(self) -> None:
        try:
            worker = self.starter.new_worker()
        except Exception as error:  # noqa: BLE001 - of whatever kind: no worker
            if not self.workers:  # else others serve the queue
                self.fail_queue(f"{type(error).__name__}: {error}")
            return
        self.workers[worker.id] = worker
        self.wake()
        self.feed(worker)

    def start_failed(self, reason: str, *, initializing: bool) -> None:
        """A worker ended before it could serve; give up after some.

        If it was in the initializer, and no worker has come through that, the pool is
        broken. Any other reason may be gone when the next call comes.
        """
        if self.state is State.STOPPING:
            return
        if self.starter.gives_up(others_serve=self._serves()):
            if initializing:
                self._break(reason)
            self.fail_queue(reason)

    def _break(self, reason: str) -> None:
        self.broken = reason
        if self.state is State.OPEN:
            self.state = State.CLOSING
        self.wake()

    def fail_queue(self, reason: str) -> None:
        """Fail everything that waits, because no worker can be started."""
        for task in self.queue.drain():
            error = _broken_error(reason, task.name())
            self.defer(partial(task.abort, error))
        if not self.workers:
            self.starter.drop_server()
            self.wake()

    # Deadlines; the caller holds the lock.

    def at(self, seconds: float, action: Callable[[], object]) -> Deadline | None:
        """Have the dispatcher do something later, if there is one."""
        if self._dispatcher is None:
            return None
        return self._dispatcher.deadlines.after(seconds, action)

    def _watch_deadline(self, worker: Worker, task: Task) -> None:
        timeout = task.options.timeout
        if task.lane == COROUTINES:
            return  # it is watched from when it has begun
        if timeout is not None and self._dispatcher is not None:
            self._dispatcher.deadlines.watch(worker, timeout)

    def _watch_idleness(self, worker: Worker) -> None:
        if self.settings.idle_timeout is not None and self._dispatcher is not None:
            self._dispatcher.deadlines.watch_idleness(
                worker, self.settings.idle_timeout
            )

    def _watch_silence(self, worker: Worker) -> None:
        """Let the dispatcher know that it may have to ask for something back."""
        dispatcher = self._dispatcher
        if dispatcher is None or dispatcher.is_here():  # then it looks by itself
            return
        if worker.reclaim_due() is not None:
            self.wake()

    # Stopping calls.

    def kill(self, task: CallTask) -> bool:
        """Stop a call: at once if it runs, else before it begins."""
        from parallelize.errors import TaskKilled

        with self.lock:
            if task.future.done():
                return False
            if task.place() is None:  # it waits to be begun, once more
                self.give_up(task, TaskKilled(task.name()))
            elif self._dispatcher is not None:
                self._dispatcher.deadlines.kill_call(
                    task, lambda: TaskKilled(task.name())
                )
        self.settle()
        return True

    def give_up(self, task: CallTask, error: BaseException) -> None:
        """Fail a call that does not run, so that it never does; the caller locks."""
        task.given_up = True
        self.defer(partial(task.abort, error))

    def reclaim(self, task: RowsTask) -> None:
        """Get back the rows of a cancelled task that have not begun."""
        with self.lock:
            for worker in self.workers.values():
                if any(task.shares_rows_with(each) for each in worker.tasks.values()):
                    worker.reclaim()

    # Ending.

    def shutdown(self, *, wait: bool = True, cancel_futures: bool = False) -> None:
        """Take no more calls; finish or cancel those that wait; let workers go."""
        with self.lock:
            never_opened = self.state is State.FRESH
            if never_opened:
                self.state = State.CLOSED
            if self.state is State.OPEN:
                self.state = State.CLOSING
            dropped = self._take_waiting() if cancel_futures else []
            if cancel_futures:
                self._end_retries()
            self.wake()
        if never_opened:
            self.starter.close()  # a server that was started early
        for task in dropped:
            task.drop()
        # A signal handler may have interrupted this very thread while it held the
        # lock. The dispatcher wants it, so to wait here would be for ever.
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
        """Close, drop what waits, and send every worker a signal now."""
        self._stop()
        with self.lock:
            for worker in self.workers.values():
                worker.kill(number)
                self.at(LEAVE_GRACE, worker.kill)

    def _stop(self) -> None:
        """Let nothing begin any more."""
        with self.lock:
            if self.state in (State.OPEN, State.CLOSING):
                self.state = State.STOPPING
        self.shutdown(wait=False, cancel_futures=True)

    def finish(self) -> None:
        """The program ends: finish what was submitted."""
        self._maps.finish(unread_only=True)
        self.shutdown(wait=True)

    def abandon(self) -> None:
        """The program ends by an error: drop what waits, kill what runs."""
        self._maps.cancel()
        self._stop()
        with self.lock:
            for worker in self.workers.values():
                self.at(ABANDON_GRACE, worker.kill)
        self.shutdown(wait=True, cancel_futures=True)

    def try_finish(self) -> bool:
        """Whether the pool is closed and all is done; lets the workers go."""
        with self.lock:
            if self.state not in _ENDING or len(self.queue) or self.held:
                return False
            for worker in list(self.workers.values()):
                if not worker.tasks:
                    self.let_go(worker)
            return not self.workers

    @property
    def last_id(self) -> int:
        """The id that was given last."""
        return self._last_id

    @property
    def takes_nothing(self) -> bool:
        """Whether it was shut down."""
        return self.state in (*_ENDING, State.CLOSED)

    @property
    def is_stopping(self) -> bool:
        """Whether nothing may begin any more, not even once more."""
        return self.state is State.STOPPING

    @property
    def forgotten(self) -> bool:
        """Whether this is a forked child, and the pool its parent's."""
        return self.state is State.FORGOTTEN

    def closed(self) -> None:
        """The dispatcher has let every worker go."""
        with self.lock:
            self.state = State.CLOSED
        self.starter.close()
        self.lending.segments.close()

    def forget(self) -> None:
        """In a forked child: close our copies, fail the parent's futures."""
        self.lock, self._preparing = _new_lock(), _new_preparing()
        self.state = State.FORGOTTEN
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
        """Have the dispatcher look at the pool."""
        if self._dispatcher is not None:
            self._dispatcher.wake()

    def wake_if_closing(self) -> None:
        """Have the dispatcher look whether the pool is at its end."""
        if self.state in _ENDING:
            self.wake()


def _broken_error(reason: str, task: str = "the call") -> WorkerStartError:
    from parallelize.errors import WorkerStartError

    return WorkerStartError(task, reason)


def _holds(task: Task, taken: list[Task]) -> bool:
    """Whether a task is made of some that were taken."""
    return isinstance(task, CallBatch) and task.is_of(taken)


def _fail_in_child(task: Task) -> None:
    if isinstance(task, CallTask):
        task.future.fail_in_forked_child()
    elif isinstance(task, CallBatch):
        task.fail_in_forked_child()
