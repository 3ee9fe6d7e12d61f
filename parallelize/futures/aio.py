"""Awaiting a future in an asyncio loop without blocking the loop.

```
 loop's thread                         the thread that completes the call
 await future ── add_done_callback ──▶ future ──── done ────┐
      ▲                                                    │
      └─ waiter, a future of the loop ◀─ call_soon_threadsafe
```

The outcome may still have to be unpickled. If that takes long, another thread does it,
so that the loop is not blocked.
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

#: Pickles of at least this many bytes are opened in a thread: at this size, opening
#: takes about as long as delegating to a thread.
HEAVY = 1 << 16


def running_loop(what: str) -> asyncio.AbstractEventLoop:
    """Return the asyncio loop that runs here.

    Args:
        what: What needs the loop, for the error.

    Raises:
        RuntimeError: No asyncio loop runs here; maybe another library's does.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        msg = f"{what} only while an asyncio event loop runs"
        raise RuntimeError(msg) from None


def is_heavy(outcome: Outcome | None) -> bool:
    """Whether opening the outcome would block a loop for too long."""
    return outcome is not None and outcome.pickled_size >= HEAVY


async def value_of(future: Future[T]) -> T:
    """Wait for the call and return its value, or raise its error.

    If the awaiting task is cancelled, the call is cancelled unless it has begun.
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
    if here.pending:  # the loop runs in a callback
        call_pending((future,))
    waiter: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(lambda _: resolve_from_thread(loop, waiter))
    try:
        await noted(waiter, lambda: (future,))
    except asyncio.CancelledError:
        call = future._call
        if not future.cancel() and call is not None:
            call.abandoned()
        raise


def resolve_from_thread(
    loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]
) -> None:
    """Complete a waiter of a loop, from any thread."""
    with contextlib.suppress(RuntimeError):  # the loop may have ended
        loop.call_soon_threadsafe(_resolve, waiter)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
