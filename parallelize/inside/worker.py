"""`worker()`: which worker of its pool runs a call."""

from __future__ import annotations

from parallelize.inside import place
from parallelize.runtime.blocking import here

__all__ = ("Worker", "worker")


class Worker:
    """A worker of a pool, as `worker` returns it.

    Attributes:
        index: Its number in its pool, from 0 on. No two live workers of a pool have the
            same one; the replacement of a worker that has ended gets its number.
        count: The number of workers that its pool has at most. The index is lower,
            except in a worker that a pool adds for the time in which another one waits:
            a thread for other calls, a process for the reader of a stream.
        kind: "threads", "processes" or "interpreters"; "coroutines" on an event loop
            of a pool of threads, whose loops are numbered by themselves; "serial" in a
            call that runs in the thread of its caller; "none" elsewhere: outside of
            calls, and in workers of other libraries.
    """

    __slots__ = ("count", "index", "kind")
    __match_args__ = ("index", "count", "kind")

    def __init__(self, index: int, count: int, kind: str) -> None:
        self.index: int = index
        self.count: int = count
        self.kind: str = kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Worker) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        index, count, kind = self._fields()
        return f"Worker(index={index}, count={count}, kind={kind!r})"

    def _fields(self) -> tuple[int, int, str]:
        return self.index, self.count, self.kind


def worker() -> Worker:
    """Return the worker in which this runs.

    For what each worker has for itself: a device, a port, a directory.

    Returns:
        Its number, the number of workers of its pool, and its kind; outside of a worker
        ``Worker(0, 1, "none")``.

    Example:
        >>> from parallelize import threaded, worker
        >>> @threaded(max_workers=2)
        ... def device() -> str:
        ...     return f"cuda:{worker().index}"
        >>> device().result()
        'cuda:0'
        >>> worker()
        Worker(index=0, count=1, kind='none')
    """
    if here.depth > here.outer_depth:
        return Worker(0, 1, "serial")
    return Worker(*(here.place or place.program))
