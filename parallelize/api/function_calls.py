"""The calls and maps of a decorated function.

Both find their executor by a `shared_pools.Source`, and run with options that were
checked when the decorator ran; so a call is one look-up and one submit.
"""

from __future__ import annotations

from parallelize.api.facade import CoroutineTarget, FunctionFacade
from parallelize.runtime.typed import Generic, ParamSpec, TypeVar, overload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable
    from os import PathLike
    from typing import Any, Concatenate, TypeVarTuple, Unpack

    from typing_extensions import TypeVar as DefaultTypeVar

    from parallelize.api.use import Placement
    from parallelize.errors import QueueFull
    from parallelize.futures.future import Future
    from parallelize.mapping import MapIterator
    from parallelize.mapping.iterator import (
        Input,
        Pairs,
        PairsOrErrors,
        Results,
        ResultsOrErrors,
    )
    from parallelize.registry.shared_pools import ExecutorSource
    from parallelize.runtime.options import CallOptions

    T = TypeVar("T")
    A = TypeVar("A")
    B = TypeVar("B")
    C = TypeVar("C")
    D = TypeVar("D")
    Q = ParamSpec("Q")  # P without the bound first parameter
    Ts = TypeVarTuple("Ts")
    W = DefaultTypeVar("W", default=Any)  # what the plain function returns
else:
    W = TypeVar("W")

P = ParamSpec("P")
R = TypeVar("R")  # what the future holds: W, or the result of a coroutine W

__all__ = ("FunctionMaps",)


