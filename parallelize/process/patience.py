"""Waiting a moment awake before going to sleep.

To be woken costs tens of microseconds, much more than a short call takes. So who
expects an answer at once looks for it some times first. It gives way to whoever
else wants the processor, and it does not look for long: an idle pool sleeps.
"""

from __future__ import annotations

import os
import select
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

#: Seconds in which an answer may come that is worth staying awake for.
SPIN = 0.00005

# Windows has no such call.
give_way: Callable[[], object] = getattr(os, "sched_yield", lambda: None)


class Eye:
    """Sees whether a socket has something to be read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(sock, select.POLLIN)

    def sees(self) -> bool:
        """Whether there is something now."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(select.select([self._sock], [], [], 0)[0])

    def sees_soon(self) -> bool:
        """Whether there is something within a moment."""
        until = perf_counter() + SPIN
        while not self.sees():
            if perf_counter() > until:
                return False
            give_way()
        return True
