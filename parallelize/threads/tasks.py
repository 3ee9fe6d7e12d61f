"""Calls submitted to threads: entries of the queue that are also their own futures.

A call stays in the queue until a thread claims it, by changing its state from pending
to running under its own lock. So a thread that waits for a call may claim and run it
directly; the queue entry stays behind, already claimed, and workers skip it, as they
skip cancelled calls.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, InvalidStateError
from contextvars import copy_context

from parallelize.calls import dependencies
from parallelize.calls.call import Call, run_retrying
from parallelize.errors import TaskTimeout
from parallelize.futures.future import (
    FINISHED,
    PENDING,
    RUNNING,
    Failure,
    Future,
    Outcome,
)
from parallelize.futures.peek import name_failure
from parallelize.runtime import locks
from parallelize.runtime.blocking import here
from parallelize.runtime.options import DEFAULTS, name_of
from parallelize.runtime.raised import is_a
from parallelize.runtime.spin import SPIN_LIMIT, AdaptiveSpin
from parallelize.runtime.typed import Any
from parallelize.tracing import recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextvars import Context
    from typing import Protocol

    from parallelize.calls.tally import Tally
    from parallelize.runtime.agenda import Deadline
    from parallelize.runtime.options import Args, CallOptions, Kwargs, Limit
    from parallelize.threads.awake import Awake

    class PoolThread(Protocol):
        """A thread of a pool, with the calls that it runs and waits for."""

        done: int

        def stack(self) -> Iterator[ThreadTask]:
            """The calls that run in it, each nested in the one before."""
            ...

        def waited_for(self) -> Iterator[Future[Any]]:
            """The futures it waits for; none while it is active."""
            ...

    class TaskPool(Protocol):
        """The pool of a task. Its methods may be called by any thread."""

        awake: Awake
        may_stay_awake: bool

        @property
        def tally(self) -> Tally:
            """Counts the calls that fail or are tried again."""
            ...

        def want(self, tasks: Iterable[ThreadTask]) -> None:
            """Make sure that these run, as a thread waits for them, even if all wait.

            Raises:
                RecursionError: A thread is needed, and there are too many.
            """

        def want_no_more(self, tasks: Iterable[ThreadTask]) -> None:
            """Undo one `want` of these tasks."""

        def workers(self) -> Sequence[PoolThread]:
            """Return its threads."""
            ...

    class CallPool(TaskPool, Protocol):
        """The pool of a call that may have to wait before it is queued."""

        def enqueue_held(self, task: ThreadTask) -> None:
            """Queue the call, even in a pool that accepts no new ones; or fail it."""


_new_lock = locks.reentrant("future")


#: The outcome of a call whose future is completed by another thread: see `attempts`.
DROPPED = Failure(RuntimeError("another attempt goes on"))


class ThreadTask(Future[Any]):
    """The future of a call in a thread, and the call itself until it runs.

    One object instead of two: making objects is most of the cost of a call.

    Attributes:
        engine: The pool that runs it.
        queued: Whether its arguments and its limit allow it to run.
        calls: The number of calls as which it is counted.
    """

    queued: bool = False
    calls: int = 1
    _timed: Callable[..., Any] | None = None  # what records it, while something does

    def __init__(
        self, engine: TaskPool, fn: Callable[..., Any], args: Args, kwargs: Kwargs
    ) -> None:
        self._guard = _new_lock()  # all that is needed of Future.__init__
        self.engine: TaskPool = engine
        recorder = recording.active
        if recorder is not None:
            from parallelize.tracing import timed

            fn = self._timed = timed.call(recorder, "threads", fn, self)
        self._work: tuple[Any, ...] | None = (fn, args, kwargs, copy_context())

    def run(self, worker: PoolThread) -> bool:
        """Run the call unless it is claimed or done; return whether it was run."""
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
            if value is DROPPED:
                return True
            if self._asked and is_a(value.error, CancelledError):
                self._force_cancel()
            else:
                fail(self, value.error)
                name_failure(self, fn, DEFAULTS)
            # The error holds this frame, so this frame must not hold the error.
            del self, work, fn, args, kwargs, context, value
            return True
        worker.done += self.calls
        # `set_result`, inlined: half of what is done here for a call.
        with self._guard:
            if self._state != RUNNING:  # it has timed out, or the user has completed it
                worker.done -= self.calls
                return True
            self._result = value
            self._state = FINISHED
            self._call = None
            if self._made_condition is not None:
                self._notify("add_result")
        if self._callbacks is not None:
            self._invoke_callbacks()
        return True

    def _sleep(self, timeout: float | None) -> None:
        pool, is_short = self.engine, timeout is not None and timeout < SPIN_LIMIT
        spin = pool.awake.callers
        # A worker that waits gives its place to others, which run what it waits for.
        if is_short or here.worker or not pool.may_stay_awake or not spin.is_free():
            super()._sleep(timeout)
            return
        try:
            if not spin.spin(self.done):
                super()._sleep(timeout)
        finally:
            spin.done()

    def _spin_in_loop(self) -> AdaptiveSpin | None:
        return self.engine.awake.loops if self.engine.may_stay_awake else None

    def is_asked(self) -> bool:
        """Whether the running call was asked to stop, or has timed out."""
        return self._asked or self.done()

    @property
    def waits_in_queue(self) -> bool:
        """Whether a thread could run it now."""
        return self.queued and self._state == PENDING

    @property
    def limited(self) -> ThreadCall | None:
        """The call, if it has a limit and has not ended."""
        call = self._call
        if isinstance(call, ThreadCall) and call.options.limit is not None:
            return call
        return None

    def in_queue(self) -> Iterator[ThreadTask]:
        """The queued calls that have to run before this one can end."""
        if self.waits_in_queue:
            yield self
            return
        limit = self.waits_for_place()
        for future in () if limit is None else limit._futures():
            if isinstance(future, ThreadTask) and future.waits_in_queue:
                yield future

    def waits_for_place(self) -> Limit | None:
        """The limit in which it waits for a place, if any."""
        place = self._place_in
        return None if place is None or self._state != PENDING else place[0]

    def _waited_for(self) -> Iterator[Future[Any]]:
        """The futures that the worker running this call waits for.

        This includes a worker that came too late for it: two may have taken it, one
        from the queue and one as the most wanted call. Which of them claimed it cannot
        be determined here, and the other one waits for nothing.
        """
        if self.running():
            for worker in self.engine.workers():
                if any(each is self for each in worker.stack()):
                    yield from worker.waited_for()

    def sizes(self) -> tuple[int, int]:
        """Return how many of its calls have begun and not ended, and have not begun."""
        if self.done():
            return 0, 0
        return (0, self.calls) if self._state == PENDING else (self.calls, 0)

    def gives_back(self) -> None:
        """Called before the running call waits: return its parts that have not run."""

    def run_again(self, fn: Callable[[], Any], context: Context) -> None:
        """Prepare another run, in which ``fn`` makes the next attempt of the call."""
        recorder = recording.active
        if recorder is not None:
            from parallelize.tracing import timed

            fn = timed.again(recorder, self._timed, fn)
        with self._guard:
            if self._state == PENDING:
                self._work = (fn, (), {}, context)

    def _note_failure(self, failure: BaseException | Outcome) -> None:
        self.engine.tally.failed.add(self.calls)
        super()._note_failure(failure)

    def _settle(self, state: str, notice: str) -> None:
        self._work = None  # it will not run
        super()._settle(state, notice)


class ThreadCall(Call):
    """A call with options, or with futures among its arguments."""

    __slots__ = ("args", "engine", "kwargs", "task")

    def __init__(
        self,
        engine: CallPool,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
    ) -> None:
        self.engine: CallPool = engine
        self.fn = fn
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs
        self.options = options
        self.waits_for: Sequence[Future[Any]] = dependencies.futures_in(args, kwargs)
        self.task: ThreadTask = ThreadTask(engine, self._run, (), {})
        self.task._call = self
        self.future: Future[Any] = self.task

    def start(self) -> None:
        """Queue the call, even in a pool that accepts no new ones."""
        self.engine.enqueue_held(self.task)

    def _run(self) -> Any:
        args, kwargs = self.args, self.kwargs
        if self.waits_for:
            args, kwargs = dependencies.filled(args), dependencies.filled(kwargs)
        fn, options = self.fn, self.options
        deadline: Deadline | None = None
        try:
            if options.retries:
                from parallelize.threads.attempts import ThreadAttempts

                return ThreadAttempts(self, args, kwargs).outcome()
            deadline = self._set_deadline()
            return run_retrying(fn, args, kwargs, options)
        finally:
            if deadline is not None:
                deadline.cancel()
            del self  # an error keeps the frames alive through which it was raised

    def _set_deadline(self) -> Deadline | None:
        timeout = self.options.timeout
        if timeout is None:
            return None
        from parallelize.runtime import timer

        error = TaskTimeout(name_of(self.fn, self.options), timeout)
        future = self.future
        return timer.after(timeout, lambda: fail(future, error))


def fail(future: Future[Any], error: BaseException) -> None:
    """Complete a future with an error, unless it is done."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        pass
