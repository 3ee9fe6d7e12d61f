"""The numbers of the shared pools, together or by their kinds."""

from __future__ import annotations

from parallelize.calls.stats import Stats
from parallelize.registry import shared_pools
from parallelize.runtime.options import check_text

__all__ = ("stats",)

#: What the numbers are called outside of Python, and what they say.
GAUGES = {
    "workers": ("workers", "Workers that are started."),
    "busy": ("workers_busy", "Workers that run calls."),
    "queued": ("calls_queued", "Calls that have not begun."),
    "running": ("calls_running", "Calls that have begun and not ended."),
}
COUNTERS = {
    "done": ("calls_done", "Calls that returned a result."),
    "failed": ("calls_failed", "Calls that ended by an error."),
    "retried": ("calls_retried", "Attempts after a first one that failed."),
    "killed": ("workers_killed", "Workers that were killed."),
    "died": ("workers_died", "Workers that ended by themselves."),
}


def stats(kind: str | None = None) -> Stats:
    """Return how many workers and calls the shared pools have, all added.

    These are the pools that decorated functions and maps use, also the private pools of
    functions, but no executors that you made yourself (see `Executor.stats`). The
    numbers begin again with fresh pools after `shutdown`.

    Args:
        kind: Only the pools of this kind, ``"processes"`` for instance; None: all. A
            kind without a pool has only zeros.

    Raises:
        TypeError: ``kind`` is neither a string nor None.

    Example:
        >>> import parallelize
        >>> parallelize.stats().failed
        0
    """
    if kind is not None:
        check_text(kind, "kind")
    known = stats_by_kind()
    chosen = known.values() if kind is None else [known.get(kind, Stats())]
    return sum(chosen, Stats())


def stats_by_kind() -> dict[str, Stats]:
    """Return the numbers of the shared pools for each kind of which there is one."""
    found: dict[str, Stats] = {}
    for kind, executor in shared_pools.existing():
        found[kind] = found.get(kind, Stats()) + executor.stats()
    return found
