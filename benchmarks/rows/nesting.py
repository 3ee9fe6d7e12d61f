"""Calls that make calls and wait for them, far more deeply than there are threads.

The others cannot take part: when each of their threads waits for a call, none is left
to run it.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks import tasks
from benchmarks.rows.base import VALUE, Bench, Found, Row, Target, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers.base import Peer

PLAIN = "the same recursion in place"
SINGLE = "one such call by itself"


def nesting(bench: Bench) -> Found:
    """Reckon a Fibonacci number, each step of it in a call of its own."""
    number, times = bench.pick(18, 15), bench.pick(5, 3)
    calls = 2 * tasks.fibonacci(number + 1) - 1
    with bench.peer as peer:
        fibonacci = recursive(peer)
        ours = [seconds(lambda: fibonacci(number)) for _ in range(times + 1)]
        single = [seconds(lambda: fibonacci(1)) for _ in range(calls)]
    plain = [seconds(lambda: tasks.fibonacci(number)) for _ in range(times)]
    # The first of ours found no thread.
    return {
        VALUE: 1e6 * statistics.median(ours[1:]) / calls,
        SINGLE: 1e6 * statistics.median(single),
        PLAIN: 1e6 * statistics.median(plain) / calls,
    }


def recursive(peer: Peer) -> Callable[[int], int]:
    """Return a function that adds the results of two calls of itself in threads."""

    def step(n: int) -> int:
        if n < 2:
            return n
        first, second = called(n - 1), called(n - 2)
        return int(first.result() + second.result())

    called = peer.function(step)
    return lambda n: int(called(n).result())


ROWS = {
    "nesting": Row(
        "threads: recursion of calls that wait for calls: time of each",
        "µs",
        nesting,
        targets=(Target(1, SINGLE),),
        threads=True,
        alone=True,
    ),
}
