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
AWAKE = 0.0002

#: Seconds that being woken may take, which count for who has slept.
WAKING = 0.0002

# Windows has no such call.
give_way: Callable[[], object] = getattr(os, "sched_yield", lambda: None)


class Eye:
    """Sees whether a socket has something to be read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        make: Any = native.poll  # None where there is none
        self._poll = None if make is None else make()
        if self._poll is not None:
            self._poll.register(sock, native.POLLIN)

    def sees(self) -> bool:
        """Whether there is something now."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(native.select([self._sock], [], [], 0)[0])


class Patience:
    """Whether to stay awake for what comes next; it belongs to one thread."""

    def __init__(self) -> None:
        self._began = 0.0  # the wait
        self._stays = True

    def look(self, sees: Callable[[], T]) -> T | None:
        """Begin to wait: look for a moment, if that is likely to help.

        Args:
            sees: Looks, and returns something true if it has come.

        Returns:
            What has come; None if one has to sleep for it.
        """
        now = self._began = perf_counter()
        until = now + AWAKE if self._stays else now
        while now < until:
            if seen := sees():
                return seen
            give_way()
            now = perf_counter()
        return None

    def came(self) -> float:
        """Note that the wait is over; return how many seconds it took."""
        seconds = perf_counter() - self._began
        self._stays = seconds <= AWAKE + WAKING
        return seconds
