"""The parent's side of a task, and of a task that is a single call.

A task keeps what it needs to be sent again, as bytes: after the death of its worker, or
for a retry, exactly what was passed at the call is sent again.
"""

from __future__ import annotations

import sys
from concurrent.futures import CancelledError
from functools import partial
from types import MethodType

from parallelize.calls.call import Call
from parallelize.errors import SerializationError, TaskKilled
from parallelize.futures.future import Failure, Future, Outcome
from parallelize.futures.peek import mark_retrieved, name_failure
from parallelize.process.memory.segments import Placed
from parallelize.process.memory.shared import noting_shared
from parallelize.process.parent.tasks.queue import CALLS
from parallelize.process.wire import messages
from parallelize.process.wire.frames import ProtocolError, pack
from parallelize.process.wire.journal import TASK
from parallelize.runtime.clock import monotonic
from parallelize.runtime.locks import is_interrupt
from parallelize.runtime.options import name_of
from parallelize.runtime.raised import is_a, summary_of
from parallelize.serialize import pickling
from parallelize.serialize.main.picture import noting
from parallelize.serialize.reducers import reductions
from parallelize.serialize.reducers.placeholders import collect_futures

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections import deque
    from collections.abc import Callable, Collection, Sequence
    from typing import Any, ClassVar, Protocol

    from parallelize.calls.tally import Tally
    from parallelize.process.memory.shared import Shared
    from parallelize.process.parent.tasks.queue import TaskQueue
    from parallelize.process.parent.tasks.segment_ledger import SegmentLedger
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.process.start.config import PoolSettings
    from parallelize.process.wire.frames import Frame, Part
    from parallelize.process.wire.journal import Journal
    from parallelize.runtime.options import Args, CallOptions, Kwargs
    from parallelize.serialize.main.picture import Needs

    class TaskWorkers(Protocol):
        """The workers of a pool, as tasks see them; its lock guards them."""

        @property
        def settings(self) -> PoolSettings:
            """The settings of the pool: among them, the number of workers."""
            ...

        @property
        def idle(self) -> Collection[WorkerHandle]:
            """The workers without tasks."""
            ...

        def __len__(self) -> int: ...

        def values(self) -> Collection[WorkerHandle]:
            """All that have been started and have not ended."""
            ...

        def add_slots(self, count: int) -> None:
            """Allow more workers, or fewer if ``count`` is negative."""

        def retire_surplus(self) -> None:
            """Have idle workers end while there are more than allowed."""

        def ask_to_stop(self, worker: WorkerHandle, id: int, row: int = 0) -> None:
            """Tell a worker that a task, or a row of it, was asked to stop."""

        def flush_control_later(self, worker: WorkerHandle) -> None:
            """Send what a worker's control socket did not take, a little later."""

    class TaskBuffers(Protocol):
        """What copies large buffers; called without the pool's lock."""

        def place(
            self, buffers: Sequence[memoryview], *, copied: bool
        ) -> Placed | None:
            """Copy large buffers to where a worker can read them.

            Args:
                buffers: Their bytes.
                copied: Whether the worker is to copy them once more, so that they are
                    unchanged for another attempt.

            Returns:
                None if they are to travel in the frame.
            """
            ...

    class TaskScheduler(Protocol):
        """The pool's scheduler, as tasks see it."""

        @property
        def lock(self) -> threading.RLock:
            """The lock that guards the queue and the workers."""
            ...

        @property
        def queue(self) -> TaskQueue:
            """The tasks that wait for a worker."""
            ...

        @property
        def workers(self) -> TaskWorkers:
            """The workers."""
            ...

        @property
        def is_stopping(self) -> bool:
            """Whether no attempt of any task may begin any more."""
            ...

        @property
        def tally(self) -> Tally:
            """Counts how calls end."""
            ...

        @property
        def deferred(self) -> deque[Callable[[], object]]:
            """What is called when the lock is released, as it may run callbacks."""
            ...

        @property
        def ledger(self) -> SegmentLedger:
            """The ledger of the large buffers."""
            ...

        @property
        def buffers(self) -> TaskBuffers:
            """What copies large buffers."""
            ...

        def retry(self, task: Task) -> None:
            """Queue a task for another attempt."""

        def retry_later(self, task: Task, seconds: float) -> bool:
            """Let a task rest before another attempt; False if there is none."""
            ...

        def reclaim(self, task: Task) -> None:
            """Have workers give back the pending rows of a cancelled task."""

        # These are called with the lock held.

        def assign(self, worker: WorkerHandle) -> None:
            """Give a worker as many tasks as it should have."""

        def assign_idle(self) -> None:
            """Give waiting tasks to idle workers, or to a new one."""

        def wake(self) -> None:
            """Have the dispatcher send what a worker's socket did not take."""

    class TaskOwner(Protocol):
        """The pool of a task. Any thread may call it, without the pool's lock."""

        @property
        def scheduler(self) -> TaskScheduler:
            """What sends tasks to workers."""
            ...

        def enqueue(self, task: Task) -> None:
            """Queue a task; if that is not possible, call its `Task.abort`."""

        def kill(self, task: CallTask) -> bool:
            """Stop a call, before it begins or while it runs; False if it has ended."""
            ...

    class Batch(Protocol):
        """Calls that are sent to a worker as one task."""

        @property
        def id(self) -> int:
            """The id in the task's frames."""
            ...

        @property
        def worker(self) -> WorkerHandle | None:
            """The worker that has it."""
            ...

        def row_of(self, call: CallTask) -> int:
            """Return the number of the row as which the worker runs the call."""
            ...


