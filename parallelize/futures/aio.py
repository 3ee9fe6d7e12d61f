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
from typing import TYPE_CHECKING, Any, TypeVar

from parallelize.futures.limit_cycles import noted
from parallelize.runtime.blocking import call_pending, here
from parallelize.runtime.loop_thread import until

if TYPE_CHECKING:
    from parallelize.futures.future import Future, Outcome

__all__ = ("is_heavy", "running_loop", "value_of")

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
    running_loop("a Future can be awaited")
    if not future.done():
        await _end_of(future)
    if future.cancelled():
        raise asyncio.CancelledError
    if is_heavy(future._sealed):
        await asyncio.to_thread(future.exception)
    try:
        return future.result()
    finally:
        del future  # the error's traceback holds this frame


async def _end_of(future: Future[Any]) -> None:
    if here.pending:  # the loop runs in a callback
        call_pending((future,))
    try:
        await noted(until(future.add_done_callback), lambda: (future,))
    except asyncio.CancelledError:
        future._cancel_awaited()
        raise
