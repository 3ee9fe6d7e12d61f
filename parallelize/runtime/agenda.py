"""What is due when: a heap of moments, each with what is then to be done.

A deadline that is cancelled lets go of its action at once. Its place in the heap goes
when the moment comes, or when such places are more than half of all.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Agenda", "Deadline")

_log = logging.getLogger("parallelize")

#: Void deadlines are swept out of the heap when they are more than this many
#: and more than half of it.
SWEEP_ABOVE = 64


class Deadline:
    """A moment at which an action is called, unless it is cancelled before.

    Attributes:
        when: The moment, in seconds of the monotonic clock.
    """

    __slots__ = ("_action", "_agenda", "when")

    def __init__(
        self, agenda: Agenda, when: float, action: Callable[[], object]
    ) -> None:
        self.when: float = when
        self._agenda = agenda
        self._action: Callable[[], object] | None = action

    def cancel(self) -> None:
        """Call nothing; no effect when it is too late."""
        if self._action is not None:
            self._action = None  # lets go of what the action holds
            self._agenda.one_is_void()

    def meet(self) -> None:
        """Call the action; its errors are logged."""
        action, self._action = self._action, None
        if action is None:
            return
        try:
            action()
        except Exception:  # noqa: BLE001 - the other deadlines must be met
            # It asks the time, of which a test may have made a function that fails.
            with contextlib.suppress(Exception):
                _log.exception("an action at a deadline failed")

    @property
    def void(self) -> bool:
        """Whether there is nothing left to call."""
        return self._action is None


class Agenda:
    """Deadlines, the nearest first.

    It has no lock. The caller of each method keeps others out, and so does who
    cancels a deadline, unless a derived class does in `one_is_void`.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()  # deadlines of equal time stay in order
        self._void = 0  # how many were cancelled since the last sweep

    def at(self, when: float, action: Callable[[], object]) -> Deadline:
        """Have something done at a moment of the monotonic clock."""
        deadline = Deadline(self, when, action)
        heapq.heappush(self._heap, (when, next(self._numbers), deadline))
        return deadline

    def nearest(self) -> float | None:
        """The first moment at which there is something to do; None: there is none."""
        heap = self._heap
        while heap:
            if not heap[0][2].void:
                return heap[0][0]
            heapq.heappop(heap)
        return None

    def take_due(self, now: float) -> Deadline | None:
        """Remove and return the first deadline whose moment has come."""
        nearest = self.nearest()
        if nearest is None or nearest > now:
            return None
        return heapq.heappop(self._heap)[2]

    def one_is_void(self) -> None:
        """A deadline was cancelled: sweep if that pays."""
        self._void += 1
        if self._void > SWEEP_ABOVE and self._void * 2 > len(self._heap):
            self._void = 0
            self._heap = [entry for entry in self._heap if not entry[2].void]
            heapq.heapify(self._heap)