class Late:
    """A call, or a row, that was asked to stop at its deadline, instead of killed.

    Attributes:
        row: Its number among the rows of its task; 0 for a call.
        error: Its error, however it ends now.
        over: Called when it has ended, under the pool's lock.
    """

    __slots__ = ("error", "over", "row")

    def __init__(
        self, row: int, error: BaseException, over: Callable[[], object]
    ) -> None:
        self.row: int = row
        self.error: BaseException = error
        self.over: Callable[[], object] = over


class Task(Call):
    """A call, or rows of calls, as the pool sees it.

    Attributes:
        id: The id in its frames; unique in the pool.
        key: The encoded function, under which its duration is remembered.
        size: The number of its calls.
        cost: Expected duration in seconds; 0 if it is unknown.
        attempts: The number of failed attempts.
        since: When the first attempt was sent, if there may be others.
        worker: The worker that has it; None while no worker has it.
        placed: The location of its large buffers, if they are in a segment.
        shares: Handles of shared memory that it needs.
        needs: What it needs of the script's `__main__`.
        has_begun: Whether its worker has reported its start; only coroutines do.
        is_counted: Whether its calls are the user's.
        late: Which of its calls was asked to stop, as its time was over.
        carried: A pickle with the surroundings in which it is to run, if there are any.
    """

    is_rows: ClassVar[bool] = False
    is_stream: ClassVar[bool] = False
    lane: ClassVar[int] = CALLS

    # Defaults are in the class: most tasks never change most of them.
    waits_for: Sequence[Future[Any]] = ()
    id: int = 0
    size: int = 1
    cost: float = 0.0
    attempts: int = 0
    since: float = 0.0
    worker: WorkerHandle | None = None
    placed: Placed | None = None
    shares: Sequence[Shared[Any]] = ()
    needs: Needs | None = None
    has_begun: bool = False
    is_counted: bool = True
    late: Late | None = None
    carried: Sequence[Part] = ()

    def __init__(
        self, pool: TaskOwner, fn: Callable[..., Any], options: CallOptions
    ) -> None:
        self.pool: TaskOwner = pool
        self.fn: Callable[..., Any] = fn
        self.options: CallOptions = options
        self.key: bytes = b""

    def start(self) -> None:
        """Put the task into the pool's queue."""
        self.pool.enqueue(self)

    def name(self) -> str:
        """Return the name of the task in errors."""
        return name_of(self.fn, self.options)

    def may_retry(self, error: BaseException) -> bool:
        """Return whether to retry it after an error.

        If it has attempts left, it is retried after the death of its worker, whatever
        `retry_on` is, and never after `Future.kill`.
        """
        return _has_attempts(self) and _is_reason(error, self.options)

    def may_retry_after(self, failure: PickledFailure) -> bool:
        """Return whether to retry it after an error that a worker has sent.

        An error that stands for one that cannot be pickled counts as that one, too.
        """
        if not self.options.retries or not _has_attempts(self):
            return False
        kind = failure.kind()
        if kind is not None and issubclass(kind, self.options.retry_on):
            return True
        return _is_reason(failure.error(), self.options)

    def retries_after(self, error: BaseException) -> bool:
        """Make another attempt after an error that allows it, now or later.

        Returns:
            False if there is none. The error has a note of the attempts then.
        """
        from parallelize.calls.retrying import wait_after

        scheduler, failed = self.pool.scheduler, self.attempts + 1
        wait = 0.0 if _is_death(error) else wait_after(self.options, failed, error)
        if wait is not None and not wait and self.options.rate is None:
            scheduler.retry(self)
            return True
        if wait is not None and scheduler.retry_later(self, wait):
            return True
        self.note_attempts(error)
        return False

    def note_attempts(self, error: BaseException) -> None:
        """Note in the last error how many attempts were made, if several."""
        if self.attempts:
            from parallelize.calls.retrying import note_attempts

            note_attempts(error, self.attempts + 1, self.since)

    def rest(self, seconds: float) -> bool:
        """Wait for the next attempt; return False if there must not be one."""
        from parallelize.calls.retrying import admit_again, rest

        return rest(self, seconds, admit_again)

    def is_wanted(self) -> bool:
        """Return whether another attempt of it is still wanted."""
        return True

    def end_retries(self) -> None:
        """Prevent further attempts of a running call; for rows, their map does so."""

    @property
    def left(self) -> int:
        """The number of its calls that have not ended."""
        return self.size

    def futures(self) -> Sequence[Future[Any]]:
        """Return the futures that it completes."""
        return ()

    def fail_in_forked_child(self) -> None:
        """In a forked child: fail the futures, as the calls are the parent's."""

    def is_of(self, calls: Sequence[Task]) -> bool:
        """Return whether it is a batch of these calls."""
        return False

    def split(self, count: int) -> Task | None:
        """Split off the last ``count`` rows as a task; None if there are none."""
        return None

    def call_at(self, row: int) -> Task:
        """Return the task that names a row: this one, unless it is a batch of calls."""
        return self

    def shares_rows_with(self, other: Task) -> bool:
        """Return whether both tasks were split off the same rows."""
        return False

    def begin_retry(self) -> bool:
        """Count a failed attempt; return False if there must be no other."""
        return True

    # What the kinds of tasks do differently.

    def begin(self) -> bool:
        """Mark it as sent; return False if it was cancelled and must not run."""
        raise NotImplementedError

    def buffers(self, *, inline: bool = False) -> list[Part]:
        """Return the frame for a worker.

        Args:
            inline: Whether the frame carries the buffers that are in a segment.
        """
        raise NotImplementedError

    def abort(self, error: BaseException) -> None:
        """Fail all of its calls that have not ended."""
        raise NotImplementedError

    def drop(self) -> None:
        """Cancel it before it begins."""
        raise NotImplementedError

    def finish(self, frame: Frame) -> None:
        """Complete it with the worker's answer, or retry it."""
        raise NotImplementedError

    def advance(self, frame: Frame) -> bool:
        """Process the outcomes of some rows; return True if all have ended."""
        raise NotImplementedError

    def on_worker_died(
        self, page: Journal, error_for: Callable[[Task], BaseException]
    ) -> bool:
        """Fail or retry its running call, as its worker has died.

        Args:
            page: What the worker has recorded.
            error_for: Makes the error of a call.

        Returns:
            Whether a call was running.
        """
        raise NotImplementedError

    def was_flushed(self) -> None:
        """Record that the worker has sent everything it had, on request."""

    def began(self, moment: int) -> None:
        """Record when its worker began it, if that was requested."""

    def came_back(self) -> None:
        """Called when its worker no longer has it; only for coroutines."""

    def ended(self) -> None:
        """Called when none of its calls is left to run."""

    def cancel(self) -> None:
        """Prevent calls that have not begun from starting."""
        raise NotImplementedError


