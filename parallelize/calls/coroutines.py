"""Async calls in any kind of worker: their future, and the coroutine to run.

An async call's future can be cancelled while its coroutine runs: the future is done at
once, and its done callback makes the coroutine's runner cancel the coroutine.
"""

from __future__ import annotations

from parallelize.futures.future import Failure, Future
from parallelize.runtime.typed import TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from parallelize.runtime.options import Args, Kwargs


__all__ = ("COROUTINES_PER_LOOP", "CoroutineFuture", "called", "outcome_of")

T = TypeVar("T")

#: The number of async calls that one loop runs at once. Further calls wait, or go to
#: another loop.
COROUTINES_PER_LOOP = 100


class CoroutineFuture(Future[T]):
    """The future of an async call; it can be cancelled until the call is done."""

    def cancel(self) -> bool:
        """Cancel the call, also while its coroutine runs.

        The future is cancelled at once. `asyncio.CancelledError` is raised in the
        coroutine where it waits; its outcome is dropped.

        Returns:
            True if the future is cancelled, False if the call was done.
        """
        return self._force_cancel() or self.cancelled()


async def called(fn: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
    """Call ``fn``, and await the coroutine that it returns, if it is one."""
    from collections.abc import Coroutine

    result: Coroutine[Any, Any, Any] | Any = fn(*args, **kwargs)
    return await result if isinstance(result, Coroutine) else result


async def outcome_of(fn: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
    """Call ``fn`` and await its coroutine.

    Returns:
        The value, or a `Failure`.

    Raises:
        asyncio.CancelledError: The coroutine was cancelled.
    """
    import asyncio

    try:
        return await called(fn, args, kwargs)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it belongs to the call
        return Failure(error)