class FunctionCalls(FunctionFacade[P, W], Generic[P, R, W]):
    """The calls and maps of a decorated function."""

    # _where     where calls run, as given to the decorator
    # _source    finds the executor for each call
    # _options   how a call is run

    def __init__(
        self, fn: Callable[P, W], where: Placement, options: CallOptions
    ) -> None:
        self._where = where
        self._source: ExecutorSource = where.source()
        self._options = options
        super().__init__(fn)  # last, as it keeps a copy of this object

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Start a call and return its future at once."""
        target, options = self._target, self._options
        bound = options.max_pending
        if bound is not None and bound.applies():
            return bound.start(lambda: self(*args, **kwargs), _future, self._is_full)
        if target is None:
            target, options = CoroutineTarget(self), self._named_options()
        executor = self._source.executor()
        while True:
            try:
                return executor._entry(target, args, kwargs, options)
            except RuntimeError:
                # Another thread may have shut the pool down since the look-up.
                fresh = self._source.replacement(executor)
                if fresh is None:
                    raise
                executor = fresh

    @overload
    def map(
        self: Callable[[A], Future[R]], a: Input[A], /, **options: Unpack[Results]
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[[A], Future[R]],
        a: Input[A],
        /,
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def map(
        self: Callable[[A, B], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        **options: Unpack[Results],
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[[A, B], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def map(
        self: Callable[[A, B, C], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        **options: Unpack[Results],
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[[A, B, C], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def map(
        self: Callable[[A, B, C, D], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        /,
        **options: Unpack[Results],
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[[A, B, C, D], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        /,
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[R | BaseException]: ...
    @overload  # five and more: unchecked, as in builtins.map
    def map(
        self,
        a: Input[Any],
        b: Input[Any],
        c: Input[Any],
        d: Input[Any],
        e: Input[Any],
        /,
        *more: Input[Any],
        **options: Unpack[Results],
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[Concatenate[Any, Any, Any, Any, Any, Q], Future[R]],
        a: Input[Any],
        b: Input[Any],
        c: Input[Any],
        d: Input[Any],
        e: Input[Any],
        /,
        *more: Input[Any],
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[R | BaseException]: ...
    @overload  # with the items
    def map(
        self: Callable[[A], Future[R]], a: Input[A], /, **options: Unpack[Pairs]
    ) -> MapIterator[tuple[A, R]]: ...
    @overload
    def map(
        self: Callable[[A], Future[R]], a: Input[A], /, **options: Unpack[PairsOrErrors]
    ) -> MapIterator[tuple[A, R | BaseException]]: ...
    @overload
    def map(
        self: Callable[[A, B], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        **options: Unpack[Pairs],
    ) -> MapIterator[tuple[tuple[A, B], R]]: ...
    @overload
    def map(
        self: Callable[[A, B], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        **options: Unpack[PairsOrErrors],
    ) -> MapIterator[tuple[tuple[A, B], R | BaseException]]: ...
    @overload
    def map(
        self: Callable[[A, B, C], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        **options: Unpack[Pairs],
    ) -> MapIterator[tuple[tuple[A, B, C], R]]: ...
    @overload
    def map(
        self: Callable[[A, B, C], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        **options: Unpack[PairsOrErrors],
    ) -> MapIterator[tuple[tuple[A, B, C], R | BaseException]]: ...
    @overload
    def map(
        self,
        a: Input[Any],
        b: Input[Any],
        c: Input[Any],
        d: Input[Any],
        /,
        *more: Input[Any],
        **options: Unpack[Pairs],
    ) -> MapIterator[tuple[tuple[Any, ...], R]]: ...
    @overload
    def map(
        self,
        a: Input[Any],
        b: Input[Any],
        c: Input[Any],
        d: Input[Any],
        /,
        *more: Input[Any],
        **options: Unpack[PairsOrErrors],
    ) -> MapIterator[tuple[tuple[Any, ...], R | BaseException]]: ...
    def map(
        self,
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
        """Call the function with each item of the iterables, as `map` does.

        Args:
            *iterables: The arguments. They are read at most a bounded window ahead.
                If one is asynchronous, the results are for ``async for`` only.
            timeout: Seconds from now within which each result must arrive. (The
                ``timeout`` of the decorator is a different one: it bounds each call.)
            chunksize: Calls sent to a worker at once; None measures and adapts.
            buffersize: Calls started ahead of the reader; None: as the decorator says,
                else chosen automatically.
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
            >>> from parallelize import threaded
            >>> add = threaded(lambda a, b: a + b)
            >>> list(add.map([1, 2], [10, 20]))
            [11, 22]
        """
        from parallelize.mapping import start_map

        self._refuse_lost_class("map")
        return start_map(
            self._source.open_executor(),
            self._row_target(),
            iterables,
            options=self._named_options(),
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

    def _is_full(self) -> QueueFull:
        from parallelize.errors import QueueFull

        options = self._options
        bound, name = options.max_pending, options.name or self._full_name()
        return QueueFull(name, 0 if bound is None else bound.count)

    def _named_options(self) -> CallOptions:
        if self._options.name is not None:
            return self._options
        return self._options._replace(name=self._full_name())


def _future(made: Future[T]) -> Future[T] | None:
    # In a pool of another package it is the value, see `arrived`.
    return made if hasattr(made, "add_done_callback") else None


class FunctionMaps(FunctionCalls[P, R, W], Generic[P, R, W]):
    """The maps over rows, beside those over columns."""

    @overload
    def starmap(
        self: Callable[[A], Future[R]],
        rows: Input[tuple[A]],
        /,
        **options: Unpack[Results],
    ) -> MapIterator[R]: ...
    @overload
    def starmap(
        self: Callable[[A], Future[R]],
        rows: Input[tuple[A]],
        /,
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def starmap(
        self: Callable[[A, B], Future[R]],
        rows: Input[tuple[A, B]],
        /,
        **options: Unpack[Results],
    ) -> MapIterator[R]: ...
    @overload
    def starmap(
        self: Callable[[A, B], Future[R]],
        rows: Input[tuple[A, B]],
        /,
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def starmap(
        self: Callable[[A, B, C], Future[R]],
        rows: Input[tuple[A, B, C]],
        /,
        **options: Unpack[Results],
    ) -> MapIterator[R]: ...
    @overload
    def starmap(
        self: Callable[[A, B, C], Future[R]],
        rows: Input[tuple[A, B, C]],
        /,
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[R | BaseException]: ...
    @overload  # any other arity
    def starmap(
        self: Callable[[*Ts], Future[R]],
        rows: Input[tuple[*Ts]],
        /,
        **options: Unpack[Results],
    ) -> MapIterator[R]: ...
    @overload
    def starmap(
        self: Callable[[*Ts], Future[R]],
        rows: Input[tuple[*Ts]],
        /,
        **options: Unpack[ResultsOrErrors],
    ) -> MapIterator[R | BaseException]: ...
    @overload  # with the rows
    def starmap(
        self: Callable[[*Ts], Future[R]],
        rows: Input[tuple[*Ts]],
        /,
        **options: Unpack[Pairs],
    ) -> MapIterator[tuple[tuple[*Ts], R]]: ...
    @overload
    def starmap(
        self: Callable[[*Ts], Future[R]],
        rows: Input[tuple[*Ts]],
        /,
        **options: Unpack[PairsOrErrors],
    ) -> MapIterator[tuple[tuple[*Ts], R | BaseException]]: ...
    def starmap(
        self,
        rows: Iterable[tuple[Any, ...]] | AsyncIterable[tuple[Any, ...]],
        /,
        *,
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
        """Call the function with each row of arguments, as `itertools.starmap` does.

        Args:
            rows: Tuples, each the arguments of one call. May be asynchronous.
            timeout: As in `map`, like the keywords after it.
            chunksize: Calls sent to a worker at once; None measures and adapts.
            buffersize: Calls started ahead of the reader; None: as the decorator says,
                else chosen automatically.
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
            >>> from parallelize import threaded
            >>> add = threaded(lambda a, b: a + b)
            >>> list(add.starmap([(1, 10), (2, 20)]))
            [11, 22]
        """
        from parallelize.mapping import start_map

        self._refuse_lost_class("starmap")
        return start_map(
            self._source.open_executor(),
            self._row_target(),
            (rows,),
            options=self._named_options(),
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
            star=True,
        )
