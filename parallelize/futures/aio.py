"""Waiting for a future in an asyncio loop, which goes on meanwhile.

```
 loop's thread                         whichever thread ends the call
 await future ── add_done_callback ──▶ future ── its end ──┐
      ▲                                                    │
      └─ waiter, a future of the loop ◀─ call_soon_threadsafe
```

What came may still have to be unpickled. Where that takes more than a moment, a
thread does it, so that the loop does not stand still.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from parallelize.futures.limit_cycles import noted
from parallelize.runtime.blocking import call_pending, here

if TYPE_CHECKING:
    from parallelize.futures.future import Future, Outcome

__all__ = ("is_heavy", "resolve_from_thread", "running_loop", "value_of")

T = TypeVar("T")

#: Pickles from so many bytes on are opened in a thread: it takes about as long as
#: to have a thread do it.
HEAVY = 1 << 16


def running_loop(what: str) -> asyncio.AbstractEventLoop:
    """Return the asyncio loop that runs here.

    Args:
        what: What needs it, for the error.

    Raises:
        RuntimeError: None does: there is no loop, or one of another library.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        msg = f"{what} only while an asyncio event loop runs"
        raise RuntimeError(msg) from None


def is_heavy(outcome: Outcome | None) -> bool:
    """Whether opening it would hold up a loop."""
    return outcome is not None and outcome.weight >= HEAVY


async def value_of(future: Future[T]) -> T:
    """Wait for the call and return its value, or raise its error.

    If the task that waits is cancelled, the call is cancelled unless it has begun.
    """
    loop = running_loop("a Future can be awaited")
    if not future.done():
        await _end_of(future, loop)
    if future.cancelled():
        raise asyncio.CancelledError
    if is_heavy(future._sealed):
        await asyncio.to_thread(future.exception)
    try:
        return future.result()
    finally:
        del future  # the error's traceback holds this frame


async def _end_of(future: Future[T], loop: asyncio.AbstractEventLoop) -> None:
    if here.pending:  # a loop in a callback
        call_pending((future,))
    waiter: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(lambda _: resolve_from_thread(loop, waiter))
    try:
        await noted(waiter, lambda: (future,))
    except asyncio.CancelledError:
        future.abandon()
        raise


def resolve_from_thread(
    loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]
) -> None:
    """End a waiter of a loop, from any thread."""
    with contextlib.suppress(RuntimeError):  # the loop may have ended
        loop.call_soon_threadsafe(_resolve, waiter)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
