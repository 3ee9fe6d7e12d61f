"""Errors that mean "the end" to a loop, raised by what the loop is about; `aclose`."""

import asyncio
import concurrent.futures
import contextlib

import pytest

from factories import CLASSES, make
from parallelize import (
    ThreadPoolExecutor,
    parallel_map,
    threaded,
)


@pytest.fixture(params=CLASSES)
def pool(request):
    with make(request.param) as executor:
        yield executor


@pytest.fixture(params=[each for each in CLASSES if each != "interpreter"])
def streaming(request):
    with make(request.param) as executor:
        yield executor


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


class Exhausted(StopIteration):
    """An iterator's own error."""


ENDS = [StopIteration, StopAsyncIteration, Exhausted]
OTHERS = [
    GeneratorExit,
    SystemExit,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
]


def third(item, error):
    if item == 3:
        raise error
    return item


async def third_async(item, error):
    await asyncio.sleep(0)
    if item == 3:
        raise error
    return item


def read(results):
    """What a loop gets, and by what it ends."""
    got = []
    try:
        for result in results:
            got.append(result)
    except BaseException as error:  # noqa: BLE001 - these are the subject
        return got, error
    return got, None


async def read_async(results):
    got = []
    try:
        async for result in results:
            got.append(result)
    except BaseException as error:  # noqa: BLE001
        return got, error
    return got, None


def as_the_end(kind, error):
    """Whether it is the RuntimeError that PEP 479 has for such an error."""
    return type(error) is RuntimeError and isinstance(error.__cause__, kind)


@pytest.mark.parametrize("chunksize", [1, 3])
def test_a_row_that_raises_what_ends_a_loop(pool, chunksize):
    rows = range(6)
    for raised in ENDS:
        results = parallel_map(
            third, rows, [raised] * 6, executor=pool, chunksize=chunksize
        )
        got, error = asyncio.run(read_async(results))
        assert got == [0, 1, 2]
        assert as_the_end(raised, error)
    got, error = read(parallel_map(third, rows, [Exhausted] * 6, executor=pool))
    assert got == [0, 1, 2]
    assert as_the_end(Exhausted, error)
    # To `for` this is an error like any other.
    got, error = read(
        parallel_map(third, rows, [StopAsyncIteration] * 6, executor=pool)
    )
    assert (got, type(error)) == ([0, 1, 2], StopAsyncIteration)


@pytest.mark.parametrize("ordered", [True, False])
def test_rows_after_it_are_given(pool, ordered):
    for raised in ENDS + OTHERS:
        for call in (third, third_async):
            options = {"ordered": ordered, "return_exceptions": True}
            made = (
                parallel_map(call, range(6), [raised] * 6, executor=pool, **options)
                for _ in range(2)
            )
            for got, error in (
                read(next(made)),
                asyncio.run(read_async(next(made))),
            ):
                assert error is None
                values = [each for each in got if isinstance(each, int)]
                errors = [each for each in got if not isinstance(each, int)]
                assert sorted(values) == [0, 1, 2, 4, 5]
                assert len(errors) == 1
                if raised in OTHERS:
                    assert isinstance(
                        errors[0], (raised, concurrent.futures.CancelledError)
                    )
                else:  # Python itself replaces what a coroutine raises
                    assert isinstance(errors[0], (raised, RuntimeError))


def test_an_awaited_future(pool):
    @threaded(executor=pool)
    def call(error):
        raise error

    async def wait(raised):
        try:
            await call(raised)
        except BaseException as error:  # noqa: BLE001
            return error

    assert as_the_end(StopIteration, asyncio.run(wait(StopIteration)))
    assert type(asyncio.run(wait(StopAsyncIteration))) is StopAsyncIteration


class Failing:
    """An iterator of three items, and then an error."""

    def __init__(self, error):
        self.left, self.error = [2, 1, 0], error

    def __iter__(self):
        return self

    def __next__(self):
        if self.left:
            return self.left.pop()
        raise self.error


class FailingAsync:
    """The same for `async for`."""

    def __init__(self, error):
        self.items = Failing(error)

    def __aiter__(self):
        return self

    async def __anext__(self):
        return next(self.items)


def same(item, *_):
    return item


