"""Decorated functions of a module, for `foreign_functions`."""

import functools
import os

from parallelize import processed


def noted(fn):
    @functools.wraps(fn)
    def inner(*args):
        return fn(*args)

    return inner


@processed
def square(x):
    return x * x


@processed
@noted
def below(x):
    return x + 1


@noted
@processed
def above(x):
    return x + 2


@processed(retries=2)
def fails_once(x):
    return x + 3


@processed(max_pending=1)
async def later(x):
    return x + 4


@processed
def process_of(_):
    return os.getpid()


@processed
def fails(x):
    raise RuntimeError(x)


def result_of(fn, x):
    return fn(x).result(30)


class Shop:
    def __init__(self, stock):
        self.stock = stock

    @processed
    def sell(self, x):
        return self.stock - x

    @processed
    @classmethod
    def inner_class(cls, x):
        return cls.__name__, x

    @classmethod
    @processed
    def outer_class(cls, x):
        return cls.__name__, x

    @processed
    @staticmethod
    def static(x):
        return x
