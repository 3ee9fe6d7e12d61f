"""Runs a generator into a sink: waits while that is full, stops when it is closed.

```
 generator ── next() ──▶ pump ── put(item) ──▶ sink ── ... ──▶ reader
                          ▲                      │
                          └─ room? wanted? ──────┘
```

The sink is asked for room *before* the generator is asked for an item. So there is
always room for an item, and a generator that has to wait is suspended at a
``yield``, where it can be closed. This is the only file of streams that a worker
loads.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator


class Sink(Protocol):
    """The receiver of the items."""

    def room(self) -> bool:
        """Whether there is room for one more item now."""
        ...

    def wait(self) -> bool:
        """Wait for room and return True; False if no more items are wanted."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether no more items are wanted."""
        ...

    def when_room(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once there is room or no more are wanted, maybe at once."""

    def when_closed(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once no more items are wanted, maybe at once."""

    def put(self, item: Any) -> None:
        """Add an item, for which there is room."""

    def draw_some(self, source: Generator[Any, Any, Any]) -> bool:
        """Take items, for which there is room, where that is quicker.

        Returns:
            Whether any were taken; False says nothing about the generator.
        """
        ...


def pump(source: Any, sink: Sink) -> None:
    """Run a generator until it ends or its sink wants no more; then close it.

    Args:
        source: A generator, or an async generator, which gets a loop of its own.
        sink: Receives the items.

    Raises:
        BaseException: The error that the generator raised, at any time.
    """
    if hasattr(source, "__anext__"):
        from parallelize.runtime.loop_thread import run_to_end

        run_to_end(_pump_async(source, sink))
    else:
        _pump(source, sink)


def _pump(source: Generator[Any, Any, Any], sink: Sink) -> None:
    with contextlib.closing(source):
        while sink.room() or sink.wait():
            if sink.draw_some(source):
                continue
            try:
                item = next(source)
            except StopIteration:
                return
            sink.put(item)
            del item  # keep nothing alive while waiting for room


async def _pump_async(source: AsyncGenerator[Any, Any], sink: Sink) -> None:
    async with contextlib.aclosing(source):
        await _AsyncPump(source, sink).run()


class _AsyncPump:
    """Runs an async generator; closing also cancels what it is awaiting."""

    def __init__(self, source: AsyncGenerator[Any, Any], sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._runs = True

    async def run(self) -> None:
        import asyncio

        from parallelize.runtime.loop_thread import call_soon

        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def cancel() -> None:
            if self._runs and task is not None:  # else it would interrupt the `finally`
                task.cancel()

        self._sink.when_closed(lambda: call_soon(loop, cancel))
        try:
            await self._run()
        except asyncio.CancelledError:
            if not self._sink.is_closed:
                raise
        finally:
            self._runs = False
            task = None  # its result may be an error, which refers to this frame

    async def _run(self) -> None:
        sink = self._sink
        while sink.room() or await self._room():
            try:
                item = await anext(self._source)
            except StopAsyncIteration:
                return
            sink.put(item)
            del item

    async def _room(self) -> bool:
        from parallelize.runtime.loop_thread import until

        sink = self._sink
        while not sink.room():
            if sink.is_closed:
                return False
            await until(sink.when_room)
        return True
