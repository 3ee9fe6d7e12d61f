"""A module that patches the standard library when it is imported, as services do."""

from gevent import joinall, monkey, spawn

monkey.patch_all()

import asyncio  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402


def at_once(n):
    """The numbers below n from greenlets that have waited for each other."""
    barrier, found = threading.Event(), []

    def one(i):
        if i == n - 1:
            barrier.set()
        barrier.wait(10)
        found.append(i)

    joinall([spawn(one, i) for i in range(n)])
    return sorted(found)


def blocks(n):
    for _ in range(n):
        time.sleep(0.001)
        yield bytes(200_000)


async def later(x):
    await asyncio.sleep(0.01)
    return x
