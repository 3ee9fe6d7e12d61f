"""What async calls are in every kind of worker: a future, and a coroutine to run.

An async call's future can be cancelled while the coroutine runs: the future ends at
once, and whoever runs the coroutine, who is told by the future's end, cancels that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from parallelize.futures.future import CANCELLED, FINISHED, Failure, Future
from parallelize.runtime.raised import is_a

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.runtime.options import CallOptions

__all__ = ("COROUTINES_PER_LOOP", "CoroutineFuture", "called", "outcome_of")

T = TypeVar("T")

#: How many async calls one loop runs at once. More wait, or go to another loop.
COROUTINES_PER_LOOP = 100


class CoroutineFuture(Future[T]):
    """The future of an async call; to cancel it is possible until it has ended."""

    def cancel(self) -> bool:
        """Cancel the call, also while its coroutine runs.

        The future is cancelled at once. In the coroutine `asyncio.CancelledError`
        is raised where it waits; what it comes to then is dropped.

        Returns:
            True if the future is cancelled, False if the call has ended.
        """
        with self._guard:
            if self.cancelled():
                return True
            if self._state == FINISHED:
                return False
            self._settle(CANCELLED, "add_cancelled")
        self._invoke_callbacks()
        return True


async def called(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call ``fn``, and await the coroutine that it returns, if it is one."""
    from collections.abc import Coroutine

    result: Coroutine[Any, Any, Any] | Any = fn(*args, **kwargs)
    return await result if isinstance(result, Coroutine) else result


async def outcome_of(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: CallOptions,
    is_wanted: Callable[[], bool],
) -> Any:
    """The same, again after each error of ``retry_on`` if ``is_wanted()``.

    Returns:
        The value, or a `Failure`.

    Raises:
        asyncio.CancelledError: The coroutine was cancelled, by whomever.
    """
    import asyncio

    left = options.retries
    while True:
        try:
            return await called(fn, args, kwargs)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to the call
            again = left and is_a(error, options.retry_on)
            if not again or not is_wanted():
                del is_wanted  # it may hold the future, which will hold the error
                return Failure(error)
            left -= 1
