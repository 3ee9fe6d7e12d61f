"""Decorated functions that workers find by their names."""

import asyncio
import os
import threading
from abc import ABC, abstractmethod

from parallelize import processed, threaded


@threaded
def add(a: int, b: int = 1, *, scale: int = 1) -> int:
    """Add two numbers.

    >>> 1 + 1
    2
    """
    return (a + b) * scale


@processed
def double(x):
    """Double it."""
    return 2 * x


@processed
def pid():
    return os.getpid()


@processed
def fibonacci(n):
    if n < 2:
        return n
    return fibonacci(n - 1).result() + fibonacci(n - 2).result()


@processed
async def slowly(x):
    await asyncio.sleep(0)
    return x + 1


@threaded
async def in_loop(x):
    await asyncio.sleep(0)
    return x, threading.current_thread().name


@processed
def fail(message):
    raise ValueError(message)


def plain(x):
    return x + 100


variant = double.options(timeout=30)
other_name = threaded(plain)


class Shop:
    """Has a method of each sort."""

    def __init__(self, stock=10):
        self.stock = stock

    @processed
    def sell(self, count, price=1):
        """Sell some."""
        return self.stock - count * price

    @threaded
    def look(self, name="x"):
        return self.stock, name

    @threaded
    async def order(self, count):
        await asyncio.sleep(0)
        return self.stock + count

    @processed
    async def deliver(self, count):
        return self.stock + count

    @processed
    @staticmethod
    def outer_static(count):
        return count + 1

    @staticmethod
    @processed
    def inner_static(count):
        return count + 2

    @processed
    @classmethod
    def outer_class(cls, count):
        return cls.__name__, count

    @classmethod
    @processed
    def inner_class(cls, count):
        return cls.__name__, count

    @processed
    def __hidden(self, count):
        return self.stock + count

    def hidden(self):
        return self.__hidden

    @property
    @threaded
    def size(self):
        return self.stock


class CornerShop(Shop):
    """Overrides one method, and calls the one below it."""

    @processed
    def sell(self, count, price=1):
        return "corner"

    def sell_below(self):
        return super().sell


class Abstract(ABC):
    """Has an abstract decorated method of each order."""

    @threaded
    @abstractmethod
    def inner(self): ...

    @abstractmethod
    @threaded
    def outer(self): ...


class Adder:
    """A callable object."""

    def __init__(self, base):
        self.base = base

    def __call__(self, x):
        return self.base + x

    def __bool__(self):
        return False  # of no importance to who calls it


add_ten = processed(Adder(10))


@threaded
def counted(end):
    yield from range(end)