def test_an_input_that_fails_with_an_error_that_means_the_end(streaming):
    for raised in [StopAsyncIteration, GeneratorExit, SystemExit]:
        got, error = read(parallel_map(same, Failing(raised), executor=streaming))
        assert (got, type(error)) == ([0, 1, 2], raised)
    got, error = asyncio.run(
        read_async(parallel_map(same, Failing(StopAsyncIteration), executor=streaming))
    )
    assert got == [0, 1, 2]
    assert as_the_end(StopAsyncIteration, error)
    # A synchronous input beside an asynchronous one, and the other way round.

    async def endless():
        while True:
            yield 7

    beside = parallel_map(
        same, Failing(StopAsyncIteration), endless(), executor=streaming
    )
    got, error = asyncio.run(read_async(beside))
    assert got == [0, 1, 2]
    assert as_the_end(StopAsyncIteration, error)
    failing = parallel_map(same, FailingAsync(StopIteration), executor=streaming)
    got, error = asyncio.run(read_async(failing))
    assert got == [0, 1, 2]
    assert as_the_end(StopIteration, error)


def test_an_asynchronous_input_that_raises_a_cancellation(threads):
    async def items():
        yield 0
        await asyncio.sleep(0)
        yield 1
        raise asyncio.CancelledError

    async def main():
        return await read_async(parallel_map(same, items(), executor=threads))

    got, error = asyncio.run(main())
    assert (got, type(error)) == ([0, 1], asyncio.CancelledError)


class Row:
    """A row of arguments that fails to give them."""

    def __iter__(self):
        raise StopIteration


def test_a_row_that_cannot_be_read(threads):
    @threaded(executor=threads)
    def add(a, b):
        return a + b

    got, error = read(add.starmap([(1, 2), Row(), (3, 4)]))
    assert got == [3]
    assert as_the_end(StopIteration, error)


# Streams.


def failing_items(error):
    yield 1
    yield 2
    raise error


async def failing_items_async(error):
    yield 1
    yield 2
    raise error


def test_a_generator_that_raises_what_ends_a_loop(streaming):
    for raised in [StopAsyncIteration, StopIteration, Exhausted]:
        for items in (failing_items, failing_items_async):
            stream = threaded(executor=streaming)(items)(raised)
            got, error = asyncio.run(read_async(stream))
            assert got == [1, 2]
            assert type(error) is RuntimeError, error
    got, error = read(threaded(executor=streaming)(failing_items)(StopAsyncIteration))
    assert (got, type(error)) == ([1, 2], StopAsyncIteration)
    for raised in [GeneratorExit, SystemExit]:
        got, error = read(threaded(executor=streaming)(failing_items)(raised))
        assert (got, type(error)) == ([1, 2], raised)


def test_a_generator_whose_argument_has_failed_so(streaming):
    @threaded(executor=streaming)
    def fail(error):
        raise error

    @threaded(executor=streaming)
    def items(value):
        yield value

    got, error = read(items(fail(StopIteration)))
    assert got == []
    assert as_the_end(StopIteration, error)
    got, error = asyncio.run(read_async(items(fail(StopAsyncIteration))))
    assert got == []
    assert as_the_end(StopAsyncIteration, error)


# aclose


def numbers(end):
    yield from range(end)


def test_aclosing(streaming):
    async def first_two(results):
        got = []
        async with contextlib.aclosing(results):
            async for result in results:
                got.append(result)
                if len(got) == 2:
                    break
        await results.aclose()  # closing again does nothing
        got.extend([each async for each in results])
        return got

    results = parallel_map(same, range(1000), executor=streaming)
    assert asyncio.run(first_two(results)) == [0, 1]
    stream = threaded(executor=streaming)(numbers)(1000)
    assert asyncio.run(first_two(stream)) == [0, 1]


def test_aclose_in_the_middle_of_a_loop(threads):
    async def main(results):
        got = []
        async for result in results:
            got.append(result)
            await results.aclose()
        return got

    assert asyncio.run(main(parallel_map(same, range(99), executor=threads))) == [0]
    assert asyncio.run(main(threaded(executor=threads)(numbers)(99))) == [0]


def test_aclose_waits_for_an_asynchronous_input(threads):
    closed = []

    async def items():
        try:
            for item in range(1000):
                yield item
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def main():
        results = parallel_map(same, items(), executor=threads)
        await anext(results)
        await results.aclose()
        return list(closed)

    assert asyncio.run(main()) == [True]


def test_an_input_may_close_the_map_it_feeds(threads):
    async def main():
        async def items():
            yield 1
            await results.aclose()
            yield 2

        results = parallel_map(same, items(), executor=threads)
        return [each async for each in results]

    assert asyncio.run(asyncio.wait_for(main(), 20)) in ([], [1])
