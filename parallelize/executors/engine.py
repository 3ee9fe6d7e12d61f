"""What `DaskExecutor` and `RayExecutor` have in common: calls on another engine.

```
 caller's thread                     engine                   answers' thread (ours)
 _prepare ▸ pack ▸ Call.start ──▶ _hand_over ▸ a worker runs it
 Future ◀── settle ◀───────────────────────────────────── queue ◀── the engine tells
```

The engine queues, places, moves, starts anew. A backend says how to hand a call over
and how to fetch, cancel and kill; futures, callbacks and errors are dealt with here,
in a thread of ours, as the engine's own thread must never wait for the user's code.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from abc import abstractmethod
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from parallelize.calls import Call, Rows, name_of
from parallelize.errors import SerializationError, TaskKilled, TaskTimeout
from parallelize.executors import deadlines, parcels
from parallelize.executors.base import Executor
from parallelize.executors.gate import Gate
from parallelize.executors.parcels import (
    LEAST_BUFFER,
    Carried,
    Failed,
    Order,
    Packed,
    Parcel,
)
from parallelize.executors.puts import Put, Puts
from parallelize.futures import Failure, Future, Outcome, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from parallelize.executors.deadlines import Deadline
    from parallelize.options import CallOptions

T = TypeVar("T")

_log = logging.getLogger("parallelize")

__all__ = ("EngineCall", "EngineExecutor", "EngineFuture", "Remote")


class EngineExecutor(Executor):
    """Runs calls on an engine that others have written; a backend derives from it."""

    #: A chunk costs the engine milliseconds, so it should run much longer.
    chunk_seconds: ClassVar[float | None] = 0.2

    #: Whether the engine can stop a call that runs.
    _can_kill: ClassVar[bool] = False

    #: Whether the engine starts a call again whose worker died, without being asked.
    _starts_again: ClassVar[bool] = False

    def __init__(self) -> None:
        parcels.this_is_the_program()
        self._pid = os.getpid()
        self._gate: Gate = _Gate(self)
        self._answers = _Answers()
        self._puts = Puts(self._put, self._is_there)
        # Calls with a timeout that have not ended, by the numbers of their tellers.
        # Touched by single operations only, each of which is atomic.
        self._timed: dict[int, EngineCall] = {}
        self._numbers = count()
        self._closing = threading.Lock()  # one closes; the gate's is taken under it
        self._is_open = True

    # What a backend writes.

    @abstractmethod
    def _hand_over(
        self,
        call: EngineCall,
        run: Callable[..., Any],
        order: Order,
        objects: Sequence[Any],
    ) -> Any:
        """Have ``run(order, *objects)`` run; return the engine's reference.

        References among the objects become what they refer to. When the call has
        ended, `answer` is called.
        """

    @abstractmethod
    def _started_teller(self, number: int) -> Callable[[], object]:
        """What a worker calls so that ``self.begun(number)`` is called here."""

    @abstractmethod
    def _put(self, parcel: Parcel) -> Any:
        """Put something into the cluster; return the engine's reference."""

    @abstractmethod
    def _is_there(self, ref: Any) -> bool:
        """Whether the cluster still has it, as far as is known."""

    @abstractmethod
    def _fetch(self, ref: Any) -> Parcel:
        """Return a result that has stayed in the cluster."""

    @abstractmethod
    def _running(self, refs: Sequence[Any]) -> list[bool]:
        """Whether each of these calls has begun, as far as the engine tells."""

    @abstractmethod
    def _drop(self, refs: Sequence[Any]) -> None:
        """Let none of these calls begin, and keep none of their results."""

    def _kill(self, ref: Any) -> bool:
        """Stop a call that may run; return whether the engine can."""
        return False

    @abstractmethod
    def _translated(self, error: BaseException, name: str) -> BaseException | None:
        """Return an error of the engine in a class of ours; None: it was cancelled."""

    def _loss(self) -> str | None:
        """Why the cluster is lost, where the engine ends no call for that itself."""
        return None

    @abstractmethod
    def _leave(self) -> None:
        """Let go of the cluster; end it if this executor made it."""

    # The road of a call.

    def _prepare(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> EngineCall:
        return self._made(EngineCall(self, fn, options), args, kwargs)

    def _made(
        self, call: EngineCall, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> EngineCall:
        if self._pid != os.getpid():
            msg = f"a {type(self).__name__} does not outlive os.fork(): make a new one"
            raise RuntimeError(msg)
        self._gate.enter(call.future)
        call.future.add_done_callback(self._gate.leave)
        try:
            call.pack(args, kwargs)
        except Exception as error:  # noqa: BLE001 - a call fails in its future
            call.refuse(error)
        return call

    def _start_rows(self, rows: Rows) -> Callable[[], object]:
        call = self._made(_RowsCall(self, rows), (rows.rows,), {})
        call.start()
        return call.future.cancel

    def _start_row(self, rows: Rows, index: int, row: tuple[Any, ...]) -> None:
        """Start a row alone, of rows of which one has killed its worker.

        Raises:
            RuntimeError: The executor was shut down meanwhile.
        """

        def deliver(_: int, outcomes: Sequence[Any], seconds: float) -> None:
            rows.deliver(index, outcomes, seconds)

        self._start_rows(Rows(rows.fn, [row], rows.options, deliver))

    def _blames_a_row(self, error: BaseException) -> bool:
        from parallelize._died import ClusterLost, WorkerDied

        return isinstance(error, WorkerDied) and not isinstance(error, ClusterLost)

    def answer(self, call: EngineCall, answer: object) -> None:
        """Let a call end: called by the engine, in any of its threads.

        Args:
            call: The call.
            answer: What `parcels.run_call` gave, `Remote` if that has stayed in the
                cluster, or an error of the engine.
        """
        self._answers.put(lambda: call.settle(answer))

    def begun(self, number: int) -> None:
        """A worker tells that the function of a call with a timeout has begun."""
        call = self._timed.get(number)
        if call is not None:
            self._answers.put(call.begun)

    def _watched(self, call: EngineCall) -> Callable[[], object]:
        """What tells that a call begins."""
        number = next(self._numbers)
        self._timed[number] = call
        call.future.add_done_callback(lambda _: self._timed.pop(number, None))
        return self._started_teller(number)

    def fail_if_lost(self) -> None:
        """End all calls if the cluster is gone: nobody else would."""
        reason = self._loss()
        if reason is None:
            return
        from parallelize._died import ClusterLost

        for future in self._gate.inside():
            call = future._call
            name = call.name() if isinstance(call, EngineCall) else "a call"
            future.set_outcome(Failure(ClusterLost(name, reason)), failed=True)

    # The end.

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; then let go of the cluster.

        A cluster that this executor started ends with it. Any other is left alone,
        and so is a connection that it did not make.

        Args:
            wait: Return when all calls made here have ended; else at once.
            cancel_futures: Cancel the calls that have not begun.
        """
        self._finish_maps(cancel=cancel_futures)
        inside = self._gate.close()
        if cancel_futures:
            self._cancel_all(inside)
        if wait:
            self._close()
        else:
            threading.Thread(target=self._close, name="parallelize-closing").start()

    def _cancel_all(self, futures: Sequence[Future[Any]]) -> None:
        waiting = [f for f in futures if not (f.done() or f.running())]
        handed = [f for f in waiting if isinstance(f, EngineFuture) and f.ref]
        running = self._running([f.ref for f in handed])
        begun = {f for f, runs in zip(handed, running, strict=True) if runs}
        dropped = [f for f in waiting if f not in begun and Future.cancel(f)]
        self._drop([f.ref for f in handed if f in dropped])

    def _close(self) -> None:
        if self._pid != os.getpid():
            return  # what there is belongs to the parent
        self.fail_if_lost()
        self._gate.wait_empty()
        with self._closing:
            if not self._is_open:
                return
            self._is_open = False
            self._puts.clear()
            self._answers.stop()
            self._leave()

    @property
    def _closed(self) -> bool:
        return self._gate.closed


class _Gate(Gate):
    """The gate of an engine, which looks whether that is still there."""

    def __init__(self, executor: EngineExecutor) -> None:
        self._executor = weakref.ref(executor)
        super().__init__(executor._maps)

    def finish(self) -> None:
        executor = self._executor()
        if executor is not None:
            executor.fail_if_lost()
        super().finish()


class Remote(NamedTuple):
    """The answer of a call whose result has stayed in the cluster.

    Attributes:
        ref: The engine's reference to it.
    """

    ref: Any


class _Answers:
    """The thread in which calls end; it is started by the first answer."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()  # guards _thread; nothing is taken under it
        self._thread: threading.Thread | None = None

    def put(self, action: Callable[[], object]) -> None:
        self._queue.put(action)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                # A daemon: at the end of the program the gate waits for the calls.
                self._thread = threading.Thread(
                    target=self._run, name="parallelize-answers", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while (action := self._queue.get()) is not None:
            try:
                action()
            except Exception:  # noqa: BLE001 - the other calls must end
                _log.exception("an answer could not be delivered")
            del action  # it holds the call

    def stop(self) -> None:
        """End the thread when it has done all; a callback may ask for that itself."""
        self._queue.put(None)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()


# ------------------------------------------------------------------------ a call


class EngineFuture(Future[T]):
    """A future whose call another engine runs.

    Attributes:
        executor: Whose call it is.
        ref: The engine's reference to the call, from when it was handed over until
            the result is here; a large result stays in the cluster, and so does this.
    """

    executor: EngineExecutor
    ref: Any = None

    def cancel(self) -> bool:
        ref = self.ref
        if ref is None or self.done():
            return super().cancel()
        if self.running() or any(self.executor._running([ref])):
            return False
        if not super().cancel():
            return False
        self.executor._drop([ref])
        return True

    def kill(self) -> bool:
        call = self._call
        if call is not None and call.kill():
            return True
        return super().kill()

    def __await__(self) -> Generator[Any, Any, T]:
        if self._sealed is not None:  # opening it may take a while
            import asyncio

            loop = asyncio.get_running_loop()
            yield from loop.run_in_executor(None, self._open).__await__()
        return (yield from super().__await__())


class EngineCall(Call):
    """One call on its way to another engine."""

    __slots__ = (
        "_deadline",
        "_packed",
        "_puts",
        "executor",
        "fn",
        "handle",
        "upstream",
    )

    run: ClassVar[Callable[..., Any]] = staticmethod(parcels.run_call)

    def __init__(
        self, executor: EngineExecutor, fn: Callable[..., Any], options: CallOptions
    ) -> None:
        self.executor: EngineExecutor = executor
        self.fn: Callable[..., Any] = fn
        self.options = options
        self.waits_for: Sequence[Future[Any]] = ()
        #: The futures among the arguments.
        self.upstream: Sequence[Future[Any]] = ()
        #: The future, as what it is.
        self.handle: EngineFuture[Any] = EngineFuture()
        self.handle.executor = executor
        self.future: Future[Any] = self.handle
        self._packed: Packed | None = None
        self._puts: list[Put] = []  # what must stay in the cluster for this call
        self._deadline: Deadline | None = None

    def name(self) -> str:
        """What errors call the function."""
        return name_of(self.fn, self.options)

    def pack(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take the snapshot of the arguments; raises `SerializationError`."""
        packed = parcels.pack_call(self.fn, args, kwargs, self.options)
        self._packed = packed
        self.upstream = packed.futures
        # What this very engine computes it brings to the worker by itself.
        self.waits_for = [f for f in packed.futures if self._reference(f) is None]
        # The buffers are the caller's, who may change them from now on.
        self._puts = [self.executor._puts.buffer(b) for b in self._buffers(packed)]

    def _buffers(self, packed: Packed) -> list[Any]:
        parcel = packed.parcel
        whole = [parcel.data] if len(parcel.data) >= LEAST_BUFFER else []
        return [*whole, *parcel.buffers]

    def _reference(self, future: Future[Any]) -> Any:
        if isinstance(future, EngineFuture) and future.executor is self.executor:
            return future.ref
        return None

    def start(self) -> None:
        if self.future.done():
            return
        try:
            self._hand_over()
        except BaseException as error:  # noqa: BLE001 - a call fails in its future
            self.refuse(error)

    def refuse(self, error: BaseException) -> None:
        """End a call that could not be handed over."""
        translated = self._of_the_engine(error) or error
        self.future.set_outcome(Failure(translated), failed=True)

    def _hand_over(self) -> None:
        packed, self._packed = self._packed, None
        assert packed is not None
        buffers = len(self._puts)
        puts = self.executor._puts
        self._puts += [puts.shared(handle) for handle in packed.shares]
        objects = [put.ref for put in self._puts]
        objects += [self._value_of(future) for future in packed.futures]
        data = packed.parcel.data
        order = Order(
            self.name(),
            data if len(data) < LEAST_BUFFER else b"",
            buffers,
            tuple(handle.id for handle in packed.shares),
            None if self.options.timeout is None else self.executor._watched(self),
        )
        self.future._call = self
        self.handle.ref = self.executor._hand_over(self, self.run, order, objects)
        if self.future.cancelled():
            self.executor._drop([self.handle.ref])

    def _value_of(self, future: Future[Any]) -> Any:
        ref = self._reference(future)
        if ref is not None:
            return ref
        value, put = self.executor._puts.value(future.result())
        if put is not None:
            self._puts.append(put)
        return value

    # While it runs.

    def begun(self) -> None:
        """The worker tells that the function has begun; again after each retry."""
        if self.future.done():
            return
        if not self.future.running():
            self.future.set_running_or_notify_cancel()
        if self._deadline is not None:
            self._deadline.cancel()
        assert self.options.timeout is not None
        self._deadline = deadlines.after(self.options.timeout, self._expire)

    def _expire(self) -> None:
        assert self.options.timeout is not None
        self._stop(TaskTimeout(self.name(), self.options.timeout))

    def help(self, timeout: float | None) -> None:
        self.executor.fail_if_lost()

    def kill(self) -> bool:
        ref = self.handle.ref
        if ref is None or self.future.done() or not self.executor._can_kill:
            return False
        return self._stop(TaskKilled(self.name()))

    def _stop(self, error: BaseException) -> bool:
        ref = self.handle.ref
        if not self.future.set_outcome(Failure(error), failed=True):
            return False
        if not self.executor._kill(ref):
            self.executor._drop([ref])
        return True

    # Its end.

    def settle(self, answer: object) -> None:
        """End with the engine's answer."""
        if self._deadline is not None:
            self._deadline.cancel()
        if type(answer) is Remote:
            outcome: Outcome = _InCluster(self, answer.ref)
            self.handle.ref = answer.ref
            self.future.set_outcome(outcome, failed=False)
        elif isinstance(answer, Parcel):
            self.future.set_outcome(_Arrived(self, answer), failed=False)
            self.handle.ref = None
        else:
            self._fail(answer)
            self.handle.ref = None
        self._puts = []

    def _fail(self, answer: object) -> None:
        error = self._of_the_engine(answer)
        if error is None:
            self.future.withdraw()
        else:
            self.future.set_outcome(Failure(error), failed=True)

    def _of_the_engine(self, answer: object) -> BaseException | None:
        """The error in a class of ours; None if the call was cancelled."""
        if type(answer) is Failed:
            return answer.carried.error()
        if isinstance(answer, Carried):
            return answer.error()
        assert isinstance(answer, BaseException)
        # The engine drops what depends on a call that was stopped or cancelled.
        for future in self.upstream:
            error = error_of(future) if future.done() else None
            if error is not None:
                return error
        return self.executor._translated(answer, self.name())


class _Arrived(Outcome):
    """A result as it travelled; its reader unpickles it."""

    __slots__ = ("_name", "_parcel")

    def __init__(self, call: EngineCall, parcel: Parcel) -> None:
        self._name = call.name()
        self._parcel = parcel

    def open(self) -> tuple[Any, BaseException | None]:
        return _opened(self._parcel, self._name)


class _InCluster(Outcome):
    """A result that has stayed in the cluster; its reader fetches it."""

    __slots__ = ("_call", "_ref")

    def __init__(self, call: EngineCall, ref: Any) -> None:
        self._call = call
        self._ref = ref

    def open(self) -> tuple[Any, BaseException | None]:
        call = self._call
        try:
            parcel = call.executor._fetch(self._ref)
        except Exception as error:  # noqa: BLE001 - it belongs to the reader
            call.handle.ref = None
            return None, call.executor._translated(error, call.name()) or error
        return _opened(parcel, call.name())


def _opened(parcel: Parcel, name: str) -> tuple[Any, BaseException | None]:
    try:
        return parcel.open(), None
    except Exception as error:  # noqa: BLE001 - it belongs to the call
        text = f"{type(error).__name__}: {error}"
        refusal = SerializationError(
            f"the result of {name} cannot be unpickled: {text}"
        )
        refusal.__cause__ = error
        return None, refusal


class _RowsCall(EngineCall):
    """Rows of calls, as one call of the engine."""

    __slots__ = ("rows",)

    run = staticmethod(parcels.run_rows)

    def __init__(self, executor: EngineExecutor, rows: Rows) -> None:
        super().__init__(executor, rows.fn, rows.options)
        self.rows: Rows = rows
        self.future.add_done_callback(self._deliver)

    def _deliver(self, done: Future[Any]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            outcomes, seconds = done.result()
            self.rows.deliver(0, [self._outcome(each) for each in outcomes], seconds)
        elif self._may_split(error):
            self._split(error)
        else:
            self.rows.deliver(0, [Failure(error)] * len(self.rows.rows), 0.0)

    def _outcome(self, outcome: object) -> Any:
        if type(outcome) is Failed:
            return Failure(outcome.carried.error())
        return _Arrived(self, outcome) if isinstance(outcome, Parcel) else outcome

    def _may_split(self, error: BaseException) -> bool:
        """Whether each row may run alone, after one of them has killed its worker."""
        if len(self.rows.rows) == 1 or not self.executor._blames_a_row(error):
            return False
        return self.executor._starts_again or self.options.retries > 0

    def _split(self, error: BaseException) -> None:
        for index, row in enumerate(self.rows.rows):
            try:
                self.executor._start_row(self.rows, index, row)
            except RuntimeError:  # the executor takes no more calls
                self.rows.deliver(index, [Failure(error)], 0.0)
