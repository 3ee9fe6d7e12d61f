"""A call on a cluster engine, from pickling its arguments to completing its future.

```
 pack ─▶ start ─▶ (the engine) ─▶ settle ─▶ the future unpickles the result when read
   │       └ references, not values, of futures that the same engine computes
   └ large buffers are put into the cluster; the caller may change them afterwards
```
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from parallelize.calls.call import Call, Rows
from parallelize.calls.retrying import (
    admit_again,
    is_retried,
    may_wait,
    note_attempts,
    rest,
    wait_after,
)
from parallelize.clusters import payloads
from parallelize.clusters.payloads import (
    LEAST_BUFFER,
    EncodedError,
    FinalError,
    LargePayload,
    Packed,
    Payload,
    RemoteCall,
    pack,
)
from parallelize.errors import SerializationError, TaskKilled, TaskTimeout
from parallelize.futures.future import Failure, Future, Outcome, error_of
from parallelize.futures.peek import ForwardedOutcome, has_failed, name_failure
from parallelize.runtime import timer
from parallelize.runtime.clock import monotonic
from parallelize.runtime.options import check_grace, name_of
from parallelize.runtime.raised import is_a, summary_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from parallelize.clusters.executor import EngineExecutor
    from parallelize.clusters.object_cache import RemoteObject
    from parallelize.process.memory.shared import Shared
    from parallelize.runtime.agenda import Deadline
    from parallelize.runtime.options import Args, CallOptions, Kwargs

T = TypeVar("T")

__all__ = ("EngineCall", "EngineFuture", "Remote", "RowsCall")


class Remote(NamedTuple):
    """The answer of a call whose result remains in the cluster.

    Attributes:
        ref: The engine's reference to the result.
    """

    ref: Any


class EngineFuture(Future[T]):
    """A future whose call is run by a cluster engine.

    Attributes:
        executor: The executor of the call.
        ref: The engine's reference to the call, from its submission until the result
            has arrived; kept as long as a large result remains in the cluster.
    """

    executor: EngineExecutor
    ref: Any = None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        # A timeout of 0 only asks whether the call has ended.
        if timeout is not None and timeout > 0:
            until = monotonic() + timeout
            if not self.done():
                self._await_end(timeout)
            sealed = self._sealed
            if isinstance(sealed, _InCluster):
                sealed.fetch(max(0.0, until - monotonic()))
        return super().exception(timeout)

    def cancel(self) -> bool:
        ref = self.ref
        if ref is None or self.done():
            return super().cancel()
        runs = True if self.running() else self.executor._running([ref])[0]
        if runs is None:
            self._end_retries()
            self.executor._cancel_soon(self)
            return False
        if runs:
            self._ask_to_stop()
            return False
        if not super().cancel():
            return False
        self.executor._drop([ref])
        return True

    def _ask_to_stop(self) -> None:
        self._is_last = self._asked = True
        self.executor._ask_to_stop(self.ref)

    def kill(self, *, grace: float = 0.0) -> bool:
        call, seconds = self._call, check_grace(grace)
        if call is not None and (call.kill_later(seconds) if seconds else call.kill()):
            return True
        return super().kill()

    def _await_end(self, timeout: float | None) -> None:
        self.executor._fail_if_lost()  # some engines report no loss by themselves
        super()._await_end(timeout)

    def __await__(self) -> Generator[Any, Any, T]:
        if self._sealed is not None:  # unpickling may take a while
            import asyncio

            loop = asyncio.get_running_loop()
            yield from loop.run_in_executor(None, self._open).__await__()
        return (yield from super().__await__())

    def _cancel_awaited(self) -> None:
        if self.executor._can_kill:
            super()._cancel_awaited()
        else:
            self.executor._cancel_soon(self)


class EngineCall(Call):
    """A call submitted to a cluster engine."""

    __slots__ = (
        "_deadline",
        "_is_stopped",
        "_left",
        "_objects",
        "_packed",
        "_sent",
        "_since",
        "attempt",
        "contents",
        "executor",
        "handle",
        "upstream",
    )

    run: ClassVar[Callable[..., Any]] = staticmethod(payloads.run_call)

    def __init__(
        self, executor: EngineExecutor, fn: Callable[..., Any], options: CallOptions
    ) -> None:
        self.executor: EngineExecutor = executor
        self.fn: Callable[..., Any] = fn
        self.options = options
        self.waits_for: Sequence[Future[Any]] = ()
        #: The futures among the arguments.
        self.upstream: Sequence[Future[Any]] = ()
        #: The future, by its own type.
        self.handle: EngineFuture[Any] = EngineFuture()
        self.handle.executor = executor
        self.future: Future[Any] = self.handle
        self._packed: Packed | None = None
        # What must remain in the cluster for this call.
        self._objects: list[RemoteObject] = []
        #: What lets the engine put them again, should it lose them.
        self.contents: list[object] = []
        self._deadline: Deadline | None = None
        self._is_stopped = False
        #: The number of the current attempt, if the call has a timeout.
        self.attempt: int = 0
        # The retries that are made here, see `engine_retries`, and what to submit then.
        self._left = options.retries - self.engine_retries
        self._sent: tuple[RemoteCall, Sequence[Any]] | None = None
        self._since = 0.0  # when the first attempt was submitted

    @property
    def engine_retries(self) -> int:
        """The number of retries that the engine makes.

        With a timeout they are made here: the engine does not report that an attempt
        has failed, and the time of the attempt would go on. So they are if calls rest
        between attempts, as the engine repeats them at once.
        """
        options = self.options
        here = options.timeout is not None or may_wait(options)
        return 0 if here else options.retries

    def name(self) -> str:
        """The function's name in errors."""
        return name_of(self.fn, self.options)

    def pack(self, args: Args, kwargs: Kwargs) -> None:
        """Pickle the arguments; raises `SerializationError`."""
        packed = payloads.pack_call(self.fn, args, kwargs, self._sent_options())
        self._packed = packed
        self.upstream = packed.futures
        # The engine itself moves the results of its own calls to the worker.
        self.waits_for = [f for f in packed.futures if self._reference(f) is None]
        # Copy the buffers now: the caller may change them afterwards.
        self._objects, self.contents = [], []
        for each in self._buffers(packed):
            self._keep(self.executor._cache.buffer(each), partial(_payload_of, each))

    def _sent_options(self) -> CallOptions:
        return self.options

    def _buffers(self, packed: Packed) -> list[Any]:
        payload = packed.payload
        whole = [payload.data] if len(payload.data) >= LEAST_BUFFER else []
        return [*whole, *payload.buffers]

    def _keep(self, put: RemoteObject, read: Callable[[], Payload]) -> None:
        self._objects.append(put)
        content = self.executor._content_of(put.ref, read, put.nbytes)
        if content is not None:
            self.contents.append(content)

    def _reference(self, future: Future[Any]) -> Any:
        if not isinstance(future, EngineFuture) or future.executor is not self.executor:
            return None
        call = future._call
        # The value of a later attempt has a reference of its own.
        return None if isinstance(call, EngineCall) and call._left else future.ref

    def start(self) -> None:
        if self.future.done():
            return
        if self._sent is not None:  # it has rested
            self.executor._later(self._again)
            return
        try:
            self._hand_over()
        except BaseException as error:  # noqa: BLE001 - a call fails in its future
            self.refuse(error)

    def refuse(self, error: BaseException) -> None:
        """End a call that could not be submitted."""
        translated = self._of_the_engine(error)
        failure = Failure(error if translated is None else translated)
        self.future._set_outcome(failure, failed=True)

    def _hand_over(self) -> None:
        packed, self._packed = self._packed, None
        assert packed is not None
        buffers = len(self._objects)
        cache = self.executor._cache
        for handle in packed.shares:
            self._keep(cache.shared(handle), partial(_payload_of_shared, handle))
        objects = [put.ref for put in self._objects]
        objects += [self._value_of(future) for future in packed.futures]
        data = packed.payload.data
        remote = RemoteCall(
            self.name(),
            data if len(data) < LEAST_BUFFER else b"",
            buffers,
            tuple(handle._id for handle in packed.shares),
            None,
        )
        self.future._call = self
        self._since = self._since or monotonic()
        if self._left:
            self._sent = remote, objects
        self._attempt(remote, objects)

    def _attempt(self, remote: RemoteCall, objects: Sequence[Any]) -> None:
        if self.options.timeout is not None:
            remote = remote._replace(started=self.executor._reporter(self))
        self.handle.ref = self.executor._hand_over(self, self.run, remote, objects)
        if self.future.cancelled():
            self.executor._drop([self.handle.ref])
        elif self._is_stopped:  # before it had this reference
            self._end(self.handle.ref)

    def _value_of(self, future: Future[Any]) -> Any:
        ref = self._reference(future)
        if ref is not None:
            future.add_done_callback(self._fail_with)
            return ref
        value, put = self.executor._cache.value(future.result())
        if put is not None:
            self._keep(put, lambda: pack(future.result()))
        return value

    def _fail_with(self, upstream: Future[Any]) -> None:
        """Fail as a future among the arguments did; the engine may report it later."""
        if not has_failed(upstream):
            return
        failure = ForwardedOutcome(upstream)  # this retrieves it
        if self.future._set_outcome(failure, failed=True):
            name_failure(self.future, self.fn, self.options)
            if not self.executor._ends_dependents:
                self.executor._drop([self.handle.ref])

    # While it runs.

    def begun(self, attempt: int) -> None:
        """Record that a worker started the function."""
        if self.future.done() or attempt != self.attempt:
            return
        if not self.future.running():
            self.future._claim()
        if self._deadline is not None:
            if not self.executor._starts_again:
                return  # the report was delivered twice
            self._deadline.cancel()
        assert self.options.timeout is not None
        self._deadline = timer.after(
            self.options.timeout, lambda: self._expire(attempt)
        )
        if self.future.done():  # it has ended in the meantime
            self._deadline.cancel()

    def untime(self) -> None:
        """Cancel the deadline, as the future or the attempt has ended."""
        if self._deadline is not None:
            self._deadline.cancel()

    def _expire(self, attempt: int) -> None:
        """Handle the timeout of an attempt; runs in the timer's thread."""
        assert self.options.timeout is not None
        error = TaskTimeout(self.name(), self.options.timeout)
        if self._left and is_retried(error, self.options):
            # Attempts follow each other in one thread, that of the answers.
            self.executor._later(lambda: self._replace(attempt, error))
        elif attempt == self.attempt:
            self._stop(error)

    def _replace(self, attempt: int, error: TaskTimeout) -> None:
        """Stop an attempt that is too late, and make the next one."""
        if self.future.done() or attempt != self.attempt:
            return
        late = self.handle.ref
        if self._repeats(error):
            self._end(late)
        else:
            self._stop(error)

    @property
    def can_be_killed(self) -> bool:
        return self.executor._can_kill

    def kill(self) -> bool:
        ref = self.handle.ref
        if ref is None or self.future.done() or not self.executor._can_kill:
            return False
        return self._stop(TaskKilled(self.name()))

    def _stop(self, error: BaseException) -> bool:
        # Only what was stopped is ended: one that has ended by itself may have a result
        # in the cluster, and Ray may crash if it is told to cancel one that fails.
        if not self.future._set_outcome(Failure(error), failed=True):
            return False
        self._is_stopped = True
        self._end(self.handle.ref)
        return True

    def _end(self, ref: Any) -> None:
        if ref is not None and not self.executor._kill(ref):
            self.executor._drop([ref])

    # Retries.

    @property
    def _failed(self) -> int:
        """The number of attempts made here that have failed."""
        return self.options.retries - self.engine_retries - self._left

    def _retries(self, answer: object, error: BaseException) -> bool:
        """Make another attempt if one follows this answer of the engine."""
        if not self._left or type(answer) is FinalError:
            return False
        if any(future.done() and has_failed(future) for future in self.upstream):
            return False
        if not isinstance(answer, EncodedError):
            return self._outlives(error) and self._repeats(error, 0.0)
        return self._repeats(error)

    def _outlives(self, error: BaseException) -> bool:
        """Whether a call is repeated after this death of a worker, which is at once."""
        if not _blames_a_row(error):
            return False
        deaths = (self._failed + 1) * (1 + self.executor._restarts(error))
        return deaths <= self.options.retries

    def _repeats(self, error: BaseException, wait: float | None = None) -> bool:
        """Make another attempt unless the call has ended or must not be repeated."""
        if self._sent is None or not self.future._may_repeat():
            return False
        if wait is None:
            wait = wait_after(self.options, self._failed + 1, error)
        if wait is None:
            return False
        self.executor._untime(self.attempt)
        self._deadline = None
        self.attempt = 0  # what still comes of the last one does not count
        self._left -= 1
        if not wait and self.options.rate is None:
            self._again()
            return True
        self.handle.ref = None
        if rest(self, wait, admit_again):
            return True
        self._left += 1
        return False

    def _again(self) -> None:
        """Submit the next attempt."""
        if self._sent is None or not self.future._may_repeat():
            return
        try:
            self._attempt(*self._sent)
        except BaseException as error:  # noqa: BLE001 - a call fails in its future
            self.refuse(error)

    # The end of the call.

    def settle(self, answer: object, attempt: int) -> None:
        """Complete the future with the engine's answer, or make another attempt."""
        if attempt != self.attempt:
            return  # it was too late, and another one was made
        self.untime()
        error = None
        if not isinstance(answer, (Payload, Remote)):
            error = self._of_the_engine(answer)
        if error is not None and self._retries(answer, error):
            return
        if type(answer) is Remote:
            outcome: Outcome = _InCluster(self, answer.ref)
            self.handle.ref = answer.ref
            self.future._set_outcome(outcome, failed=False)
        elif isinstance(answer, Payload):
            self.future._set_outcome(_Arrived(self, answer), failed=False)
            self.handle.ref = None
        else:
            self._fail(error)
            self.handle.ref = None
        self._objects, self.contents = [], []
        self._sent = None
        self.upstream = []  # otherwise a chain would hold the results of all its calls

    def _fail(self, error: BaseException | None) -> None:
        if error is None or (self.future._asked and is_a(error, CancelledError)):
            self.future._force_cancel()
        else:
            note_attempts(error, self._failed + 1, self._since)
            self.future._set_outcome(Failure(error), failed=True)

    def _of_the_engine(self, answer: object) -> BaseException | None:
        """The error as one of this library's; None if the call was cancelled."""
        if type(answer) is FinalError:
            return answer.carried.error()
        if isinstance(answer, EncodedError):
            return answer.error()
        assert isinstance(answer, BaseException)
        # The engine cancels calls that depend on one that was stopped or cancelled.
        for future in self.upstream:
            error = error_of(future) if future.done() else None
            if error is not None:
                return error
        return self.executor._translated(answer, self.name())


