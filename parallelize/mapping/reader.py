"""Gives a map's iterator its items, block by block.

The iterator is an `itertools.chain`, which gives the items of a block without a
step of Python for each. This is how it comes from one block to the next:

```
                  blocks(): a queue that the chain draws from
                ┌──────┬───────┬──────┐
 chain ◀─ now ──│ tail │ block │ tail │ ...        block    items that are here
                └──────┴───────┴──────┘            tail     asks this Reader
```

A block ends by itself. The tail is asked for one item at a time, and never ends
until a block stands behind it; whoever puts that there ends the tail for once.
All that happens between items is C code of the chain, so threads may share the
iterator (where such a step can be divided they take turns, see `STEPS_ARE_WHOLE`):
while one waits here for a block, others wait behind it; and a thread that comes to
the tail late, when another has ended it but the chain has not moved yet, is given
an item by hand. Two threads must never end it for the same block: the chain would
skip the block.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
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

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from parallelize.mapping.order import Part
    from parallelize.mapping.progress import Progress

    # Where outcomes come from (the last of which is its `first`), and how many are
    # left of them when one was taken.
    _Row = tuple[Part | None, int]

T = TypeVar("T")

#: Values of these types hold nothing: nobody minds when they are let go.
_PLAIN = frozenset((int, float, bool, type(None)))

#: Whether a step of C code, as the chain's, is one step for other threads. If it is,
#: it stays so: the global lock may come back while a program runs, but never goes.
STEPS_ARE_WHOLE: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

_NOTHING: Any = object()
_END: Any = object()


class Reader(Generic[T]):
    """What a map's iterator asks for more.

    Attributes:
        ready: Gives the items at hand that need not be opened. It is drawn from,
            and emptied, by any thread: each is one step of C code, or under
            the lock.
        turn: Held by who fetches a block; where steps of the chain are not whole,
            for each of them.
    """

    def __init__(
        self,
        core: Window,
        *,
        timeout: float | None,
        return_exceptions: bool,
        progress: Progress | None,
    ) -> None:
        self.ready: Iterator[T] = iter(())
        self._core: Window | Spent = core
        self._deadline = None if timeout is None else monotonic() + timeout
        self._return_exceptions = return_exceptions
        self._progress = progress
        # Outcomes that may have to be opened, the next one last: popping keeps
        # nothing of what is handed over.
        self._sealed: list[Any] = []
        self._part: Part | None = None  # where they are from
        self._noted: str | None = None  # the note that was added last to an error
        self._is_closed = False
        self._taken = 0  # how many there were in either, when they were full
        # Held while a block is fetched, so that only one thread does, and waits. The
        # core's locks are taken under it, and the input is read. It is reentrant
        # for signal handlers, and an input that reads the very map it feeds.
        self.turn: HelpingLock = HelpingLock()
        self._tail: Iterator[T] = map(self._ask, repeat(None))
        self._behind: deque[Any] = deque((self._tail,))
        if progress is not None:
            progress.counts(self._not_counted)

    def blocks(self) -> Iterator[Iterator[T]]:
        """What the chain is made of."""
        return iter(self._behind.popleft, _END)

    def _ask(self, _: None) -> T:
        """Be the tail: return an item, or raise StopIteration to let a block follow."""
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
        if self._core.is_asynchronous:
            msg = "the input of this map is asynchronous: read the map by async for"
            raise TypeError(msg)
        try:
            self._fill()
            # Reading the input may have read this map.
            while (outcome := self._at_hand()) is _NOTHING:
                if self._take():
                    if self._let_it_follow():
                        break
                elif self._is_over(StopIteration):
                    self._let_go()
                    self._behind.append(_END)
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
            del outcome  # an error of a call that ran in this thread leads here

    def _let_it_follow(self) -> bool:
        """Put the block that is at hand behind the tail, where that pays."""
        if self._behind or self._sealed or self._taken == 1:
            return False  # the chain is about to move, or each is given by hand
        self._behind.extend((self.ready, self._tail))
        return True

    def _wait(self) -> None:
        if self._core.is_on_loop_here():
            msg = (
                "a map of async calls cannot block the loop that they may run on: "
                "read it by async for"
            )
            raise RuntimeError(msg)
        if not self._core.wait(self._seconds_left()):
            raise TimeoutError
        self._core.fill(asked=1)

    async def advance_async(self) -> T:
        """Return the next item, without blocking the running loop."""
        from parallelize.futures.aio import is_heavy, running_loop

        running_loop("a map can be read by async for")
        outcome = await self._next_async()
        row = self._part, len(self._sealed)
        if issubclass(type(outcome), Outcome) and is_heavy(outcome):
            try:
                outcome = await _opened_in_thread(outcome)
            except BaseException:  # the task is cancelled, and may come back
                self._sealed.append(outcome)
                raise
        try:
            return self._opened(outcome, row, StopIteration, StopAsyncIteration)
        finally:
            del self, outcome, row  # an error's traceback holds this frame

    async def _next_async(self) -> Any:
        import asyncio

        if self._sealed:
            return self._sealed.pop()
        try:
            self._fill()
            # Even where everything is at hand, others get their turn now and then.
            await asyncio.sleep(0)
            while (outcome := self._at_hand()) is _NOTHING:
                if self._take():
                    continue
                if self._is_over(StopIteration, StopAsyncIteration):
                    self._let_go()
                    raise StopAsyncIteration
                seconds = self._seconds_left()
                if seconds is not None and seconds <= 0:
                    raise TimeoutError
                await _news(self._core, seconds)
                self._core.fill(asked=1)
        except asyncio.CancelledError:
            raise  # the task is cancelled, which may well come back for more
        except BaseException:
            self.close()
            raise
        return outcome

    def _is_over(self, *ends: type[BaseException]) -> bool:
        try:
            is_over = self._core.is_over()
        except ends as error:  # the input has failed by it
            raise no_end(error, *ends) from error
        if is_over and self._progress is not None:
            self._progress.close()
        return is_over

    def _fill(self) -> None:
        """Let go of what was handed over, and begin calls in its place."""
        self._core.was_read = True
        self._part = None
        self._given(self._taken)
        self._core.fill(asked=1)

    def _given(self, count: int) -> None:
        self._taken -= count
        if count:
            self._core.given(count)
            if self._progress is not None:
                self._progress.advance(count)

    def _take(self) -> bool:
        """Get the next results at hand, if they have come."""
        part = self._core.take()
        if part is None or not part.outcomes:
            return False
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
        """Return the value, or raise the error, of what may have to be opened.

        Args:
            outcome: It.
            row: Of which row it is.
            *ends: The errors that would end the loop of the reader.
        """
        if not issubclass(type(outcome), Outcome):  # isinstance would ask proxies
            return outcome  # type: ignore[no-any-return]
        value, error = outcome.open()
        if error is None:
            return value  # type: ignore[no-any-return]
        if self._return_exceptions:
            self._note(error, row)
            return error  # type: ignore[no-any-return]  # the declared type says so
        self.close()
        try:
            error = no_end(error, *ends)
            self._note(error, row)
            raise error
        finally:
            del self, outcome, row, error  # the error's traceback holds this frame

    def _note(self, error: BaseException, row: _Row) -> None:
        """Have the error say of which row it is."""
        part, left = row
        if part is None:
            return
        from parallelize.mapping.notes import add_row

        chunk, place = part.chunk, part.first - left
        args = chunk.failed.get(place)
        self._noted = add_row(error, chunk.start + place, args, self._noted)

    def _seconds_left(self) -> float | None:
        return None if self._deadline is None else self._deadline - monotonic()

    # The end.

    def _let_go(self) -> None:
        """Hold nothing of a map that has given all, though somebody holds the map."""
        core = self._core
        core.close()
        if not core.is_asynchronous:  # whose input may still be closing
            self._core = Spent()
        if self._progress is not None:
            self._progress.close()

    def close(self) -> None:
        """See `MapIterator.close`."""
        self._core.was_read = True
        self._is_closed = True
        # Who is in the middle of a step may wait there for what ends by this.
        if STEPS_ARE_WHOLE:
            self._count_given()
        else:
            self.turn.if_free(self._count_given)
        self._core.close()
        if self._progress is not None:
            self._progress.close()

    def drop_if_closed(self) -> None:
        """In one's turn: do what `close` had to leave to others."""
        if self._is_closed:
            self._count_given()

    async def closed(self) -> None:
        """Close, and wait until an asynchronous input is closed, too."""
        self.close()
        await self._core.closed()

    def _count_given(self) -> None:
        """Count what was given of what was at hand, and drop the rest."""
        count = self._not_counted()
        self._sealed.clear()
        self._part = None
        self._given(count)
        self._taken = 0

    def _not_counted(self) -> int:
        """How much was given of what was at hand; drops the rest of it."""
        left = len(list(self.ready)) + len(self._sealed)
        return max(self._taken - left, 0)

    def dropped(self) -> None:
        """The iterator is gone; runs wherever garbage is collected."""
        del self._tail  # it holds this Reader
        self._behind.clear()
        if self._progress is not None:
            self._drop_progress(self._progress)
        if not self._core.is_spent:
            lifecycle.later(self._core.dropped)

    def _drop_progress(self, progress: Progress) -> None:
        given = self._not_counted()
        if not progress.close_at_once(given):
            lifecycle.later(partial(_close, progress, given))


def _close(progress: Progress, given: int) -> None:
    progress.advance(given)
    progress.close()


async def _news(core: Window | Spent, seconds: float | None) -> None:
    """Wait, without blocking the running loop, until `Window.wait` would return."""
    from parallelize.futures.aio import resolve_from_thread, running_loop

    loop = running_loop("a map can be read by async for")
    news: asyncio.Future[None] = loop.create_future()
    core.call_when_news(lambda: resolve_from_thread(loop, news))
    if seconds is None:
        await noted(news, core.awaited)
        return
    from parallelize.runtime import timer

    # Not the loop's own clock: a test may have put another in its place.
    late = timer.after(seconds, lambda: resolve_from_thread(loop, news))
    try:
        await noted(news, core.awaited)
    finally:
        late.cancel()


class _Open(Outcome):
    """What was opened already."""

    __slots__ = ("_pair",)

    def __init__(self, pair: tuple[Any, BaseException | None]) -> None:
        self._pair = pair

    def open(self) -> tuple[Any, BaseException | None]:
        return self._pair


async def _opened_in_thread(outcome: Outcome) -> Outcome:
    import asyncio

    return _Open(await asyncio.to_thread(outcome.open))
