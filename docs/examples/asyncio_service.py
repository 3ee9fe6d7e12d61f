"""An asyncio program whose waiting and computing never hold up its event loop.

Each request waits in a thread and then computes in a process, and both are
simply awaited. Meanwhile a ticker measures how late the loop gets round to it.
"""

from __future__ import annotations

import asyncio
from time import perf_counter, sleep

from parallelize import processed, threaded

TICK = 0.005  # seconds


@threaded
def fetch(request: int) -> int:
    """Wait, as a database driver without async would."""
    sleep(0.2)
    return 100_000 + request


@processed
def compute(size: int) -> int:
    """Keep a CPU busy."""
    return sum(n * n % 7 for n in range(10 * size))


async def answer(request: int) -> int:
    """Serve one request."""
    return await compute(await fetch(request))


async def tick(pauses: list[float]) -> None:
    """Note how long the loop was away from us, over and over."""
    while True:
        before = perf_counter()
        await asyncio.sleep(TICK)
        pauses.append(perf_counter() - before - TICK)


async def serve(requests: range) -> tuple[list[int], list[float]]:
    """Serve all requests side by side; return the answers and the pauses."""
    pauses: list[float] = []
    ticker = asyncio.create_task(tick(pauses))
    answers = await asyncio.gather(*map(answer, requests))
    ticker.cancel()
    return answers, pauses


requests = range(8)

start = perf_counter()
expected = [compute.__wrapped__(fetch.__wrapped__(request)) for request in requests]
print(f"plain loop         {perf_counter() - start:6.2f} s")

start = perf_counter()
answers, pauses = asyncio.run(serve(requests))
print(f"service            {perf_counter() - start:6.2f} s")

print("answers:", answers)
print("same as the loop:", answers == expected)
print(f"ticks: {len(pauses)}, longest pause of the loop: {max(pauses) * 1000:.1f} ms")
