"""Maps whose input is asynchronous."""

import asyncio
import contextvars
import gc
import threading

import pytest

import async_tasks
import decorated
import parallelize
import tasks
from factories import make
from parallelize import parallelized, thread_map
from parallelize.mapping.asynchronous.stepper import AHEAD
from support.waiting import wait_until


class Numbers:
    """An asynchronous input that knows how far it was read, and how it ended."""

    def __init__(self, end=10**9, *, fails_at=None):
        self.end = end
        self.fails_at = fails_at
        self.read = 0
        self.closed = asyncio.Event()

    async def __aiter__(self):
        try:
            for number in range(self.end):
                if number == self.fails_at:
                    raise LookupError(number)
                if number % 7 == 0:
                    await asyncio.sleep(0)
                self.read += 1
                yield number
        finally:
            await asyncio.sleep(0)
            self.closed.set()


def test_every_item_in_order(executor):
    async def main():
        numbers = Numbers(300)
        got = [value async for value in executor.map(tasks.double, numbers)]
        await numbers.closed.wait()
        return got

    assert asyncio.run(main()) == [2 * n for n in range(300)]


def test_as_completed_and_in_chunks(executor):
    async def main():
        unordered = executor.map(tasks.double, Numbers(100), ordered=False)
        chunks = executor.map(tasks.double, Numbers(100), chunksize=8)
        return sorted([v async for v in unordered]), [v async for v in chunks]

    assert asyncio.run(main()) == ([2 * n for n in range(100)],) * 2


def test_input_that_never_waits(executor):
    async def numbers():
        for number in range(500):
            yield number

    async def main():
        return [value async for value in executor.map(tasks.double, numbers())]

    assert asyncio.run(main()) == [2 * n for n in range(500)]


def test_several_asynchronous_inputs_as_zip(executor):
    async def main():
        added = executor.map(tasks.add, Numbers(5), range(3))
        both = executor.map(tasks.add, Numbers(5), Numbers(9))
        return [v async for v in added], [v async for v in both]

    assert asyncio.run(main()) == ([0, 2, 4], [0, 2, 4, 6, 8])


def test_decorated_functions_and_helpers():
    async def rows():
        yield 1, 2
        yield [3]

    async def main():
        mapped = decorated.add.map(Numbers(3))
        star = decorated.add.starmap(rows())
        helped = thread_map(tasks.double, Numbers(3), max_workers=1)
        coroutines = thread_map(async_tasks.double, Numbers(3), max_workers=1)
        return [[v async for v in each] for each in (mapped, star, helped, coroutines)]

    try:
        assert asyncio.run(main()) == [[1, 2, 3], [3, 4], [0, 2, 4], [0, 2, 4]]
    finally:
        parallelize.shutdown()


def test_the_window_is_bounded(executor):
    async def main():
        numbers = Numbers()
        async with executor.map(tasks.double, numbers, buffersize=10) as results:
            async for value in results:
                assert numbers.read <= value // 2 + 1 + 10
                if value == 200:
                    break
                await asyncio.sleep(0)
        return numbers.read

    assert 101 <= asyncio.run(main()) <= 111


def test_a_result_is_given_though_the_next_item_does_not_come(executor):
    async def main():
        seen = asyncio.Event()

        async def numbers():
            yield 1
            await seen.wait()  # for the result of the first
            yield 2

        got = []
        async for value in executor.map(tasks.double, numbers()):
            got.append(value)
            seen.set()
        return got

    assert asyncio.run(main()) == [2, 4]


def test_an_error_of_the_input_comes_after_the_results_before_it(executor):
    async def main():
        got = []
        with pytest.raises(LookupError):
            async for value in executor.map(tasks.double, Numbers(fails_at=20)):
                got.append(value)
        return got

    assert asyncio.run(main()) == [2 * n for n in range(20)]


def test_an_error_of_a_call_closes_the_input(executor):
    async def main():
        numbers = Numbers()
        with pytest.raises(tasks.Refusal):
            async for _ in executor.map(tasks.refuse_odd, numbers):
                pass
        await numbers.closed.wait()

    asyncio.run(main())


def test_leaving_the_block_has_closed_the_input(executor):
    async def main():
        numbers = Numbers()
        async with executor.map(tasks.double, numbers) as results:
            assert await anext(results) == 0
        return numbers.closed.is_set()

    assert asyncio.run(main())


def test_a_map_that_is_dropped_closes_its_input(executor):
    async def main():
        numbers = Numbers()
        async for _ in executor.map(tasks.double, numbers):
            break
        gc.collect()
        await numbers.closed.wait()
        unread = Numbers()
        executor.map(tasks.double, unread).close()
        return unread.read

    assert asyncio.run(main()) == 0


