"""Awaiting a future in an asyncio loop without blocking the loop.

```
 loop's thread                         the thread that completes the call
 await future ── add_done_callback ──▶ future ──── done ────┐
      ▲                                                    │
      └─ waiter, a future of the loop ◀─ call_soon_threadsafe
```

If the call is short and runs in a thread, and the loop has nothing else to do, it first
stands still for a moment: waking it from another thread takes longer.

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
    from parallelize.runtime.spin import AdaptiveSpin

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
    spin = _spin_for(future)
    try:
        if spin is not None and spin.spin(future.done):
            await asyncio.sleep(0)  # for what else the loop has to do
        else:
            await noted(until(future.add_done_callback), lambda: (future,))
    except asyncio.CancelledError:
        future._cancel_awaited()
        raise
    finally:
        if spin is not None:
            spin.done()


def _spin_for(future: Future[Any]) -> AdaptiveSpin | None:
    """Return what lets this loop wait awake for the call; None if it must not."""
    spin = future._spin_in_loop()
    # Loops of other packages do not say whether anything else is ready to run in them.
    if spin is None or getattr(asyncio.get_running_loop(), "_ready", True):
        return None
    return spin if spin.is_free() else None
