"""One large array that a thousand tasks read: how many copies, how much time."""

from __future__ import annotations

import functools
import statistics
from typing import TYPE_CHECKING, Any

from benchmarks import tasks
from benchmarks.proc import family, proportional_mib
from benchmarks.rows.base import VALUE, Bench, Found, Row, Target, seconds
from benchmarks.rows.maps import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers.base import Peer

TASKS = 1_000
# They offer nothing that would not copy the array for each task.
WITHOUT = ("futures", "pool", "loky", "pebble", "mpire", "ray")


def copies(bench: Bench) -> Found:
    """Measure what the program and its workers hold more than without, in arrays."""
    mib = bench.pick(1_024, 256)
    tasks.made(0.01)  # loads what arrays need, before any fork
    bare = held_mib(bench.peer, [])
    peer = bench.peer
    shared = peer.share(functools.partial(tasks.made, mib))
    held = held_mib(peer, [(shared, i, TASKS) for i in range(TASKS)])
    return {VALUE: (held - bare) / mib}


def held_mib(peer: Peer, calls: list[Any]) -> float:
    """Return what all processes hold after these calls."""
    with peer:
        # Small ones, so that each worker has loaded it, too.
        read(peer.map(tasks.first, [tasks.made(0.01)] * 100))
        read(peer.map(tasks.part, calls))
        return proportional_mib(family())


def extra_time(bench: Bench) -> Found:
    """Measure by how much a task takes longer if it reads the array."""
    mib = bench.pick(1_024, 256)
    peer = bench.peer
    shared = peer.share(functools.partial(tasks.made, mib))
    numbers = range(TASKS)
    with peer:
        times = [
            (
                thousand(peer, tasks.no_item, [(None, i) for i in numbers]),
                thousand(peer, tasks.item, [(shared, i) for i in numbers]),
            )
            for _ in range(bench.pick(7, 5))
        ]
    # The first of them found nothing warm.
    extra = statistics.median(reading - plain for plain, reading in times[1:])
    return {VALUE: 1e6 * extra / TASKS}


def thousand(peer: Peer, fn: Callable[[Any], Any], calls: list[Any]) -> float:
    return seconds(lambda: read(peer.map(fn, calls)))


ROWS = {
    "share-memory": Row(
        "array of 1 GiB that 1000 tasks read: memory of program and workers",
        "x its size",
        copies,
        targets=(Target(1.05),),
        without=WITHOUT,
        quick=("parallelize", "pool-fork"),
    ),
    "share-time": Row(
        "array of 1 GiB that 1000 tasks read: more time for each",
        "µs",
        extra_time,
        targets=(Target(100),),
        without=WITHOUT,
        quick=("parallelize", "pool-fork"),
    ),
}
