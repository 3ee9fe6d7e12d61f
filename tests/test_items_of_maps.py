"""What a map yields besides plain results: the items with them, and errors."""

import asyncio
import contextlib
import functools
import gc
import weakref

import pytest

from factories import CLASSES, make, ready
from parallelize import (
    CancelledError,
    parallel_map,
    process_map,
    shutdown,
    thread_map,
    threaded,
)


@pytest.fixture(autouse=True)
def no_shared_pools():
    yield
    shutdown()


@pytest.fixture(scope="module", params=CLASSES)
def pool(request):
    with ready(request.param) as executor:
        yield executor


def check(row, word=""):
    """Fail for every third; give what travels in different ways."""
    if row % 3 == 1:
        raise LookupError(row)
    return [row, word] if row % 2 else float(row)


async def check_later(row, word=""):
    await asyncio.sleep(0)
    return check(row, word)


async def numbers(count):
    for number in range(count):
        yield number


def kinds(pairs):
    """Return pairs in which errors are the class and the argument."""
    return [
        (i, (type(r), *r.args) if isinstance(r, Exception) else r) for i, r in pairs
    ]


def expected(rows, word=""):
    for row in rows:
        try:
            yield row, check(row, word)
        except LookupError:
            yield row, (LookupError, row)


# ------------------------------------------------------------------- with_input


@pytest.mark.parametrize("call", [check, check_later])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("options", [{}, {"chunksize": 5}, {"buffersize": 2}])
def test_each_result_has_its_item(pool, call, ordered, options):
    fn = threaded(executor=pool)(call)
    options |= {"with_input": True, "return_exceptions": True, "ordered": ordered}
    for rows in (range(30), list(range(30)), iter(range(30))):
        pairs = kinds(fn.map(rows, **options))
        assert sorted(pairs, key=lambda pair: pair[0]) == list(expected(range(30)))
        assert not ordered or pairs == list(expected(range(30)))


def test_large_results_and_plain_ones(pool):
    rows = [1, 2, 300_000]
    pairs = list(pool.map(bytes, rows, with_input=True))
    assert pairs == [(row, bytes(row)) for row in rows]
    pairs = list(pool.map(abs, range(-500, 0), with_input=True))
    assert pairs == [(row, -row) for row in range(-500, 0)]


def test_several_iterables_give_a_tuple(pool):
    pairs = pool.map(pow, [2, 3], [5, 2], with_input=True)
    assert list(pairs) == [((2, 5), 32), ((3, 2), 9)]


def test_starmap_gives_the_row(pool):
    fn = threaded(executor=pool)(pow)
    pairs = fn.starmap([(2, 5), [3, 2]], with_input=True)
    assert list(pairs) == [((2, 5), 32), ((3, 2), 9)]
    fn = threaded(executor=pool)(abs)
    assert list(fn.starmap([(-1,)], with_input=True)) == [((-1,), 1)]


@pytest.mark.parametrize("call", [check, check_later])
def test_read_in_an_event_loop(pool, call):
    fn = threaded(executor=pool)(call)

    async def read(rows):
        options = {"with_input": True, "return_exceptions": True}
        return kinds([pair async for pair in fn.map(rows, **options)])

    assert asyncio.run(read(range(9))) == list(expected(range(9)))
    assert asyncio.run(read(numbers(9))) == list(expected(range(9)))


async def read_large(pool):
    rows = [3_000_000, -1]
    results = pool.map(bytes, rows, with_input=True, return_exceptions=True)
    return [pair async for pair in results]


@pytest.mark.parametrize("kind", CLASSES)
def test_large_results_in_an_event_loop(kind):
    with make(kind) as own:  # else its memory would be left
        (item, value), (failed, error) = asyncio.run(read_large(own))
    assert (item, len(value), failed) == (3_000_000, 3_000_000, -1)
    assert isinstance(error, ValueError)


def test_futures_are_items_too(pool):
    two = pool.submit(abs, -2)
    ((item, value),) = pool.map(abs, [two], with_input=True)
    assert item is two
    assert value == 2


def test_arguments_of_a_partial_are_no_part_of_the_item():
    fn = threaded(pow)
    assert list(thread_map(functools.partial(fn, 2), [3], with_input=True)) == [(3, 8)]
    later = functools.partial(fn, fn(1, 1))
    assert list(thread_map(later, [3], with_input=True)) == [(3, 1)]


def test_an_error_is_raised_without_its_item(pool):
    results = pool.map(check, range(4), with_input=True)
    assert next(results) == (0, 0.0)
    with pytest.raises(LookupError, match="1") as caught:
        next(results)
    assert caught.value.__notes__ == ["row 1 of the map, called with (1)"]


class Item:
    def __abs__(self):
        return 1


