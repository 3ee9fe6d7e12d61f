"""What the reader of a map holds, and how a map begins."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from parallelize.futures import Outcome
from parallelize.mapping.core import Core, Plan
from parallelize.mapping.sizes import FixedSize, MeasuredSize, Sizes
from parallelize.mapping.source import Source
from parallelize.options import check_callable, check_count, check_wait

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from parallelize.executors.base import Executor
    from parallelize.insight.progress import Progress
    from parallelize.options import CallOptions

T = TypeVar("T")

#: How many chunks a worker may be ahead of the reader, ...
CHUNKS_AHEAD = 3
#: ... and how many rows at least, so that one slow row lets others go on.
ROWS_AHEAD = 16

#: In threads and strangers' workers longer rows than this (seconds) go alone:
#: handing one over costs them little, and they cannot give rows back.
ALONE_ABOVE = 0.001


class MapIterator(Iterator[T], AsyncIterator[T]):
    """The results of a map, one by one: for ``for`` and for ``async for``.

    Results are computed a bounded window ahead of the reader. The map ends when its
    input does, at the first error, or when it is closed; then what has not begun is
    cancelled. It may be used as a context manager, which closes it.

    An iterator that is dropped before anything was read from it still has all its
    calls run, as with the standard library, where programs call ``executor.map`` for
    the effects alone. Only a ``buffersize`` means that nobody wants more than that.

    Example:
        >>> from parallelize import threaded
        >>> double = threaded(lambda x: 2 * x)
        >>> list(double.map([1, 2, 3]))
        [2, 4, 6]
    """

    __slots__ = (
        "__weakref__",
        "_core",
        "_deadline",
        "_progress",
        "_ready",
        "_return_exceptions",
        "_sealed",
        "_taken",
    )

    def __init__(
        self,
        core: Core,
        *,
        timeout: float | None,
        return_exceptions: bool,
        progress: Progress | None,
    ) -> None:
        self._core = core
        self._deadline = None if timeout is None else monotonic() + timeout
        self._return_exceptions = return_exceptions
        self._progress = progress
        # Results at hand, the next one last. Popping is atomic and keeps nothing of
        # what was handed over. Those in _sealed may have to be opened.
        self._ready: list[T] = []
        self._sealed: list[Any] = []
        self._taken = 0  # how many were in them when they were full

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return self._ready.pop()
        except IndexError:
            pass  # what follows is no part of handling this error
        return self._advance()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return self._ready.pop()
        except IndexError:
            pass
        return await self._advance_async()

    def close(self) -> None:
        """End the map: cancel what has not begun, close the input.

        Calls that run go on, and their results are dropped. Closing again does
        nothing; any thread may do it.
        """
        self._core.was_read = True
        self._count_given()
        self._ready.clear()
        self._sealed.clear()
        self._core.close()
        if self._progress is not None:
            self._progress.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is None:
            return  # __init__ has failed
        if self._progress is not None:
            self._count_given()
            self._progress.close()
        core.dropped()

    # What is not at hand.

    def _advance(self) -> T:
        if self._sealed:
            return self._open()
        core = self._core
        try:
            self._ask()
            while not self._take():
                if core.is_over():
                    raise StopIteration
                if not core.wait(self._seconds_left()):
                    raise TimeoutError
                core.fill(asked=1)
        except BaseException:
            self.close()
            raise
        return self.__next__()

    async def _advance_async(self) -> T:
        import asyncio

        if self._sealed:
            return self._open()
        core = self._core
        try:
            self._ask()
            # Even where everything is at hand, others get their turn now and then.
            await asyncio.sleep(0)
            while not self._take():
                if core.is_over():
                    raise StopAsyncIteration
                async with asyncio.timeout(self._seconds_left()):
                    await _news(core)
                core.fill(asked=1)
        except asyncio.CancelledError:
            raise  # the task is cancelled, which may well come back for more
        except BaseException:
            self.close()
            raise
        return await self.__anext__()

    def _ask(self) -> None:
        """Let go of what was handed over, and begin calls in its place."""
        core = self._core
        core.was_read = True
        self._count_given()
        core.fill(asked=1)

    def _count_given(self) -> None:
        left = len(self._ready) + len(self._sealed)
        given, self._taken = self._taken - left, left
        if given:
            self._core.given(given)
            if self._progress is not None:
                self._progress.advance(given)

    def _take(self) -> bool:
        """Get the next results at hand, if they have come."""
        outcomes = self._core.take()
        if not outcomes:
            return False
        outcomes.reverse()
        self._taken = len(outcomes)
        kinds = set(map(type, outcomes))
        if any(issubclass(kind, Outcome) for kind in kinds):
            self._sealed = outcomes
        else:
            self._ready = outcomes
        return True

    def _open(self) -> T:
        """Return the next of those that may have to be opened, or raise its error."""
        value, error = _opened(self._sealed.pop())
        if error is None:
            return value  # type: ignore[no-any-return]
        if self._return_exceptions:
            return error  # type: ignore[return-value]  # T says so then
        self.close()
        try:
            raise error
        finally:
            del self, error  # the error's traceback holds this frame

    def _seconds_left(self) -> float | None:
        return None if self._deadline is None else self._deadline - monotonic()


def _opened(sealed: Any) -> tuple[Any, BaseException | None]:
    if not issubclass(type(sealed), Outcome):
        return sealed, None
    return sealed.open()  # type: ignore[no-any-return]  # isinstance would ask proxies


async def _news(core: Core) -> None:
    """Wait, without blocking the running loop, until `Core.wait` would return."""
    import asyncio

    loop = asyncio.get_running_loop()
    news: asyncio.Future[None] = loop.create_future()

    def waker() -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended
            loop.call_soon_threadsafe(_resolve, news)

    core.call_when_news(waker)
    await news


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# How a map begins.


def start_map(
    executor: Executor,
    fn: Callable[..., T],
    iterables: Sequence[Iterable[Any]],
    *,
    options: CallOptions,
    timeout: float | None = None,
    chunksize: int | None = None,
    buffersize: int | None = None,
    ordered: bool = True,
    return_exceptions: bool = False,
    progress: bool | str = False,
    star: bool = False,
) -> MapIterator[T]:
    """Call ``fn`` with each row of the iterables on an executor.

    `Executor.map` tells what the arguments mean that are not told of here.

    Args:
        executor: Runs the calls.
        fn: The function.
        iterables: Each gives one argument.
        options: How each call is to be run.
        timeout: See `Executor.map`, as for the following.
        chunksize: See there.
        buffersize: See there.
        ordered: See there.
        return_exceptions: See there.
        progress: See there.
        star: There is one iterable, and it gives rows of arguments.
    """
    check_callable(fn, "fn")
    seconds = check_wait(timeout)
    _check_kinds(ordered, return_exceptions, progress)
    chunksize = _check_size(chunksize, "chunksize")
    buffersize = _check_size(buffersize, "buffersize")
    source = Source(iterables, star=star)
    plan = _plan(executor, fn, options, chunksize, buffersize, ordered=ordered)
    core = Core(source, plan)
    _begin(core, executor)
    return MapIterator(
        core,
        timeout=seconds,
        return_exceptions=return_exceptions,
        progress=_bar(progress, source.length),
    )


def _begin(core: Core, executor: Executor) -> None:
    executor._maps.add(core)
    try:
        core.fill()
        if core.refused is not None:
            raise core.refused
    except BaseException:
        core.close()
        raise


def _bar(progress: bool | str, total: int | None) -> Progress | None:
    if progress is False:
        return None
    from parallelize.insight.progress import Progress

    return Progress(None if progress is True else progress, total)


def _plan(
    executor: Executor,
    fn: Callable[..., Any],
    options: CallOptions,
    chunksize: int | None,
    buffersize: int | None,
    *,
    ordered: bool,
) -> Plan:
    kind, workers = executor.kind, max(1, executor._max_workers)
    # Processes keep a timeout for each row of a chunk; who else runs a chunk cannot.
    alone = kind != "process" and _has_limits(options)
    lazy = kind == "serial"  # it computes each when it is read
    if lazy or alone:
        chunksize = 1
    least_ahead = 0 if lazy else ROWS_AHEAD * workers
    return Plan(
        executor=executor,
        fn=fn,
        options=options,
        sizes=_sizes(kind, workers, chunksize, buffersize),
        least_ahead=buffersize or least_ahead,
        chunks_ahead=None if buffersize else 0 if lazy else CHUNKS_AHEAD * workers,
        one_by_one=lazy or alone,
        ordered=ordered,
    )


def _has_limits(options: CallOptions) -> bool:
    return options.timeout is not None or options.limit is not None


def _sizes(
    kind: str, workers: int, chunksize: int | None, buffersize: int | None
) -> Sizes:
    if chunksize is not None:
        return FixedSize(min(chunksize, buffersize or chunksize))
    most = MeasuredSize.MOST if buffersize is None else buffersize // (2 * workers)
    return MeasuredSize(workers, most, math.inf if kind == "process" else ALONE_ABOVE)


def _check_size(size: int | None, argument: str) -> int | None:
    return None if size is None else check_count(size, argument, least=1)


def _check_kinds(ordered: object, return_exceptions: object, progress: object) -> None:
    if not isinstance(ordered, bool):
        raise _wrong("ordered", "True or False", ordered)
    if not isinstance(return_exceptions, bool):
        raise _wrong("return_exceptions", "True or False", return_exceptions)
    if not isinstance(progress, (bool, str)):
        raise _wrong("progress", "True, False or a description", progress)


def _wrong(argument: str, expected: str, got: object) -> TypeError:
    return TypeError(f"{argument} must be {expected}, not {got!r}")