class CallTask(Task):
    """One call.

    Attributes:
        timed: The flags in ``micros`` of its frame, see `messages`.
        given_up: Whether it was killed before it began, so that it must not begin.
        simple: Its arguments, if they are plain values: these are immutable, so they
            are pickled only when they are sent.
        batch: The batch in which it was sent, if it was not sent alone.
        message: The kind of its frame.
    """

    message: ClassVar[int] = messages.CALL

    timed: int = 0
    given_up: bool = False
    simple: tuple[Any, ...] | None = None
    batch: Batch | None = None
    _values: Sequence[Part] = ()

    def __init__(
        self,
        pool: TaskOwner,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
    ) -> None:
        super().__init__(pool, fn, options)
        self.future: Future[Any] = self._new_future()
        self.future._call = self
        try:
            self._encode(args, kwargs)
        except BaseException as error:
            if is_interrupt(error):
                raise
            refused = refusal(fn, self.name(), args, kwargs, error)
            _fail_unsent(self, refused)

    def _new_future(self) -> Future[Any]:
        return Future()

    def _encode(self, args: Args, kwargs: Kwargs) -> None:
        fn: Any = self.fn  # a method has attributes that a Callable has not
        if type(fn) is MethodType:
            # A method is sent by its name in the class, its instance as an argument.
            fn, args = fn.__func__, (fn.__self__, *args)
        known = pickling.known_function(fn)
        if known is not None and pickling.are_simple(args, kwargs):
            self.key, self.needs = known
            self.simple = args
        elif self.options.retries:
            with reductions.refusing(_NOT_AGAIN):
                self._encode_all(fn, args, kwargs)
        else:
            self._encode_all(fn, args, kwargs)

    def _encode_all(self, fn: Callable[..., Any], args: Args, kwargs: Kwargs) -> None:
        with collect_futures() as futures, noting_shared() as shares, noting() as noted:
            self.key: bytes = pickling.encode_function(fn)
            sent = args
            if futures:  # the key is used for many calls: it cannot have placeholders
                from parallelize.process.wire import held

                futures.clear()
                self.key, sent = held.by_argument(fn), (fn, *args)
            self._parts = pickling.dumps_arguments(sent, kwargs, self._place)
        self.needs = noted.needs()
        if futures:
            from parallelize.process.wire import held

            own = args[1:] if type(self.fn) is MethodType else args
            self.waits_for: Sequence[Future[Any]] = held.waited_for(
                futures, own, kwargs
            )
        if shares:
            self.shares: Sequence[Shared[Any]] = shares
        last = self._parts[-1]
        if type(last) is Placed:
            self.placed: Placed | None = last
            segment = last.segment
            self.future.add_done_callback(
                lambda _: self.pool.scheduler.ledger.segments.let_go(segment)
            )

    def _place(self, buffers: Sequence[memoryview]) -> Placed | None:
        # For a retry what was passed is needed again, unchanged.
        return self.pool.scheduler.buffers.place(
            buffers, copied=self.options.retries > 0
        )

    def start(self) -> None:
        """Put the task into the pool's queue, with the values it waited for."""
        if self.future.done():
            return
        if self.waits_for:
            values: Sequence[Any] = ()
            try:
                values = [future.result() for future in self.waits_for]
                with noting_shared() as shares:  # they carry their needs of __main__
                    self._values = pickling.dumps(values)
                self.shares = [*self.shares, *shares]
            except BaseException as error:  # noqa: BLE001 - it belongs to the call
                _fail_unsent(self, _refusal_of_values(self.name(), values, error))
                return
            self.waits_for = ()
        self.pool.enqueue(self)

    def begin(self) -> bool:
        future = self.future
        if self.given_up or future.done():
            return False
        # It is already running if it comes back from a worker that died, or if Ctrl-C
        # interrupted sending it.
        if not future.running() and not future._claim():
            return False
        if self.options.retries and not self.since:
            self.since: float = monotonic()
        return True

    def batchable_with(self, other: CallTask) -> bool:
        """Return whether it can be sent in one batch with another call."""
        mine, its = self.simple, other.simple
        return (
            mine is not None
            and its is not None
            and len(mine) == len(its) > 0
            and self.key == other.key
            and self.needs is other.needs
            and self.options is other.options
        )

    @property
    def is_batched(self) -> bool:
        """Whether it can be sent in a batch at all."""
        limits = self.options
        return bool(self.simple) and limits.timeout is None and not limits.retries

    def futures(self) -> Sequence[Future[Any]]:
        return (self.future,)

    def fail_in_forked_child(self) -> None:
        self.future._fail_in_forked_child()

    def begin_retry(self) -> bool:
        if self.given_up:
            return False
        self.attempts: int = self.attempts + 1
        self.pool.scheduler.tally.retried.step()
        return True

    def note_failure(self) -> None:
        if self.is_counted:
            self.pool.scheduler.tally.failed.step()

    def give_up(self, error: BaseException) -> None:
        """Fail the call, which never began and never will; under the pool's lock."""
        self.given_up = True
        self.pool.scheduler.deferred.append(partial(self.abort, error))

    def place(self) -> WorkerHandle | None:
        """Return the worker that has it."""
        return self.worker if self.batch is None else self.batch.worker

    def runs_in(self, worker: WorkerHandle) -> bool:
        """Return whether the worker has begun it, and nothing after it."""
        page, batch = worker.channel.page, self.batch
        if batch is None or batch.worker is not worker:
            return page.words[TASK] == self.id
        return page.words[TASK] == batch.id and page.running() == batch.row_of(self)

    def buffers(self, *, inline: bool = False) -> list[Part]:
        timed = self.timed
        if self.options.timeout is not None:
            timed |= messages.TIMED
        if self.carried:
            timed |= messages.CARRIED
        if self.simple is not None:
            simple = pickling.dumps_simple(self.simple)
            parts = [self.key, *simple, *self.carried]
            return pack(self.message, self.id, parts, 1, timed)
        kind, arguments = self.message, self._parts
        if self.placed is not None and inline:
            arguments = [*arguments[:-1], *self.placed.buffers()]
        elif self.placed is not None:
            kind += messages.BIG
        parts = [self.key, *arguments, *self._values, *self.carried]
        return pack(kind, self.id, parts, len(arguments), timed)

    def is_wanted(self) -> bool:
        return self.future._may_repeat()

    def end_retries(self) -> None:
        self.future._end_retries()

    def kill(self) -> bool:
        """Stop the call while it runs."""
        return self.pool.kill(self)

    @property
    def can_be_killed(self) -> bool:
        return True

    def ask_to_stop(self) -> None:
        scheduler = self.pool.scheduler
        with scheduler.lock:
            worker, batch = self.place(), self.batch
            if worker is None:
                return
            if batch is None:
                scheduler.workers.ask_to_stop(worker, self.id)
            else:
                row = batch.row_of(self)
                scheduler.workers.ask_to_stop(worker, batch.id, row + 1)

    def finish(self, frame: Frame) -> None:
        if self.late is not None:
            self._fail_late(self.late)
        elif frame.kind == messages.DONE:
            if self.is_counted:
                self.pool.scheduler.tally.done.step()
            if frame.extra:  # of a type that is safe to unpickle
                self.future._set_value(simple_value(frame.parts[0]))
            else:
                self.future._set_outcome(PickledValue(frame.parts, self), failed=False)
        else:
            self._fail(PickledFailure(frame.parts[0]))

    def _fail(self, failure: PickledFailure) -> None:
        if self.may_retry_after(failure):
            if self.retries_after(failure.error()):
                return
        elif self.future._asked and is_a(failure.error(), CancelledError):
            self.future._force_cancel()
            return
        elif self.attempts:
            self.note_attempts(failure.error())
        self.future._set_outcome(failure, failed=True)

    def _fail_late(self, late: Late) -> None:
        self.late: Late | None = None
        self._fail_or_retry(late.error)
        with self.pool.scheduler.lock:
            late.over()

    def _fail_or_retry(self, error: BaseException) -> None:
        if not self.may_retry(error):
            self.note_attempts(error)
            self.abort(error)
        elif not self.retries_after(error):
            self.abort(error)

    def abort(self, error: BaseException) -> None:
        self.future._set_outcome(Failure(error), failed=True)
        name_failure(self.future, self.fn, self.options)
        if self.pool.scheduler.is_stopping:
            mark_retrieved(self.future)  # its worker was stopped on purpose: no warning

    def on_worker_died(
        self, page: Journal, error_for: Callable[[Task], BaseException]
    ) -> bool:
        self._fail_or_retry(error_for(self))
        return True

    def drop(self) -> None:
        self.future._force_cancel()  # it may have come back from a worker

    def cancel(self) -> None:
        self.future.cancel()


