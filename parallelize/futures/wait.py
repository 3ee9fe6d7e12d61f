"""The standard `wait` and `as_completed`, for any timeout, by the real clock.

They add waiters to the futures, which record that a pool's thread waits (see
`parallelize.futures.future`). If such a thread waits for all of them, it first runs
those that are queued in its own pool.
"""

from __future__ import annotations

import concurrent.futures
from concurrent.futures import ALL_COMPLETED
from typing import TYPE_CHECKING, Any, TypeVar

from parallelize.futures.future import Future
from parallelize.runtime.blocking import here
from parallelize.runtime.options import check_wait

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from concurrent.futures._base import DoneAndNotDoneFutures

__all__ = ("as_completed", "wait")

T = TypeVar("T")


def wait(
    fs: Iterable[concurrent.futures.Future[T]],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> DoneAndNotDoneFutures[T]:
    """Wait for futures, like `concurrent.futures.wait`.

    In a pool's thread, a wait for all of them without a timeout runs those that are
    still queued in that pool.

    Args:
        fs: The futures, of any kind (PEP 3148).
        timeout: The longest wait in seconds; None and infinity wait indefinitely.
        return_when: ``FIRST_COMPLETED``, ``FIRST_EXCEPTION`` or ``ALL_COMPLETED``.

    Returns:
        Two sets, ``done`` and ``not_done``.

    Raises:
        TypeError: ``timeout`` is no number of seconds.

    Example:
        >>> from parallelize import threaded, wait
        >>> double = threaded(lambda x: 2 * x)
        >>> len(wait([double(1), double(2)]).done)
        2
    """
    seconds = check_wait(timeout)
    futures: list[concurrent.futures.Future[T]] = list(fs)
    worker = here.worker
    if worker is not None and seconds is None and return_when == ALL_COMPLETED:
        each: Any  # whatever its result type
        for each in futures:
            if isinstance(each, Future):
                worker.help(each)
    return concurrent.futures.wait(futures, seconds, return_when)


def as_completed(
    fs: Iterable[concurrent.futures.Future[T]], timeout: float | None = None
) -> Generator[concurrent.futures.Future[T]]:
    """Yield futures as they complete, like `concurrent.futures.as_completed`.

    Args:
        fs: The futures, of any kind (PEP 3148); each is yielded once.
        timeout: Seconds, from the first ``next()``, within which all must be done; None
            and infinity wait indefinitely.

    Returns:
        An iterator. It raises `TimeoutError` when the time runs out.

    Raises:
        TypeError: ``timeout`` is no number of seconds.

    Example:
        >>> from parallelize import as_completed, threaded
        >>> double = threaded(lambda x: 2 * x)
        >>> sorted(f.result() for f in as_completed([double(1), double(2)]))
        [2, 4]
    """
    seconds = check_wait(timeout)
    if seconds is None:
        each: Generator[concurrent.futures.Future[T]]
        each = concurrent.futures.as_completed(fs)  # type: ignore[assignment]
        return each
    return _completed_within(seconds, set(fs))


def _completed_within(
    seconds: float, futures: set[concurrent.futures.Future[Any]]
) -> Generator[concurrent.futures.Future[Any]]:
    """Yield futures until the time runs out, without keeping references to them."""
    total = left = len(futures)
    alarm = None
    if seconds > 0:
        alarm = _Alarm(seconds)
        futures.add(alarm)
    else:
        futures = {future for future in futures if future.done()}
    each = iter(concurrent.futures.as_completed(futures))
    del futures
    given: list[Any] = []  # emptied before each yield
    try:
        while left:
            given.append(next(each, alarm))
            if given[0] is alarm:
                msg = f"{left} (of {total}) futures unfinished"
                raise TimeoutError(msg)
            left -= 1
            yield given.pop()
    finally:
        if alarm is not None:
            alarm.end()


class _Alarm(Future[None]):
    """A future that is cancelled when the time runs out.

    The standard library's timeout uses functions of `time` that a test may have
    replaced.
    """

    def __init__(self, seconds: float) -> None:
        from parallelize.runtime import timer

        super().__init__()
        self._deadline = timer.after(seconds, self.cancel)

    def end(self) -> None:
        """Cancel the alarm: the wait is over."""
        self._deadline.cancel()
