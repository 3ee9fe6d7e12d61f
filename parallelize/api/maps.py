"""Parallel maps of functions that are not decorated.

`thread_map` and `process_map` name the kind of worker, `parallel_map` takes any
executor. All use the one map of `parallelize.mapping`; they accept decorated
functions, too, which keep the options of their calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parallelize.api.function import ParallelFunction, row_target
from parallelize.api.use import Placement
from parallelize.calls.targets import undecorated
from parallelize.registry.kinds import adapt
from parallelize.runtime.options import check_callable, check_workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
    from concurrent.futures import Future as AnyFuture
    from os import PathLike
    from typing import Protocol, TypeVar, Unpack, overload

    from parallelize.executors.base import Executor
    from parallelize.mapping import MapIterator
    from parallelize.mapping.iterator import (
        Input,
        MapOptions,
        Pairs,
        PairsOrErrors,
        Results,
        ResultsOrErrors,
    )
    from parallelize.registry.kinds import AnyExecutor
    from parallelize.registry.shared_pools import ExecutorSource

    T = TypeVar("T")

    # The items are not type-checked against the parameters of the function: that would
    # take forty-five overloads. The `map` of a decorated function does check them.

    class PoolMap(Protocol):
        """What `thread_map` and `process_map` are for type checkers."""

        __name__: str
        __qualname__: str

        @overload  # a decorated function, or a coroutine function
        def __call__(
            self,
            fn: Callable[..., AnyFuture[T] | Coroutine[Any, Any, T]],
            /,
            *iterables: Input[Any],
            max_workers: int | None = None,
            **options: Unpack[Results],
        ) -> MapIterator[T]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., AnyFuture[T] | Coroutine[Any, Any, T]],
            /,
            *iterables: Input[Any],
            max_workers: int | None = None,
            **options: Unpack[Pairs],
        ) -> MapIterator[tuple[Any, T]]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., AnyFuture[T] | Coroutine[Any, Any, T]],
            /,
            *iterables: Input[Any],
            max_workers: int | None = None,
            **options: Unpack[ResultsOrErrors],
        ) -> MapIterator[T | BaseException]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., AnyFuture[T] | Coroutine[Any, Any, T]],
            /,
            *iterables: Input[Any],
            max_workers: int | None = None,
            **options: Unpack[PairsOrErrors],
        ) -> MapIterator[tuple[Any, T | BaseException]]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., T],
            /,
            *iterables: Input[Any],
            max_workers: int | None = None,
            **options: Unpack[Results],
        ) -> MapIterator[T]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., T],
            /,
            *iterables: Input[Any],
            max_workers: int | None = None,
            **options: Unpack[Pairs],
        ) -> MapIterator[tuple[Any, T]]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., T],
            /,
            *iterables: Input[Any],
            max_workers: int | None = None,
            **options: Unpack[ResultsOrErrors],
        ) -> MapIterator[T | BaseException]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., T],
            /,
            *iterables: Input[Any],
            max_workers: int | None = None,
            **options: Unpack[PairsOrErrors],
        ) -> MapIterator[tuple[Any, T | BaseException]]: ...

    class ParallelMap(Protocol):
        """What `parallel_map` is for type checkers."""

        __name__: str
        __qualname__: str

        @overload  # a decorated function, or a coroutine function
        def __call__(
            self,
            fn: Callable[..., AnyFuture[T] | Coroutine[Any, Any, T]],
            /,
            *iterables: Input[Any],
            executor: AnyExecutor | None = None,
            **options: Unpack[Results],
        ) -> MapIterator[T]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., AnyFuture[T] | Coroutine[Any, Any, T]],
            /,
            *iterables: Input[Any],
            executor: AnyExecutor | None = None,
            **options: Unpack[Pairs],
        ) -> MapIterator[tuple[Any, T]]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., AnyFuture[T] | Coroutine[Any, Any, T]],
            /,
            *iterables: Input[Any],
            executor: AnyExecutor | None = None,
            **options: Unpack[ResultsOrErrors],
        ) -> MapIterator[T | BaseException]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., AnyFuture[T] | Coroutine[Any, Any, T]],
            /,
            *iterables: Input[Any],
            executor: AnyExecutor | None = None,
            **options: Unpack[PairsOrErrors],
        ) -> MapIterator[tuple[Any, T | BaseException]]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., T],
            /,
            *iterables: Input[Any],
            executor: AnyExecutor | None = None,
            **options: Unpack[Results],
        ) -> MapIterator[T]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., T],
            /,
            *iterables: Input[Any],
            executor: AnyExecutor | None = None,
            **options: Unpack[Pairs],
        ) -> MapIterator[tuple[Any, T]]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., T],
            /,
            *iterables: Input[Any],
            executor: AnyExecutor | None = None,
            **options: Unpack[ResultsOrErrors],
        ) -> MapIterator[T | BaseException]: ...
        @overload
        def __call__(
            self,
            fn: Callable[..., T],
            /,
            *iterables: Input[Any],
            executor: AnyExecutor | None = None,
            **options: Unpack[PairsOrErrors],
        ) -> MapIterator[tuple[Any, T | BaseException]]: ...


__all__ = ("parallel_map", "process_map", "thread_map")


def _in_pool(kind: str) -> Callable[[Callable[..., Any]], PoolMap]:
    """Make a map of the name and the docstring of a function."""

    def named(documented: Callable[..., Any]) -> PoolMap:
        def map_in_pool(
            fn: Callable[..., Any],
            /,
            *iterables: Iterable[Any] | AsyncIterable[Any],
            max_workers: int | None = None,
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
            where = Placement(kind, max_workers=check_workers(max_workers))
            return _map(
                where,
                fn,
                iterables,
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

        map_in_pool.__name__ = documented.__name__
        map_in_pool.__qualname__ = documented.__qualname__
        map_in_pool.__doc__ = documented.__doc__
        typed: Any = map_in_pool  # its overloads are declared by PoolMap
        return typed  # type: ignore[no-any-return]

    return named


@_in_pool("threads")
def thread_map(fn: Any, /, *iterables: Any, **options: Unpack[MapOptions]) -> Any:
    """Call ``fn`` with each item of the iterables, as `map` does, in threads.

    Args:
        fn: The function, plain or decorated, called with one item of each iterable.
        *iterables: The arguments. They are read at most a bounded window ahead.
        max_workers: Use a pool of this many threads for this map only, instead of the
            shared one; `use` does not redirect it.
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

    Example:
        >>> from parallelize import thread_map
        >>> list(thread_map(str.upper, ["a", "b"]))
        ['A', 'B']
    """


@_in_pool("processes")
def process_map(fn: Any, /, *iterables: Any, **options: Unpack[MapOptions]) -> Any:
    """Call ``fn`` with each item of the iterables, as `map` does, in processes.

    Args:
        fn: The function, plain or decorated, called with one item of each iterable.
        *iterables: The arguments. They are read at most a bounded window ahead.
        max_workers: Use a pool of this many processes for this map only, instead of
            the shared one; `use` does not redirect it.
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

    Example:
        >>> from parallelize import process_map
        >>> list(process_map(pow, [2, 3], [5, 2]))
        [32, 9]
    """


def _typed(fn: Any) -> ParallelMap:
    """Return the function, whose overloads are declared by ParallelMap."""
    return fn  # type: ignore[no-any-return]


@_typed
def parallel_map(
    fn: Callable[..., Any],
    /,
    *iterables: Iterable[Any] | AsyncIterable[Any],
    executor: AnyExecutor | None = None,
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
    """Call ``fn`` with each item of the iterables, as `map` does, in an executor.

    Args:
        fn: The function, plain or decorated, called with one item of each iterable.
        *iterables: The arguments. They are read at most a bounded window ahead.
        executor: Any PEP 3148 executor or the name of a kind. None: a decorated
            function's own; for a plain function the executor chosen by `use`, else
            processes.
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

    Example:
        >>> from parallelize import parallel_map
        >>> list(parallel_map(str.upper, ["a", "b"], executor="threads"))
        ['A', 'B']
    """
    return _map(
        _chosen(fn, executor),
        fn,
        iterables,
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


def _chosen(fn: Callable[..., Any], executor: object) -> Placement | None:
    """Where a `parallel_map` runs; None: where the decorated function runs."""
    if executor is not None:
        return Placement("processes", executor=adapt(executor))
    return Placement("processes") if undecorated(fn) is None else None


def _map(
    where: Placement | None,
    fn: Callable[..., Any],
    iterables: tuple[Input[Any], ...],
    **options: Any,  # those of a map, checked by the caller's signature
) -> MapIterator[Any]:
    if where is None and isinstance(fn, ParallelFunction):
        return fn.map(*iterables, **options)
    from parallelize.mapping import start_map

    check_callable(fn, "fn")
    executor = _executor(where, fn)
    target, call_options = row_target(fn)
    return start_map(executor, target, iterables, options=call_options, **options)


def _executor(where: Placement | None, fn: Callable[..., Any]) -> Executor:
    found = undecorated(fn) if where is None else None
    if found is not None:
        source: ExecutorSource = found.function._source
        return source.open_executor()
    where = where or Placement("processes")
    # A private pool is held by the map, and ends with it.
    return where.make() if where.wants_own_pool() else where.source().open_executor()
