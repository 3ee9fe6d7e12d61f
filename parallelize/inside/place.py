"""The place of this process or interpreter among the workers of its pool.

A pool sends it when it starts a worker, so that no call has to carry it. Threads note
theirs in `blocking.here`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Index, number of workers and kind, as in `worker.Worker`.
program: tuple[int, int, str] = (0, 1, "none")

#: In a process or an interpreter: whether the call that runs was asked to stop.
asked: Callable[[], bool] | None = None


def begin(index: int, count: int, kind: str) -> None:
    """Record the place of this process or interpreter, which is a worker."""
    global program
    program = index, count, kind


def free_index(taken: set[int]) -> int:
    """Return the lowest number that no live worker of a pool has."""
    index = 0
    while index in taken:
        index += 1
    return index
