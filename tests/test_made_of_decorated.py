"""Partials, bound methods and objects made of decorated functions, given to be called."""

import asyncio
import functools
import sys
from functools import partial, partialmethod

import pytest

import parallelize
from factories import CLASSES, ready
from parallelize import (
    ThreadPoolExecutor,
    parallel_map,
    process_map,
    processed,
    thread_map,
    threaded,
)


@pytest.fixture(scope="module", params=CLASSES)
def pool(request):
    with ready(request.param) as executor:
        yield executor


@threaded
def scale(by, item=0, *, offset=0):
    return by * item + offset


@processed
def scale_in_process(by, item=0):
    return by * item


@threaded
async def scale_later(by, item=0):
    await asyncio.sleep(0)
    return by * item


class Scale:
    def __init__(self, by):
        self.by = by

    @threaded
    def method(self, item, offset=0):
        return self.by * item + offset

    @processed
    async def later(self, item, offset=0):
        return self.by * item + offset

    shifted = partialmethod(method, offset=1)

    @threaded
    @classmethod
    def of_class(cls, item):
        return 3 * item

    @classmethod
    @threaded
    def below(cls, item):
        return 3 * item

    @staticmethod
    @threaded
    def static(item):
        return 3 * item

    @threaded
    def __call__(self, item, offset=0):
        return self.by * item + offset


MADE = {
    "partial": partial(scale, 3),
    "partial of a partial": partial(partial(scale, 3), offset=0),
    "keywords": partial(scale, item=3),
    "of processes": partial(scale_in_process, 3),
    "of a coroutine": partial(scale_later, 3),
    "with options": partial(scale.options(retries=1, name="tripled"), 3),
    "method": Scale(3).method,
    "partial of a method": partial(Scale(3).method, offset=0),
    "partialmethod": Scale(3).shifted,
    "async method": partial(Scale(3).later, offset=0),
    "class method": partial(Scale.of_class),
    "class method above": Scale.below,
    "static method": partial(Scale.static),
    "unbound": partial(Scale.method, Scale(3)),
    "object": Scale(3),
    "partial of an object": partial(Scale(3), offset=0),
    "__call__": partial(scale.__call__, 3),
    "__call__ of a method": Scale(3).method.__call__,
}
if sys.version_info >= (3, 14):
    MADE["placeholder"] = partial(scale, functools.Placeholder, 3)
    MADE["async placeholder"] = partial(scale_later, functools.Placeholder, 3)


@pytest.mark.parametrize("made", MADE)
def test_a_map_gives_values(made, pool):
    fn = MADE[made]
    expected = [4, 7, 10] if made == "partialmethod" else [3, 6, 9]
    assert list(parallel_map(fn, [1, 2, 3], executor=pool)) == expected
    assert list(pool.map(fn, [1, 2, 3])) == expected
    assert [pool.submit(fn, item).result() for item in [1, 2, 3]] == expected


def test_the_helpers():
    try:
        for help in (thread_map, process_map, parallel_map):
            assert list(help(partial(scale, 2), [1, 2, 3])) == [2, 4, 6]
            assert list(help(partial(scale_later, 2), [1, 2, 3])) == [2, 4, 6]
    finally:
        parallelize.shutdown()


def test_parallel_map_takes_the_functions_own_executor():
    seen = []

    class Seeing(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            seen.append(args)
            return super().submit(fn, *args, **kwargs)

    with Seeing(1) as pool:
        double = threaded(executor=pool)(lambda a, b: a * b)
        assert list(parallel_map(partial(double, 2), [1, 2])) == [2, 4]
    assert len(seen) == 2


def fail_once(path, value):
    with open(path, "a+") as file:
        file.write("x")
        file.seek(0)
        if len(file.read()) == 1:
            raise OSError
    return value


fail_once_decorated = threaded(retries=1)(fail_once)


def test_the_options_are_those_of_the_function(pool, tmp_path):
    path = str(tmp_path / "one")
    assert pool.submit(partial(fail_once_decorated, path), 1).result() == 1
    path = str(tmp_path / "two")
    assert list(pool.map(partial(fail_once_decorated, path), [1, 2])) == [1, 2]


def test_a_future_in_a_partial_is_waited_for(pool):
    three = pool.submit(int, "3")
    fn = partial(scale, three)
    assert list(pool.map(fn, [1, 2, 3])) == [3, 6, 9]
    assert pool.submit(fn, 2).result() == 6
    assert pool.submit(partial(scale, 2, offset=three), 2).result() == 7


def test_plain_functions_are_what_they_were(pool):
    assert pool.submit(partial(pow, 2), 5).result() == 32
    assert list(pool.map(partial(pow, 2), [1, 2, 3])) == [2, 4, 8]
    assert pool.submit("{}!".format, 1).result() == "1!"
    for wrong in (None, 3, partial):
        with pytest.raises(TypeError):
            pool.submit(wrong).result()
