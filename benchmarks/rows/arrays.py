"""Arrays as arguments and results: what the way there and back costs."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchmarks import tasks
from benchmarks.rows.base import VALUE, Bench, Found, Row, Target, seconds
from benchmarks.rows.maps import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.peers.base import Peer

COPY = "copy into a warm buffer"
MIB = 100


def argument(bench: Bench) -> Found:
    """Pass an array that changes before each call; the worker adds it up."""
    array = tasks.made(MIB)

    def change(number: int) -> tasks.Array:
        array[number] = -1.0
        return array

    with bench.peer as peer:
        return compared(
            lambda number: peer.call(tasks.total, change(number)),
            lambda number: tasks.total(change(number)),
            bench.pick(7, 3),
        )


def result(bench: Bench) -> Found:
    """Return an array that changes with each call; the program adds it up."""
    with bench.peer as peer:
        # So that each worker has its array.
        read(peer.map(tasks.changed, [(MIB, -1)] * 4))
        return compared(
            lambda number: tasks.total(peer.call(tasks.changed, (MIB, number))),
            lambda number: tasks.total(tasks.changed((MIB, number))),
            bench.pick(7, 3),
        )


def compared(
    there: Callable[[int], float], here: Callable[[int], float], times: int
) -> Found:
    """Return by how many ms a call takes longer than in place, beside a copy."""
    copies, extra, copied = copying(), [], []
    for number in range(times + 1):
        theirs, took_there = timed(there, number)
        mine, took_here = timed(here, number)
        assert theirs == mine, "the worker has seen another array"
        extra.append(took_there - took_here)
        copied.append(next(copies))
    # The first of them found nothing warm.
    return {
        VALUE: 1e3 * statistics.median(extra[1:]),
        COPY: 1e3 * statistics.median(copied[1:]),
    }


def timed(work: Callable[[int], float], number: int) -> tuple[float, float]:
    """Return what something comes to, and the seconds that it takes."""
    begun = time.perf_counter()
    return work(number), time.perf_counter() - begun


def copying(mib: float = MIB) -> Iterator[float]:
    """Copy such an array into another again and again, and give the seconds."""
    import numpy as np

    array, warm = tasks.made(mib), tasks.made(mib)
    while True:
        yield seconds(lambda: np.copyto(warm, array))


def arrays(bench: Bench) -> Found:
    """Submit many different arrays of 100 KiB; only a number comes back."""
    count = bench.pick(2_000, 400)
    many = [tasks.made(100 / 1_024) for _ in range(2 * count)]
    with bench.peer as peer:
        passed(peer, many[:count])  # whatever it keeps for the next, it has now
        return {VALUE: count / seconds(lambda: passed(peer, many[count:]))}


def passed(peer: Peer, many: list[tasks.Array]) -> None:
    """Submit arrays, then wait for all."""
    gets = [peer.submit(tasks.first, array) for array in many]
    for get in gets:
        get()


ROWS = {
    "argument": Row(
        "array of 100 MiB as argument, over the same call in place",
        "ms",
        argument,
        targets=(Target(2, COPY),),
    ),
    "result": Row(
        "array of 100 MiB as result, over the same call in place",
        "ms",
        result,
        targets=(Target(2, COPY),),
    ),
    "arrays": Row(
        "different arrays of 100 KiB as arguments",
        "arrays/s",
        arrays,
        more=True,
        targets=(Target(5, "futures"),),
        without=("joblib",),
    ),
}
