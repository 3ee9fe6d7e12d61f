"""Adaptive spinning: poll briefly before blocking.

Waking a blocked thread costs tens of microseconds, much more than a short call takes.
So a thread that expects an answer at once polls for it a few times first. It yields
the CPU to other threads meanwhile, and it does not poll for long: an idle pool blocks.

The duration of the previous wait decides whether to spin: where one answer came almost
at once, the next one mostly does too, and where work takes longer no thread spins.
"""

from __future__ import annotations

import os

from parallelize.runtime import native
from parallelize.runtime.clock import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

#: Seconds for which spinning is worthwhile: as long as a call takes on a virtual
#: machine where each thread has to be woken. A thread that blocks a little too early
#: pays for both the spinning and the wake-up.
SPIN_LIMIT = 0.0002

#: Seconds that a wake-up may take; a thread that has blocked is allowed these on top.
WAKING = 0.0002

# Windows has no sched_yield.
give_way: Callable[[], object] = getattr(os, "sched_yield", lambda: None)


class Readiness:
    """Checks whether a socket is readable."""

    def __init__(self, sock: native.Socket) -> None:
        self._sock = sock
        make: Any = native.poll  # None where there is none
        self._poll = None if make is None else make()
        if self._poll is not None:
            self._poll.register(sock, native.POLLIN)

    def poll(self) -> bool:
        """Return whether the socket is readable now."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(native.select([self._sock], [], [], 0)[0])


class AdaptiveSpin:
    """Decides whether to spin before the next wait; it belongs to one thread."""

    def __init__(self) -> None:
        self._began = 0.0  # the wait
        self._stays = True

    def spin(self, poll: Callable[[], T]) -> T | None:
        """Begin a wait: poll for a moment, if that is likely to help.

        Args:
            poll: Returns a true value once the wait is over.

        Returns:
            What `poll` returned; None if the thread has to block.
        """
        now = self._began = perf_counter()
        until = now + SPIN_LIMIT if self._stays else now
        while now < until:
            if seen := poll():
                return seen
            give_way()
            now = perf_counter()
        return None

    def done(self) -> float:
        """Record that the wait is over; return its duration in seconds."""
        seconds = perf_counter() - self._began
        self._stays = seconds <= SPIN_LIMIT + WAKING
        return seconds
