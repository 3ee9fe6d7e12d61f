"""An error that was read keeps nothing alive of the call that has raised it.

That is looked at without the garbage collector: no ring of references leads from an
error, by its traceback and the frames there, back to itself.
"""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

import tasks
from factories import ready
from parallelize import TaskGroup, gather, shutdown, threaded
from support.free_threading import freed_at_once
from support.waiting import wait_until

pytestmark = freed_at_once

KINDS = ["thread", "serial", "process-default"]


class Thing:
    pass


seen: list[weakref.ref[Thing]] = []


def note():
    thing = Thing()
    seen.append(weakref.ref(thing))
    return thing


def failing(*_):
    thing = note()
    raise LookupError(len(vars(thing)))


async def failing_later(*_):
    failing()


def failing_items():
    yield 1
    failing()


async def failing_items_later():
    yield 1
    failing()


def failing_input():
    yield 1
    failing()


@pytest.fixture(autouse=True)
def end_of_pools():
    yield
    shutdown()


@pytest.fixture(scope="module", params=KINDS)
def executor(request):
    with ready(request.param) as it:
        yield it


@pytest.fixture
def without_gc():
    seen.clear()
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("options", [{}, {"retries": 1}, {"timeout": 50}])
def test_an_error_that_was_read_is_in_no_ring(options, without_gc):
    def read():
        with pytest.raises(LookupError):
            threaded(**options)(failing)().result(30)

    read()
    check_all_gone(threaded(tasks.double))
    assert len(seen) == 1 + options.get("retries", 0)


def in_group(f):
    with TaskGroup() as group:
        group.start(f)


WAYS = {
    "call": lambda f: f().result(30),
    "error": lambda f: f().exception(30),
    "retries": lambda f: f.options(retries=1)().result(30),
    "timeout": lambda f: f.options(timeout=50)().result(30),
    "limit": lambda f: f.options(limit=1)().result(30),
    "map": lambda f: list(f.map([1, 2, 3])),
    "map of single rows": lambda f: list(f.map([1, 2, 3], chunksize=1)),
    "map with retries": lambda f: list(f.options(retries=1).map([1, 2, 3])),
    "map as completed": lambda f: list(f.map([1, 2, 3], ordered=False)),
    "errors of a map": lambda f: list(f.map([1, 2], return_exceptions=True)),
    "input": lambda f: list(f.map(failing_input())),
    "map of a map": lambda f: list(threaded(tasks.double).map(f.map([1, 2]))),
    "gather": lambda f: gather(f()).result(30),
    "group": in_group,
    "argument": lambda f: f.options()(f()).result(30),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fn", [failing, failing_later])
def test_nor_is_it_however_it_is_read(fn, way, executor, without_gc):
    swallow(WAYS[way], threaded(executor=executor)(fn))
    check_all_gone(threaded(executor=executor)(tasks.double))


@pytest.mark.parametrize("fn", [failing_items, failing_items_later])
def test_nor_is_that_of_a_stream(fn, executor, without_gc):
    swallow(lambda f: list(f()), threaded(executor=executor)(fn))
    check_all_gone(threaded(executor=executor)(tasks.double))


async def items_of(iterator):
    return [each async for each in iterator]


LATER = {
    "await": lambda f: f(),
    "async for": lambda f: items_of(f.map([1, 2, 3])),
    "gather": lambda f: gather(f()),
}


@pytest.mark.parametrize("way", LATER)
@pytest.mark.parametrize("fn", [failing, failing_later])
def test_nor_is_it_in_a_loop(fn, way, executor, without_gc):
    async def main(f):
        mine = note()
        try:
            await LATER[way](f)
        except LookupError:
            assert mine

    asyncio.run(main(threaded(executor=executor)(fn)))
    check_all_gone(threaded(executor=executor)(tasks.double))


def swallow(way, f):
    mine = note()  # what its caller has is in the traceback, too
    try:
        way(f)
    except LookupError:
        assert mine


def check_all_gone(double):
    """Have threads run something else, so that they hold nothing, and look."""
    list(double.map(range(100), chunksize=1))
    wait_until(lambda: not any(thing() for thing in seen))