def simple_value(pickled: Part) -> Any:
    """Unpickle a value sent as simple; raise ProtocolError if it is not."""
    try:
        return pickling.loads_simple(pickled)
    except Exception as error:
        msg = "a simple value that is no pickle"
        raise ProtocolError(msg) from error


_NOT_AGAIN = "a call that is tried again would need its descriptor again"


class PickledValue(Outcome):
    """A result or an item, still pickled; its reader unpickles it."""

    __slots__ = ("_early", "_parts", "_shares", "_task", "_what")

    succeeds: ClassVar[bool] = True

    def __init__(
        self, parts: Sequence[Part], task: Task, what: str = "the result"
    ) -> None:
        self._parts = parts
        self._what = what
        self._task = task.fn, task.options
        self._shares = task.shares  # handles that the result may contain
        if parts[0][0] == reductions.EARLY:  # valid while the worker lives
            self._early = self.open()
            self._parts = ()

    def open(self) -> tuple[Any, BaseException | None]:
        if not self._parts:
            return self._early
        try:
            return pickling.loads(self._parts), None
        except BaseException as error:
            if is_interrupt(error):
                raise
            what = f"{self._what} of {name_of(*self._task)}"
            return None, _not_unpickled(what, error)

    @property
    def pickled_size(self) -> int:
        return len(self._parts[0]) if self._parts else 0


