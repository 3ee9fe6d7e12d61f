"""Waiting awake for other threads of the same interpreter, where calls are short.

A worker waits for the next call, and the caller for its result. Each of them that
blocks has to be woken, which takes longer than a short call. So both stay awake for a
moment, as `parallelize.runtime.spin` decides, but one worker and one caller of a pool
at a time, so that no more CPUs are busy than a call needs.
"""

from __future__ import annotations

import functools
import os

from parallelize.runtime import native
from parallelize.runtime.clock import perf_counter
from parallelize.runtime.spin import AdaptiveSpin, give_way

try:
    from zlib import crc32
except ImportError:  # a Python without it
    crc32 = len  # type: ignore[assignment]

#: Seconds for which `leave_gil` leaves the GIL to other threads: longer than a thread
#: holds it to submit a call, or to run a short one.
AWAY = 25e-6

#: If yielding takes less time than this, in seconds, no other thread has run meanwhile.
ALONE = 2e-6

#: The longest time, in seconds, for which an event loop stands still to wait awake.
LOOP_LIMIT = 50e-6


class Awake:
    """What decides which threads wait awake for a pool, or for its calls.

    Attributes:
        idle: For its idle workers.
        callers: For threads that wait for a result.
        loops: For event loops in which a coroutine does so.
    """

    def __init__(self) -> None:
        self.idle: AdaptiveSpin = AdaptiveSpin(leave_gil)
        self.callers: AdaptiveSpin = AdaptiveSpin(leave_gil)
        self.loops: AdaptiveSpin = AdaptiveSpin(leave_gil, LOOP_LIMIT)


def can_stay_awake() -> bool:
    """Whether a thread that spins lets others run: not so among greenlets."""
    _zeros()  # measured now, as no thread of the pool needs the GIL yet
    return hasattr(os, "sched_yield") and not native.is_patched()


def leave_gil() -> None:
    """Give way to other threads, and leave the GIL to them for `AWAY` seconds.

    A thread that waits for another one of the same interpreter needs the GIL to see
    whether the wait is over, and the other one needs it to end the wait. Whichever
    finds the GIL taken goes to sleep, and waking it takes as long as if it had not
    spun. So a thread looks rarely, and stays awake without the GIL in between; unless
    another thread runs on the same CPU, for then giving way is all it takes.
    """
    began = perf_counter()
    give_way()
    if perf_counter() - began < ALONE:
        crc32(_zeros())


@functools.cache
def _zeros() -> bytes:
    """Return bytes whose checksum takes `AWAY` seconds.

    Nothing in the standard library waits awake without the GIL. The checksum of more
    than 5 KiB is computed without it, and does nothing else.
    """
    if not native.STEPS_ARE_WHOLE:
        return b""  # there is no GIL
    sample, took = bytes(1 << 14), []
    for _ in range(5):
        began = perf_counter()
        crc32(sample)
        took.append(perf_counter() - began)
    size = int(len(sample) * AWAY / max(min(took), 1e-6))
    return bytes(min(max(size, 1 << 13), 1 << 19))
