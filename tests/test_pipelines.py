"""Maps over maps: every stage works while the others do, and all end together."""

import asyncio
import contextlib
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tasks
from factories import make
from parallelize import ProcessPoolExecutor, ThreadPoolExecutor, threaded
from support.waiting import wait_until

PATIENCE = 20  # seconds after which a test has failed


def feeders():
    return [each for each in threading.enumerate() if each.name == "parallelize-input"]


@pytest.fixture
def three(concurrent_kind):
    """Three executors: of two kinds, at the ends and in the middle."""
    with contextlib.ExitStack() as stack:
        middle = stack.enter_context(make(concurrent_kind, 1))
        ends = [stack.enter_context(ThreadPoolExecutor(2)) for _ in range(2)]
        yield ends[0], middle, ends[1]


def stacked(three, items, fns=(tasks.double,) * 3, **options):
    for executor, fn in zip(three, fns, strict=True):
        items = executor.map(fn, items, **options)
    return items


@pytest.mark.parametrize("ordered", [True, False])
def test_the_results_of_a_loop(three, ordered):
    results = stacked(three, range(500), ordered=ordered)
    assert sorted(results) == [8 * n for n in range(500)]
    wait_until(lambda: not feeders())


def test_the_results_in_a_loop_of_asyncio(three):
    async def main():
        return [each async for each in stacked(three, iter(range(500)))]

    assert asyncio.run(main()) == [8 * n for n in range(500)]


def test_over_an_asynchronous_source(three):
    async def numbers():
        for number in range(200):
            if number % 50 == 0:
                await asyncio.sleep(0)
            yield number

    async def main():
        return [each async for each in stacked(three, numbers())]

    assert asyncio.run(main()) == [8 * n for n in range(200)]


def test_over_an_asynchronous_source_only_async_for_reads(three):
    async def numbers():
        yield 1

    with pytest.raises(TypeError, match="read the map by async for"):
        list(stacked(three, numbers()))


def test_each_stage_begins_with_its_first_item(three):
    """The input gives its second item when the first has come out at the end."""
    came = threading.Semaphore(0)

    def numbers():
        yield 1
        for number in range(2, 6):
            assert came.acquire(timeout=PATIENCE)
            yield number

    given = []
    for result in stacked(three, numbers()):
        given.append(result)
        came.release()
    assert given == [8 * n for n in range(1, 6)]


def test_a_stage_works_though_the_last_one_is_not_read(three, tmp_path):
    trace = tmp_path / "trace"
    results = three[2].map(
        tasks.append_line,
        [str(trace)] * 10,
        three[1].map(tasks.double, three[0].map(tasks.double, range(10))),
    )
    wait_until(lambda: trace.exists() and len(trace.read_text().split()) == 10, 30)
    assert list(results) == [4 * n for n in range(10)]


def test_the_loop_goes_on_while_a_stage_computes(three):
    """A task of the loop lets the input go on, which the map waits for."""
    gate = threading.Event()

    def numbers():
        yield 1
        assert gate.wait(PATIENCE)
        yield 2

    async def main():
        asyncio.get_running_loop().call_later(0.01, gate.set)
        return [each async for each in stacked(three, numbers())]

    assert asyncio.run(main()) == [8, 16]


def test_the_windows_bound_what_is_read(three):
    drawn = [0]

    def numbers():
        while True:
            drawn[0] += 1
            yield drawn[0]

    with stacked(three, numbers(), buffersize=4) as results:
        for number in range(1, 60):
            assert next(results) == 8 * number
            # Each stage has a window, and an item in the hand of each feeder.
            assert drawn[0] <= number + 3 * (4 + 1) + 3


LEAVINGS = {
    "close": lambda results: results.close(),
    "with": lambda results: results.__exit__(None, None, None),
    "aclose": lambda results: asyncio.run(results.aclose()),
}


@pytest.mark.parametrize("leave", LEAVINGS.values(), ids=LEAVINGS)
def test_closing_the_last_closes_all(three, leave):
    closed = threading.Event()
    gate = threading.Event()

    def numbers():
        try:
            number = 0
            while True:
                yield number
                number += 1
                gate.wait(0.001)
        finally:
            closed.set()

    inner = three[0].map(tasks.double, numbers())
    results = three[2].map(tasks.double, three[1].map(tasks.double, inner))
    assert next(results) == 0
    leave(results)
    assert closed.wait(PATIENCE)
    assert list(inner) == []
    wait_until(lambda: not feeders())


def test_dropping_the_last_closes_all(three):
    closed = threading.Event()

    def numbers():
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    results = stacked(three, numbers())
    assert next(results) == 0
    del results
    assert closed.wait(PATIENCE)
    wait_until(lambda: not feeders())


def test_cancelling_the_reader_and_closing(three):
    closed = threading.Event()

    def numbers():
        try:
            yield from range(10**9)
        finally:
            closed.set()

    async def read():
        async with stacked(three, numbers()) as results:
            async for _ in results:
                await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closed.wait(PATIENCE)