def _not_unpickled(what: str, cause: BaseException) -> SerializationError:
    return _caused(f"{what} cannot be unpickled: {summary_of(cause)}", cause)


def refusal(
    fn: Callable[..., Any], name: str, args: Args, kwargs: Kwargs, error: BaseException
) -> SerializationError:
    """Return the error of a call that cannot be pickled; it names what cannot be."""
    from parallelize.serialize import diagnose

    called: Any = fn  # a method has attributes that a Callable has not
    if type(called) is MethodType:
        called, args = called.__func__, (called.__self__, *args)
    with noting_shared():
        what, found = diagnose.in_call(called, args, kwargs)
    text = f"the {what} of {name}" if what == "arguments" else f"the {what} {name}"
    way = f"{summary_of(error)}: {found.text()}"
    return _caused(f"{text} cannot be pickled: {way}", error)


def _refusal_of_values(
    name: str, values: Sequence[Any], error: BaseException
) -> SerializationError:
    """Return the error of a call that waited for values that cannot be pickled."""
    from parallelize.serialize import diagnose

    with noting_shared():
        found = diagnose.in_values(values).text()
    text = f"the arguments of {name} cannot be pickled: {summary_of(error)}: {found}"
    return _caused(text, error)


def _fail_unsent(task: CallTask, error: SerializationError) -> None:
    task.future.set_exception(error)
    name_failure(task.future, task.fn, task.options)


