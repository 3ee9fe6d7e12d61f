"""Single calls: how long one takes, and how many a second many are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks import tasks
from benchmarks.rows.base import VALUE, Bench, Found, Row, Target, median_seconds
from benchmarks.rows.floors import ping_pong

if TYPE_CHECKING:
    from benchmarks.peers.base import Peer

FLOOR = "two processes over a socket"


def one_call(peer: Peer, times: int) -> float:
    """Return the median microseconds from a call to its result."""
    peer.call(abs, -1)
    return 1e6 * median_seconds(lambda: peer.call(abs, -1), times)


def latency(bench: Bench) -> Found:
    times = bench.pick(5_000, 1_000)
    floor = 1e6 * ping_pong(times)
    with bench.peer as peer:
        return {VALUE: one_call(peer, times), FLOOR: floor}


def thread_latency(bench: Bench) -> Found:
    with bench.peer as peer:
        return {VALUE: one_call(peer, bench.pick(20_000, 2_000))}


def submits(bench: Bench) -> Found:
    count = bench.pick(20_000, 4_000)
    with bench.peer as peer:
        begun = time.perf_counter()
        gets = [peer.submit(tasks.tiny, i) for i in range(count)]
        for get in gets:
            get()
        return {VALUE: count / (time.perf_counter() - begun)}


def sleepers(bench: Bench) -> Found:
    """Time a thousand tasks that wait 10 ms each; ideally it is 50 ms."""
    with bench.make(200) as peer:
        begun = time.perf_counter()
        gets = [peer.submit(tasks.nap, 0.01) for _ in range(1_000)]
        for get in gets:
            get()
        return {VALUE: 1e3 * (time.perf_counter() - begun)}


ROWS = {
    "latency": Row(
        "one call, from submit to result",
        "µs",
        latency,
        targets=(
            Target(1 / 4, "futures"),
            Target(0.7, "pool"),
            Target(3, FLOOR, further=True),
        ),
        without=("joblib",),
    ),
    "submits": Row(
        "many submits of a tiny function, then all results",
        "calls/s",
        submits,
        more=True,
        targets=(Target(12, "futures"), Target(3.5, "pool")),
        without=("joblib",),
    ),
}

THREAD_ROWS = {
    "thread-latency": Row(
        "threads: one call, from submit to result",
        "µs",
        thread_latency,
        targets=(Target(1, "futures"),),
        threads=True,
    ),
    "thread-submits": Row(
        "threads: many submits of a tiny function, then all results",
        "calls/s",
        submits,
        more=True,
        targets=(Target(3, "futures"),),
        threads=True,
    ),
    "thread-sleepers": Row(
        "threads: 1000 tasks of 10 ms sleep on 200 threads",
        "ms",
        sleepers,
        targets=(Target(1, "futures"),),
        threads=True,
    ),
}
