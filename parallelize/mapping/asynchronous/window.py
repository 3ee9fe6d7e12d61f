"""Maps over asynchronous input, which is read in the event loop of the map's reader.

```
              pump, a task of the reader's loop             executor
 async input ── anext ──▶ a few rows ── at most a window ──▶ ... ──▶ order ──▶ reader
      ▲                                  ahead of the reader                     │
      └──── waits for room ◀──────────────────── fill() ◀────────────────────────┘
```

The pump starts when the first result is requested. Rows that arrive without a wait of
the pump are submitted together; none waits for another to arrive. A synchronous input
beside asynchronous ones may wait, too, so a `stepper` reads it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from parallelize.calls.call import SingleColumn
from parallelize.futures.aio import running_loop
from parallelize.futures.peek import no_end
from parallelize.mapping.asynchronous.stepper import Stepper, stepped
from parallelize.mapping.feeder import is_possible
from parallelize.mapping.input import (
    Input,
    InputSource,
    Pace,
    gives_results,
    is_asynchronous,
    iterator_of,
    row_of,
)
from parallelize.mapping.row_calls import MapState
from parallelize.mapping.window import Window
from parallelize.runtime.loop_thread import call_soon

if TYPE_CHECKING:
    import asyncio
    from collections.abc import (
        AsyncIterable,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Sequence,
    )

    from parallelize.mapping.plan import MapConfig

    Next = Callable[[], Awaitable[Any]]

__all__ = ("AsyncWindow",)

_ENDED = "the event loop that read the input of this map has ended"


class _Rows:
    """Reads rows from iterables, some of them asynchronous, as `zip` does."""

    def __init__(
        self,
        iterables: Sequence[Iterable[Any] | AsyncIterable[Any]],
        *,
        star: bool,
    ) -> None:
        self._iterators: list[Any] = []  # of either kind
        self._nexts: list[Next] = []
        self._star = star
        self._read = 0
        for position, each in enumerate(iterables):
            self._add(each, position)

    def _add(self, iterable: Any, position: int) -> None:
        iterator: Any
        if is_asynchronous(iterable) or gives_results(iterable):
            steps: Any = iterable
            iterator = aiter(steps)
            self._nexts.append(iterator.__anext__)
        else:
            iterator = _Steps(iterator_of(iterable, position))
            self._nexts.append(iterator.next)
        self._iterators.append(iterator)

    async def next(self) -> Any:
        """Return a row: a tuple, or the argument itself if each row has only one.

        Raises:
            StopAsyncIteration: One of the iterables has ended.
        """
        if len(self._nexts) > 1:
            return tuple([await step() for step in self._nexts])
        value = await self._nexts[0]()
        position, self._read = self._read, self._read + 1
        return row_of(value, position) if self._star else value

    def packed(self, rows: list[Any]) -> Sequence[tuple[Any, ...]]:
        """Combine rows in the form that executors take."""
        return rows if self._star or len(self._nexts) > 1 else SingleColumn(rows)

    async def close(self) -> None:
        """Close the iterators that can be closed."""
        iterators, self._iterators = self._iterators, []
        for iterator in iterators:
            aclose: Any = getattr(iterator, "aclose", None)
            close: Any = getattr(iterator, "close", None)
            if aclose is not None:
                await aclose()
            elif close is not None:
                close()


class _Steps:
    """The steps of a synchronous iterator, as coroutines."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._source = InputSource([iterator], star=False)
        self._stepper: Stepper | None = None

    async def next(self) -> Any:
        if self._source.pace is Pace.UNKNOWN:  # it is the first step
            self._leave_to_thread()
        if self._stepper is None:
            items, error = stepped(self._iterator)
        else:
            items, error = await self._stepper.step()
        if error is not None:
            try:
                raise no_end(error, StopAsyncIteration)
            finally:
                del error  # its traceback refers to this frame
        if not items:
            raise StopAsyncIteration
        return items[0]

    def _leave_to_thread(self) -> None:
        """Let a thread step the iterator, as it may wait; if another thread may."""
        self._source.pace = Pace.BOUND
        if not is_possible(self._source):
            return
        with suppress(RuntimeError):  # no thread can be started
            self._stepper = Stepper(self._iterator)

    async def aclose(self) -> None:
        if self._stepper is None:
            self._source.close()
        else:
            await self._stepper.close()


