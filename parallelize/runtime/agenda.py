"""Deadlines: a heap of points in time, each with an action to call then.

A cancelled deadline drops its action at once. Its heap entry is removed when its time
comes, or when cancelled entries are more than half of the heap.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Agenda", "Deadline")

_log = logging.getLogger("parallelize")

#: Cancelled deadlines are swept out of the heap when they are more than this many and
#: more than half of it.
SWEEP_ABOVE = 64


class Deadline:
    """A point in time at which an action is called, unless cancelled before.

    Attributes:
        when: The time, in seconds of the monotonic clock.
    """

    __slots__ = ("_action", "_agenda", "when")

    def __init__(
        self, agenda: Agenda, when: float, action: Callable[[], object]
    ) -> None:
        self.when: float = when
        self._agenda = agenda
        self._action: Callable[[], object] | None = action

    def cancel(self) -> None:
        """Do not call the action; no effect once it has been called."""
        if self._action is not None:
            self._action = None  # releases what the action holds
            self._agenda.one_is_void()

    def meet(self) -> None:
        """Call the action, and log an error that it raises."""
        action, self._action = self._action, None
        if action is None:
            return
        try:
            action()
        except Exception:  # noqa: BLE001 - other deadlines must still be met
            # Logging reads the time, and a test may have replaced that function by one
            # that fails.
            with contextlib.suppress(Exception):
                _log.exception("an action at a deadline failed")

    @property
    def void(self) -> bool:
        """Whether the action has been called or cancelled."""
        return self._action is None


class Agenda:
    """A queue of deadlines, the nearest first.

    It has no lock. Callers serialise calls of its methods and of `Deadline.cancel`,
    unless a subclass locks in `one_is_void`.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()  # deadlines of equal time stay in order
        self._void = 0  # number cancelled since the last sweep

    def at(self, when: float, action: Callable[[], object]) -> Deadline:
        """Schedule an action at a time of the monotonic clock."""
        deadline = Deadline(self, when, action)
        heapq.heappush(self._heap, (when, next(self._numbers), deadline))
        return deadline

    def nearest(self) -> float | None:
        """Return the time of the first deadline, or None if there is none."""
        heap = self._heap
        while heap:
            if not heap[0][2].void:
                return heap[0][0]
            heapq.heappop(heap)
        return None

    def take_due(self, now: float) -> Deadline | None:
        """Remove and return the first deadline that is due; None if there is none."""
        nearest = self.nearest()
        if nearest is None or nearest > now:
            return None
        return heapq.heappop(self._heap)[2]

    def one_is_void(self) -> None:
        """Count a cancelled deadline, and sweep the heap if that pays."""
        self._void += 1
        if self._void > SWEEP_ABOVE and self._void * 2 > len(self._heap):
            self._void = 0
            self._heap = [entry for entry in self._heap if not entry[2].void]
            heapq.heapify(self._heap)