def test_only_async_for_can_read_it(executor):
    results = executor.map(tasks.double, _one())
    with pytest.raises(TypeError, match="read the map by async for"):
        next(results)

    async def main():
        with pytest.raises(TypeError, match="async for"):
            list(results)
        return [value async for value in results]

    assert asyncio.run(main()) == [2]


async def _one():
    yield 1


def test_what_is_no_input_at_all(executor):
    with pytest.raises(TypeError, match=r"iterables\[1\] must be an iterable"):
        executor.map(tasks.add, _one(), 3)
    with pytest.raises(TypeError, match=r"iterables\[0\] must be an iterable"):
        executor.map(tasks.double, _one)


def test_a_reader_that_is_cancelled_may_come_back(concurrent, latch):
    async def main():
        async def folders():
            yield latch.folder

        results = concurrent.map(tasks.hold, folders())
        reading = asyncio.create_task(anext(results))
        await asyncio.sleep(0)  # or there would be nothing to cancel yet
        await asyncio.to_thread(latch.wait_begun)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        latch.release()
        return await anext(results)

    assert asyncio.run(main()) is None


def test_a_loop_that_ends_ends_the_input(executor):
    async def first():
        assert await anext(results) == 0
        assert await anext(results) == 2

    async def rest():
        return [value async for value in results]

    async def numbers():
        for number in range(10**9):
            await asyncio.sleep(0)
            yield number

    results = executor.map(tasks.double, numbers(), buffersize=3)
    asyncio.run(first())
    with pytest.raises(RuntimeError, match="has ended"):
        asyncio.run(rest())


def test_an_executor_that_is_shut_down_takes_no_more(concurrent_kind):
    async def main():
        executor = make(concurrent_kind, 1)
        numbers = Numbers()
        results = executor.map(tasks.double, numbers, buffersize=4)
        assert await anext(results) == 0
        await asyncio.to_thread(executor.shutdown)
        got = []
        with pytest.raises(RuntimeError, match="after shutdown"):
            async for value in results:
                got.append(value)
        await numbers.closed.wait()
        return got

    got = asyncio.run(main())
    assert got == [2 * n for n in range(1, len(got) + 1)]


def test_futures_in_asynchronous_input(concurrent):
    double = parallelized(concurrent)(tasks.double)

    async def futures():
        for number in range(5):
            yield double(number)

    async def main():
        return [value async for value in double.map(futures())]

    assert asyncio.run(main()) == [4 * n for n in range(5)]


# ------------------------------------------- an ordinary input beside asynchronous ones


@pytest.fixture
def threads():
    with make("thread") as executor:
        yield executor


@pytest.mark.parametrize("step", range(3))
def test_an_ordinary_input_beside_it_does_not_hold_up_the_loop(threads, step):
    """The loop lets the ordinary input go on, whichever of its items it waits for."""
    gate = threading.Event()
    closed = threading.Event()

    def waiting():
        try:
            for number in range(3):
                if number == step:
                    assert gate.wait(20)
                yield number
        finally:
            closed.set()

    async def main():
        asyncio.get_running_loop().call_later(0.01, gate.set)
        added = threads.map(tasks.add, waiting(), Numbers(9))
        return [value async for value in added]

    assert asyncio.run(main()) == [0, 2, 4]
    assert closed.is_set()


def test_such_an_input_is_read_in_the_context_of_its_map(threads):
    """It is read a bounded number of items ahead, and its errors come in their turn."""
    level = contextvars.ContextVar("level")
    read = []

    def some(end):
        for number in range(end):
            read.append(level.get())
            yield number
        raise LookupError("no more")

    async def main():
        level.set(1)
        got = []
        with pytest.raises(LookupError, match="no more"):
            async for value in threads.map(tasks.add, Numbers(99), some(50)):
                got.append(value)
        assert read == [1] * 50
        read.clear()
        added = threads.map(tasks.add, Numbers(2), some(1000))
        assert [value async for value in added] == [0, 2]
        assert len(read) <= 2 + AHEAD
        return got

    assert asyncio.run(main()) == [2 * n for n in range(50)]


def test_closing_does_not_wait_for_such_an_input(threads, monkeypatch):
    monkeypatch.setattr(
        "parallelize.mapping.asynchronous.stepper.LONGEST_CLOSING", 0.01
    )
    gate, closed, waits = (threading.Event() for _ in range(3))

    def waiting():
        try:
            yield 1
            waits.set()
            assert gate.wait(20)
        finally:
            closed.set()

    async def main():
        async with threads.map(tasks.add, waiting(), Numbers(9)) as added:
            assert await anext(added) == 1
            assert await asyncio.to_thread(waits.wait, 20)
        assert not closed.is_set()

    asyncio.run(main())
    gate.set()
    assert closed.wait(20)
    wait_until(lambda: "parallelize-input" not in map(_name, threading.enumerate()))


def _name(thread):
    return thread.name