def _payload_of_shared(handle: Shared[Any]) -> Payload:
    return pack(handle.get())


def _payload_of(buffer: Any) -> Payload:
    return LargePayload(b"", [buffer])


class _Arrived(Outcome):
    """A result that has arrived pickled; its reader unpickles it."""

    __slots__ = ("_name", "_payload")

    succeeds: ClassVar[bool] = True

    def __init__(self, call: EngineCall, payload: Payload) -> None:
        self._name = call.name()
        self._payload = payload

    def open(self) -> tuple[Any, BaseException | None]:
        return _opened(self._payload, self._name)


class _InCluster(Outcome):
    """A result that remains in the cluster; its reader fetches it."""

    __slots__ = ("_call", "_payload", "_ref")

    def __init__(self, call: EngineCall, ref: Any) -> None:
        self._call = call
        self._ref = ref
        self._payload: Payload | None = None

    def fetch(self, timeout: float) -> None:
        """Fetch the result, or raise `TimeoutError`; `open` has all other errors."""
        try:
            self._payload = self._call.executor._fetch(self._ref, timeout)
        except TimeoutError:
            raise TimeoutError from None
        except Exception:  # noqa: BLE001 - it comes again
            pass

    def open(self) -> tuple[Any, BaseException | None]:
        call = self._call
        try:
            payload = self._payload or call.executor._fetch(self._ref)
        except Exception as error:  # noqa: BLE001 - it belongs to the reader
            call.handle.ref = None
            translated = call.executor._translated(error, call.name())
            return None, error if translated is None else translated
        return _opened(payload, call.name())