def test_items_live_no_longer_than_their_reader_needs_them():
    items = [Item() for _ in range(40)]
    alive = [weakref.ref(item) for item in items]
    results = thread_map(abs, iter(items), with_input=True, buffersize=4)
    items.clear()
    for number, _ in enumerate(results):
        del _
        if number == 30:
            break
    gc.collect()
    assert sum(ref() is not None for ref in alive) < 30
    results.close()


# ------------------------------------------------------------------- max_errors


@pytest.mark.parametrize("call", [check, check_later])
@pytest.mark.parametrize("with_input", [True, False])
def test_one_error_too_many_ends_the_map(pool, call, with_input):
    fn = threaded(executor=pool)(call)
    options = {"return_exceptions": True, "max_errors": 2, "with_input": with_input}
    results = fn.map(range(1000), **options)
    given = []
    with pytest.raises(
        ExceptionGroup, match="3 calls of the map have failed"
    ) as caught:
        given.extend(results)
    errors = caught.value.exceptions
    assert [error.args for error in errors] == [(1,), (4,), (7,)]
    assert all(error.__notes__ for error in errors)
    assert list(results) == []


def test_as_many_as_there_may_be_do_not(pool):
    results = pool.map(check, range(9), return_exceptions=True, max_errors=3)
    assert len(list(results)) == 9
    with pytest.raises(ExceptionGroup):
        list(pool.map(check, range(9), return_exceptions=True, max_errors=0))


def test_in_an_event_loop(pool):
    async def read():
        options = {"return_exceptions": True, "max_errors": 1}
        async for _ in pool.map(check, numbers(1000), **options):
            pass

    with pytest.raises(ExceptionGroup, match="max_errors is 1"):
        asyncio.run(read())


def test_the_rest_is_cancelled(pool):
    read = []

    def rows():
        for row in range(100_000):
            read.append(row)
            yield row

    with pytest.raises(ExceptionGroup):
        list(pool.map(check, rows(), return_exceptions=True, max_errors=2))
    assert len(read) < 50_000


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_errors": 3}, ValueError, "together with return_exceptions=True"),
        ({"max_errors": -1, "return_exceptions": True}, ValueError, "at least 0"),
        ({"max_errors": "x", "return_exceptions": True}, TypeError, "whole number"),
        ({"with_input": 1}, TypeError, "with_input must be True or False"),
    ],
)
def test_wrong_arguments_are_named(options, error, text):
    with pytest.raises(error, match=text):
        thread_map(check, [1], **options)


# ------------------------------------------------------------ return_exceptions


def leave(kind):
    raise kind


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_is_no_exception_is_yielded_as_well(pool, kind):
    """It ends the call, not the program."""
    (error,) = pool.map(leave, [kind], return_exceptions=True)
    assert type(error) is kind
    with pytest.raises(BaseExceptionGroup) as caught:
        list(pool.map(leave, [kind] * 3, return_exceptions=True, max_errors=2))
    assert [type(each) for each in caught.value.exceptions] == [kind] * 3


def test_a_cancelled_call_is_an_exception(pool):
    (error,) = pool.map(leave, [CancelledError], return_exceptions=True)
    assert type(error) is CancelledError


# ------------------------------------------------- partials, contextlib.aclosing


@threaded
def weigh(unit, amount):
    return unit * amount


@threaded
async def weigh_later(unit, amount):
    await asyncio.sleep(0)
    return unit * amount


class Scale:
    def __init__(self, unit):
        self.unit = unit

    @threaded
    def weigh(self, extra, amount):
        return self.unit * amount + extra


@pytest.mark.parametrize("run", [thread_map, process_map, parallel_map])
@pytest.mark.parametrize(
    "fn",
    [
        functools.partial(weigh, 2),
        functools.partial(functools.partial(weigh, amount=0), 2),
        functools.partial(weigh_later, 2),
        functools.partial(Scale(2).weigh, 0),
    ],
)
def test_helpers_take_a_partial_for_what_it_is(run, fn):
    if "amount" in fn.keywords:
        fn = functools.partial(fn.func, *fn.args)
    assert list(run(fn, [1, 2])) == [2, 4]
    assert list(run(fn, [1, 2], with_input=True)) == [(1, 2), (2, 4)]


def test_so_do_executors(pool):
    fn = functools.partial(weigh, 2)
    assert list(pool.map(fn, [1, 2])) == [2, 4]
    assert pool.submit(fn, 3).result() == 6


@threaded
def count():
    yield from range(100)


@pytest.mark.parametrize("source", [lambda: range(100), lambda: numbers(100)])
def test_a_map_closes_in_aclosing(pool, source):
    async def read():
        async with contextlib.aclosing(pool.map(abs, source())) as results:
            assert await anext(results) == 0
        return [value async for value in results]

    assert asyncio.run(read()) == []


def test_a_stream_closes_in_aclosing():
    async def read():
        async with contextlib.aclosing(count()) as items:
            assert await anext(items) == 0
        return [value async for value in items]

    assert asyncio.run(read()) == []
