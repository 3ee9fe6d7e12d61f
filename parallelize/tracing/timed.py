"""Functions that record when they run; executors of this process run them in a trace.

Each is made when its call is submitted, and replaces the function that it times.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from parallelize.calls.coroutines import called
from parallelize.calls.targets import AsyncTarget
from parallelize.futures.future import Failure
from parallelize.runtime.clock import monotonic_ns
from parallelize.runtime.options import DEFAULTS
from parallelize.tracing.labels import is_rows
from parallelize.tracing.recording import Lane, TaskRecord

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import AsyncGenerator, Callable, Generator
    from typing import Protocol

    from parallelize.runtime.options import CallOptions
    from parallelize.tracing.recording import Recorder

    class Counted(Protocol):
        """Rows for one thread to run."""

        @property
        def count(self) -> int:
            """The number of rows when the thread starts them."""
            ...


def call(
    recorder: Recorder,
    kind: str,
    fn: Callable[..., Any],
    future: concurrent.futures.Future[Any],
    options: CallOptions = DEFAULTS,
) -> Callable[..., Any]:
    """Return a timed version of a function, or of one that runs rows of a map."""
    timed = _Call(fn, recorder.new(kind, fn, options))
    future.add_done_callback(timed.future_done)
    return timed


def again(
    recorder: Recorder, before: object, fn: Callable[..., Any]
) -> Callable[..., Any]:
    """Return a timed version of a further attempt at the call that was ``before``."""
    if not isinstance(before, _Call):  # it was submitted when nothing was recorded
        return fn
    before.renew(recorder, fn)
    return before


def retried() -> None:
    """Note that the call that runs in this thread begins another attempt at once."""
    if _here.runs is not None:
        _here.runs.attempt += 1
        _here.runs.note("retried")


def coroutine(
    recorder: Recorder,
    kind: str,
    target: AsyncTarget,
    future: concurrent.futures.Future[Any],
    options: CallOptions,
) -> AsyncTarget:
    """Return a timed version of a coroutine function, which shares a loop."""
    record = recorder.new(kind, target, options)
    record.on_loop = True
    future.add_done_callback(record.future_done)
    return AsyncTarget(_Coroutine(target, record))


def generator(
    recorder: Recorder, kind: str, fn: Callable[..., Any], options: CallOptions
) -> Callable[..., Any]:
    """Return a timed version of a generator function that its reader runs."""
    return _Generator(fn, recorder.new(kind, fn, options))


def _begin(record: TaskRecord) -> None:
    thread = threading.current_thread()
    record.lane = Lane(record.kind, thread.ident or 0, thread.name)
    if record.started:  # it is tried again in the same place
        record.attempt += 1
        record.note("retried")
    record.sent = monotonic_ns()
    record.begin(record.sent)


class _Here(threading.local):
    """The record of the call that this thread is running."""

    runs: TaskRecord | None = None


_here = _Here()


class _Call:
    """A function that records when it runs, and in which thread.

    Attributes:
        traced_fn: The function itself.
    """

    __slots__ = ("_outer", "_record", "traced_fn")

    def __init__(self, fn: Callable[..., Any], record: TaskRecord) -> None:
        self.traced_fn: Callable[..., Any] = fn
        self._record = record
        # Set for rows that a thread returned while it ran others of the same map.
        self._outer = _here.runs if is_rows(fn) else None

    def future_done(self, future: concurrent.futures.Future[Any]) -> None:
        """Record the end of the last attempt, as a callback of the future."""
        self._record.future_done(future)

    def renew(self, recorder: Recorder, fn: Callable[..., Any]) -> None:
        """Record a further attempt, by another function."""
        self._record.close("failed", is_last=False)
        self.traced_fn = fn
        self._record = recorder.keep(self._record.again(), "retried")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        record, fn = self._record, self.traced_fn
        if is_rows(fn):
            self._count(*args)
        if record.within is not None:
            fn = record.within.wrap(fn)
        outer, _here.runs = _here.runs, record
        _begin(record)
        try:
            value = fn(*args, **kwargs)
        except BaseException:
            record.outcome = "failed"
            raise
        else:
            if type(value) is Failure:
                record.outcome = "failed"
            return value
        finally:
            record.ended = monotonic_ns()
            _here.runs = outer

    def _count(self, rows: Counted) -> None:
        self._record.count = rows.count
        if self._outer is not None:
            self._outer.count -= rows.count
            self._outer = None


class _Coroutine:
    """A coroutine function that records when it runs."""

    def __init__(self, target: AsyncTarget, record: TaskRecord) -> None:
        self._target = target
        self._record = record

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        record = self._record
        _begin(record)
        if record.within is not None:
            record.within.enter()
        try:
            return await called(self._target.coroutine, args, kwargs)
        except BaseException:
            record.outcome = record.outcome or "failed"
            raise
        finally:
            record.ended = monotonic_ns()


class _Generator:
    """A generator function that records when it runs, from first step to last."""

    def __init__(self, fn: Callable[..., Any], record: TaskRecord) -> None:
        self._fn = fn
        self._record = record

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        source = self._fn(*args, **kwargs)
        if hasattr(source, "__anext__"):
            return self._run_async(source)
        return self._run(source)

    def _run(self, source: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        with self._noted():
            yield from source

    async def _run_async(
        self, source: AsyncGenerator[Any, Any]
    ) -> AsyncGenerator[Any, Any]:
        with self._noted():
            async with contextlib.aclosing(source):
                async for item in source:
                    yield item

    def _noted(self) -> _Noted:
        return _Noted(self._record)


class _Noted:
    """A context manager that records the time of its block.

    A class, because `contextlib.contextmanager` sets attributes of exceptions.
    """

    def __init__(self, record: TaskRecord) -> None:
        self._record = record

    def __enter__(self) -> None:
        _begin(self._record)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        record = self._record
        if kind is not None:
            # If it is closed, its reader has read enough.
            record.outcome = "done" if issubclass(kind, GeneratorExit) else "failed"
        record.ended = monotonic_ns()
        record.close("done")
