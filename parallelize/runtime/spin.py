"""Adaptive spinning: poll briefly before blocking.

Waking a blocked thread costs tens of microseconds, much more than a short call takes.
So a thread that expects an answer at once polls for it a few times first. It yields
the CPU to other threads meanwhile, and it does not poll for long: an idle pool blocks.

The duration of the previous wait decides whether to spin: where one answer came almost
at once, the next one mostly does too, and where work takes longer no thread spins.
"""

from __future__ import annotations

import os

from parallelize.runtime.clock import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

#: Seconds for which spinning is worthwhile: as long as a call takes on a virtual
#: machine where each thread has to be woken. A thread that blocks a little too early
#: pays for both the spinning and the wake-up.
SPIN_LIMIT = 0.0002

#: Seconds that a wake-up may take; a thread that has blocked is allowed these on top.
WAKING = 0.0002

# Windows has no sched_yield.
give_way: Callable[[], object] = getattr(os, "sched_yield", lambda: None)


class AdaptiveSpin:
    """Decides whether to spin before the next wait; one thread at a time uses it."""

    def __init__(
        self, give_way: Callable[[], object] = give_way, limit: float = SPIN_LIMIT
    ) -> None:
        """Make one that spins before the first wait.

        Args:
            give_way: Called after each look that sees nothing.
            limit: The longest time of spinning in seconds.
        """
        self._give_way = give_way
        self._limit = limit
        self._began = 0.0  # the wait
        self._until = 0.0  # until when a thread spins
        self._stays = True

    def is_free(self) -> bool:
        """Whether no thread spins by it."""
        return perf_counter() >= self._until

    def spin(self, poll: Callable[[], T]) -> T | None:
        """Begin a wait: poll for a moment, if that is likely to help.

        Args:
            poll: Returns a true value once the wait is over.

        Returns:
            What `poll` returned; None if the thread has to block.
        """
        now = self._began = perf_counter()
        self._until = until = now + self._limit if self._stays else now
        while now < until:
            if seen := poll():
                self._until = now
                return seen
            self._give_way()
            now = perf_counter()
        return None

    def done(self) -> float:
        """Record that the wait is over; return its duration in seconds."""
        seconds = perf_counter() - self._began
        self._stays = seconds <= self._limit + WAKING
        return seconds
