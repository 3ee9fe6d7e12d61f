"""The base of all executors: `submit`, `map` and `shutdown`, over one path for calls.

A concrete executor implements `_prepare` (which fixes the arguments),
`Call.start` (which passes the call to its workers) and `shutdown`. Chunks,
windows and order are the business of the map; it submits rows of calls of one
function through `_start_rows`, which an executor may do better than one by one.

A concrete `shutdown` calls `_finish_maps` before anything else.
"""

from __future__ import annotations

import concurrent.futures
from abc import ABC, abstractmethod
from functools import partial
from types import BuiltinFunctionType, FunctionType

from parallelize.calls.call import Call, Rows, SubmittedRows, admit, run_rows
from parallelize.calls.open_maps import WithMaps
from parallelize.calls.targets import undecorated
from parallelize.errors import QueueFull, TaskTimeout
from parallelize.executors.entrance import WithOwnSubmit
from parallelize.futures.future import error_of
from parallelize.runtime.options import (
    DEFAULTS,
    CallOptions,
    check_callable,
    check_flag,
    name_of,
)
from parallelize.runtime.typed import ParamSpec, TypeVar, overload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence
    from concurrent.futures import Future as AnyFuture
    from os import PathLike
    from types import TracebackType
    from typing import Any, ClassVar, Self, Unpack

    from parallelize.calls.in_flight import InFlight
    from parallelize.calls.stats import Stats
    from parallelize.futures.future import Future
    from parallelize.inside.per_worker import PerWorker
    from parallelize.mapping import MapIterator
    from parallelize.mapping.iterator import (
        Input,
        Pairs,
        PairsOrErrors,
        Results,
        ResultsOrErrors,
    )
    from parallelize.runtime.options import Args, Bound, Kwargs
    from parallelize.streams.channel import Channel
    from parallelize.streams.local import ItemDeadline

__all__ = ("Executor",)

P = ParamSpec("P")
T = TypeVar("T")


