"""Maps: of tiny tasks, of CPU-bound ones, of uneven ones, and what they hold."""

from __future__ import annotations

import functools
import random
import statistics
from typing import TYPE_CHECKING

from benchmarks import tasks
from benchmarks.proc import peak_mib, resident_mib
from benchmarks.rows.base import (
    EVERY_PEER,
    VALUE,
    Bench,
    Found,
    Row,
    Target,
    seconds,
)
from benchmarks.rows.floors import Twins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.peers.base import Peer


def read(results: Iterable[object]) -> None:
    """Read results one by one and keep none."""
    for _ in results:
        pass


def tiny_tasks(bench: Bench) -> Found:
    return tasks_a_second(bench, tasks.tiny)


def tiny_texts(bench: Bench) -> Found:
    return tasks_a_second(bench, str)


def tasks_a_second(bench: Bench, fn: Callable[[int], object]) -> Found:
    # A peer that hands over one at a time is so slow that a tenth tells its rate.
    slow = not (bench.ours or bench.tuned)
    count = bench.pick(200_000, 50_000) // (10 if slow else 1)
    with bench.peer as peer:
        read(peer.map(fn, range(1_000)))  # every worker has the function now
        took = seconds(lambda: read(peer.map(fn, range(count))))
    return {VALUE: count / took}


def memory(bench: Bench) -> Found:
    count = bench.pick(10_000_000, 1_000_000)
    with bench.peer as peer:
        read(peer.map(tasks.tiny, range(1_000)))
        before = resident_mib()
        read(peer.map(tasks.tiny, range(count)))
        return {VALUE: peak_mib() - before}


# -- CPU-bound tasks --------------------------------------------------------------


def share_of_ideal(bench: Bench, milliseconds: int, count: int) -> Found:
    """Compare a map with two plain processes that have half of the tasks each.

    They run before and after each map, because neither the speed of the machine
    nor that of its second CPU stays the same.
    """
    loops = bench.loops * milliseconds
    with Twins(loops, count // 2) as twins, bench.peer as peer:
        work = functools.partial(cpu_map, peer, loops, count)
        work()
        ideals, maps = [twins.seconds()], list[float]()
        for _ in range(bench.pick(3, 2)):
            maps.append(seconds(work))
            ideals.append(twins.seconds())
    return {VALUE: statistics.median(shares(ideals, maps))}


def cpu_map(peer: Peer, loops: int, count: int) -> None:
    read(peer.map(tasks.spin, [loops] * count))


def shares(ideals: Sequence[float], maps: Sequence[float]) -> list[float]:
    around = zip(ideals, ideals[1:], maps, strict=False)
    return [(before + after) / 2 / took for before, after, took in around]


def cpu_1ms(bench: Bench) -> Found:
    return share_of_ideal(bench, 1, bench.pick(1_000, 300))


def cpu_10ms(bench: Bench) -> Found:
    return share_of_ideal(bench, 10, bench.pick(200, 40))


# -- Uneven tasks -----------------------------------------------------------------


def durations(count: int) -> list[float]:
    """Return seconds from 0.1 ms to 100 ms, as many of each order of magnitude."""
    return [1e-4 * 1_000 ** (i / (count - 1)) for i in range(count)]


def shuffled(items: Sequence[float]) -> list[float]:
    """Shuffle, always in the same way."""
    return random.Random(1).sample(items, len(items))  # noqa: S311 - no secret


def best_makespan(lengths: Iterable[float], workers: int) -> float:
    """Return when the last worker ends if each takes the longest that is left."""
    ends = [0.0] * workers
    for length in sorted(lengths, reverse=True):
        ends[ends.index(min(ends))] += length
    return max(ends)


def uneven(arrange: Callable[[list[float]], list[float]], bench: Bench) -> Found:
    """Compare a map of sleeping tasks with the best schedule of them."""
    lengths = arrange(durations(bench.pick(300, 160)))
    with bench.peer as peer:
        took = seconds(lambda: read(peer.map(tasks.nap, lengths)))
    return {VALUE: took / best_makespan(lengths, 2)}


TINY = functools.partial(
    Row,
    unit="tasks/s",
    measure=tiny_tasks,
    more=True,
    chunk=1_000,
    quick=("parallelize", "futures", "futures:chunks", "pool", "pool:map"),
)

ROWS = {
    "map": TINY("map of tiny tasks, read one by one", targets=(Target(1, EVERY_PEER),)),
    "map-texts": TINY("map of tiny tasks with texts as results", measure=tiny_texts),
    "cpu-1ms": Row(
        "map of CPU-bound tasks of 1 ms",
        "of the ideal",
        cpu_1ms,
        more=True,
        targets=(Target(0.95),),
        chunk=10,
    ),
    "cpu-10ms": Row(
        "map of CPU-bound tasks of 10 ms",
        "of the ideal",
        cpu_10ms,
        more=True,
        targets=(Target(0.98),),
    ),
    "uneven-shuffled": Row(
        "map of tasks of 0.1 to 100 ms, shuffled",
        "x the best schedule",
        functools.partial(uneven, shuffled),
        targets=(Target(1.05),),
    ),
    "uneven-worst": Row(
        "map of tasks of 0.1 to 100 ms, the longest last",
        "x the best schedule",
        functools.partial(uneven, sorted),
        targets=(Target(1.05),),
    ),
    "memory": Row(
        "map of 10 million numbers: peak memory of the program over its start",
        "MiB",
        memory,
        targets=(Target(60),),
        chunk=1_000,
        tuned_only=True,
        quick=("parallelize", "futures:chunks", "pool:imap"),
    ),
}

THREAD_ROWS = {
    "thread-map": TINY(
        "threads: map of tiny tasks, read one by one",
        targets=(Target(10, "futures"), Target(1, EVERY_PEER)),
        threads=True,
        quick=("parallelize", "futures", "pool", "pool:map"),
    ),
}
