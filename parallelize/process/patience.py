"""Waiting a moment awake before going to sleep.

To be woken costs tens of microseconds, much more than a short call takes. So who
expects an answer at once looks for it some times first. It gives way to whoever
else wants the processor, and it does not look for long: an idle pool sleeps.
"""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import select

#: Seconds in which an answer may come that is worth staying awake for.
SPIN = 0.00005

_give_way = getattr(os, "sched_yield", lambda: None)  # Windows has no such call


def ready_soon(poll: select.poll) -> bool:
    """Whether something comes to a descriptor within a moment."""
    until = perf_counter() + SPIN
    while not poll.poll(0):
        if perf_counter() > until:
            return False
        _give_way()
    return True
