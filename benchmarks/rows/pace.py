"""Calls that are paced: does the rate hold, and what does it cost the caller?"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from benchmarks.rows.base import VALUE, Bench, Found, Row, Target, seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

RATE = 10_000  # a second
MANY = 1_000_000


def rate(bench: Bench) -> Found:
    """Measure how many calls a second start, where ten thousand may."""
    from parallelize import threaded, wait

    calls = int(RATE * bench.pick(5.0, 1.0))
    paced = threaded(time.perf_counter, max_workers=1, rate=RATE)
    paced().result()
    made = [paced() for _ in range(calls)]
    wait(made)
    moments = sorted(each.result() for each in made)
    return {VALUE: (calls - 1) / (moments[-1] - moments[0])}


def paced_call(bench: Bench) -> Found:
    """Measure by how much a call with a limit and a rate takes longer to make."""
    from parallelize import Limit, RateLimit, ThreadPoolExecutor, threaded

    times, least = bench.pick(30, 10), {}
    with ThreadPoolExecutor(1) as pool:
        plain = threaded(abs, executor=pool)
        paced = plain.options(limit=Limit(MANY), rate=RateLimit(MANY, burst=MANY))
        for f in (plain, paced):
            least[f] = min(making(f, pool) for _ in range(times))
    return {VALUE: (least[paced] - least[plain]) * 1e6}


def making(f: Callable[[int], Any], pool: Executor, calls: int = 2_000) -> float:
    """Return the seconds that it takes to make one call, while the worker is busy."""
    gate = threading.Event()
    busy = pool.submit(gate.wait)
    took = seconds(lambda: [f(-1) for _ in range(calls)])
    gate.set()
    busy.result()
    pool.submit(abs, 0).result()  # after those calls
    return took / calls


ROWS = {
    "rate": Row(
        "threads: calls a second with `rate=10_000`",
        "calls/s",
        rate,
        more=True,
        targets=(Target(0.98 * RATE),),
        threads=True,
        alone=True,
    ),
    "paced": Row(
        "threads: a call with `limit` and `rate` more than one without, in the caller",
        "µs",
        paced_call,
        targets=(Target(2),),
        threads=True,
        alone=True,
    ),
}