class AsyncWindow(Window):
    """The engine of a map whose input is asynchronous.

    The attributes that it adds are only used in the loop's thread.
    """

    is_asynchronous: ClassVar[bool] = True

    def __init__(
        self,
        iterables: Sequence[Iterable[Any] | AsyncIterable[Any]],
        plan: MapConfig,
        *,
        star: bool,
    ) -> None:
        self._input = _Rows(iterables, star=star)
        super().__init__(InputSource([()], star=star), plan)  # it only holds the state
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pump: asyncio.Task[None] | None = None
        # Set when there may be room; None unless the pump is reading.
        self._room: asyncio.Event | None = None
        self._read: list[Any] = []  # rows that were not submitted yet

    # For the reader.

    def fill(self, *, asked: int = 0, all_of_it: bool = False) -> None:
        """Let the pump continue; only possible in the thread of its loop."""
        if all_of_it:
            return
        loop = running_loop("a map over asynchronous input can be read")
        if self._pump is None:
            self._start_pump(loop)
        elif self._pump.done() and self.source.state is Input.OPEN:
            self.source.fail(RuntimeError(_ENDED))
        elif loop is not self._loop and not self._pump.done():
            msg = "the input of this map is being read in another event loop"
            raise RuntimeError(msg)
        self._asked = asked
        if self._room is not None:
            self._room.set()

    def _is_news(self) -> bool:
        if self._life is MapState.RUNNING and self._order.empty():
            return self.source.state is not Input.OPEN
        return super()._is_news()

    # The pump.

    def _start_pump(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        self._loop, self._room = loop, asyncio.Event()
        self._pump = loop.create_task(self._run(loop, self._room))

    async def _run(self, loop: asyncio.AbstractEventLoop, room: asyncio.Event) -> None:
        import asyncio

        try:
            while await self._has_room(room):
                row = await self._input.next()
                self._read.append(row)
                if len(self._read) >= self._plan.sizes.next(None):
                    self._hand_over()
                elif len(self._read) == 1:
                    loop.call_soon(self._hand_over)  # with those that arrive until then
        except StopAsyncIteration:
            self._hand_over()
            self.source.end()
        except Exception as error:  # noqa: BLE001 - raised in the reader in its turn
            self._hand_over()
            self.source.fail(error)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            self._hand_over()  # the input itself has raised it
            self.source.fail(error)
        finally:
            self._room = None  # no cancelling from here on, during the clean-up
            if self.source.state is Input.OPEN:  # the map was closed, or is over
                self.source.fail(RuntimeError(_ENDED))
            self.announce()
            await self._input.close()

    async def _has_room(self, room: asyncio.Event) -> bool:
        """Wait for room in the window; False if no more input is needed."""
        while self._life is MapState.RUNNING and self.source.state is Input.OPEN:
            size = self._plan.sizes.next(None)
            ahead = self._ahead + len(self._read)
            if not ahead or ahead < self._plan.window(size) + self._asked:
                return True
            room.clear()
            await room.wait()
        return False

    def _hand_over(self) -> None:
        """Start the calls of the rows that were read."""
        rows, self._read = self._read, []
        if self._life is not MapState.RUNNING:
            return
        with self.reading:
            self._start(self._input.packed(rows))
        if self.source.state is not Input.OPEN:  # the executor accepts no more
            self.announce()

    # The end of the map.

    def finish(self, *, unread_only: bool) -> None:
        """Start nothing: only the loop can read the input."""

    def dropped(self) -> None:
        """Close, as the iterator has been garbage collected."""
        self.close()

    def _close_source(self) -> None:
        super()._close_source()
        if self._loop is not None and self._pump is not None:
            call_soon(self._loop, self._stop_pump)

    def _stop_pump(self) -> None:
        if self._room is not None and self._pump is not None:
            self._pump.cancel()

    async def closed(self) -> None:
        """Wait until the input is closed, if that happens in this loop."""
        import asyncio

        pump = self._pump
        if pump is None or pump is asyncio.current_task():
            return  # nothing was read, or the input closes the map that it feeds
        if self._loop is asyncio.get_running_loop():
            await asyncio.wait([pump])


def _is_cancelled() -> bool:
    """Whether the running task was cancelled from outside."""
    import asyncio

    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
