"""Generator functions that the tests run in workers, found there by their names."""

import asyncio
import contextvars
import os
import threading

from tasks import Refusal, append_line, hold, refuse

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def numbers(end):
    yield from range(end)


async def async_numbers(end):
    for number in range(end):
        await asyncio.sleep(0)
        yield number


def refusing(end):
    yield from range(end)
    raise Refusal(end)


async def async_refusing(end):
    for number in range(end):
        yield number
    raise Refusal(end)


def noted(path, end):
    """Note each item as it is asked for."""
    for number in range(end):
        append_line(path, number)
        yield number


def held_between(folder):
    yield 1
    hold(folder)
    yield 2


def held_twice(first, second):
    yield 1
    hold(first)
    yield 2
    hold(second)


def burst(folder, count):
    """Many items as fast as can be, then nothing until the test says so."""
    yield from range(count)
    hold(folder)


def endless(folder, path):
    """Tell when it is closed, and how."""
    number = 0
    try:
        while True:
            yield number
            number += 1
    except BaseException as error:
        append_line(path, type(error).__name__)
        raise
    finally:
        tell(folder)


async def async_endless(folder, path):
    number = 0
    try:
        while True:
            yield number
            number += 1
    except BaseException as error:
        append_line(path, type(error).__name__)
        raise
    finally:
        await asyncio.sleep(0)
        tell(folder)


async def awaiting(folder, path):
    """Await for ever what never comes, until it is closed."""
    try:
        yield 1
        await asyncio.Event().wait()
    except BaseException as error:
        append_line(path, type(error).__name__)
        raise
    finally:
        await asyncio.sleep(0)
        tell(folder)


def tell(folder):
    with open(os.path.join(folder, "begun"), "w"):
        pass


def one_list(end):
    """The same list again and again, changed in between."""
    whole = []
    for number in range(end):
        whole.append(number)
        yield whole


def values(*items):
    yield from items


class BadAtHome:
    """It travels, and cannot be unpickled."""

    def __reduce__(self):
        return refuse, (7,)


def cannot_travel():
    yield 1
    yield threading.Lock()


def cannot_arrive():
    yield 1
    yield BadAtHome()
    yield 3


def blobs(count, size):
    for number in range(count):
        yield bytes([number]) * size


def arrays(count, size):
    import numpy as np

    for number in range(count):
        yield np.full(size, float(number))


def pids(count):
    for _ in range(count):
        yield os.getpid()


def threads(count):
    for _ in range(count):
        yield threading.get_ident()


def in_context():
    yield VARIABLE.get()
    VARIABLE.set("changed by the generator")
    yield VARIABLE.get()
    yield VARIABLE.get()


def stuck(folder, count):
    yield from range(count)
    hold(folder)


class Shop:
    def __init__(self, name):
        self.name = name

    def goods(self, count):
        for number in range(count):
            yield self.name * number
