"""The map of a generator function: the items of many streams, one by one.

```
 rows ──▶ window: opens a stream for each row, as many at once as there are workers
                    stream ──┐
                    stream ──┼──▶ advance(): of the first stream, or of any
                    stream ──┘
```

A stream that has ended makes room for the next row. The streams run ahead within their
own bounds.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from parallelize.calls.call import SubmittedRows
from parallelize.futures.limit_cycles import noted
from parallelize.mapping.chunk_size import FixedSize
from parallelize.mapping.iterator import (
    MapIterator,
    begin,
    budget_of,
    check_flags,
    check_size,
    open_window,
    pairing_of,
    show_bar,
)
from parallelize.mapping.notes import add_row
from parallelize.mapping.plan import MapConfig
from parallelize.runtime import lifecycle, locks
from parallelize.runtime.blocking import HelpingLock, away
from parallelize.runtime.clock import monotonic
from parallelize.runtime.options import DEFAULTS, check_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence
    from typing import Protocol

    from parallelize.calls.backend import MapBackend
    from parallelize.futures.future import Future
    from parallelize.mapping.items import ErrorBudget, Pairing
    from parallelize.mapping.plan import Deliver, Row
    from parallelize.mapping.progress import Progress
    from parallelize.mapping.window import Window

    class ItemStream(Protocol):
        """A stream, as this module sees it."""

        def _poll(self, *ends: type[BaseException]) -> tuple[Any] | None:
            """Return a tuple of the next item; None if there is none now."""
            ...

        def _is_over(self) -> bool:
            """Whether no more items will come."""
            ...

        def _when_news(self, waker: Callable[[], object]) -> None:
            """Call ``waker()`` once when there is an item, or the end."""
            ...

        def _awaited(self) -> Sequence[Future[Any]]:
            """The futures that have to end before the next item."""
            ...

        def close(self) -> None:
            """Accept no more items."""


__all__ = ("start_merged",)

T = TypeVar("T")

_NOTHING: Any = object()


class _Opened:
    """A stream that is being read, and the row of its call."""

    __slots__ = ("args", "index", "is_watched", "stream")

    def __init__(self, stream: ItemStream, args: Row) -> None:
        self.stream = stream
        self.args = args
        self.index = 0  # of the row
        self.is_watched = False  # whether the stream is going to wake the reader


class _Opening(MapConfig):
    """Opens a stream for each row; it is delivered at once."""

    __slots__ = ()

    def start_alone(self, rows: Sequence[Row], deliver: Deliver) -> SubmittedRows:
        """Open the stream of one row."""
        (row,) = rows
        deliver(0, [_Opened(self.fn(*row), row)], 0.0)
        return SubmittedRows(bool, _no_futures)


def _no_futures() -> tuple[()]:
    return ()


class _Merged(MapIterator[T]):
    """The iterator of such a map."""

    __slots__ = ("__weakref__", "_reader")

    def __init__(self, reader: _Merging[T]) -> None:
        self._reader: Any = reader  # has what `MapIterator` uses of a `Reader`

    def __next__(self) -> T:
        return self._reader.advance()  # type: ignore[no-any-return]

    def __reduce__(self) -> str:
        msg = "a map can neither be copied nor pickled"
        raise TypeError(msg)


class _Merging(Generic[T]):
    """Reads the streams; in place of the `Reader` of other maps.

    Attributes:
        ready: No item is available without a step of Python.
    """

    ready: ClassVar[tuple[Any, ...]] = ()

    def __init__(
        self,
        window: Window,
        *,
        ordered: bool,
        timeout: float | None,
        return_exceptions: bool,
        budget: ErrorBudget | None,
        pairing: Pairing | None,
        progress: Progress | None,
    ) -> None:
        self._window = window
        self._is_ordered = ordered
        self._deadline = None if timeout is None else monotonic() + timeout
        self._return_exceptions = return_exceptions
        self._budget = budget
        self._pairing = pairing
        self._progress = progress
        self._open: deque[_Opened] = deque()  # the one to ask next is the first
        self._waker: Callable[[], object] = bool  # wakes the reader that waits
        self._noted: str | None = None  # the note that was last added to an error
        # Held while an item is looked for. Other locks are acquired under it, the
        # input is read, and generators may run.
        self._turn = HelpingLock()

    # The items.

    def advance(self) -> T:
        """Return the next item."""
        if self._window.is_asynchronous:
            msg = "the input of this map is asynchronous: read the map by async for"
            raise TypeError(msg)
        return self._turn.held(self._next)

    def _next(self) -> T:
        try:
            while (item := self._step(StopIteration)) is _NOTHING:
                latch = locks.Latch()
                self._wake_by(latch.set)
                with away(*self.awaited()):
                    if not latch.wait(self._seconds_left()):
                        raise TimeoutError
        except BaseException:
            self.close()
            raise
        return item  # type: ignore[no-any-return]

    async def advance_async(self) -> T:
        """Return the next item, without blocking the running loop."""
        import asyncio

        from parallelize.futures.aio import running_loop

        running_loop("a map can be read by async for")
        try:
            await asyncio.sleep(0)  # let other tasks run now and then
            while (item := self._step(StopIteration, StopAsyncIteration)) is _NOTHING:
                await self._news()
        except asyncio.CancelledError:
            raise  # the task is cancelled, and may read again
        except StopIteration:
            self.close()
            raise StopAsyncIteration from None
        except BaseException:
            self.close()
            raise
        return item  # type: ignore[no-any-return]

    async def _news(self) -> None:
        from parallelize.runtime import timer
        from parallelize.runtime.loop_thread import until, wake

        seconds = self._seconds_left()
        news = until(self._wake_by)
        if seconds is None:
            await noted(news, self.awaited)
            return
        if seconds <= 0:
            raise TimeoutError
        late = timer.after(seconds, partial(wake, news))
        try:
            await noted(news, self.awaited)
        finally:
            late.cancel()

    def _step(self, *ends: type[BaseException]) -> Any:
        """Return an item if there is one, else `_NOTHING`.

        Raises:
            StopIteration: All streams have ended.
        """
        item: Any = None
        while item is None:
            self._admit()
            if not self._open and self._window.is_over():
                if self._progress is not None:
                    self._progress.close()
                raise StopIteration
            item = self._poll(*ends)
        return item[0]

    def _admit(self) -> None:
        """Take the streams that were opened."""
        window = self._window
        window.was_read = True
        window.fill()
        while (part := window.take()) is not None:
            for index, opened in enumerate(part.outcomes, part.chunk.start):
                opened.index = index
                self._open.append(opened)

    def _poll(self, *ends: type[BaseException]) -> tuple[Any] | None:
        """Ask the streams for an item: a tuple of it, or of `_NOTHING`.

        Returns:
            None: One has ended, which makes room for the next.
        """
        for _ in range(1 if self._is_ordered else len(self._open)):
            try:
                opened = self._open[0]
            except IndexError:  # another thread has closed the map
                break
            if not self._is_ordered:
                self._open.rotate(-1)
            try:
                found = opened.stream._poll(*ends)
            except BaseException as error:
                self._end(opened)
                if isinstance(error, KeyboardInterrupt):  # it is for the reader
                    raise
                return (self._yielded(opened, error),)
            if found is not None:
                return (self._paired(opened, found[0]),)
            if opened.stream._is_over():
                self._end(opened)
                return None
        return (_NOTHING,)

    def _yielded(self, opened: _Opened, error: BaseException) -> Any:
        """Return the error of a stream as an item, or raise it, or too many of them."""
        try:
            self._noted = add_row(error, opened.index, opened.args, self._noted)
            if not self._return_exceptions:
                raise error
            group = None if self._budget is None else self._budget.add(error)
            if group is not None:
                raise group
            return self._paired(opened, error)
        finally:
            group = None
            del self, opened, error  # their tracebacks refer to this frame

    def _paired(self, opened: _Opened, item: Any) -> Any:
        return (
            item if self._pairing is None else (self._pairing.item(opened.args), item)
        )

    def _end(self, opened: _Opened) -> None:
        """Make room for the next stream."""
        with suppress(ValueError):  # another thread has closed the map
            self._open.remove(opened)
        self._window.given(1)
        if self._progress is not None:
            self._progress.advance(1)

    # Waiting.

    def _wake_by(self, waker: Callable[[], object]) -> None:
        """Call ``waker()``, in any thread, when there may be an item."""
        self._waker = waker
        window = self._window
        by_itself = window.is_fed or window.is_asynchronous
        if by_itself and window.is_wanting():
            window.call_when_news(waker)
        for opened in list(self._open)[: 1 if self._is_ordered else None]:
            if not opened.is_watched:
                opened.is_watched = True
                opened.stream._when_news(partial(self._wake, opened))
        if not self._open and not by_itself:
            waker()

    def _wake(self, opened: _Opened) -> None:
        opened.is_watched = False
        self._waker()

    def awaited(self) -> list[Future[Any]]:
        """The futures that have to end before the next item, as far as known."""
        return [future for each in self._open for future in each.stream._awaited()]

    def needs_loop(self) -> bool:
        """Whether the input can only be read in an event loop."""
        return self._window.is_asynchronous

    def belongs_to_a_thread(self) -> bool:
        """Whether the input is known to be readable in the current thread only."""
        return self._window.belongs_to_a_thread()

    def _seconds_left(self) -> float | None:
        return None if self._deadline is None else self._deadline - monotonic()

    # The end of the map.

    def close(self) -> None:
        """See `MapIterator.close`."""
        self._window.close()
        for opened in list(self._open):
            opened.stream.close()
        self._open.clear()
        self._waker()
        if self._progress is not None:
            self._progress.close()

    async def closed(self) -> None:
        """Close, and wait until an asynchronous input is closed, too."""
        self.close()
        await self._window.closed()

    def dropped(self) -> None:
        """Called when the iterator is garbage collected, in any thread."""
        lifecycle.later(self.close)


def start_merged(
    executor: MapBackend,
    opener: Callable[..., ItemStream],
    iterables: Sequence[Iterable[Any] | AsyncIterable[Any]],
    *,
    timeout: float | None,
    buffersize: int | None,
    ordered: bool,
    return_exceptions: bool,
    max_errors: int | None,
    with_input: bool,
    progress: bool | str,
    star: bool,
) -> MapIterator[Any]:
    """Open a stream for each row of the iterables, and give the items of all.

    Args:
        executor: Runs the generators.
        opener: Opens the stream of one row.
        iterables: See `start_map`.
        timeout: Seconds from now within which each item must arrive.
        buffersize: The number of streams that are open at once; None: of workers.
        ordered: Whether the items of one stream follow those of the one before it.
        return_exceptions: Whether the error of a stream is an item.
        max_errors: The number of such items, at most; None: any number.
        with_input: Whether to yield pairs of a stream's argument and its item.
        progress: Whether to show a bar, of the streams that have ended.
        star: Whether there is one iterable, which provides rows of arguments.
    """
    seconds = check_wait(timeout)
    check_flags(ordered, return_exceptions, progress, with_input)
    budget = budget_of(max_errors, return_exceptions=return_exceptions)
    is_single = len(iterables) == 1 and not star
    number = check_size(buffersize, "buffersize") or max(1, executor._max_workers)
    plan = _Opening(
        executor=executor,
        fn=opener,
        options=DEFAULTS,
        sizes=FixedSize(1),
        least_ahead=number,
        chunks_ahead=None,
        one_by_one=True,
        ordered=True,
        workers=number,
        in_reader=False,
    )
    window = open_window(iterables, plan, star=star)
    begin(window, executor)
    merging: _Merging[Any] = _Merging(
        window,
        ordered=ordered,
        timeout=seconds,
        return_exceptions=return_exceptions,
        budget=budget,
        pairing=pairing_of(0, is_single=is_single) if with_input else None,
        progress=show_bar(progress, window.source.length),
    )
    return _Merged(merging)
