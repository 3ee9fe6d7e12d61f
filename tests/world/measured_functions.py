"""Functions that run in workers alone; a line with a mark must have been seen there."""

import asyncio
import threading


def initialize():
    started = 1  # initialize
    del started


def call(x):
    if x:
        x += 1  # call
    return x


def row(x):
    if x == 2:
        x += 10  # row
    return x


def items():
    yield from range(3)  # items


async def coroutine(x):
    await asyncio.sleep(0)
    return x  # coroutine


def in_a_thread():
    seen = []

    def inside():
        seen.append(1)  # in_a_thread

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    return seen


def never():
    return 1  # never
