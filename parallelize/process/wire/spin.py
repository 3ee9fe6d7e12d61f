"""Waiting a moment awake before going to sleep.

To be woken costs tens of microseconds, much more than a short call takes. So who
expects an answer at once looks for it some times first. It gives way to whoever
else wants the processor, and it does not look for long: an idle pool sleeps.

Whether it pays is seen from the wait before: where answers come within a moment, the
next one mostly does, too, and where work takes longer nobody stays awake for it.
"""

from __future__ import annotations

import os

from parallelize.runtime import native
from parallelize.runtime.clock import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

#: Seconds for which it is worth staying awake: as long as a call takes on a virtual
#: machine where everybody has to be woken; who sleeps a little too early pays for both.
SPIN_LIMIT = 0.0002

#: Seconds that being woken may take, which count for who has slept.
WAKING = 0.0002

# Windows has no such call.
give_way: Callable[[], object] = getattr(os, "sched_yield", lambda: None)


class Readiness:
    """Sees whether a socket has something to be read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        make: Any = native.poll  # None where there is none
        self._poll = None if make is None else make()
        if self._poll is not None:
            self._poll.register(sock, native.POLLIN)

    def poll(self) -> bool:
        """Whether there is something now."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(native.select([self._sock], [], [], 0)[0])


class AdaptiveSpin:
    """Whether to stay awake for what comes next; it belongs to one thread."""

    def __init__(self) -> None:
        self._began = 0.0  # the wait
        self._stays = True

    def spin(self, poll: Callable[[], T]) -> T | None:
        """Begin to wait: look for a moment, if that is likely to help.

        Args:
            poll: Returns something true once there is what is waited for.

        Returns:
            What `poll` returned; None if the thread has to block for it.
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
        """Note that the wait is over; return how many seconds it took."""
        seconds = perf_counter() - self._began
        self._stays = seconds <= SPIN_LIMIT + WAKING
        return seconds
