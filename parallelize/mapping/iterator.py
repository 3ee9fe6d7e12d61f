"""The iterator of a map, and how a map is started."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, TypeVar, cast

from parallelize.calls.dependencies import futures_in
from parallelize.calls.targets import undecorated
from parallelize.mapping.input import InputSource, is_asynchronous
from parallelize.mapping.plan import plan_map
from parallelize.mapping.reader import Reader
from parallelize.mapping.window import Window
from parallelize.runtime.native import STEPS_ARE_WHOLE
from parallelize.runtime.options import check_callable, check_count, check_wait
from parallelize.streams.tail import ChainedItems

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence
    from os import PathLike
    from typing import Literal, NoReturn, NotRequired, Self, TypeAlias, TypedDict

    from parallelize.calls.backend import MapBackend
    from parallelize.futures.future import Future
    from parallelize.mapping.items import ErrorBudget, Pairing
    from parallelize.mapping.plan import MapConfig
    from parallelize.mapping.progress import Progress
    from parallelize.runtime.options import CallOptions

    S = TypeVar("S")

    # What maps take their arguments from.
    Input: TypeAlias = Iterable[S] | AsyncIterable[S]

    class MapOptions(TypedDict, total=False):
        """The options of a map, for type checkers; see `ParallelFunction.map`.

        Without those on which the type of the items depends: these are added below.
        """

        timeout: float | None
        chunksize: int | None
        buffersize: int | None
        ordered: bool
        progress: bool | str
        max_errors: int | None
        checkpoint: str | PathLike[str] | None
        checkpoint_key: Callable[..., object] | None

    class Results(MapOptions):
        """The options of a map that yields results."""

        with_input: NotRequired[Literal[False]]
        return_exceptions: NotRequired[Literal[False]]

    class ResultsOrErrors(MapOptions):
        """... of one that yields results and errors."""

        with_input: NotRequired[Literal[False]]
        return_exceptions: bool

    class Pairs(MapOptions):
        """... of one that yields pairs of an item and its result."""

        with_input: Literal[True]
        return_exceptions: NotRequired[Literal[False]]

    class PairsOrErrors(MapOptions):
        """... of one that yields pairs of an item and its result or error."""

        with_input: Literal[True]
        return_exceptions: bool


T = TypeVar("T")


class MapIterator(ChainedItems[T]):
    """The results of a map, one by one: for ``for`` and for ``async for``.

    Results are computed a bounded window ahead of the reader. The map ends when its
    input does, at the first error, or when it is closed; then calls that have not
    started are cancelled. As a context manager it closes itself.

    If the iterator is dropped before anything was read from it, all calls still run,
    as with the standard library, where programs call ``executor.map`` only for its
    effects. With a ``buffersize``, however, no more calls than that are made.

    Example:
        >>> from parallelize import threaded
        >>> double = threaded(lambda x: 2 * x)
        >>> list(double.map([1, 2, 3]))
        [2, 4, 6]
    """

    __slots__ = ()

    _reader: Reader[T]

    async def __anext__(self) -> T:
        for item in self._reader.ready:
            return item
        return await self._reader.advance_async()

    def close(self) -> None:
        """End the map: cancel calls that have not started, close the input.

        Running calls continue, and their results are dropped. May be called
        repeatedly, and from any thread.
        """
        self._reader.close()

    async def aclose(self) -> None:
        """Close the map, as `close` does; for `contextlib.aclosing`.

        An asynchronous input has been closed when this returns.
        """
        await self._reader.closed()

    def _awaited(self) -> list[Future[Any]]:
        """The futures that have to end before the next result, as far as known."""
        return self._reader.awaited()

    def _needs_loop(self) -> bool:
        """Whether only ``async for`` can read the map."""
        return self._reader.needs_loop()

    def _belongs_to_a_thread(self) -> bool:
        """Whether its input is known to be readable in the current thread only."""
        return self._reader.belongs_to_a_thread()


class _Chained(chain[T], MapIterator[T]):
    """The one implementation: the steps from item to item are those of a chain.

    It yields the items of a block without running any Python code; between two blocks
    it calls the `Reader`.
    """

    __slots__ = ("__weakref__", "_reader")

    def __new__(
        cls,
        window: Window,
        *,
        timeout: float | None,
        return_exceptions: bool,
        budget: ErrorBudget | None,
        pairing: Pairing | None,
        progress: Progress | None,
    ) -> Self:
        """Start reading the results of the window."""
        reader: Reader[T] = Reader(
            window,
            timeout=timeout,
            return_exceptions=return_exceptions,
            budget=budget,
            pairing=pairing,
            progress=progress,
        )
        self = cast("Self", super().from_iterable(reader.tail.blocks()))
        self._reader = reader
        return self

    def __dir__(self) -> list[str]:
        return dir(MapIterator)  # nothing that is a chain's

    def __reduce__(self) -> NoReturn:  # a chain has one, before Python 3.14
        msg = "a map can neither be copied nor pickled"
        raise TypeError(msg)

    if not STEPS_ARE_WHOLE:

        def __next__(self) -> T:
            """Return the next result; threads that read the same map take turns."""
            return self._reader.turn.held(self._step)

        def _step(self) -> T:
            self._reader.drop_if_closed()
            return super().__next__()


# How a map is started.


def start_map(
    executor: MapBackend,
    fn: Callable[..., T],
    iterables: Sequence[Input[Any]],
    *,
    options: CallOptions,
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
    star: bool = False,
) -> MapIterator[T]:
    """Call ``fn`` with each row of the iterables on an executor.

    `Executor.map` describes the arguments that are not described here.

    Args:
        executor: Runs the calls.
        fn: The function.
        iterables: Each provides one argument. If one of them is asynchronous, the map
            can only be read by ``async for``.
        options: The options of each call.
        timeout: See `Executor.map`, as for the following.
        chunksize: See there.
        buffersize: See there.
        ordered: See there.
        return_exceptions: See there.
        max_errors: See there.
        with_input: See there.
        progress: See there.
        checkpoint: See there.
        checkpoint_key: See there.
        star: Whether there is one iterable, which provides rows of arguments.
    """
    check_callable(fn, "fn")
    seconds = check_wait(timeout)
    check_flags(ordered, return_exceptions, progress, with_input)
    chunksize = check_size(chunksize, "chunksize")
    buffersize = check_size(buffersize, "buffersize")
    budget = budget_of(max_errors, return_exceptions=return_exceptions)
    given = len(iterables)
    fn, iterables, options = _looked_into(fn, iterables, options, star=star)
    if buffersize is None:
        buffersize = options.buffersize
    if options.max_pending is not None:
        most = options.max_pending.count
        buffersize = most if buffersize is None else min(buffersize, most)
    plan = plan_map(executor, fn, options, chunksize, buffersize, ordered=ordered)
    pairing = None
    if with_input:
        plan = plan._replace(keeps_rows=True)
        pairing = pairing_of(len(iterables) - given, is_single=given == 1 and not star)
    if checkpoint is None and checkpoint_key is None:
        window = open_window(iterables, plan, star=star)
    else:
        from parallelize.mapping.checkpoint.window import open_checkpointed

        window = open_checkpointed(
            iterables, plan, star=star, fn=fn, path=checkpoint, key=checkpoint_key
        )
    begin(window, executor)
    return _Chained(
        window,
        timeout=seconds,
        return_exceptions=return_exceptions,
        budget=budget,
        pairing=pairing,
        progress=show_bar(progress, window.source.length),
    )


def _looked_into(
    fn: Callable[..., T],
    iterables: Sequence[Input[Any]],
    options: CallOptions,
    *,
    star: bool,
) -> tuple[Callable[..., T], Sequence[Input[Any]], CallOptions]:
    """Replace an object made from a decorated function, such as a partial of one."""
    found = undecorated(fn)
    if found is None:
        return fn, iterables, options
    if not star and futures_in(found.args, {}):  # as part of rows, they are waited for
        iterables = (*map(repeat, found.args), *iterables)
        found = found._replace(args=())
    return found.alone(), iterables, found.options


def pairing_of(skipped: int, *, is_single: bool) -> Pairing:
    """Return what combines results with their items; see `Pairing`."""
    from parallelize.mapping.items import Pairing

    return Pairing(skipped=skipped, is_single=is_single)


def open_window(
    iterables: Sequence[Input[Any]],
    plan: MapConfig,
    *,
    star: bool,
) -> Window:
    """Return the window over the iterables."""
    # The usual case, synchronous input, needs no further module.
    if any(map(is_asynchronous, iterables)):
        from parallelize.mapping.asynchronous.window import AsyncWindow

        return AsyncWindow(iterables, plan, star=star)
    return Window(
        InputSource(cast("Sequence[Iterable[Any]]", iterables), star=star), plan
    )


def begin(window: Window, executor: MapBackend) -> None:
    """Start the first calls, unless only the reader can; raise if none can start."""
    executor._maps.add(window)
    if window.is_asynchronous:
        return  # its reader starts it
    try:
        window.fill()
        if window.refused is not None:
            raise window.refused
    except BaseException:
        window.close()
        raise


def show_bar(progress: bool | str, total: int | None) -> Progress | None:
    """Show a progress bar, if one is wanted."""
    if progress is False:
        return None
    from parallelize.mapping.progress import Progress

    return Progress(None if progress is True else progress, total)


def check_size(size: int | None, argument: str) -> int | None:
    """Return a number of rows of at least 1, or None; or raise naming the argument."""
    return None if size is None else check_count(size, argument, least=1)


def budget_of(max_errors: int | None, *, return_exceptions: bool) -> ErrorBudget | None:
    """Return what counts errors; None if any number may be yielded."""
    if max_errors is None:
        return None
    if not return_exceptions:
        msg = "max_errors must be given together with return_exceptions=True"
        raise ValueError(msg)
    most = check_count(max_errors, "max_errors", least=0)
    from parallelize.mapping.items import ErrorBudget

    return ErrorBudget(most)


def check_flags(
    ordered: object,
    return_exceptions: object,
    progress: object,
    with_input: object = False,
) -> None:
    """Raise a TypeError that names the argument if one of them is no flag."""
    if not isinstance(ordered, bool):
        raise _wrong("ordered", "True or False", ordered)
    if not isinstance(return_exceptions, bool):
        raise _wrong("return_exceptions", "True or False", return_exceptions)
    if not isinstance(with_input, bool):
        raise _wrong("with_input", "True or False", with_input)
    if not isinstance(progress, (bool, str)):
        raise _wrong("progress", "True, False or a description", progress)


def _wrong(argument: str, expected: str, got: object) -> TypeError:
    return TypeError(f"{argument} must be {expected}, not {got!r}")