def _caused(text: str, cause: BaseException) -> SerializationError:
    error = SerializationError(text)
    error.__cause__ = cause
    return error


class PickledFailure(Outcome):
    """An error, encoded as the worker sent it."""

    __slots__ = ("_encoded",)

    def __init__(self, encoded: Part) -> None:
        self._encoded: bytes | BaseException = bytes(encoded)

    def error(self) -> BaseException:
        """Return the error, in its own class if it can be rebuilt here."""
        encoded = self._encoded
        if not isinstance(encoded, BaseException):
            self._encoded = encoded = messages.decode_failure(encoded)
        return encoded

    def kind(self) -> type[BaseException] | None:
        """Return the class of an error that cannot be pickled, if it is known here."""
        encoded = self._encoded
        if isinstance(encoded, BaseException):
            return None
        return messages.kind_of_failure(encoded)

    @property
    def failed(self) -> bool:
        return True

    def error_or_text(self) -> BaseException | str:
        encoded = self._encoded
        if isinstance(encoded, BaseException):
            return encoded
        return messages.text_of_failure(encoded)

    def open(self) -> tuple[None, BaseException]:
        return None, self.error()


def _has_attempts(task: Task) -> bool:
    if task.attempts >= task.options.retries or task.pool.scheduler.is_stopping:
        return False
    return task.is_wanted()


def _is_reason(error: BaseException, options: CallOptions) -> bool:
    if is_a(error, TaskKilled):
        return False
    return _is_death(error) or is_a(error, options.retry_on)


def _is_death(error: BaseException) -> bool:
    # If the module is not imported, no worker has died yet. Another thread may be
    # importing it.
    died = getattr(sys.modules.get("parallelize.errors.worker"), "WorkerDied", None)
    return died is not None and is_a(error, died)