class Executor(WithOwnSubmit, WithMaps, concurrent.futures.Executor, ABC):
    """Runs calls elsewhere and returns their futures.

    The abstract base of every executor of parallelize; a real
    `concurrent.futures.Executor` (PEP 3148). An executor of your own derives from that
    class, not from this one.
    """

    #: The word for this kind, which `use` and the ``executor`` option take.
    kind: ClassVar[str]

    #: The number of calls that run at once. Other libraries read this attribute.
    _max_workers: int

    if not TYPE_CHECKING:  # type checkers use the parameters of __init__

        def __new__(cls, *_: object, **__: object) -> Self:
            """Make an executor; refused for this class, which is abstract."""
            if cls is Executor:
                msg = (
                    "Executor is what all executors have in common: make a "
                    "ThreadPoolExecutor, a ProcessPoolExecutor or a SerialExecutor"
                )
                raise TypeError(msg)
            return super().__new__(cls)

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Call ``fn(*args, **kwargs)`` in a worker.

        Args:
            fn: The function.
            *args: Its positional arguments; the call waits for futures among them.
            **kwargs: Its keyword arguments, likewise.

        Returns:
            The future of the call, at once.

        Raises:
            RuntimeError: The executor was shut down.
        """
        kind = type(fn)
        if kind is FunctionType or kind is BuiltinFunctionType:  # the common case
            return self._submit(fn, args, kwargs, DEFAULTS)
        return self._submit_other(fn, args, kwargs)

    def _submit_other(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs
    ) -> Future[Any]:
        check_callable(fn, "fn")
        found = undecorated(fn)
        if found is None:
            return self._submit(fn, args, kwargs, DEFAULTS)
        bound = found.options.max_pending
        if bound is not None and bound.applies():
            name = name_of(fn, found.options)
            return self._submit_bounded(bound, name, fn, args, kwargs)
        args, kwargs = found.args + args, found.kwargs | kwargs
        return self._submit(found.fn, args, kwargs, found.options)

    def _submit_bounded(
        self,
        bound: Bound,
        name: str,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
    ) -> Future[Any]:
        return bound.start(
            lambda: self._submit_other(fn, args, kwargs),
            lambda future: future,
            lambda: QueueFull(name, bound.count),
        )

    @overload  # a decorated function
    def map(
        self,
        fn: Callable[..., AnyFuture[T]],
        *iterables: Input[Any],
        **options: Unpack[Results],
    ) -> MapIterator[T]: ...
    @overload
    def map(
        self,
        fn: Callable[..., AnyFuture[T]],
        *iterables: Input[Any],
        **options: Unpack[Pairs],
    ) -> MapIterator[tuple[Any, T]]: ...
    @overload
    def map(
        self,
        fn: Callable[..., AnyFuture[T]],
        *iterables: Input[Any],
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[T | BaseException]: ...
    @overload
    def map(
        self,
        fn: Callable[..., AnyFuture[T]],
        *iterables: Input[Any],
        **options: Unpack[PairsOrErrors],
    ) -> MapIterator[tuple[Any, T | BaseException]]: ...
    @overload
    def map(
        self, fn: Callable[..., T], *iterables: Input[Any], **options: Unpack[Results]
    ) -> MapIterator[T]: ...
    @overload
    def map(
        self, fn: Callable[..., T], *iterables: Input[Any], **options: Unpack[Pairs]
    ) -> MapIterator[tuple[Any, T]]: ...
    @overload
    def map(
        self,
        fn: Callable[..., T],
        *iterables: Input[Any],
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[T | BaseException]: ...
    @overload
    def map(
        self,
        fn: Callable[..., T],
        *iterables: Input[Any],
        **options: Unpack[PairsOrErrors],
    ) -> MapIterator[tuple[Any, T | BaseException]]: ...
    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any] | AsyncIterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        max_errors: int | None = None,
        with_input: bool = False,
        progress: bool | str = False,
        checkpoint: str | PathLike[str] | None = None,
        checkpoint_key: Callable[..., object] | None = None,
    ) -> MapIterator[Any]:
        """Call ``fn`` with each item of the iterables, as `map` does, in workers.

        Args:
            fn: The function, called with one item of each iterable.
            *iterables: The arguments. They are read at most a bounded window ahead.
                Without any, there is nothing to call. If one is asynchronous, the
                results are for ``async for`` only.
            timeout: Seconds from now within which each result must arrive.
            chunksize: Calls sent to a worker at once; None measures and adapts.
            buffersize: Calls started ahead of the reader; None: chosen automatically.
            ordered: Yield results in the order of the input, else as completed.
            return_exceptions: Yield a call's error as its item, instead of raising.
            max_errors: With ``return_exceptions``: one error more ends the map.
            with_input: Yield pairs of an item and its result.
            progress: Show a progress bar; a string is its description.
            checkpoint: A file that keeps the results: a later run continues from it.
            checkpoint_key: Returns what tells a row from others, given its arguments.

        Returns:
            An iterator over the results, also for ``async for``.
        """
        from parallelize.mapping import start_map

        return start_map(
            self,
            fn,
            iterables or ((),),  # as in the standard library
            options=DEFAULTS,
            timeout=timeout,
            chunksize=chunksize,
            buffersize=buffersize,
            ordered=ordered,
            return_exceptions=return_exceptions,
            max_errors=max_errors,
            with_input=with_input,
            progress=progress,
            checkpoint=checkpoint,
            checkpoint_key=checkpoint_key,
        )

    def warm(self, *objects: PerWorker[Any], wait: bool = True) -> None:
        """Start all workers now, so that no call has to wait for that.

        Each runs its initializer, and makes the given objects. A worker that runs a
        call meanwhile makes them when a call needs them. Workers that were idle for
        long end all the same. A serial executor makes the objects at once; one on an
        engine of others makes them in one of its workers.

        Args:
            *objects: Functions that `per_worker` has decorated; those that belong to
                event loops are refused.
            wait: Return when that is done; else at once.

        Raises:
            TypeError: An object is not made by `per_worker`, or belongs to an event
                loop; or ``wait`` is not a bool.
            RuntimeError: The executor was shut down.
            Exception: A worker could not start, or an object could not be made. Without
                ``wait`` such an error is logged.

        Example:
            >>> from parallelize import ThreadPoolExecutor
            >>> with ThreadPoolExecutor(max_workers=2) as executor:
            ...     executor.warm()
        """
        from parallelize.inside.warming import maker_of

        self._warm_by(maker_of(objects), wait=check_flag(wait, "wait"))

    def stats(self) -> Stats:
        """Return how many workers and calls there are, and how calls have ended.

        It takes no time of calls: the numbers are counted where a lock is held anyway,
        or by each thread for itself. They are exact: a call whose result can be read is
        ``done``. Calls that are added or end meanwhile may be in it or not.

        Example:
            >>> from parallelize import SerialExecutor
            >>> with SerialExecutor() as executor:
            ...     executor.submit(abs, -1).result(), executor.stats().done
            (1, 1)
        """
        return self._stats()

    def _stats(self) -> Stats:
        return self._in_flight.stats()

    #: What counts the calls, where workers do not.
    _in_flight: InFlight

    @property
    def _closed(self) -> bool:
        return self._in_flight.closed

    def _warm_by(self, make: Callable[[], None], *, wait: bool) -> None:
        futures = self._warm(make)
        if wait:
            failed = [each for each in futures if error_of(each) is not None]
            for future in failed[:1]:  # each has been waited for, and looked at
                future.result()

    def _warm(self, make: Callable[[], None]) -> Sequence[Future[None]]:
        """Start all workers; those that run no call then call a function."""
        return [self._submit(make, (), {}, DEFAULTS._replace(name="warm"))]

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Shut down: wait for all calls, unless Ctrl-C ended the block."""
        if exc_type is not None and issubclass(exc_type, KeyboardInterrupt):
            self._abandon()
        else:
            self.shutdown(wait=True)

    def _abandon(self) -> None:
        """End soon: drop what has not started, do not wait for what is running."""
        self.shutdown(wait=False, cancel_futures=True)

    def _submit(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Future[Any]:
        """Start one call; only `submit` calls it directly, others use `_entry`."""
        from parallelize.tracing import recording

        call = self._prepare(fn, args, kwargs, options)
        recorder = recording.active
        if recorder is not None:
            recorder.elsewhere(self.kind, fn, call.future, options)
        try:
            admit(call)
        except BaseException:  # Ctrl-C: no caller has the future, so drop the call
            call.future.cancel()
            raise
        return call.future

    #: Starts the calls of decorated functions and maps, see `entrance`.
    _entry = _submit
    _own_submit: ClassVar[Callable[..., Future[Any]]] = submit

    @abstractmethod
    def _prepare(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Call:
        """Fix the arguments of a call; raise RuntimeError after shutdown."""

    def _start_rows(self, rows: Rows) -> SubmittedRows:
        """Start rows of calls.

        The map passes neither a timeout nor a limit among the options, except to
        executors of processes, and no futures in the rows.
        """
        # All are bound to the function: arguments would be searched for futures.
        task = partial(run_rows, rows.fn, rows.rows, rows.options.in_worker())
        options = rows.options._replace(timeout=None, retries=0)
        future = self._submit(task, (), {}, options)
        self._in_flight.tally.count_each(rows, future)
        return rows.submitted_as(future)

    def _loop_is_here(self) -> bool:
        """Whether the calling thread runs a loop of this executor."""
        return False

    def _start_stream(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
        channel: Channel,
    ) -> Future[Any] | None:
        """Run a generator function into the channel; None if its reader has to."""
        from parallelize.streams.local import Producer

        producer = Producer(fn, channel, _watch(fn, options))
        return self._submit(producer, args, kwargs, options._replace(timeout=None))

    def _runs_here(self) -> bool:
        """Whether the calling thread is a worker of this executor."""
        return False


def _watch(fn: Callable[..., Any], options: CallOptions) -> ItemDeadline | None:
    """Return what limits the time that a generator takes for each item."""
    timeout = options.timeout
    if timeout is None:
        return None
    from parallelize.runtime import timer
    from parallelize.streams.local import ItemDeadline

    name = name_of(fn, options)
    return ItemDeadline(timeout, timer.after, lambda: TaskTimeout(name, timeout))
