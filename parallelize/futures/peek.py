"""Inspection of done futures without opening their outcomes.

These functions accept futures of other libraries, too.
"""

from __future__ import annotations

from parallelize.futures.future import Future, Outcome, error_of
from parallelize.runtime.raised import is_a, name_of_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from parallelize.runtime.options import CallOptions

__all__ = (
    "ForwardedOutcome",
    "called_of",
    "has_failed",
    "mark_retrieved",
    "name_failure",
    "no_end",
    "peek_error",
    "stop",
)


def has_failed(future: concurrent.futures.Future[Any]) -> bool:
    """Whether a done future is known to have no value; opens nothing."""
    if future.cancelled():
        return True
    if not isinstance(future, Future):
        return future.exception() is not None
    sealed = future._sealed
    return future._exception is not None if sealed is None else sealed.failed


def peek_error(future: concurrent.futures.Future[Any]) -> BaseException | str:
    """Describe a done future's failure; neither opens it nor marks it as retrieved."""
    if not isinstance(future, Future) or future.cancelled():
        error = error_of(future)
    elif future._sealed is not None:
        return future._sealed.error_or_text()
    else:
        error = future._exception
    return "" if error is None else error


def mark_retrieved(future: concurrent.futures.Future[Any]) -> None:
    """Mark the future's failure as retrieved: the caller handles it."""
    if isinstance(future, Future):
        future._mark_retrieved()


def name_failure(
    future: Future[Any], fn: Callable[..., Any], options: CallOptions
) -> None:
    """Name the failed call, for the report of an unretrieved failure."""
    unretrieved = future._unretrieved
    if unretrieved is not None and unretrieved.called is None:
        unretrieved.called = fn, options


def called_of(
    future: concurrent.futures.Future[Any],
) -> tuple[Callable[..., Any], CallOptions] | None:
    """Return what `name_failure` set, until the failure is retrieved."""
    unretrieved = future._unretrieved if isinstance(future, Future) else None
    return None if unretrieved is None else unretrieved.called


def stop(future: concurrent.futures.Future[Any], grace: float = 0.0) -> bool:
    """Kill a future of this library, cancel another; return whether that stopped it."""
    if not isinstance(future, Future):
        return future.cancel()
    return future.kill(grace=grace) if grace else future.kill()


def no_end(error: BaseException, *ends: type[BaseException]) -> BaseException:
    """Return the error of a call in a form that does not end the reader's loop.

    Args:
        error: What the call raised.
        *ends: The errors that mark the end of the iterator that raises it.

    Returns:
        The error; for one of ``ends`` a RuntimeError caused by it, as for generators
        (PEP 479).
    """
    if not is_a(error, ends):
        return error
    replaced = RuntimeError(f"a call raised {name_of_class(type(error))}")
    replaced.__cause__ = error
    return replaced


class ForwardedOutcome(Outcome):
    """The outcome of a done future, forwarded to another future.

    Its reader retrieves the original future's failure.
    """

    __slots__ = ("_future",)

    _future: concurrent.futures.Future[Any]

    def __init__(self, future: concurrent.futures.Future[Any]) -> None:
        mark_retrieved(future)
        # Forwarded outcomes refer to the original future: chains could exceed Python's
        # stack.
        sealed = future._sealed if isinstance(future, Future) else None
        self._future = sealed._future if type(sealed) is ForwardedOutcome else future

    @property
    def failed(self) -> bool:
        """Whether the future is known to have failed."""
        return has_failed(self._future)

    @property
    def pickled_size(self) -> int:
        """The number of bytes that opening the future's outcome unpickles."""
        sealed = self._future._sealed if isinstance(self._future, Future) else None
        return 0 if sealed is None else sealed.pickled_size

    def open(self) -> tuple[Any, BaseException | None]:
        """Return the future's value and its error."""
        error = error_of(self._future)
        return (self._future.result(), None) if error is None else (None, error)

    def traceback_of(self, error: BaseException) -> TracebackType | None:
        """Return the traceback that the future has recorded."""
        if isinstance(self._future, Future) and not self._future.cancelled():
            return self._future._traceback
        return super().traceback_of(error)

    def error_or_text(self) -> BaseException | str:
        """Describe the future's failure."""
        return peek_error(self._future)
