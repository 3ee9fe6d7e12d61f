"""Calls that coroutines await: how long one takes, and how long the loop stands still.

The others are awaited as asyncio has it: by `run_in_executor`, or by `wrap_future`
where a call is a future. asyncio is imported by these rows alone, so that the others
are measured in a program that does without it.
"""

from __future__ import annotations

import functools
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks import tasks
from benchmarks.rows.arrays import COPY, copying
from benchmarks.rows.base import VALUE, Bench, Found, Row, Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    Function = Callable[..., Awaitable[Any]]
    Work = Callable[[Function], Coroutine[Any, Any, Found]]

MANY = 2_000
MIB = 50e6 / tasks.MIB


def run(bench: Bench, fn: Callable[..., Any], work: Work) -> Found:
    """Run a coroutine that is given the function as a library has it awaited."""
    import asyncio

    with bench.peer as peer:
        return asyncio.run(work(peer.awaitable(fn)))


# -- One, and many at once --------------------------------------------------------


def latency(bench: Bench) -> Found:
    times = bench.pick(5_000, 1_000)
    return run(bench, tasks.tiny, functools.partial(one_by_one, times))


async def one_by_one(times: int, function: Function) -> Found:
    """Return the median microseconds from a call to its awaited result."""
    took = []
    for number in range(times):
        begun = time.perf_counter()
        await function(number)
        took.append(time.perf_counter() - begun)
    return {VALUE: 1e6 * statistics.median(took)}


def many(bench: Bench) -> Found:
    return run(bench, tasks.tiny, functools.partial(at_once, bench.pick(9, 3)))


async def at_once(times: int, function: Function) -> Found:
    """Return the calls a second of many coroutines that await one call each."""
    import asyncio

    took = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        await asyncio.gather(*(one(function, number) for number in range(MANY)))
        took.append(time.perf_counter() - begun)
    return {VALUE: MANY / statistics.median(took[1:])}  # the first found nothing warm


async def one(function: Function, number: int) -> None:
    assert await function(number) == number + 1


# -- A large argument -------------------------------------------------------------


def argument(bench: Bench) -> Found:
    return run(bench, tasks.total, functools.partial(passing, bench.pick(15, 5)))


async def passing(times: int, function: Function) -> Found:
    """Return how many ms the loop stands still at the most when it passes an array."""
    array, copies, stood, copied = tasks.made(MIB), copying(MIB), [], []
    for number in range(times + 1):
        array[0] = -number  # so that nobody has seen it before
        total = tasks.total(array)
        stood.append(await longest_halt(one_sum(function, array, total)))
        copied.append(next(copies))
    # The first of them found nothing warm.
    return {
        VALUE: 1e3 * statistics.median(stood[1:]),
        COPY: 1e3 * statistics.median(copied[1:]),
    }


async def one_sum(function: Function, array: tasks.Array, total: float) -> None:
    assert await function(array) == total, "the worker has seen another array"


async def longest_halt(work: Coroutine[Any, Any, None]) -> float:
    """Return the longest time between two turns of the loop while something runs."""
    import asyncio

    task, longest, last = asyncio.create_task(work), 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest


# They have calls that a thread has to wait for.
WITHOUT = ("pool", "pool-fork", "joblib", "mpire", "ray")
QUICK = ("parallelize", "futures")

LATENCY = functools.partial(
    Row, unit="µs", measure=latency, without=WITHOUT, quick=QUICK
)
AT_ONCE = functools.partial(
    Row, unit="calls/s", measure=many, more=True, without=WITHOUT, quick=QUICK
)

ROWS = {
    "async-thread-latency": LATENCY(
        "asyncio: one call in a thread, awaited",
        targets=(Target(1, "futures"),),
        threads=True,
    ),
    "async-process-latency": LATENCY(
        "asyncio: one call in a process, awaited",
        targets=(Target(1, "futures"),),
    ),
    "async-thread-many": AT_ONCE(
        "asyncio: 2000 coroutines that await a call in a thread each",
        targets=(Target(1, "futures"),),
        threads=True,
    ),
    "async-process-many": AT_ONCE(
        "asyncio: 2000 coroutines that await a call in a process each",
        targets=(Target(3, "futures"),),
    ),
    "async-argument": Row(
        "asyncio: array of 50 MB as argument: longest halt of the loop",
        "ms",
        argument,
        targets=(Target(2, COPY),),
        without=WITHOUT,
        quick=QUICK,
    ),
}
