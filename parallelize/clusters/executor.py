"""The common base of `DaskExecutor` and `RayExecutor`: calls on a cluster engine.

```
 caller's thread                     engine                   thread of the answers
 _prepare ▸ pack ▸ Call.start ──▶ _hand_over ▸ a worker runs it
 Future ◀── settle ◀──────────────────────────────── queue ◀── the engine reports back
```

The engine queues, places, moves and restarts calls. A backend defines how to submit,
fetch, cancel and kill; futures, callbacks and errors are handled here, in a separate
thread, as the engine's own thread must never wait for the user's code.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from abc import abstractmethod
from functools import partial
from itertools import count
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from parallelize.calls.call import SubmittedRows, run_rows
from parallelize.calls.in_flight import InFlight
from parallelize.clusters import payloads
from parallelize.clusters.call import EngineCall, EngineFuture, RowsCall
from parallelize.clusters.object_cache import ObjectCache
from parallelize.executors.base import Executor
from parallelize.futures.future import Failure, Future
from parallelize.runtime import locks, native
from parallelize.runtime.options import name_of
from parallelize.runtime.services import Service
from parallelize.tracing import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.calls.call import Rows
    from parallelize.clusters.payloads import Payload, RemoteCall
    from parallelize.runtime.options import Args, CallOptions, Kwargs
    from parallelize.streams.channel import Channel

C = TypeVar("C", bound=EngineCall)

_log = logging.getLogger("parallelize")

__all__ = ("EngineExecutor",)


class EngineExecutor(Executor):
    """Runs calls on a third-party engine; each backend is a subclass."""

    #: Whether the engine can stop a running call.
    _can_kill: ClassVar[bool] = False

    #: Whether the engine, even without retries, restarts a call whose worker died.
    _starts_again: ClassVar[bool] = False

    #: Whether the engine by itself ends the calls that depend on one that failed.
    _ends_dependents: ClassVar[bool] = False

    def __init__(self) -> None:
        payloads.this_is_the_program()
        self._pid = os.getpid()
        self._in_flight: InFlight = _InFlight(self)
        self._answers = _Answers()
        self._cache = ObjectCache(self._put, self._is_there)
        # Calls with a timeout that have not ended, by the numbers of their attempts.
        # Accessed by single operations only, each of which is atomic.
        self._timed: dict[int, EngineCall] = {}
        self._numbers = count(1)
        # Held while disconnecting, which happens once; `in flight` and other locks are
        # acquired under it. Reentrant, as a signal handler may close, too.
        self._closing = locks.reentrant("closing")()
        self._is_open = True

    # What a backend implements.

    @abstractmethod
    def _hand_over(
        self,
        call: EngineCall,
        run: Callable[..., Any],
        remote: RemoteCall,
        objects: Sequence[Any],
    ) -> Any:
        """Submit ``run(remote, *objects)``; return the engine's reference.

        References among the objects are replaced by what they refer to. When the call
        has ended, `_answered` is called, with the ``call.attempt`` of this moment.
        """

    @abstractmethod
    def _start_reporter(self, number: int) -> Callable[[], object]:
        """Return what a worker calls so that ``self._begun(number)`` is called here."""

    @abstractmethod
    def _put(self, payload: Payload) -> Any:
        """Put a payload into the cluster; return the engine's reference."""

    @abstractmethod
    def _is_there(self, ref: Any) -> bool:
        """Whether the cluster still has the object, as far as is known."""

    def _content_of(
        self, ref: Any, read: Callable[[], Payload], nbytes: int
    ) -> object | None:
        """Return what a call must keep so that its object can be put again.

        Args:
            ref: The engine's reference to the object.
            read: Returns the object; called at once or not at all.
            nbytes: Its size.
        """
        return None

    @abstractmethod
    def _fetch(self, ref: Any, timeout: float | None = None) -> Payload:
        """Return a result that remains in the cluster; raises `TimeoutError`."""

    @abstractmethod
    def _running(self, refs: Sequence[Any]) -> Sequence[bool | None]:
        """Whether each of these calls has started; None if that takes long to know."""

    @abstractmethod
    def _drop(self, refs: Sequence[Any]) -> None:
        """Do not start any of these calls, and keep none of their results."""

    def _cancel_soon(self, future: EngineFuture[Any]) -> None:
        """Cancel a call unless it has started, without waiting for the engine."""
        future.cancel()

    def _kill(self, ref: Any) -> bool:
        """Stop a call that may be running; return whether the engine can."""
        return False

    def _ask_to_stop(self, ref: Any) -> None:
        """Let `stopping` be true in a running call, if the engine can."""

    @abstractmethod
    def _translated(self, error: BaseException, name: str) -> BaseException | None:
        """Return the engine's error as one of this library; None: a cancellation."""

    def _loss(self) -> str | None:
        """Return why the cluster is lost, for engines that do not fail calls then."""
        return None

    @abstractmethod
    def _leave(self) -> None:
        """Disconnect from the cluster; end it if this executor started it."""

    # How a call is run.

    def _prepare(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> EngineCall:
        return self._made(EngineCall(self, fn, options), args, kwargs)

    def _made(self, call: C, args: Args, kwargs: Kwargs) -> C:
        if self._pid != os.getpid():
            msg = f"a {type(self).__name__} does not outlive os.fork(): make a new one"
            raise RuntimeError(msg)
        self._in_flight.add(call.future)
        call.future.add_done_callback(self._in_flight.discard)
        try:
            call.pack(args, kwargs)
        except Exception as error:  # noqa: BLE001 - a call fails in its future
            call.refuse(error)
        return call

    def _start_stream(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
        channel: Channel,
    ) -> Future[Any] | None:
        msg = (
            f"{name_of(fn, options)} is a generator function: its items can travel "
            f"from threads and processes, not from workers of {self.kind}; use a "
            "function that returns a list of them"
        )
        raise TypeError(msg)

    def _start_rows(self, rows: Rows) -> SubmittedRows:
        call = RowsCall(self, rows)
        self._in_flight.tally.count_each(rows, call.future)
        self._made(call, (rows.rows,), {})
        recorder = recording.active
        if recorder is not None:
            named = partial(run_rows, rows.fn, rows.rows, rows.options)
            recorder.elsewhere(self.kind, named, call.future, rows.options)
        call.start()
        return SubmittedRows(call.cancel, lambda: (call.future,))

    def _restarts(self, error: BaseException) -> int:
        """Return how often the engine restarted the call that ended with this death."""
        return 0

    def _answered(self, call: EngineCall, answer: object, attempt: int) -> None:
        """Let a call end; may be called from any thread of the engine.

        Args:
            call: The call.
            answer: The result of `payloads.run_call`, `Remote` if that remains in the
                cluster, or an error of the engine.
            attempt: The number of the attempt.
        """
        self._answers.put(lambda: _settle(call, answer, attempt))

    def _later(self, action: Callable[[], object]) -> None:
        """Run an action in the thread of the answers, which may wait for the engine."""
        self._answers.put(action)

    def _begun(self, number: int) -> None:
        """Record that a worker started the function of a call with a timeout."""
        call = self._timed.get(number)
        if call is not None:
            self._answers.put(lambda: call.begun(number))

    def _reporter(self, call: EngineCall) -> Callable[[], object]:
        """Return the callable by which a worker reports that an attempt has started."""
        number = call.attempt = next(self._numbers)
        self._timed[number] = call
        call.future.add_done_callback(lambda _: self._untime(number))
        return self._start_reporter(number)

    def _untime(self, number: int) -> None:
        call = self._timed.pop(number, None)
        if call is not None:
            call.untime()

    def _fail_if_lost(self) -> None:
        """End all calls if the cluster is lost, as nothing else would."""
        reason = self._loss()
        if reason is None:
            return
        from parallelize.errors.worker import ClusterLost

        for future in self._in_flight.snapshot():
            call = future._call
            name = call.name() if isinstance(call, EngineCall) else "a call"
            future._set_outcome(Failure(ClusterLost(name, reason)), failed=True)

    # Shutting down.

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls; then disconnect from the cluster.

        A cluster that this executor started ends with it. Any other keeps running, and
        a connection that it did not make stays open.

        Args:
            wait: Return when all calls made here have ended; else at once.
            cancel_futures: Cancel the calls that have not started.
        """
        self._finish_maps(cancel=cancel_futures)
        inside = self._in_flight.close()
        if cancel_futures:
            self._cancel_all(inside)
        if wait:
            self._close()
        else:
            native.start(
                threading.Thread(target=self._close, name="parallelize-closing")
            )

    def _cancel_all(self, futures: Sequence[Future[Any]]) -> None:
        for future in futures:
            future._end_retries()
        waiting = [f for f in futures if not (f.done() or f.running())]
        handed = [f for f in waiting if isinstance(f, EngineFuture) and f.ref]
        running = self._running([f.ref for f in handed])
        known: dict[Future[Any], bool | None] = dict.fromkeys(waiting, False)
        known.update(zip(handed, running, strict=True))
        for future in (f for f in handed if known[f] is None):
            self._cancel_soon(future)
        unbegun = [f for f in waiting if known[f] is False]
        dropped = [f for f in unbegun if Future.cancel(f)]
        self._drop([f.ref for f in handed if f in dropped])

    def _abandon(self) -> None:
        self._finish_maps(cancel=True)
        inside = self._in_flight.close()
        refs = [f.ref for f in inside if isinstance(f, EngineFuture) and f.ref]
        for future in inside:
            future._force_cancel()
        self._drop(refs)
        self._close()

    def _close(self) -> None:
        if self._pid != os.getpid():
            return  # the cluster belongs to the parent
        self._fail_if_lost()
        self._in_flight.wait_empty()
        with self._closing:
            if not self._is_open:
                return
            self._is_open = False
            self._cache.clear()
            self._answers.stop()
            self._leave()


def _settle(call: EngineCall, answer: object, attempt: int) -> None:
    try:
        call.settle(answer, attempt)
    except Exception as error:  # noqa: BLE001 - its future must end
        call.fail(error)


class _InFlight(InFlight):
    """The calls in flight on an engine; checks whether the engine is still there."""

    def __init__(self, executor: EngineExecutor) -> None:
        self._executor = weakref.ref(executor)
        super().__init__(executor._maps)

    def finish(self) -> None:
        executor = self._executor()
        if executor is not None:
            executor._fail_if_lost()
        super().finish()

    def abandon(self) -> None:
        executor = self._executor()
        if executor is not None:
            executor._abandon()


class _Answers:
    """The thread in which calls end; started by the first answer."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        # Guards _service; a leaf lock. Reentrant for signal handlers.
        self._lock = locks.reentrant("answers")()
        self._service: Service | None = None

    def put(self, action: Callable[[], object]) -> None:
        self._queue.put(action)
        if self._service is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._service is None:
                # At the end of the program, it waits for the calls in flight.
                service = Service("parallelize-answers", self._run)
                try:
                    service.start()
                finally:
                    if service.has_started:
                        self._service = service

    def _run(self, service: Service) -> None:
        if service.serve(self._turn):
            self._queue.put(None)  # for a second thread: a signal handler may start one

    def _turn(self) -> bool:
        action = self._queue.get()
        if action is None:
            return False
        try:
            action()
        except Exception:  # noqa: BLE001 - the other calls must end
            _log.exception("an answer could not be delivered")
        return True

    def stop(self) -> None:
        """End the thread after all queued actions; callbacks may call this, too."""
        self._queue.put(None)
        if self._service is not None:
            self._service.join()
