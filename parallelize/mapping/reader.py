"""Provides a map's iterator with items, block by block.

The iterator is an `itertools.chain`; how it gets from one block of items to the next
without a step of Python says `streams.tail`. While one thread waits here for a block,
others wait behind it.
"""

from __future__ import annotations

from array import array
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from parallelize.futures.future import Outcome
from parallelize.futures.limit_cycles import noted
from parallelize.futures.peek import no_end
from parallelize.mapping.window import Spent, Window
from parallelize.runtime import lifecycle
from parallelize.runtime.blocking import HelpingLock
from parallelize.runtime.clock import monotonic
from parallelize.runtime.native import STEPS_ARE_WHOLE
from parallelize.streams.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallelize.futures.future import Future
    from parallelize.mapping.items import ErrorBudget, Pairing
    from parallelize.mapping.order import Part
    from parallelize.mapping.progress import Progress

    # The origin of outcomes (the last one is its `first`), and the number of those
    # left after one was taken.
    _Row = tuple[Part | None, int]

T = TypeVar("T")

#: Values of these types refer to nothing: it does not matter when they are released.
_PLAIN = frozenset((int, float, bool, type(None)))

_NOTHING: Any = object()


class Reader(Generic[T]):
    """What a map's iterator calls for more items.

    Attributes:
        ready: Yields the available items that need no decoding. Any thread may draw
            from it and empty it: each is one step of C code, or done under the
            lock.
        tail: What the iterator draws from.
        turn: Held while a block is fetched; where steps of the chain are not atomic,
            during each of them.
    """

    def __init__(
        self,
        window: Window,
        *,
        timeout: float | None,
        return_exceptions: bool,
        progress: Progress | None,
        budget: ErrorBudget | None = None,
        pairing: Pairing | None = None,
    ) -> None:
        self.ready: Iterator[T] = iter(())
        self._window: Window | Spent = window
        self._deadline = None if timeout is None else monotonic() + timeout
        self._return_exceptions = return_exceptions
        self._budget = budget
        self._pairing = pairing
        self._progress = progress
        # Outcomes that may need decoding, the next one last: popping keeps no
        # reference to what is yielded.
        self._sealed: list[Any] = []
        self._part: Part | None = None  # their origin
        self._noted: str | None = None  # the note that was last added to an error
        self._is_closed = False
        self._taken = 0  # the number of items in either, when they were filled
        # Held while a block is fetched, so that only one thread does this, and waits.
        # The window's locks are acquired under it, and the input is read. Reentrant
        # for signal handlers, and for an input that reads the map that it feeds.
        self.turn: HelpingLock = HelpingLock()
        self.tail: Tail = Tail(self._ask)
        if progress is not None:
            progress.counts(self._not_counted)

    def _ask(self, _: None) -> T:
        """Return an item, or raise StopIteration to let a block follow."""
        return self._opened(*self.turn.held(self._next), StopIteration)

    def _next(self) -> tuple[Any, _Row]:
        outcome = self._at_hand()
        if outcome is _NOTHING:
            outcome = self._fetch()
        try:
            return outcome, (self._part, len(self._sealed))
        finally:
            del outcome  # as in _fetch

    def _at_hand(self) -> Any:
        for item in self.ready:
            return item
        return self._sealed.pop() if self._sealed else _NOTHING

    def _fetch(self) -> Any:
        if self._window.is_asynchronous:
            msg = "the input of this map is asynchronous: read the map by async for"
            raise TypeError(msg)
        try:
            self._fill()
            # Reading the input may have read from this map.
            while (outcome := self._at_hand()) is _NOTHING:
                if self._take():
                    if self._let_it_follow():
                        break
                elif self._is_over(StopIteration):
                    self._let_go()
                    self.tail.end()
                    break
                else:
                    self._wait()
        except BaseException:
            self.close()
            raise
        if outcome is _NOTHING:
            raise StopIteration
        try:
            return outcome
        finally:
            del outcome  # the error of a call that ran in this thread refers here

    def _let_it_follow(self) -> bool:
        """Queue the available block behind the tail, where that is worth it."""
        if self._sealed or self._taken == 1:
            return False  # items are given directly
        return self.tail.follow(self.ready)

    def _wait(self) -> None:
        if self._window.is_on_loop_here():
            msg = (
                "a map of async calls cannot block the loop that they may run on: "
                "read it by async for"
            )
            raise RuntimeError(msg)
        wait = partial(self._window.wait, self._seconds_left())
        # The input may read from this map, too.
        if not (self.turn.unheld(wait) if self._window.is_fed else wait()):
            raise TimeoutError
        self._window.fill(asked=1)

    async def advance_async(self) -> T:
        """Return the next item, without blocking the running loop."""
        from parallelize.futures.aio import is_heavy, running_loop

        running_loop("a map can be read by async for")
        outcome = await self._next_async()
        row = self._part, len(self._sealed)
        if issubclass(type(outcome), Outcome) and is_heavy(outcome):
            try:
                outcome = await _opened_in_thread(outcome)
            except BaseException:  # the task is cancelled, and may read again
                self._sealed.append(outcome)
                raise
        try:
            return self._opened(outcome, row, StopIteration, StopAsyncIteration)
        finally:
            del self, outcome, row  # an error's traceback refers to this frame

    async def _next_async(self) -> Any:
        import asyncio

        if self._sealed:
            return self._sealed.pop()
        try:
            self._fill()
            # Even if items are available, let other tasks run now and then.
            await asyncio.sleep(0)
            while (outcome := self._at_hand()) is _NOTHING:
                if self._window.is_kept:
                    await self._window.saved()
                if self._take():
                    continue
                if self._is_over(StopIteration, StopAsyncIteration):
                    self._let_go()
                    raise StopAsyncIteration
                seconds = self._seconds_left()
                if seconds is not None and seconds <= 0:
                    raise TimeoutError
                await _news(self._window, seconds)
                self._window.fill(asked=1)
        except asyncio.CancelledError:
            raise  # the task is cancelled, and may read again
        except BaseException:
            self.close()
            raise
        return outcome

    def awaited(self) -> list[Future[Any]]:
        """The futures that have to end before the next item, as far as known."""
        return self._window.awaited()

    def needs_loop(self) -> bool:
        """Whether the input can only be read in an event loop."""
        return self._window.is_asynchronous

    def belongs_to_a_thread(self) -> bool:
        """Whether the input is known to be readable in the current thread only."""
        return self._window.belongs_to_a_thread()

    def _is_over(self, *ends: type[BaseException]) -> bool:
        try:
            is_over = self._window.is_over()
        except ends as error:  # raised by the input
            raise no_end(error, *ends) from error
        if is_over and self._progress is not None:
            self._progress.close()
        return is_over

    def _fill(self) -> None:
        """Release what was yielded, and start calls in its place."""
        self._window.was_read = True
        self._part = None
        self._given(self._taken)
        self._window.fill(asked=1)

    def _given(self, count: int) -> None:
        self._taken -= count
        if count:
            self._window.given(count)
            if self._progress is not None:
                self._progress.advance(count)

    def _take(self) -> bool:
        """Get the next results, if they have arrived."""
        part = self._window.take()
        if part is None or not part.outcomes:
            return False
        if self._pairing is not None:
            part = self._pairing.paired(part)
        outcomes = part.outcomes
        self._taken += len(outcomes)
        self._part = None
        if isinstance(outcomes, array):
            self.ready = iter(outcomes)
        else:
            self._sort(outcomes, part)
        return True

    def _sort(self, outcomes: list[Any], part: Part) -> None:
        kinds = part.kinds
        if kinds <= _PLAIN:
            self.ready = iter(outcomes)
            return
        outcomes.reverse()
        if any(issubclass(kind, Outcome) for kind in kinds):
            self._sealed = outcomes
            self._part = part._replace(first=part.first + len(outcomes) - 1)
        else:
            self.ready = map(list.pop, repeat(outcomes, len(outcomes)))

    def _opened(self, outcome: Any, row: _Row, *ends: type[BaseException]) -> T:
        """Return the value, or raise the error, of an item that may need decoding.

        Args:
            outcome: The item.
            row: The origin of the item.
            *ends: The errors that would end the reader's loop.
        """
        if not issubclass(type(outcome), Outcome):  # isinstance would ask proxies
            return outcome  # type: ignore[no-any-return]
        value, error = outcome.open()
        if error is None:
            return value  # type: ignore[no-any-return]
        if self._return_exceptions:
            try:
                return self._yielded(outcome, error, row)
            finally:
                del self, outcome, row, error  # an ExceptionGroup may refer to them
        self.close()
        try:
            error = no_end(error, *ends)
            self._note(error, row)
            raise error
        finally:
            del self, outcome, row, error  # the error's traceback refers to this frame

    def _yielded(self, outcome: Any, error: BaseException, row: _Row) -> T:
        """Return the error of a call as the item; raise if there were too many."""
        try:
            self._note(error, row)
            group = None if self._budget is None else self._budget.add(error)
            if group is not None:
                self.close()
                raise group
            yielded: Any = error if self._pairing is None else (outcome.item, error)
            return yielded  # type: ignore[no-any-return]  # the declared type says so
        finally:
            del self, outcome, row, error  # as in _opened

    def _note(self, error: BaseException, row: _Row) -> None:
        """Add a note to the error that gives the row."""
        part, left = row
        if part is None:
            return
        from parallelize.mapping.notes import add_row

        chunk, place = part.chunk, part.first - left
        args = chunk.failed.get(place)
        self._noted = add_row(error, chunk.start + place, args, self._noted)

    def _seconds_left(self) -> float | None:
        return None if self._deadline is None else self._deadline - monotonic()

    # The end of the map.

    def _let_go(self) -> None:
        """Release everything of a finished map, as the user may keep the iterator."""
        window = self._window
        window.close()
        if not window.is_asynchronous:  # an async input may still be closing
            self._window = Spent()
        if self._progress is not None:
            self._progress.close()

    def close(self) -> None:
        """See `MapIterator.close`."""
        self._window.was_read = True
        self._is_closed = True
        # A thread in the middle of a step may wait for an effect of this call.
        if STEPS_ARE_WHOLE:
            self._count_given()
        else:
            self.turn.if_free(self._count_given)
        self._window.close()
        if self._progress is not None:
            self._progress.close()

    def drop_if_closed(self) -> None:
        """Do what `close` had to leave to other threads; call in one's turn."""
        if self._is_closed:
            self._count_given()

    async def closed(self) -> None:
        """Close, and wait until an asynchronous input is closed, too."""
        self.close()
        await self._window.closed()

    def _count_given(self) -> None:
        """Count the available items that were yielded, and drop the others."""
        count = self._not_counted()
        self._sealed.clear()
        self._part = None
        self._given(count)
        self._taken = 0

    def _not_counted(self) -> int:
        """The number of available items that were yielded; drops the others."""
        left = len(list(self.ready)) + len(self._sealed)
        return max(self._taken - left, 0)

    def dropped(self) -> None:
        """Called when the iterator is garbage collected, in any thread."""
        self.tail.drop()
        if self._progress is not None:
            self._drop_progress(self._progress)
        if not self._window.is_spent:
            lifecycle.later(self._window.dropped)

    def _drop_progress(self, progress: Progress) -> None:
        given = self._not_counted()
        if not progress.close_at_once(given):
            lifecycle.later(partial(_close, progress, given))


def _close(progress: Progress, given: int) -> None:
    progress.advance(given)
    progress.close()


async def _news(window: Window | Spent, seconds: float | None) -> None:
    """Wait, without blocking the running loop, until `Window.wait` would return."""
    from parallelize.futures.aio import running_loop
    from parallelize.runtime.loop_thread import until, wake

    running_loop("a map can be read by async for")
    news = until(window.call_when_news)
    if seconds is None:
        await noted(news, window.awaited)
        return
    from parallelize.runtime import timer

    # Not the loop's own clock, which a test may have replaced.
    late = timer.after(seconds, partial(wake, news))
    try:
        await noted(news, window.awaited)
    finally:
        late.cancel()


class _Open(Outcome):
    """An outcome that has been decoded already."""

    __slots__ = ("_pair", "item")

    def __init__(self, pair: tuple[Any, BaseException | None], item: object) -> None:
        self._pair = pair
        self.item = item  # see `PairedOutcome`

    def open(self) -> tuple[Any, BaseException | None]:
        return self._pair


async def _opened_in_thread(outcome: Outcome) -> Outcome:
    import asyncio

    opened = await asyncio.to_thread(outcome.open)
    return _Open(opened, getattr(outcome, "item", None))
