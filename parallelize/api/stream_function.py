"""The decorated generator function: its calls return streams."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Never,
    ParamSpec,
    TypeVar,
)

from parallelize.api.function import ParallelFunction
from parallelize.api.options import UNCHANGED

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence
    from typing import (
        Concatenate,
        Literal,
        NoReturn,
        NotRequired,
        Self,
        TypedDict,
        Unpack,
        overload,
    )

    from typing_extensions import TypeVar as DefaultTypeVar

    from parallelize.api.use import Placement
    from parallelize.mapping import MapIterator
    from parallelize.mapping.iterator import Input
    from parallelize.pace.rate import RateLimit
    from parallelize.registry.kinds import AnyExecutor
    from parallelize.runtime.options import CallOptions, Limit
    from parallelize.streams.stream import Stream

    class StreamMapOptions(TypedDict, total=False):
        """The options of a map of a generator function, for type checkers."""

        timeout: float | None
        buffersize: int | None
        ordered: bool
        max_errors: int | None
        progress: bool | str

    # ... with those on which the type of the items depends, as of other maps.

    class StreamResults(StreamMapOptions):
        with_input: NotRequired[Literal[False]]
        return_exceptions: NotRequired[Literal[False]]

    class StreamResultsOrErrors(StreamMapOptions):
        with_input: NotRequired[Literal[False]]
        return_exceptions: bool

    class StreamPairs(StreamMapOptions):
        with_input: Literal[True]
        return_exceptions: NotRequired[Literal[False]]

    class StreamPairsOrErrors(StreamMapOptions):
        with_input: Literal[True]
        return_exceptions: bool

    A = TypeVar("A")
    Q = ParamSpec("Q")  # P without the bound first parameter
    W = DefaultTypeVar("W", default=Any)  # what the plain function returns
else:
    W = TypeVar("W")

P = ParamSpec("P")
T = TypeVar("T")  # what the generator yields

__all__ = ("StreamFunction",)


# A call returns no future: the type of its result is Never.
class StreamFunction(ParallelFunction[P, Never, W], Generic[P, T, W]):
    """A generator function that runs in a worker while its items are read.

    Made by `threaded`, `processed` and `parallelized`. Each call returns a `Stream`;
    `map` opens a stream for each item, and yields the items of all.

    Example:
        >>> from collections.abc import Iterator
        >>> from parallelize import threaded
        >>> @threaded
        ... def lines(path: str) -> Iterator[str]:
        ...     with open(path) as file:
        ...         yield from file
        >>> with lines(__file__) as stream:
        ...     first = next(stream)
    """

    _gives_futures: ClassVar[bool] = False

    if not TYPE_CHECKING:
        del __annotations__  # noqa: F821 - inspect would take them for the function's

    def __init__(
        self, fn: Callable[P, W], where: Placement, options: CallOptions
    ) -> None:
        _refuse_retries(options)
        super().__init__(fn, where, options)
        self._target = fn  # also for a coroutine function or what it wraps

    # A ParallelFunction in all respects, except that a call returns a stream.
    def __call__(  # type: ignore[override]
        self, /, *args: P.args, **kwargs: P.kwargs
    ) -> Stream[T]:
        """Start the generator, and return the stream of its items at once."""
        from parallelize.streams.stream import open_stream

        options = self._named_options()
        bound = options.max_pending
        if bound is not None and bound.applies():
            return bound.start(
                lambda: self(*args, **kwargs), lambda s: s._reader.future, self._is_full
            )
        target: Any = self._target
        executor = self._source.executor()
        while True:
            try:
                return open_stream(executor, target, args, kwargs, options)
            except RuntimeError:
                # Another thread may have shut the pool down since the look-up.
                fresh = self._source.replacement(executor)
                if fresh is None:
                    raise
                executor = fresh

    if TYPE_CHECKING:
        # The items are not checked against the parameters, as those of an ordinary
        # function are.

        @overload  # type: ignore[override]
        def map(
            self, *iterables: Input[Any], **options: Unpack[StreamResults]
        ) -> MapIterator[T]: ...
        @overload
        def map(
            self, *iterables: Input[Any], **options: Unpack[StreamResultsOrErrors]
        ) -> MapIterator[T | BaseException]: ...
        @overload
        def map(
            self, *iterables: Input[Any], **options: Unpack[StreamPairs]
        ) -> MapIterator[tuple[Any, T]]: ...
        @overload
        def map(
            self, *iterables: Input[Any], **options: Unpack[StreamPairsOrErrors]
        ) -> MapIterator[tuple[Any, T | BaseException]]: ...

    def map(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *iterables: Iterable[Any] | AsyncIterable[Any],
        timeout: float | None = None,
        buffersize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        max_errors: int | None = None,
        with_input: bool = False,
        progress: bool | str = False,
        **refused: Any,
    ) -> MapIterator[Any]:
        """Open a stream for each item of the iterables, and yield what all of them do.

        As many streams are open at once as there are workers; each runs ahead of the
        reader within the ``buffersize`` of the function.

        Args:
            *iterables: The arguments, as of `ParallelFunction.map`.
            timeout: Seconds from now within which each item must arrive.
            buffersize: The number of streams that are open at once; None: as many as
                there are workers.
            ordered: Yield the items of the first stream, then those of the second, and
                so on; else those of all open streams as they arrive.
            return_exceptions: Yield the error of a stream as its last item, instead of
                raising it.
            max_errors: With ``return_exceptions``: one error more ends the map.
            with_input: Yield pairs of an argument and an item of its stream.
            progress: Show a progress bar of the streams; a string is its description.
            **refused: The other options of maps. Each row opens a stream, so there are
                no chunks; and its items are given before it ends, so there is no
                result that a checkpoint could keep.

        Returns:
            An iterator over the items, also for ``async for``.

        Example:
            >>> from collections.abc import Iterator
            >>> from parallelize import threaded
            >>> @threaded
            ... def pages(site: str) -> Iterator[str]:
            ...     for number in range(2):
            ...         yield f"{site}/{number}"
            >>> list(pages.map(["a", "b"]))
            ['a/0', 'a/1', 'b/0', 'b/1']
        """
        return self._merged(
            iterables,
            timeout=timeout,
            buffersize=buffersize,
            ordered=ordered,
            return_exceptions=return_exceptions,
            max_errors=max_errors,
            with_input=with_input,
            progress=progress,
            refused=refused,
            star=False,
        )

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def starmap(
            self, rows: Input[tuple[Any, ...]], /, **options: Unpack[StreamResults]
        ) -> MapIterator[T]: ...
        @overload
        def starmap(
            self,
            rows: Input[tuple[Any, ...]],
            /,
            **options: Unpack[StreamResultsOrErrors],
        ) -> MapIterator[T | BaseException]: ...
        @overload
        def starmap(
            self, rows: Input[tuple[Any, ...]], /, **options: Unpack[StreamPairs]
        ) -> MapIterator[tuple[Any, T]]: ...
        @overload
        def starmap(
            self,
            rows: Input[tuple[Any, ...]],
            /,
            **options: Unpack[StreamPairsOrErrors],
        ) -> MapIterator[tuple[Any, T | BaseException]]: ...

    def starmap(
        self,
        rows: Iterable[tuple[Any, ...]] | AsyncIterable[tuple[Any, ...]],
        /,
        *,
        timeout: float | None = None,
        buffersize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        max_errors: int | None = None,
        with_input: bool = False,
        progress: bool | str = False,
        **refused: Any,
    ) -> MapIterator[Any]:
        """Open a stream for each row of arguments; see `map`."""
        return self._merged(
            (rows,),
            timeout=timeout,
            buffersize=buffersize,
            ordered=ordered,
            return_exceptions=return_exceptions,
            max_errors=max_errors,
            with_input=with_input,
            progress=progress,
            refused=refused,
            star=True,
        )

    def _merged(
        self,
        iterables: Sequence[Input[Any]],
        refused: dict[str, Any],
        **options: Any,  # those of the map, checked by the caller's signature
    ) -> MapIterator[Any]:
        _refuse(refused)
        from parallelize.mapping.merged import start_merged

        self._refuse_lost_class("map")
        return start_merged(
            self._source.open_executor(), self.__call__, iterables, **options
        )

    def _row_target(self) -> NoReturn:
        msg = (
            f"there is no map of the generator function {self.__qualname__} in "
            "another executor than its own: call its method map, or that of a copy, "
            "which `options` makes"
        )
        raise TypeError(msg)

    def options(
        self,
        *,
        max_workers: int | None = UNCHANGED,
        executor: AnyExecutor | None = UNCHANGED,
        timeout: float | None = UNCHANGED,
        limit: int | Limit | None = UNCHANGED,
        rate: float | RateLimit | None = UNCHANGED,
        initializer: Callable[..., object] | None = UNCHANGED,
        initargs: tuple[Any, ...] = UNCHANGED,
        name: str | None = UNCHANGED,
        buffersize: int | None = UNCHANGED,
        **others: Any,
    ) -> Self:
        """Return a copy of the function with other options.

        Args:
            max_workers: As in `ParallelFunction.options`, like those that follow.
            executor: An executor or the name of a kind.
            timeout: Seconds that the generator may take for each item.
            limit: The maximum number of streams of this function that are open at
                once; or a `Limit` shared by several functions.
            rate: The number of streams of this function that may start in a second;
                or a `RateLimit`.
            initializer: Called in each worker of its private pool, when it starts.
            initargs: The arguments of ``initializer``.
            name: The name of the function in errors.
            buffersize: The number of items it may be ahead of its reader.
            **others: Other options of ordinary functions; ``retries`` is refused.

        Returns:
            The copy.

        Example:
            >>> from collections.abc import Iterator
            >>> from parallelize import threaded
            >>> @threaded
            ... def count() -> Iterator[int]:
            ...     yield from range(3)
            >>> list(count.options(buffersize=1)())
            [0, 1, 2]
        """
        return super().options(
            max_workers=max_workers,
            executor=executor,
            timeout=timeout,
            limit=limit,
            rate=rate,
            initializer=initializer,
            initargs=initargs,
            name=name,
            buffersize=buffersize,
            **others,
        )

    def _variant(self, where: Placement, options: CallOptions) -> Self:
        _refuse_retries(options)
        return super()._variant(where, options)

    # Methods, as in ParallelFunction.

    if TYPE_CHECKING:  # the facade binds

        @overload  # type: ignore[override]  # anything at all: a static method
        def __get__(  # type: ignore[misc]
            self: Callable[Concatenate[object, ...], Any],
            instance: object,
            owner: Any = None,
            /,
        ) -> StreamFunction[P, T, W]: ...
        @overload  # the class: a class method
        def __get__(  # type: ignore[misc]
            self: Callable[Concatenate[type[A], Q], Stream[T]],
            instance: A | None,
            owner: type[A],
            /,
        ) -> StreamFunction[Q, T, W]: ...
        @overload  # looked up on the class: not bound
        def __get__(self, instance: None, owner: Any, /) -> Self: ...
        @overload  # the instance: a method
        def __get__(
            self: Callable[Concatenate[A, Q], Stream[T]],
            instance: A,
            owner: Any = None,
            /,
        ) -> StreamFunction[Q, T, W]: ...
        @overload  # something else: a static method
        def __get__(self, instance: object, owner: Any = None, /) -> Self: ...
        def __get__(  # pyright: ignore[reportIncompatibleMethodOverride]
            self, instance: object, owner: Any = None, /
        ) -> Any: ...


_NO_RESULT = (
    "its items are given before it ends, so there is no result to keep; decorate a "
    "function that returns a list of them"
)

#: The options of maps that mean nothing where each row opens a stream, and why.
_REFUSED = {
    "chunksize": "each row opens a stream; see buffersize for how many at once",
    "checkpoint": _NO_RESULT,
    "checkpoint_key": _NO_RESULT,
}


def _refuse(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if name not in _REFUSED:
            msg = f"map got an unexpected keyword argument {name!r}"
            raise TypeError(msg)
        if value is not None:
            msg = f"{name} must be None for a generator function: {_REFUSED[name]}"
            raise ValueError(msg)


def _refuse_retries(options: CallOptions) -> None:
    if options.retries:
        msg = (
            "retries must be 0 for a generator function: its reader may have had some "
            "of the items already, and would get them twice"
        )
        raise ValueError(msg)
