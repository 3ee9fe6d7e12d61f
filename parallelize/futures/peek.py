"""What is known of a future that has ended without opening it, and its report.

These take futures of other libraries, too, where both kinds are met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parallelize.futures.future import Future, Outcome, error_of
from parallelize.runtime.raised import is_a, name_of_class

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable
    from types import TracebackType

    from parallelize.runtime.options import CallOptions

__all__ = (
    "ForwardedOutcome",
    "called_of",
    "has_failed",
    "look_at",
    "name_failure",
    "no_end",
    "peek_error",
    "stop",
)


def has_failed(future: concurrent.futures.Future[Any]) -> bool:
    """Whether an ended future is known to give no value; opens nothing."""
    if future.cancelled():
        return True
    if not isinstance(future, Future):
        return future.exception() is not None
    sealed = future._sealed
    return future._exception is not None if sealed is None else sealed.failed


def peek_error(future: concurrent.futures.Future[Any]) -> BaseException | str:
    """Tell of the failure of an ended future; opens nothing, and is no look at it."""
    if not isinstance(future, Future) or future.cancelled():
        error = error_of(future)
    elif future._sealed is not None:
        return future._sealed.told()
    else:
        error = future._exception
    return "" if error is None else error


def look_at(future: concurrent.futures.Future[Any]) -> None:
    """Note that who calls this answers for the failure of the future."""
    if isinstance(future, Future):
        future._looked_at()


def name_failure(
    future: Future[Any], fn: Callable[..., Any], options: CallOptions
) -> None:
    """Tell whose failure it is, for the report of one that nobody looks at."""
    unread = future._unread
    if unread is not None and unread.called is None:
        unread.called = fn, options


def called_of(
    future: concurrent.futures.Future[Any],
) -> tuple[Callable[..., Any], CallOptions] | None:
    """Return what `name_failure` was told, until somebody looks at the failure."""
    unread = future._unread if isinstance(future, Future) else None
    return None if unread is None else unread.called


def stop(future: concurrent.futures.Future[Any]) -> bool:
    """Kill a future of ours, cancel another; return whether that stopped it."""
    return future.kill() if isinstance(future, Future) else future.cancel()


def no_end(error: BaseException, *ends: type[BaseException]) -> BaseException:
    """Return the error of a call, in a form that is not taken for the end of a loop.

    Args:
        error: What the call raised.
        *ends: The errors by which the iterator that is to raise it ends.

    Returns:
        The error; for one of ``ends`` a RuntimeError from it, as PEP 479 has it for
        generators.
    """
    if not is_a(error, ends):
        return error
    replaced = RuntimeError(f"a call raised {name_of_class(type(error))}")
    replaced.__cause__ = error
    return replaced


class ForwardedOutcome(Outcome):
    """What a future came to that has ended, for somebody else to hand on.

    Who reads it looks at the future.
    """

    __slots__ = ("_future",)

    _future: concurrent.futures.Future[Any]

    def __init__(self, future: concurrent.futures.Future[Any]) -> None:
        look_at(future)
        # What was handed on already is taken from where it came: chains of such may
        # be longer than Python's stack.
        sealed = future._sealed if isinstance(future, Future) else None
        self._future = sealed._future if type(sealed) is ForwardedOutcome else future

    @property
    def failed(self) -> bool:
        """Whether the future is known to have failed."""
        return has_failed(self._future)

    @property
    def weight(self) -> int:
        """That of what the future came to."""
        sealed = self._future._sealed if isinstance(self._future, Future) else None
        return 0 if sealed is None else sealed.weight

    def open(self) -> tuple[Any, BaseException | None]:
        """Return the future's value and its error."""
        error = error_of(self._future)
        return (self._future.result(), None) if error is None else (None, error)

    def traceback_of(self, error: BaseException) -> TracebackType | None:
        """Return what the future has noted."""
        if isinstance(self._future, Future) and not self._future.cancelled():
            return self._future._traceback
        return super().traceback_of(error)

    def told(self) -> BaseException | str:
        """Tell of the future's failure."""
        return peek_error(self._future)
