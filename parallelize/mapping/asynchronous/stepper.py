"""Steps a synchronous iterator beside asynchronous ones, in a thread of its own.

```
 pump, in the event loop                    stepper's thread
 await next() ── request, a future ──▶      next(iterator)
              ◀── item, error or end ──     (it may wait; the loop goes on)
```

It reads nothing ahead: like `zip`, a map reads from each of its inputs in turn.
"""

from __future__ import annotations

import threading
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from parallelize.mapping.feeder import LONGEST_CLOSING
from parallelize.runtime import lifecycle
from parallelize.runtime.loop_thread import call_soon

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    # What a step gives: a tuple of the item, empty at the end; or an error.
    Step = tuple[tuple[Any, ...], BaseException | None]
    Requests = SimpleQueue[asyncio.Future[Step] | None]

__all__ = ("Stepper", "stepped")


class Stepper:
    """A thread that steps one iterator when it is asked to."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        """Start the thread.

        Raises:
            RuntimeError: No thread can be started.
        """
        self._requests: Requests = SimpleQueue()
        # It does not refer to this object, whose end is also that of the thread.
        self._thread = threading.Thread(
            target=copy_context().run,
            args=(_serve, iterator, self._requests),
            name="parallelize-input",
            daemon=lifecycle.daemons,
        )
        self._thread.start()

    async def step(self) -> Step:
        """Return the outcome of the next step."""
        import asyncio

        request: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
        self._requests.put(request)
        return await request

    async def close(self) -> None:
        """Close the iterator when it is not being stepped; wait a while for this."""
        import asyncio

        self._requests.put(None)
        await asyncio.to_thread(self._thread.join, LONGEST_CLOSING)

    def __del__(self) -> None:
        self._requests.put(None)


def _serve(iterator: Iterator[Any], requests: Requests) -> None:
    while (request := requests.get()) is not None:
        call_soon(request.get_loop(), _answer, request, stepped(iterator))
        del request  # it has the item
    close = getattr(iterator, "close", None)
    if callable(close):
        close()


def stepped(iterator: Iterator[Any]) -> Step:
    """Return the outcome of the next step of an iterator."""
    try:
        for item in iterator:
            return (item,), None
    except BaseException as error:  # noqa: BLE001 - raised in the reader in its turn
        return (), error
    return (), None


def _answer(request: asyncio.Future[Step], step: Step) -> None:
    if not request.done():  # the map was not closed in the meantime
        request.set_result(step)
