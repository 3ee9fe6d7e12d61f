"""The thread pool: threads started when needed, reused last-in first-out.

```
 caller                         engine (one lock)                  worker thread
 submit ── call ──▶ queue ◀──────────────────────────────── takes the next call
           │        idle: stack of resting workers ◀─────── rests on its own lock
           └─ wakes the worker on top, or starts one        and leaves after a while
```

The queue holds futures that know their calls. One stays there until somebody claims
it, by moving it from pending to running under its own lock. So a thread that waits
for a call may claim it where it stands and run it; what is left in the queue is a
husk, which the workers throw away, as they do with a cancelled call.

The threads hold the engine and the executor object is only its face: when the
face is dropped the engine ends what was submitted, and its threads leave.

Threads are daemons, so that none keeps a program alive that was ended by an error
or Ctrl-C; at a normal end the hook of `parallelize.lifecycle` waits for them.
"""

from __future__ import annotations

import enum
import itertools
import logging
import sys
import threading
import weakref
from collections import deque
from contextvars import Context, copy_context
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from parallelize import dependencies, lifecycle
from parallelize.calls import Call, Rows, name_of, run_retrying
from parallelize.errors import TaskTimeout
from parallelize.executors.base import Executor, admit
from parallelize.futures import (
    PENDING,
    RUNNING,
    Failure,
    Future,
    InvalidStateError,
    error_of,
)
from parallelize.insight import recording
from parallelize.options import (
    DEFAULTS,
    CallOptions,
    check_callable,
    check_initargs,
    check_text,
    check_timeout,
    check_workers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.executors.deadlines import Deadline
    from parallelize.executors.livemaps import LiveMaps

__all__ = ("ThreadPoolExecutor",)

_log = logging.getLogger("parallelize")

_numbers = itertools.count()

#: Arguments of these types neither are nor hold futures.
_PLAIN = frozenset((int, float, bool, str, bytes, type(None)))


class ThreadPoolExecutor(Executor):
    """Runs calls in threads of this process.

    The standard library's thread pool executor, with less work for each call, and
    threads that leave when there is nothing to do. Each call runs in a copy of the
    context (`contextvars`) in which it was made.

    Example:
        >>> from parallelize import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(max_workers=2) as executor:
        ...     executor.submit(pow, 2, 5).result()
        32
    """

    kind: ClassVar[str] = "thread"

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        idle_timeout: float | None = 60.0,
    ) -> None:
        """Make the pool; its threads start when they are needed.

        Args:
            max_workers: The most threads; by default a few more than CPUs, as
                threads mostly wait.
            thread_name_prefix: How the names of the threads begin.
            initializer: Called first in each thread, as ``initializer(*initargs)``.
                If it fails the pool is broken.
            initargs: Its arguments.
            idle_timeout: Seconds after which a thread without work leaves; None
                keeps it.
        """
        if initializer is not None:
            check_callable(initializer, "initializer")
        # None, too, stands for the default in the standard library.
        check_text(thread_name_prefix or "", "thread_name_prefix")
        self._max_workers = check_workers(max_workers) or _default_threads()
        self._engine = _Engine(
            self._max_workers,
            thread_name_prefix or f"ThreadPoolExecutor-{next(_numbers)}",
            (initializer, check_initargs(initargs)),
            check_timeout(idle_timeout, "idle_timeout"),
            self._maps,
        )
        ends = weakref.finalize(self, self._engine.close)
        ends.atexit = False  # the engine itself is told of the program's end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and end when those submitted have run.

        Args:
            wait: Return when all has ended. In a thread of this pool it returns
                at once, as it would wait for itself.
            cancel_futures: Cancel the calls that have not begun.
        """
        self._finish_maps(cancel=cancel_futures)
        self._engine.close()
        if cancel_futures:
            self._engine.cancel_queued()
        if wait:
            self._engine.join()

    @property
    def _threads(self) -> set[threading.Thread]:
        return self._engine.threads

    @property
    def _closed(self) -> bool:
        return self._engine.state is not _State.OPEN

    def _submit(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> Future[Any]:
        # The road of a plain call, which most are, is as short as can be.
        if options is DEFAULTS and (
            (not kwargs and _PLAIN.issuperset(map(type, args)))
            or not dependencies.futures_in(args, kwargs)
        ):
            task = _Task(self._engine, fn, args, kwargs)
            self._engine.enqueue(task)
            return task
        call = self._prepare(fn, args, kwargs, options)
        admit(call)
        return call.future

    def _prepare(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> _ThreadCall:
        call = _ThreadCall(self._engine, fn, args, kwargs, options)
        self._engine.hold(call.task)
        return call

    def _start_rows(self, rows: Rows) -> Callable[[], object]:
        return _RowsRun(self._engine, rows).start()


def _default_threads() -> int:
    from parallelize.cpus import default_threads

    return default_threads()


class _Task(Future[Any]):
    """The future of a call in a thread, and the call itself while it waits.

    One object in place of two: making objects is most of what a call costs.
    """

    _queued = False  # whether its arguments and its limit allow it to run

    def __init__(
        self,
        engine: _Engine,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._guard = threading.RLock()  # all that Future.__init__ does
        self._engine = engine
        recorder = recording.active
        if recorder is not None:
            fn = recorder.timed("thread", fn, self)
        self._work: tuple[Any, ...] | None = (fn, args, kwargs, copy_context())

    def run(self) -> bool:
        """Run the call unless somebody else does; return whether it was run."""
        with self._guard:
            work = self._work
            if self._state != PENDING or work is None:
                return False
            self._state = RUNNING
            self._work = None
        fn, args, kwargs, context = work
        try:
            if kwargs:
                value = context.run(fn, *args, **kwargs)
            else:
                value = context.run(fn, *args)
        except BaseException as error:  # noqa: BLE001 - it belongs to the call
            value = Failure(error)
        if type(value) is Failure:
            _fail(self, value.error)
            # The error holds this frame, so this frame must not hold the error.
            del self, work, fn, args, kwargs, context, value
            return True
        try:
            self.set_result(value)
        except InvalidStateError:
            pass  # its deadline has passed, or the user has ended it
        return True

    def _settle(self, state: str, notice: str) -> None:
        self._work = None  # it will not run
        super()._settle(state, notice)

    def _await_end(self, timeout: float | None) -> None:
        if timeout is None:
            self._help()
        super()._await_end(timeout)

    def _help(self) -> None:
        """Run the call if this is a thread of its pool, which waiting would hold."""
        worker = _here.worker
        if worker is None or worker.engine is not self._engine:
            return
        if isinstance(self._call, _ThreadCall):
            self._call.await_arguments()
        if self._queued:
            _need_frames(20)  # or a call too deep would be claimed, and never ended
            worker.help(self)


class _ThreadCall(Call):
    """A call with options, or with futures among its arguments."""

    __slots__ = ("args", "engine", "fn", "kwargs", "task")

    def __init__(
        self,
        engine: _Engine,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> None:
        self.engine = engine
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.options = options
        self.waits_for: Sequence[Future[Any]] = dependencies.futures_in(args, kwargs)
        self.task = _Task(engine, self._run, (), {})
        self.task._call = self
        self.future = self.task

    def start(self) -> None:
        """Put the call into the queue, also of a pool that takes no new ones."""
        self.engine.enqueue_held(self.task)

    def await_arguments(self) -> None:
        """Wait for the futures among the arguments; run their calls if need be."""
        for future in self.waits_for:
            if not future.done():
                error_of(future)

    def _run(self) -> Any:
        args, kwargs = self.args, self.kwargs
        if self.waits_for:
            args, kwargs = dependencies.filled(args), dependencies.filled(kwargs)
        fn, options = self.fn, self.options
        deadline = self._set_deadline()
        try:
            return run_retrying(fn, args, kwargs, options)
        finally:
            if deadline is not None:
                deadline.cancel()
            del self  # an error holds the frames under which it was raised

    def _set_deadline(self) -> Deadline | None:
        timeout = self.options.timeout
        if timeout is None:
            return None
        from parallelize.executors import deadlines

        error = TaskTimeout(name_of(self.fn, self.options), timeout)
        future = self.future
        return deadlines.after(timeout, lambda: _fail(future, error))


def _need_frames(count: int) -> None:
    """Raise RecursionError unless so many calls may still be nested here."""
    if count:
        _need_frames(count - 1)


def _fail(future: Future[Any], error: BaseException) -> None:
    try:
        future.set_exception(error)
    except InvalidStateError:
        pass


class _RowsRun:
    """Rows of a map on their way through threads.

    Rows that take longer than the map thought are shared out anew, so that no
    thread sits on many long ones while others rest.
    """

    __slots__ = ("_cancelled", "_engine", "_rows")

    #: Seconds after which a thread gives the rest of its rows back.
    SHARE_AFTER = 0.02

    def __init__(self, engine: _Engine, rows: Rows) -> None:
        self._engine = engine
        self._rows = rows
        self._cancelled = False  # set once, by anybody; read before each row

    def start(self) -> Callable[[], object]:
        """Put the rows into the queue; return what cancels them."""
        self._engine.enqueue(self._call(0, len(self._rows.rows)))
        return self._cancel

    def _cancel(self) -> None:
        self._cancelled = True

    def _call(self, first: int, end: int) -> _Task:
        task = _Task(self._engine, self._run, (first, end), {})
        task.add_done_callback(lambda done: self._failed(done, first, end))
        return task

    def _failed(self, done: Future[Any], first: int, end: int) -> None:
        # `_run` itself raises nothing: the pool broke, or was forked away.
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._rows.deliver(first, [Failure(error)] * (end - first), 0.0)

    def _run(self, first: int, end: int) -> None:
        begun = perf_counter()
        outcomes = self._outcomes(first, end, begun + self.SHARE_AFTER)
        reached = first + len(outcomes)
        if reached < end and not self._cancelled:
            self._share(reached, end)
        if outcomes:
            self._rows.deliver(first, outcomes, perf_counter() - begun)

    def _outcomes(self, first: int, end: int, until: float) -> list[Any]:
        fn, options = self._rows.fn, self._rows.options
        here = copy_context()
        outcomes: list[Any] = []
        for row in self._rows.rows[first:end]:
            if self._cancelled or perf_counter() > until:
                break
            # Each call has its own copy: what one sets is not there in the next.
            context = here.copy()
            if options.retries:
                outcomes.append(context.run(run_retrying, fn, row, {}, options))
            else:
                try:
                    outcomes.append(context.run(fn, *row))
                except BaseException as error:  # noqa: BLE001 - the call's own
                    outcomes.append(Failure(error))
        return outcomes

    def _share(self, first: int, end: int) -> None:
        step = -(-(end - first) // self._engine.max_workers)
        calls = [
            self._call(start, min(start + step, end))
            for start in range(first, end, step)
        ]
        self._engine.enqueue_first(calls)


class _Here(threading.local):
    """The worker whose thread this is."""

    worker: _Worker | None = None


_here = _Here()


class _Worker(threading.Thread):
    """One thread of a pool."""

    def __init__(self, engine: _Engine, name: str) -> None:
        # From 3.14 on a thread may start in a copy of its maker's context and would
        # hold what is in it.
        context = {"context": Context()} if sys.version_info >= (3, 14) else {}
        super().__init__(name=name, daemon=True, **context)  # type: ignore[arg-type]
        self.engine = engine
        # What it runs, and what it runs within that; only this thread changes them.
        self.running: _Task | None = None
        self.since = monotonic()  # when it rested last, or was made
        self.helping: list[_Task] = []
        self.strayed = False  # forked away from its pool
        # Held while the worker works or rests; released, once, to wake it.
        self.wake = threading.Lock()
        self.wake.acquire()

    def run(self) -> None:
        _here.worker = self
        self.engine.serve(self)

    def help(self, task: _Task) -> None:
        """Run a task that what runs here waits for."""
        self.helping.append(task)
        try:
            if task.run():
                self.engine.one_is_husk()
        finally:
            self.helping.pop()


class _State(enum.Enum):
    OPEN = "takes calls"
    CLOSED = "takes no new calls, runs those it has"
    BROKEN = "the initializer failed"


class _Engine:
    """The queue and the threads of a pool."""

    def __init__(
        self,
        max_workers: int,
        prefix: str,
        initializer: tuple[Callable[..., object] | None, tuple[Any, ...]],
        idle_timeout: float | None,
        maps: LiveMaps,
    ) -> None:
        self.max_workers = max_workers
        self._prefix = prefix
        self._initializer = initializer
        self._idle_timeout = (
            -1 if idle_timeout is None else min(idle_timeout, threading.TIMEOUT_MAX)
        )
        self._maps = maps
        self._names = itertools.count()
        self.state = _State.OPEN
        self._why_broken: BaseException | None = None
        self._short_of_threads = False
        self._reset()

    def _reset(self) -> None:
        # Guards all below and the state. Only the lock of lifecycle is taken under
        # it. Reentrant because a signal handler or a finaliser may submit or shut
        # down in the thread that holds it.
        self._lock = threading.RLock()
        self._nothing_held = threading.Condition(self._lock)
        self._queue: deque[_Task] = deque()
        self._husks = 0  # calls in the queue that were claimed there, at most
        self._held: set[Future[Any]] = set()  # prepared, not done, maybe not queued
        self._idle: list[_Worker] = []
        self.threads: set[threading.Thread] = set()
        self._registered = False

    # Calls come in.

    def enqueue(self, task: _Task) -> None:
        """Take a new call; raise RuntimeError if the pool takes none."""
        with self._lock:
            if self.state is not _State.OPEN or not self._registered:
                self._let_in()
            task._queued = True
            self._queue.append(task)
            if self._idle:
                self._idle.pop().wake.release()
            elif len(self.threads) < self.max_workers:
                self._start_thread()

    def hold(self, task: _Task) -> None:
        """Take a new call that has to wait before it may be queued."""
        with self._lock:
            self._let_in()
            self._held.add(task)
        task.add_done_callback(self._release)

    def enqueue_held(self, task: _Task) -> None:
        """Queue a call that was held; it fails if that is no longer possible."""
        try:
            with self._lock:
                if self.state is _State.BROKEN:
                    raise self._broken_error()
                task._queued = True
                self._queue.append(task)
                self._call_worker()
        except RuntimeError as error:
            _fail(task, error)

    def enqueue_first(self, tasks: Sequence[_Task]) -> None:
        """Queue parts of a call that runs, before what came later."""
        with self._lock:
            for task in reversed(tasks):
                self._queue.appendleft(task)
                self._call_worker()

    def _call_worker(self) -> None:
        if self._idle:
            self._idle.pop().wake.release()
        elif len(self.threads) < self.max_workers:
            self._start_thread()

    def _let_in(self) -> None:
        if self.state is _State.CLOSED:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)
        if self.state is _State.BROKEN:
            raise self._broken_error()
        if not self._registered:
            lifecycle.register(self)
            self._registered = True

    def _start_thread(self) -> None:
        worker = _Worker(self, f"{self._prefix}_{next(self._names)}")
        self.threads.add(worker)
        try:
            worker.start()
        except RuntimeError:  # the system has no thread left
            self.threads.discard(worker)
            if not self.threads:  # nobody would ever run what is queued
                self._queue.pop()
                raise
            # Those that there are will do. What was noticed once is not repeated
            # with each call.
            if not self._short_of_threads:
                self._short_of_threads = True
                _log.warning("no further thread could be started", exc_info=True)

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
            if task is not None and task._state == PENDING:
                self._queue.append(task)

    def _next(self) -> _Task | None:
        try:
            return self._queue.popleft()
        except IndexError:
            return None

    # Workers take them.

    def serve(self, worker: _Worker) -> None:
        """Run calls until there is no more for this thread to do."""
        if not self._initialize():
            return
        # A deque's popleft is atomic by contract; the lock is needed only to find
        # the queue empty and to rest in one step.
        popleft = self._queue.popleft
        while not worker.strayed:
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

    def _rest(self, worker: _Worker) -> bool:
        """Rest until there may be a call; return False if the worker shall leave."""
        with self._lock:
            if self._queue:
                return True
            self._husks = 0
            if self.state is not _State.OPEN and not self._held:
                return False
            self._idle.append(worker)
        return self._rested(worker)

    def _rested(self, worker: _Worker) -> bool:
        """Rest until there is a call, then return True, or for too long."""
        if worker.wake.acquire(timeout=self._idle_timeout):
            return True
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
                self.threads.discard(worker)
                return False
        worker.wake.acquire()  # it was woken in that very moment
        return True

    def _initialize(self) -> bool:
        initializer, initargs = self._initializer
        if initializer is None:
            return True
        try:
            initializer(*initargs)
        except BaseException as error:  # noqa: BLE001 - it breaks the pool
            _log.critical("Exception in initializer:", exc_info=True)
            self._break(error)
            return False
        return True

    def _break(self, why: BaseException) -> None:
        with self._lock:
            self.state = _State.BROKEN
            self._why_broken = why
            self._wake_all()
        while (task := self._next()) is not None:
            _fail(task, self._broken_error())

    def _broken_error(self) -> RuntimeError:
        from concurrent.futures.thread import BrokenThreadPool

        error = BrokenThreadPool(
            "A thread initializer failed, the thread pool is not usable anymore"
        )
        error.__cause__ = self._why_broken
        return error

    # The end.

    def close(self) -> None:
        """Take no new calls; the threads leave when they have run the others."""
        with self._lock:
            if self.state is _State.OPEN:
                self.state = _State.CLOSED
            self._wake_all()

    def _wake_all(self) -> None:
        while self._idle:
            self._idle.pop().wake.release()

    def _release(self, task: Future[Any]) -> None:
        with self._lock:
            self._held.discard(task)
            if not self._held and self.state is not _State.OPEN:
                self._wake_all()
                self._nothing_held.notify_all()

    def cancel_queued(self) -> None:
        """Cancel what has not begun."""
        while (task := self._next()) is not None:
            task.cancel()
        with self._lock:
            held = list(self._held)
        for future in held:
            future.cancel()

    def join(self) -> None:
        """Return when all calls have ended and the threads of a closed pool too."""
        worker = _here.worker
        if worker is not None and worker.engine is self:
            return  # it would wait for itself, or two such for each other
        with self._nothing_held:
            self._nothing_held.wait_for(lambda: not self._held)
            threads = list(self.threads)
        for thread in threads:
            thread.join()

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
            if isinstance(thread, _Worker):
                thread.strayed = True
                strays += thread.helping
                if thread.running is not None:
                    strays.append(thread.running)
        self._reset()
        for task in strays:
            task.disown()
        self._maps.forget()
