"""What a row of the table is: a measurement, its unit and what it is to reach."""

from __future__ import annotations

import dataclasses
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers.base import Peer

VALUE = "value"  # the name of what was measured among what came with it

# What a measurement found: the value, and under other names what it refers to.
Found = dict[str, float]

T = TypeVar("T")

EVERY_PEER = "best peer"
NO_FORK = "best peer that does not fork"


class Target(NamedTuple):
    """What the value has to reach: a number, or a multiple of another value.

    Args:
        factor: The number.
        of: A peer, something the measurement refers to, one of the best peers
            above; empty if the number stands for itself.
        further: It is an aim beyond what has to be met.
    """

    factor: float
    of: str = ""
    further: bool = False


class Bench(NamedTuple):
    """What a measurement is given."""

    make: Callable[[int], Peer]  # by the number of workers
    ours: bool
    tuned: bool
    quick: bool
    loops: int  # of `tasks.spin`, that take a millisecond

    @property
    def peer(self) -> Peer:
        """Make a pool of two workers; it is opened by a `with` block."""
        return self.make(2)

    def pick(self, full: T, quick: T) -> T:
        return quick if self.quick else full


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Args:
        title: What is measured.
        unit: Of the value.
        measure: How it is measured, in a process of its own.
        more: More is better.
        targets: What our own value has to reach.
        threads: The pools are of threads.
        chunk: For tuned maps; 0 if tuning would not help or make no sense.
        tuned_only: Untuned, peers would take too long or too much memory.
        without: Peers that cannot take part.
        besides: Peers that take part in few rows, and in this one.
        alone: None of them can.
        quick: Who takes part in the quick mode.
    """

    title: str
    unit: str
    measure: Callable[[Bench], Found]
    more: bool = False
    targets: tuple[Target, ...] = ()
    threads: bool = False
    chunk: int = 0
    tuned_only: bool = False
    without: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    alone: bool = False
    quick: tuple[str, ...] = ("parallelize", "futures", "pool")


def seconds(work: Callable[[], Any]) -> float:
    """Measure how long something takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median_seconds(work: Callable[[], Any], times: int) -> float:
    return statistics.median(seconds(work) for _ in range(times))
