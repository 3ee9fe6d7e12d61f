"""How many descriptors this process may still open.

Each worker process takes two from the program, its task socket and its control socket,
and each interpreter four, as it has two pipes. A pool leaves some to the program, which
needs them for its files and connections.
"""

from __future__ import annotations

import contextlib
import errno
import os

#: Descriptors that pools leave to the program, or a quarter of all if that is less.
MARGIN = 64


class TooFewDescriptorsError(OSError):
    """One more worker would take descriptors that are left to the program."""

    def __init__(self, used: int, most: int) -> None:
        text = (
            f"this process has {used} of at most {most} descriptors open, and "
            f"the last {margin(most)} are left to the program"
        )
        super().__init__(errno.EMFILE, text)


def limit() -> int | None:
    """Return how many descriptors this process may have; None if there is no limit."""
    try:
        most = os.sysconf("SC_OPEN_MAX")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    return most if most > 0 else None


def margin(most: int) -> int:
    """Return how many of at most this many descriptors are left to the program."""
    return min(MARGIN, most // 4)


def are_many(fd: int) -> bool:
    """Return whether a new descriptor's number shows that few are left.

    A new descriptor gets the lowest number that is free.
    """
    most = limit()
    return most is not None and fd >= most // 8


def refuse_the_last(more: int) -> None:
    """Raise an error if this process would have too few left with this many more.

    Raises:
        TooFewDescriptorsError: Fewer than `margin` would be left.
    """
    most = limit()
    if most is None or not are_many(_lowest_free()):
        return  # to count them takes a millisecond for a thousand
    used = _used()
    if used + more > most - margin(most):
        raise TooFewDescriptorsError(used, most)


def say_small(pool: str, count: int, most: int, why: TooFewDescriptorsError) -> None:
    """Log that a pool has fewer workers than it may have."""
    import logging

    text = "%s goes on with %d of %d workers: %s (ulimit -n)"
    with contextlib.suppress(Exception):  # of a log handler
        logging.getLogger("parallelize").warning(text, pool, count, most, why.strerror)


def _used() -> int:
    try:
        return len(os.listdir("/dev/fd")) - 1  # without the one that lists them
    except FileNotFoundError:  # no such file system
        return _lowest_free()  # all below it are in use


def _lowest_free() -> int:
    fd = os.open(os.devnull, os.O_RDONLY)
    os.close(fd)
    return fd
