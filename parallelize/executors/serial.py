"""The serial executor: each call runs immediately, in the calling thread.

For debugging: breakpoints, profilers and tracebacks see a plain call, and the rest of
the program needs no change.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import InvalidStateError
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, ClassVar

from parallelize.calls import dependencies
from parallelize.calls.call import Call, admit, run_retrying
from parallelize.calls.in_flight import InFlight
from parallelize.calls.retrying import admit_again, rest
from parallelize.executors.base import Executor
from parallelize.futures.future import Failure, Future
from parallelize.futures.limit_cycles import begin_within, noting_waits
from parallelize.futures.peek import mark_retrieved, name_failure
from parallelize.runtime import blocking
from parallelize.runtime.blocking import here
from parallelize.runtime.locks import Latch
from parallelize.runtime.options import start_in_time
from parallelize.runtime.raised import is_a
from parallelize.tracing import recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.calls.stats import Stats
    from parallelize.calls.tally import Tally
    from parallelize.runtime.options import Args, CallOptions, Kwargs, Limit
    from parallelize.streams.channel import Channel

__all__ = ("SerialExecutor",)


class SerialExecutor(Executor):
    """Runs each call immediately in the calling thread; its futures are done.

    Otherwise it behaves as every other executor: errors are set in the future,
    futures among the arguments are waited for, retries and limits apply. A
    ``timeout`` of a call is ignored, as no other thread could stop the call.
    Ctrl-C is not suppressed: `KeyboardInterrupt` also propagates to the caller.

    Example:
        >>> from parallelize import SerialExecutor
        >>> with SerialExecutor() as executor:
        ...     executor.submit(pow, 2, 5).result()
        32
    """

    kind: ClassVar[str] = "serial"

    def __init__(self) -> None:
        self._max_workers = 1
        self._in_flight = InFlight(self._maps)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls.

        Args:
            wait: Wait for the calls that run in other threads.
            cancel_futures: Make no more ``retries``; otherwise without effect on
                calls, as each started when it was made.
        """
        self._finish_maps(cancel=cancel_futures)
        for future in self._in_flight.close():
            if cancel_futures:
                future._end_retries()  # as it is running
        if wait and not here.depth:  # within a call it would wait for itself
            self._in_flight.wait_empty()

    def _stats(self) -> Stats:
        return self._in_flight.stats(runs_here=True)

    def _submit(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Future[Any]:
        call = self._prepare(fn, args, kwargs, options)
        try:
            call.make()
        finally:
            self._in_flight.discard(call.future)
        try:
            return call.future
        finally:
            del call  # the traceback of its error refers to this frame

    def _start_stream(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
        channel: Channel,
    ) -> None:
        """Let the reader run the generator, step by step."""
        self._in_flight.refuse_if_closed()
        if options.rate is not None:
            tally = self._in_flight.tally
            _SerialCall(tally, fn, args, kwargs, options).await_rate()

    def _prepare(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> _SerialCall:
        call = _SerialCall(self._in_flight.tally, fn, args, kwargs, options)
        recorder = recording.active
        if recorder is not None:
            from parallelize.tracing import timed

            call.fn = timed.call(recorder, "serial", fn, call.future, options)
        self._in_flight.add(call.future)
        return call


def _holds(limit: Limit) -> bool:
    """Whether this thread has a place in the limit, also by a call of a pool."""
    worker = here.worker
    return limit in here.limits or (worker is not None and worker.holds(limit))


class _SerialCall(Call):
    __slots__ = ("args", "context", "has_place", "kwargs", "tally", "turn")

    def __init__(
        self,
        tally: Tally,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
    ) -> None:
        self.tally = tally
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.options = options
        self.context: Context = copy_context()
        self.future = Future()
        self.waits_for = dependencies.futures_in(args, kwargs)
        self.turn: Latch | None = None
        self.has_place = False  # of its own, in its limit

    def start(self) -> None:
        """Wake the caller, which is waiting for the limit or the rate."""
        if self.turn is not None:
            self.turn.set()

    def make(self) -> None:
        """Wait for what the call needs, and run it."""
        try:
            failure = dependencies.first_failure(self.waits_for)  # waits for them
            if failure is not None:
                self.future.set_exception(failure.error)
                name_failure(self.future, self.fn, self.options)
            elif self.options.limit is None or _holds(self.options.limit):
                if self.options.rate is not None:
                    self.await_rate()
                self._run()
            else:
                self._run_limited(self.options.limit)
        finally:
            del self  # the traceback of its error refers to this and the inner frames

    def await_rate(self) -> None:
        """Wait until the rate allows one more start."""
        self._await_turn(start_in_time)

    def _run_limited(self, limit: Limit) -> None:
        self.waits_for = ()
        self._await_turn(admit)
        self.has_place = True
        outer = here.limits
        # A recursive call uses the place that the outer one has; otherwise it would
        # wait for itself forever.
        here.limits = (*outer, limit)
        begin_within(self.context, self.future, self.options)
        try:
            with noting_waits(self.future):
                self._run()
        finally:
            here.limits = outer
            del self

    def _rest(self, seconds: float) -> bool:
        """Wait for the next attempt; return False if it is not wanted any more."""
        self.turn = turn = Latch()
        self.future.add_done_callback(lambda _: turn.set())
        admits = admit_again if self.has_place else start_in_time
        if not rest(self, seconds, admits):
            return False
        with blocking.away(self.future):
            turn.wait()
        return self.future._claim()

    def _await_turn(self, enter: Callable[[Call], object]) -> None:
        self.turn = turn = Latch()
        self.future.add_done_callback(lambda _: turn.set())  # it may be cancelled
        enter(self)
        with blocking.away(self.future):
            turn.wait()

    def _run(self) -> None:
        if not self.future._claim():
            return
        here.depth += 1
        try:
            if self.waits_for:
                value = self.context.run(self._outcome)
            else:
                value = self.context.run(self._retried, self.args, self.kwargs)
        finally:
            here.depth -= 1
        try:
            if type(value) is Failure:
                _fail(self, value.error)
            else:
                _settle(self.future, value)
        finally:
            del self, value

    def _outcome(self) -> Any:
        try:
            args = dependencies.filled(self.args)
            kwargs = dependencies.filled(self.kwargs)
        except Exception as error:  # noqa: BLE001 - of a container that holds futures
            return Failure(error)
        try:
            return self._retried(args, kwargs)
        finally:
            del self

    def _retried(self, args: Args, kwargs: Kwargs) -> Any:
        try:
            return run_retrying(
                self.fn,
                args,
                kwargs,
                self.options,
                self.future._may_repeat,
                self._rest,
                self.tally.retried.step,
            )
        finally:
            del self


def _settle(future: Future[Any], value: Any) -> None:
    with contextlib.suppress(InvalidStateError):  # the user may have completed it
        future.set_result(value)


def _fail(call: Call, error: BaseException) -> None:
    with contextlib.suppress(InvalidStateError):
        call.future.set_exception(error)
    name_failure(call.future, call.fn, call.options)
    if is_a(error, KeyboardInterrupt):
        mark_retrieved(call.future)  # the error is raised in the caller, too
        raise error