@pytest.mark.parametrize("stage", range(3))
def test_an_error_comes_in_its_place_with_its_note(three, stage):
    fns = [tasks.identity] * 3
    fns[stage] = tasks.refuse_seven
    given = []
    with pytest.raises(tasks.Refusal) as caught:
        for result in stacked(three, range(20), fns):
            given.append(result)
    assert given == list(range(7))
    notes = [note for note in caught.value.__notes__ if "row" in note]
    assert len(notes) == 1
    assert "row 7 of the map, called with (7)" in notes[0]
    wait_until(lambda: not feeders())


def test_an_error_of_the_input_passes_all_stages(three):
    def numbers():
        yield from range(5)
        raise LookupError("no more")

    given = []
    with pytest.raises(LookupError, match="no more"):
        for result in stacked(three, numbers()):
            given.append(result)
    assert given == [8 * n for n in range(5)]


def test_one_worker_serves_all_stages(make_concurrent):
    executor = make_concurrent(max_workers=1)
    results = stacked([executor] * 3, range(100))
    assert list(results) == [8 * n for n in range(100)]


def test_within_a_worker_of_that_pool():
    with ThreadPoolExecutor(1) as pool:

        def whole(number):
            return sum(stacked([pool] * 3, range(number)))

        assert pool.submit(whole, 20).result(PATIENCE) == 8 * sum(range(20))


def test_a_limit_of_all_stages_and_the_reader():
    """The reader holds the only place; the stages run in its place."""
    with ThreadPoolExecutor(2) as pool:

        @threaded(limit=1, executor=pool)
        def step(number):
            if number < 0:
                return sum(step.map(step.map(range(10))))
            return number + 1

        # Calls of one function share its limit.
        assert step(-1).result(PATIENCE) == sum(range(10)) + 20


def test_coroutines_between_threads_and_processes():
    with ProcessPoolExecutor(1) as processes, ThreadPoolExecutor(2) as threads:

        @threaded(executor=threads)
        async def fetch(number):
            await asyncio.sleep(0)
            return number + 1

        results = threads.map(
            tasks.double, processes.map(tasks.double, fetch.map(range(100)))
        )
        assert list(results) == [4 * (n + 1) for n in range(100)]


def test_a_stream_is_an_input():
    with ThreadPoolExecutor(2) as pool:

        @threaded(executor=pool)
        def numbers(count):
            for number in range(count):
                time.sleep(0)
                yield number

        assert list(pool.map(tasks.double, numbers(50))) == [2 * n for n in range(50)]

        async def main():
            return [each async for each in pool.map(tasks.double, numbers(50))]

        assert asyncio.run(main()) == [2 * n for n in range(50)]


def test_a_deep_pipeline(make_concurrent):
    executor = make_concurrent()
    results = iter(range(30))
    for _ in range(12):
        results = executor.map(tasks.identity, results)
    assert list(results) == list(range(30))


def test_stages_beside_other_inputs(three):
    """Several iterables, some of them maps, are read as zip reads them."""
    left = three[0].map(tasks.double, range(10))
    right = three[1].map(tasks.double, iter(range(7)))
    assert list(three[2].map(tasks.add, left, right, range(100))) == [
        5 * n for n in range(7)
    ]


# ------------------------------------------------------- against plain loops


def plain(numbers, stages, error_at):
    """What a loop gives: the items, and the error that ends it."""
    given = []
    for number in numbers:
        value = number
        for index, _ in enumerate(stages):
            if (index, number) == error_at:
                return given, number
            value = value + 1
        given.append(value)
    return given, None


def stepping(index, error_at, offset):
    def step(value):
        if error_at is not None and (index, value - offset) == error_at:
            raise tasks.Refusal(value - offset)
        return value + 1

    return step


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 50), max_size=40, unique=True),
    stages=st.lists(st.sampled_from(["a", "b", "serial"]), min_size=1, max_size=4),
    options=st.fixed_dictionaries(
        {},
        optional={
            "buffersize": st.integers(1, 5),
            "chunksize": st.integers(1, 5),
        },
    ),
    sized=st.booleans(),
    failing=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 50)),
    stop=st.none() | st.integers(0, 40),
)
def test_as_a_loop(numbers, stages, options, sized, failing, stop):
    with (
        ThreadPoolExecutor(2) as first,
        ThreadPoolExecutor(1) as second,
        make("serial") as serial,
    ):
        pools = {"a": first, "b": second, "serial": serial}
        results = numbers if sized else iter(numbers)
        for index, name in enumerate(stages):
            results = pools[name].map(
                stepping(index, failing, index), results, **options
            )
        expected, error = plain(numbers, stages, failing)
        given_items, raised = [], None
        try:
            for result in results:
                given_items.append(result)
                if len(given_items) == stop:
                    break
        except tasks.Refusal as refusal:
            raised = refusal.code
        results.close()
        if stop is not None and 0 < stop <= len(expected):
            assert given_items == expected[:stop]
            assert raised is None
        else:
            assert (given_items, raised) == (expected, error)
