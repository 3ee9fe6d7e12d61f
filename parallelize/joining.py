"""`wait`: the standard library's, where a worker helps before it waits.

All but the help is the standard library's code, and so is `as_completed`: they put
their waiters into the futures, which note from there that a thread of a pool waits
(see `parallelize.futures`).
"""

from __future__ import annotations

import concurrent.futures
from concurrent.futures import ALL_COMPLETED
from typing import TYPE_CHECKING, Any, TypeVar

from parallelize.futures import Future
from parallelize.waiting import here

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures._base import DoneAndNotDoneFutures

__all__ = ("wait",)

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
        timeout: The longest wait in seconds; None waits without end.
        return_when: ``FIRST_COMPLETED``, ``FIRST_EXCEPTION`` or ``ALL_COMPLETED``.

    Returns:
        Two sets, ``done`` and ``not_done``.

    Example:
        >>> from parallelize import threaded, wait
        >>> double = threaded(lambda x: 2 * x)
        >>> len(wait([double(1), double(2)]).done)
        2
    """
    futures: list[concurrent.futures.Future[T]] = list(fs)
    worker = here.worker
    if worker is not None and timeout is None and return_when == ALL_COMPLETED:
        each: Any  # of what type matters to nobody here
        for each in futures:
            if isinstance(each, Future):
                worker.help(each)
    return concurrent.futures.wait(futures, timeout, return_when)