def _opened(payload: Payload, name: str) -> tuple[Any, BaseException | None]:
    try:
        return payload.open(), None
    except Exception as error:  # noqa: BLE001 - it belongs to the call
        text = summary_of(error)
        refusal = SerializationError(
            f"the result of {name} cannot be unpickled: {text}"
        )
        refusal.__cause__ = error
        return None, refusal


class RowsCall(EngineCall):
    """Rows of calls, submitted to the engine as one call."""

    __slots__ = ("_is_unwanted", "rows")

    run: ClassVar[Callable[..., Any]] = staticmethod(payloads.run_rows)

    def __init__(self, executor: EngineExecutor, rows: Rows) -> None:
        super().__init__(executor, rows.fn, rows.options)
        #: The rows, or those of them that are tried again.
        self.rows: Rows = rows
        self._is_unwanted = False
        self.future.add_done_callback(self._deliver)

    def _sent_options(self) -> CallOptions:
        options = self.options
        return options._replace(retries=0) if may_wait(options) else options

    def settle(self, answer: object, attempt: int) -> None:
        """Deliver the outcomes, or those of rows that are not tried again."""
        if not (
            self._left and isinstance(answer, Payload) and self._tries_again(answer)
        ):
            super().settle(answer, attempt)

    def _tries_again(self, answer: Payload) -> bool:
        """Let the rows that failed rest together; return whether there are any."""
        outcomes, seconds = answer.open()
        outcomes = [self._outcome(each) for each in outcomes]
        waits = {at: self._wait_after(each) for at, each in enumerate(outcomes)}
        again = [at for at, wait in waits.items() if wait is not None]
        if not again:
            return False
        rows, left = self.rows, self._left
        for at, outcome in enumerate(outcomes):
            if waits[at] is None:
                rows.deliver(at, [outcome], seconds / len(outcomes))
        self.rows = _some_of(rows, again)
        self._left, self._sent = left - 1, None
        try:
            self.pack((self.rows.rows,), {})
        except Exception as error:  # noqa: BLE001 - a call fails in its future
            self.refuse(error)
            return True
        if not rest(self, max(waits[at] or 0.0 for at in again), admit_again):
            self.rows.fail(CancelledError())
        return True

    def _wait_after(self, outcome: object) -> float | None:
        if type(outcome) is not Failure or not is_retried(outcome.error, self.options):
            return None
        if not self.future._may_repeat():
            return None
        return wait_after(self.options, self._failed + 1, outcome.error)

    def cancel(self) -> None:
        """Cancel the rows, for a map that wants them no more."""
        self._is_unwanted = True
        self.executor._cancel_soon(self.handle)

    def _deliver(self, done: Future[Any]) -> None:
        if done.cancelled():
            if not self._is_unwanted:
                self.rows.fail(CancelledError())
            return
        error = done.exception()
        if error is None:
            outcomes, seconds = done.result()
            self.rows.deliver(0, [self._outcome(each) for each in outcomes], seconds)
        elif self._may_split(error):
            self._run_alone(0, error)
        else:
            self.rows.fail(error)

    def _outcome(self, outcome: object) -> Any:
        if type(outcome) is FinalError:
            error = outcome.carried.error()
            if not self._left:
                note_attempts(error, self._failed + 1, self._since)
            return Failure(error)
        return _Arrived(self, outcome) if isinstance(outcome, Payload) else outcome

    def _may_split(self, error: BaseException) -> bool:
        """Whether to run each row alone, after one of them killed its worker."""
        if len(self.rows.rows) == 1 or not _blames_a_row(error):
            return False
        return self.executor._starts_again or self.options.retries > 0

    def _run_alone(self, index: int, error: BaseException) -> None:
        """Run this row, then the following ones, each by itself.

        One after the other, as Dask blames every call that is on a worker that dies.
        """
        rows = self.rows
        if index == len(rows.rows):
            return

        def deliver(_: int, outcomes: Sequence[Any], seconds: float) -> None:
            rows.deliver(index, outcomes, seconds)
            self._run_alone(index + 1, error)

        row = Rows(rows.fn, [rows.rows[index]], rows.options, deliver)
        try:
            self.executor._start_rows(row)
        except RuntimeError:  # the executor has been shut down
            rows.fail(error, index)


def _some_of(rows: Rows, indices: Sequence[int]) -> Rows:
    """Return some rows, whose outcomes are delivered as those of all."""

    def deliver(first: int, outcomes: Sequence[Any], seconds: float) -> None:
        for at, outcome in enumerate(outcomes, first):
            rows.deliver(indices[at], [outcome], seconds / len(outcomes))

    return Rows(rows.fn, [rows.rows[at] for at in indices], rows.options, deliver)


def _blames_a_row(error: BaseException) -> bool:
    from parallelize.errors.worker import ClusterLost, WorkerDied

    return is_a(error, WorkerDied) and not is_a(error, ClusterLost)
