"""How long a failed call waits before its next attempt: `backoff`, `retry_after`."""

from __future__ import annotations

import math
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from parallelize.pace.rate import LONGEST_PAUSE
from parallelize.runtime.options import check_positive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    #: The number of the attempt that has failed, from 1, and its error; to seconds.
    RetryWait: TypeAlias = Callable[[int, BaseException], float | None]

__all__ = ("backoff", "check_retry_wait", "retry_after")

#: The wait if none is given, in seconds: before the second attempt, and at most.
FIRST, MOST = 0.1, 10.0


class Backoff:
    """Waits that grow from attempt to attempt; made by `backoff`."""

    __slots__ = ("_factor", "_first", "_jitter", "_most")

    def __init__(self, first: float, most: float, factor: float, jitter: float) -> None:
        self._first = first
        self._most = most
        self._factor = factor
        self._jitter = jitter

    def __call__(self, attempt: int, error: BaseException) -> float:
        """Return the seconds before the next attempt."""
        whole = self._most
        with suppress(OverflowError):
            whole = min(whole, self._first * self._factor ** (attempt - 1))
        return whole * (1 - self._jitter * random.random())  # noqa: S311

    def __repr__(self) -> str:
        numbers = f"most={self._most}, factor={self._factor}, jitter={self._jitter}"
        return f"backoff({self._first}, {numbers})"


class Constant:
    """Always the same wait.

    Attributes:
        seconds: How long.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds: float = seconds

    def __call__(self, attempt: int, error: BaseException) -> float:
        """Return these seconds."""
        return self.seconds


class Asked(float):
    """Seconds for which a service has asked: no call of the function should start."""

    __slots__ = ()


def backoff(
    first: float, *, most: float = 60.0, factor: float = 2.0, jitter: float = 1.0
) -> RetryWait:
    """Return a ``retry_wait`` that grows exponentially, with a random part.

    Before attempt *n* + 1 it is at most ``first * factor ** (n - 1)`` seconds. The
    random part spreads the attempts of calls that failed at the same moment.

    Args:
        first: The longest wait before the second attempt, in seconds; more than 0.
        most: The longest wait of all, in seconds; at least ``first``.
        factor: By how much each wait is longer than the one before; at least 1.
        jitter: The part of the wait that is random: 1, from 0 to all of it; 0, none.

    Returns:
        A function of the number of failed attempts and the error.

    Raises:
        TypeError: An argument is no number.
        ValueError: An argument is out of its range.

    Example:
        >>> from parallelize import backoff, threaded
        >>> @threaded(retries=5, retry_on=OSError, retry_wait=backoff(0.5, most=60))
        ... def size(path: str) -> int:
        ...     with open(path, "rb") as file:
        ...         return len(file.read())
        >>> size(__file__).result() > 0
        True
    """
    first, most = check_positive(first, "first"), check_positive(most, "most")
    factor = check_positive(factor, "factor")
    if most < first:
        msg = f"most must be at least first, {first!r}, not {most!r}"
        raise ValueError(msg)
    if factor < 1:
        msg = f"factor must be at least 1, not {factor!r}"
        raise ValueError(msg)
    share = (
        0.0 if jitter == 0 and jitter is not False else check_positive(jitter, "jitter")
    )
    if share > 1:
        msg = f"jitter must be from 0 to 1, not {jitter!r}"
        raise ValueError(msg)
    return Backoff(first, most, factor, share)


#: The default of ``retry_wait``.
DEFAULT_WAIT = Backoff(FIRST, MOST, 2.0, 1.0)


def check_retry_wait(wait: object) -> RetryWait:
    """Return the function that gives the wait, or raise naming the argument."""
    if callable(wait):
        policy: Any = wait  # what it returns is checked when it is called
        return policy  # type: ignore[no-any-return]
    if not isinstance(wait, bool) and wait == 0:
        return Constant(0.0)
    expected = "a number of seconds, or a function of attempt and error"
    return Constant(min(check_positive(wait, "retry_wait", expected), LONGEST_PAUSE))


# ------------------------------------------------------- what a service asks for


def retry_after(attempt: int, error: BaseException) -> float:
    """Return the wait for which the answer of a service asks; for ``retry_wait``.

    The header ``Retry-After`` (seconds, or a date) is looked up in the response of the
    error, and in the errors that caused it: ``error.response.headers``, or
    ``error.headers``, as all common client libraries have it. No other call of a
    function with a ``rate``, and of those that share it, starts before that time.
    Without such a header the wait is the default one of ``retries``.

    Args:
        attempt: The number of the attempt that has failed, from 1.
        error: Its error.

    Returns:
        The seconds to wait.

    Example:
        >>> from parallelize import retry_after
        >>> class TooManyRequests(Exception):
        ...     headers = {"Retry-After": "2"}
        >>> retry_after(1, TooManyRequests())
        2.0
    """
    for each in _causes(error):
        seconds = _asked_by(each)
        if seconds is not None:
            return Asked(seconds)
    return DEFAULT_WAIT(attempt, error)


#: How many errors are looked at, from the last one to its causes.
_DEEPEST = 10


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_DEEPEST):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _asked_by(error: BaseException) -> float | None:
    for holder in (getattr(error, "response", None), error):
        with suppress(Exception):  # the code of a client library may raise anything
            value = _header(holder)
            if value is not None:
                return _seconds_of(value)
    return None


def _header(holder: Any) -> str | None:  # Any: the classes of client libraries
    headers = getattr(holder, "headers", None)
    if headers is None and isinstance(holder, dict):  # as botocore has it
        headers = holder.get("ResponseMetadata", {}).get("HTTPHeaders")
    if headers is None:
        return None
    for name in ("Retry-After", "retry-after"):
        value = headers.get(name)
        if value is not None:
            return value.decode() if isinstance(value, bytes) else str(value)
    return None


def _seconds_of(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        seconds = _until(value)
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def _until(date: str) -> float:
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    when = parsedate_to_datetime(date)
    if when.tzinfo is None:  # "-0000"
        when = when.replace(tzinfo=UTC)
    return (when - datetime.now(UTC)).total_seconds()
