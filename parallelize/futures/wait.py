"""`wait` and `as_completed`: the standard library's, for any timeout, by our clock.

They put their waiters into the futures, which note from there that a thread of a pool
waits (see `parallelize.futures.future`). Such a thread helps before it waits for all.
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
    """Wait for futures, as `concurrent.futures.wait` does.

    In a thread of a pool, calls that it waits for and that still stand in the queue
    of that pool are run here, if all of them are waited for, without a timeout.

    Args:
        fs: The futures, of any kind that PEP 3148 describes.
        timeout: The longest wait in seconds; None and infinity wait without end.
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
        each: Any  # of what type matters to nobody here
        for each in futures:
            if isinstance(each, Future):
                worker.help(each)
    return concurrent.futures.wait(futures, seconds, return_when)


def as_completed(
    fs: Iterable[concurrent.futures.Future[T]], timeout: float | None = None
) -> Generator[concurrent.futures.Future[T]]:
    """Give futures as they end, as `concurrent.futures.as_completed` does.

    Args:
        fs: The futures, of any kind that PEP 3148 describes; each is given once.
        timeout: Seconds from the first step in which all must have ended; None and
            infinity wait without end.

    Returns:
        An iterator. It raises `TimeoutError` when the time is over.

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
    """Give what ends until the time is over, without keeping what was given."""
    total = left = len(futures)
    alarm = None
    if seconds > 0:
        alarm = _Alarm(seconds)
        futures.add(alarm)
    else:
        futures = {future for future in futures if future.done()}
    each = iter(concurrent.futures.as_completed(futures))
    del futures
    given: list[Any] = []  # emptied as it is handed over
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
    """A future that ends when the time is over.

    The standard library measures by functions of `time` that a test may have replaced.
    """

    def __init__(self, seconds: float) -> None:
        from parallelize.runtime import timer

        super().__init__()
        self._deadline = timer.after(seconds, self.cancel)

    def end(self) -> None:
        """Do not ring: whoever waits has gone."""
        self._deadline.cancel()
