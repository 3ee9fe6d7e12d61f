"""How many calls an executor has, and how those ended that it had."""

from __future__ import annotations

from dataclasses import astuple, dataclass

__all__ = ("Stats",)


@dataclass(frozen=True, slots=True)
class Stats:
    """The numbers of an executor's workers and calls at one moment.

    The first four are how it is now; the others count from the first call on. Each row
    of a map is a call, a stream is one. Calls that were cancelled are in none of the
    numbers. Stats can be added.

    What the engines of others do not say is not known: on Dask, Ray and executors of
    other libraries all calls that have not ended are ``queued``, rows that were sent
    together are one of these, and ``workers``, ``busy``, ``running``, ``killed`` and
    ``died`` are 0; Dask and Ray do not say either what was ``retried``. In threads,
    nothing is ``killed``.

    Attributes:
        workers: The workers that are started: threads, event loops, processes.
        busy: Those of them that run calls.
        queued: The calls that have not begun: they wait for a worker, their arguments,
            a limit, a rate, or their next attempt.
        running: The calls that have begun and not ended.
        done: The calls that returned a result.
        failed: The calls that ended by an error, also by a timeout or a kill.
        retried: The attempts after a first one that failed.
        killed: The workers that were killed, by a timeout, `Future.kill` or others.
        died: The workers that ended by themselves although they were still needed.

    Example:
        >>> from parallelize import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(max_workers=2) as executor:
        ...     executor.submit(abs, -1).result(), executor.stats().done
        (1, 1)
    """

    workers: int = 0
    busy: int = 0
    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    killed: int = 0
    died: int = 0

    def __add__(self, other: Stats) -> Stats:
        """Return the stats of both together."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Stats(*(mine + theirs for mine, theirs in pairs))
