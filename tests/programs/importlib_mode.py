"""Tests that are collected by ``pytest --import-mode=importlib``."""

import pytest

from parallelize import ProcessPoolExecutor, processed


class Thing:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is Thing and other.value == self.value

    @processed
    def up(self):
        return Thing(self.value + 1)


class Mishap(Exception):
    pass


def add(x):
    return Thing(x + 1)


def fail(x):
    raise Mishap(x)


def note(x):
    global noted
    noted = x


def get():
    return noted


@processed
def decorated(x):
    return Thing(x)


@processed
async def coroutine(x):
    return Thing(x)


@processed
def stream(x):
    yield Thing(x)


def test_a_pool():
    with ProcessPoolExecutor(2, initializer=note, initargs=(Thing(1),)) as executor:
        assert executor.submit(add, 1).result() == Thing(2)
        assert list(executor.map(add, [1, 2])) == [Thing(2), Thing(3)]
        with pytest.raises(Mishap):
            executor.submit(fail, 2).result()
        assert executor.submit(get).result() == Thing(1)
        assert executor.submit(lambda: add(2)).result() == Thing(3)


def test_decorated_functions():
    assert decorated(1).result() == Thing(1)
    assert list(decorated.map([1])) == [Thing(1)]
    assert coroutine(1).result() == Thing(1)
    assert list(stream(1)) == [Thing(1)]
    assert Thing(1).up().result() == Thing(2)
