"""The one map, over every kind of executor."""

import asyncio
import contextvars
import copy
import fractions
import gc
import itertools
import math
import pickle
import sys
import threading
import time
import weakref
from concurrent.futures import CancelledError

import pytest

import tasks
from parallelize import parallelized, thread_map
from parallelize.errors import TaskTimeout
from parallelize.futures.future import Future
from parallelize.mapping import MapIterator, start_map
from parallelize.mapping.chunk_size import MeasuredSize
from parallelize.mapping.order import Chunk, Part
from parallelize.mapping.reader import Reader
from parallelize.runtime.options import DEFAULTS, CallOptions, Limit
from support.free_threading import freed_at_once
from support.waiting import wait_until

LOCAL = ["serial", "thread"]


@pytest.fixture
def threads():
    from factories import Factory

    factory = Factory("thread")
    yield factory
    factory.close()


class Counting:
    """An iterator that knows how much was drawn from it, and whether it was closed."""

    def __init__(self, end=None):
        self.drawn = 0
        self.closed = False
        self._end = end

    def __iter__(self):
        return self

    def __next__(self):
        if self.drawn == self._end:
            raise StopIteration
        self.drawn += 1
        return self.drawn - 1

    def close(self):
        self.closed = True


# -------------------------------------------------------------- what it gives


def test_results_in_the_order_of_the_input(executor):
    results = executor.map(tasks.double, range(300))
    assert isinstance(results, MapIterator)
    assert iter(results) is results
    assert list(results) == [2 * n for n in range(300)]
    assert list(results) == []


def test_results_as_completed(executor):
    results = list(executor.map(tasks.double, range(300), ordered=False))
    assert sorted(results) == [2 * n for n in range(300)]


def test_as_completed_does_not_wait_for_a_slow_one(concurrent, latch):
    hold = [(tasks.hold, (latch.folder, "slow"))]
    quick = [(tasks.double, (n,)) for n in range(50)]
    results = start_map(
        concurrent, run, (hold + quick,), options=DEFAULTS, ordered=False, star=True
    )
    latch.wait_begun()
    first = [next(results) for _ in range(10)]
    assert set(first) <= {2 * n for n in range(50)}
    latch.release()
    assert set(results) | set(first) == {"slow"} | {2 * n for n in range(50)}


run = tasks.run


@pytest.mark.parametrize("chunksize", [1, 3, 1000])
@pytest.mark.parametrize("buffersize", [None, 1, 7])
@pytest.mark.parametrize("ordered", [True, False])
def test_chunks_and_windows_of_every_size(
    make_executor, chunksize, buffersize, ordered
):
    results = make_executor().map(
        tasks.double,
        range(50),
        chunksize=chunksize,
        buffersize=buffersize,
        ordered=ordered,
    )
    results = list(results)
    assert (results if ordered else sorted(results)) == [2 * n for n in range(50)]


def test_several_iterables_stop_at_the_shortest(executor):
    assert list(executor.map(tasks.add, [1, 2, 3], (10, 20))) == [11, 22]
    assert list(
        executor.map(tasks.add, [1, 2], iter([3, 4, 5]), itertools.repeat(10))
    ) == [14, 16]


def test_they_are_read_as_zip_reads_them(threads):
    first, second = Counting(), Counting(3)
    assert list(threads().map(tasks.add, first, second)) == [0, 2, 4]
    assert (first.drawn, second.drawn) == (4, 3)


def test_no_items(executor):
    assert list(executor.map(tasks.double, [])) == []
    assert list(executor.map(tasks.double, iter(()), ordered=False)) == []


def test_rows_of_arguments(executor):
    rows = [(1, 2), [3, 4], iter((5, 6))]
    results = start_map(executor, tasks.add, (rows,), options=DEFAULTS, star=True)
    assert list(results) == [3, 7, 11]


def test_a_row_that_is_none_fails_at_its_place(threads):
    rows = [(1, 2), 5]
    results = start_map(threads(), tasks.add, (rows,), options=DEFAULTS, star=True)
    assert next(results) == 3
    with pytest.raises(TypeError):
        next(results)


def test_lambdas_and_closures(executor):
    shift = 7
    assert list(executor.map(lambda x: x + shift, range(20))) == list(range(7, 27))


def test_futures_among_the_arguments(executor):
    futures = [executor.submit(tasks.double, n) for n in range(5)]
    assert list(executor.map(tasks.double, futures)) == [0, 4, 8, 12, 16]
    nested = [[future] for future in futures]
    assert list(executor.map(tasks.identity, nested)) == [[0], [2], [4], [6], [8]]


def test_a_large_map(make_concurrent):
    executor = make_concurrent()
    total = sum(executor.map(tasks.double, range(100_000)))
    assert total == 2 * sum(range(100_000))


# --------------------------------------------------------------------- errors


def test_an_error_comes_at_its_place_and_ends_the_map(executor):
    results = executor.map(tasks.refuse_odd, [0, 2, 4, 5, 6])
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(tasks.Refusal) as caught:
        next(results)
    assert caught.value.code == 5
    assert caught.value.__context__ is None
    assert list(results) == []


def test_errors_as_items(executor):
    results = list(executor.map(tasks.refuse_odd, range(6), return_exceptions=True))
    assert [item for item in results if not isinstance(item, tasks.Refusal)] == [
        0,
        2,
        4,
    ]
    assert [error.code for error in results[1::2]] == [1, 3, 5]


def test_errors_as_items_within_large_chunks(executor):
    results = list(
        executor.map(tasks.refuse_odd, range(100), return_exceptions=True, chunksize=50)
    )
    assert results[::2] == list(range(0, 100, 2))
    assert [error.code for error in results[1::2]] == list(range(1, 100, 2))


def test_the_error_of_the_input_comes_after_the_results(executor):
    def five():
        yield from range(5)
        raise LookupError("the input's own")

    results = executor.map(tasks.double, five())
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    with pytest.raises(LookupError, match="the input's own"):
        next(results)
    assert list(results) == []


def test_an_error_keeps_nothing_alive(threads):
    executor = threads()

    def failure():
        results = executor.map(tasks.refuse, [tasks.Counter(1)])
        return read(results)

    def read(results):
        try:
            next(results)
        except tasks.Refusal as error:
            del results
            return weakref.ref(error)

    gc.collect()
    gc.disable()
    try:
        error = failure()
        executor.shutdown()
        assert error() is None
    finally:
        gc.enable()


# ------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"chunksize": 0}, ValueError, "chunksize must be at least 1"),
        ({"chunksize": -1}, ValueError, "chunksize"),
        ({"chunksize": 1.5}, TypeError, "chunksize must be a whole number"),
        ({"chunksize": True}, TypeError, "chunksize"),
        ({"buffersize": 0}, ValueError, "buffersize must be at least 1"),
        ({"buffersize": "5"}, TypeError, "buffersize"),
        ({"timeout": "5"}, TypeError, "timeout must be a number of seconds or None"),
        ({"timeout": float("nan")}, TypeError, "timeout"),
        ({"timeout": True}, TypeError, "timeout"),
        ({"timeout": 1j}, TypeError, "timeout"),
        ({"ordered": "no"}, TypeError, "ordered must be True or False"),
        ({"return_exceptions": 1}, TypeError, "return_exceptions"),
        ({"progress": 5}, TypeError, "progress must be True, False or a description"),
        ({"nonsense": 5}, TypeError, "nonsense"),
    ],
)
def test_wrong_options_are_refused_at_the_call(threads, options, error, text):
    with pytest.raises(error, match=text):
        threads().map(tasks.double, [1], **options)


def test_wrong_arguments_are_refused_at_the_call(executor):
    with pytest.raises(TypeError, match=r"iterables\[1\] must be an iterable, not 5"):
        executor.map(tasks.add, [1], 5)
    with pytest.raises(TypeError, match="fn must be a callable"):
        executor.map(None, [1])


def test_nothing_is_called_without_iterables(executor):
    """As with the standard library's executors."""
    assert list(executor.map(tasks.add)) == []


def test_a_function_needs_something_to_be_mapped_over(threads):
    fn = parallelized(threads())(tasks.double)
    for call in (fn.map, lambda: thread_map(tasks.double, max_workers=1)):
        with pytest.raises(TypeError, match="at least one iterable"):
            call()


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([1, 2], r"rows\[0\] must be a tuple of arguments, not 1"),
        ([(1,), (2,), None], r"rows\[2\] must be a tuple of arguments, not None"),
    ],
)
def test_a_row_that_is_none_is_named(threads, rows, text):
    fn = parallelized(threads())(tasks.double)
    results = fn.starmap(iter(rows))
    with pytest.raises(TypeError, match=text):
        list(results)


@pytest.mark.parametrize(
    "timeout",
    [60, fractions.Fraction(60), 10**400, math.inf, 1e300],
    ids=["int", "fraction", "huge", "inf", "large"],
)
def test_any_number_is_a_timeout(threads, timeout):
    go = threading.Event()
    results = threads().map(go.wait, [None], timeout=timeout)
    opener = threading.Timer(0.01, go.set)
    opener.start()
    assert list(results) == [True]
    opener.join()


@pytest.mark.parametrize(
    "timeout", [0, -1, -(10**400), -math.inf], ids=["0", "-1", "-huge", "-inf"]
)
def test_a_timeout_that_is_over_ends_the_map_soon(threads, timeout):
    go = threading.Event()
    results = threads().map(go.wait, [None], timeout=timeout)
    try:
        with pytest.raises(TimeoutError):
            next(results)
    finally:
        go.set()


# ---------------------------------------------------------- lazy and bounded


@pytest.mark.parametrize("buffersize", [1, 5, 64])
@pytest.mark.parametrize("ordered", [True, False])
def test_the_input_is_read_no_further_than_the_buffer(
    make_executor, buffersize, ordered
):
    numbers = Counting()
    executor = make_executor()
    results = executor.map(
        tasks.double, numbers, buffersize=buffersize, ordered=ordered
    )
    most = numbers.drawn
    assert 1 <= most <= buffersize
    for given in range(1, 300):
        next(results)
        assert numbers.drawn <= given + buffersize
    results.close()


def test_without_a_buffersize_the_window_is_bounded_too(make_executor):
    numbers = Counting()
    results = make_executor().map(tasks.double, numbers)
    for _ in range(2000):
        next(results)
    bound = 2000 + 4 * 2 * MeasuredSize.MOST  # workers times the largest chunk
    assert numbers.drawn <= bound
    results.close()


def test_a_serial_map_computes_each_when_it_is_read():
    from parallelize.executors.serial import SerialExecutor

    seen = []
    with SerialExecutor() as executor:
        results = executor.map(lambda x: seen.append(x) or x, itertools.count())
        for number in range(5):
            assert next(results) == number
            assert len(seen) <= number + 1
        results.close()


def test_one_thread_at_a_time_reads_the_input(make_executor):
    reading = threading.Lock()

    def numbers():
        for number in range(300):
            assert reading.acquire(blocking=False)
            reading.release()
            yield number

    assert len(list(make_executor().map(tasks.double, numbers()))) == 300


def test_an_endless_input_in_constant_memory(threads):
    import tracemalloc  # which interpreters beside the main one cannot load

    executor = threads()
    with executor.map(bytes, itertools.repeat(100_000), buffersize=4) as results:
        for _ in itertools.islice(results, 20):
            pass
        tracemalloc.start()
        try:
            for _ in itertools.islice(results, 500):
                pass
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()


@freed_at_once
def test_results_that_were_given_are_let_go(threads):
    class Result:
        pass

    with threads().map(lambda _: Result(), range(100), chunksize=10) as results:
        alive = []
        for result in results:
            alive.append(weakref.ref(result))
            del result
            assert sum(ref() is not None for ref in alive) <= 1


def test_arguments_are_let_go(threads):
    class Argument:
        pass

    alive = []

    def arguments():
        for _ in range(100):
            argument = Argument()
            alive.append(weakref.ref(argument))
            yield argument

    results = threads().map(id, arguments(), buffersize=4)
    assert len(list(results)) == 100
    gc.collect()
    wait_until(lambda: not any(ref() for ref in alive))


def test_arguments_are_let_go_before_their_results_are_read(threads):
    class Argument:
        pass

    arguments = [Argument() for _ in range(20)]
    alive = [weakref.ref(argument) for argument in arguments]
    results = threads().map(id, iter(arguments), chunksize=4)
    del arguments
    wait_until(lambda: not any(ref() for ref in alive))
    assert len(list(results)) == 20


# ------------------------------------------------------------------ close, drop


def test_close_cancels_what_has_not_begun(make_concurrent, latch, tmp_path):
    executor = make_concurrent(max_workers=1)
    trace = str(tmp_path / "trace")
    numbers = Counting()
    rows = itertools.chain(
        [(tasks.hold, (latch.folder,))],
        ((tasks.append_line, (trace, n)) for n in numbers),
    )
    results = start_map(
        executor,
        run,
        (rows,),
        options=DEFAULTS,
        star=True,
        chunksize=1,
        buffersize=2000,
    )
    latch.wait_begun()
    wait_until(lambda: numbers.drawn > 1000)
    results.close()
    results.close()
    latch.release()
    assert list(results) == []
    executor.shutdown()
    ran = (
        (tmp_path / "trace").read_text().split()
        if (tmp_path / "trace").exists()
        else []
    )
    assert len(ran) < 500


def test_close_closes_the_input(executor):
    numbers = Counting()
    results = executor.map(tasks.double, numbers)
    next(results)
    results.close()
    assert numbers.closed
    assert list(results) == []


@pytest.mark.parametrize("leave", ["close", "break", "with", "error", "drop"])
def test_a_generator_is_closed_however_the_map_ends(threads, leave):
    closed = threading.Event()

    def numbers():
        try:
            yield from itertools.count()
        finally:
            closed.set()

    fn = tasks.refuse if leave == "error" else tasks.double
    results = threads().map(fn, numbers())
    if leave == "error":
        with pytest.raises(tasks.Refusal):
            next(results)
    elif leave == "with":
        with results:
            next(results)
    elif leave == "break":
        for _ in results:
            break
        results = None
    else:
        next(results)
        if leave == "close":
            results.close()
        results = None
    gc.collect()
    assert closed.wait(20)


def test_close_from_another_thread_wakes_the_reader(concurrent, latch):
    results = concurrent.map(tasks.hold, [latch.folder])
    latch.wait_begun()
    got = []
    reader = threading.Thread(target=lambda: got.append(list(results)))
    reader.start()
    results.close()
    reader.join(20)
    assert not reader.is_alive()
    assert got == [[]]
    latch.release()


def test_close_within_the_input(threads):
    def numbers():
        yield 0
        results.close()
        yield 1

    executor = threads()
    source = numbers()
    gate = iter([next(source)])
    results = executor.map(
        tasks.double, itertools.chain(gate, wait_for_it(source)), buffersize=1
    )
    assert list(results) in ([0], [])


def wait_for_it(source):
    yield from source


def test_many_readers_share_a_map(threads):
    results = threads().map(tasks.double, range(20_000))
    found, lock = [], threading.Lock()

    def read():
        mine = list(results)
        with lock:
            found.extend(mine)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(30)
    assert sorted(found) == [2 * n for n in range(20_000)]


@pytest.mark.parametrize("chunksize", [1, 2, 7, None])
def test_readers_in_several_threads_lose_nothing(concurrent, chunksize):
    """Neither between two blocks nor within one, however often they take turns."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    found = [[] for _ in range(6)]
    try:
        results = concurrent.map(tasks.double, range(3000), chunksize=chunksize)
        readers = [
            threading.Thread(target=mine.extend, args=(results,)) for mine in found
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(40)
    finally:
        sys.setswitchinterval(interval)
    assert sorted(itertools.chain(*found)) == [2 * n for n in range(3000)]
    assert all(mine == sorted(mine) for mine in found)


def test_a_reader_that_comes_late_gets_its_item_by_hand():
    """Two that end the tail for one block would make the iterator skip the block."""

    class Window:
        was_read = is_asynchronous = False
        blocks = iter([[1, 2, 3], [4, 5, 6]])

        def fill(self, *, asked):
            pass

        def given(self, rows):
            pass

        def take(self):
            block = next(self.blocks, None)
            return block and Part(Chunk(block, 0), 0, block, {int})

        def is_over(self):
            return True

        def close(self):
            pass

    reader = Reader(Window(), timeout=None, return_exceptions=False, progress=None)
    steps = reader.tail.blocks()
    tail = next(steps)
    with pytest.raises(StopIteration):
        next(tail)
    # Another has ended the tail, but the iterator has not moved yet.
    assert [next(tail) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert list(next(steps)) == []
    assert next(steps) is tail
    assert next(tail) == 6
    with pytest.raises(StopIteration):
        next(tail)
    assert list(steps) == []


def test_closing_drops_what_is_at_hand(executor):
    results = executor.map(tasks.double, range(100), chunksize=50)
    for result in results:
        results.close()
    assert result == 0
    assert list(results) == []


def test_reading_in_both_ways(executor):
    async def some(number):
        return [result async for result, _ in zip_async(results, range(number))]

    async def zip_async(results, numbers):
        for number in numbers:
            yield await anext(results), number

    results = executor.map(tasks.double, range(60), chunksize=25)
    got = [next(results)] + asyncio.run(some(10)) + [next(results)]
    got += asyncio.run(some(20)) + list(results)
    assert got == [2 * n for n in range(60)]


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_map_is_neither_copied_nor_pickled(threads, way):
    results = threads().map(tasks.double, range(3))
    with pytest.raises(TypeError, match="neither be copied nor pickled"):
        way(results)
    assert list(results) == [0, 2, 4]


@pytest.mark.parametrize(
    "numbers",
    [range(300), range(300, 0, -3), range(0), range(10**30, 10**30 + 40), range(1)],
)
def test_a_range_as_input(executor, numbers):
    assert list(executor.map(tasks.double, numbers)) == [2 * n for n in numbers]


def test_an_endless_range_is_read_as_far_as_asked(executor):
    with executor.map(tasks.double, range(10**30)) as results:
        assert list(itertools.islice(results, 100)) == [2 * n for n in range(100)]


VALUES = [0, True, 2.5, None, False, -1, "text", b"bytes", 1 << 70, float("inf"), (1,)]


@pytest.mark.parametrize("every", [1, 3, 40])
def test_results_of_many_types(executor, every):
    """Each comes in its own type, wherever it changes within a chunk."""
    numbers = [n // every % len(VALUES) for n in range(1000)]
    results = list(executor.map(value, numbers, chunksize=200))
    assert results == [VALUES[n] for n in numbers]
    assert list(map(type, results)) == [type(VALUES[n]) for n in numbers]


def value(number):
    return VALUES[number]


# ----------------------------------------------------- maps and their executor


def test_a_map_that_nobody_reads_runs_all_the_same(make_executor, tmp_path):
    trace = tmp_path / "trace"
    with make_executor() as executor:
        executor.map(tasks.append_line, itertools.repeat(trace), range(500))
    assert sorted(map(int, trace.read_text().split())) == list(range(500))


def test_a_map_that_is_kept_unread_runs_all_the_same(make_executor, tmp_path):
    trace = tmp_path / "trace"
    with make_executor() as executor:
        results = executor.map(tasks.append_line, itertools.repeat(trace), range(500))
    assert sorted(map(int, trace.read_text().split())) == list(range(500))
    assert list(results) == list(range(500))


def test_a_dropped_map_runs_without_a_shutdown(make_concurrent, tmp_path):
    trace = tmp_path / "trace"
    executor = make_concurrent()
    executor.map(tasks.append_line, itertools.repeat(trace), range(500))
    wait_until(lambda: trace.exists() and len(trace.read_text().split()) == 500)
    assert executor.submit(tasks.double, 1).result() == 2


def test_a_map_read_in_part_goes_on_after_shutdown(make_executor):
    executor = make_executor()
    results = executor.map(tasks.double, iter(range(1000)))
    head = [next(results) for _ in range(10)]
    executor.shutdown()
    assert head + list(results) == [2 * n for n in range(1000)]


def test_shutdown_draws_no_input_known_to_be_endless(make_executor):
    executor = make_executor()
    maps = [
        executor.map(tasks.double, endless)
        for endless in (itertools.count(), itertools.repeat(2), itertools.cycle([3]))
    ]
    executor.shutdown()
    for results in maps:
        results.close()


def test_shutdown_keeps_to_a_buffersize(threads):
    numbers = Counting()
    executor = threads()
    results = executor.map(tasks.double, numbers, buffersize=3)
    executor.shutdown()
    assert numbers.drawn == 3
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(RuntimeError, match="after shutdown"):
        next(results)


def test_a_cancelling_shutdown_cancels_maps(make_concurrent, latch):
    executor = make_concurrent(max_workers=1)
    results = executor.map(tasks.hold, [latch.folder] * 100, chunksize=1)
    latch.wait_begun()
    executor.shutdown(wait=False, cancel_futures=True)
    latch.release()
    with pytest.raises(CancelledError):
        list(results)


def test_a_map_keeps_its_executor_alive(make_concurrent):
    executor = make_concurrent()
    make_concurrent.made.clear()
    results = executor.map(tasks.double, range(1000))
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert list(results) == [2 * n for n in range(1000)]
    del results
    gc.collect()
    wait_until(lambda: gone() is None)


# ---------------------------------------------------------- time and options


def test_timeout_of_the_reader(concurrent, latch):
    results = concurrent.map(tasks.hold, [latch.folder], timeout=0.05)
    latch.wait_begun()
    with pytest.raises(TimeoutError):
        next(results)
    assert list(results) == []
    latch.release()


def test_what_is_there_is_given_after_the_timeout(threads):
    executor = threads()
    results = executor.map(tasks.double, [1, 2], timeout=0.01, chunksize=1)
    executor.shutdown()
    time.sleep(0.02)  # the timeout itself
    assert list(results) == [2, 4]


def test_the_timeout_of_a_call_holds_for_each_row(make_concurrent, latch):
    executor = make_concurrent(max_workers=2)
    rows = [(tasks.double, (1,)), (tasks.hold, (latch.folder,)), (tasks.double, (3,))]
    results = start_map(
        executor,
        run,
        (rows,),
        star=True,
        return_exceptions=True,
        options=CallOptions(timeout=0.5),
    )
    latch.wait_begun()
    first, second, third = results
    assert (first, third) == (2, 6)
    assert isinstance(second, TaskTimeout)


def test_the_limit_of_a_function_holds_for_each_row(threads):
    lock, running, most = threading.Lock(), 0, 0

    def task(number):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return number

    results = start_map(
        threads(max_workers=4), task, (range(500),), options=CallOptions(limit=Limit(2))
    )
    assert list(results) == list(range(500))
    assert most <= 2


def test_retries_hold_for_each_row(executor, tmp_path):
    traces = [tmp_path / f"trace{n}" for n in range(20)]
    results = start_map(
        executor,
        tasks.fail_first,
        (traces, itertools.repeat(2), range(20)),
        options=CallOptions(retries=2),
    )
    assert list(results) == list(range(20))


# -------------------------------------------------------------------- asyncio


def test_async_for(executor):
    async def main():
        return [item async for item in executor.map(tasks.double, range(300))]

    assert asyncio.run(main()) == [2 * n for n in range(300)]


def test_async_for_as_completed(executor):
    async def main():
        return {
            item async for item in executor.map(tasks.double, range(300), ordered=False)
        }

    assert asyncio.run(main()) == {2 * n for n in range(300)}


def test_async_for_does_not_block_the_loop(concurrent, latch):
    async def main():
        results = concurrent.map(tasks.hold, [latch.folder], ["held"])
        reader = asyncio.ensure_future(anext(results))
        await asyncio.to_thread(latch.wait_begun)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not reader.done()
        latch.release()
        return await reader

    assert asyncio.run(main()) == "held"


def test_async_errors_and_ends(executor):
    async def main():
        results = executor.map(tasks.refuse_odd, [0, 1])
        assert await anext(results) == 0
        with pytest.raises(tasks.Refusal):
            await anext(results)
        return [item async for item in results]

    assert asyncio.run(main()) == []


def test_async_with_closes(executor):
    numbers = Counting()

    async def main():
        async with executor.map(tasks.double, numbers) as results:
            return await anext(results)

    assert asyncio.run(main()) == 0
    assert numbers.closed


def test_async_timeout(concurrent, latch):
    async def main():
        results = concurrent.map(tasks.hold, [latch.folder], timeout=0.05)
        await asyncio.to_thread(latch.wait_begun)
        with pytest.raises(TimeoutError):
            await anext(results)

    asyncio.run(main())
    latch.release()


def test_a_cancelled_reader_can_come_back(concurrent, latch):
    async def main():
        results = concurrent.map(tasks.hold, [latch.folder], ["held"])
        reader = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)  # or there would be nothing to cancel yet
        await asyncio.to_thread(latch.wait_begun)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        latch.release()
        return await anext(results)

    assert asyncio.run(main()) == "held"


def test_others_get_their_turn_though_all_results_are_at_hand(threads):
    async def main():
        executor = threads()
        turns = 0

        async def ticker():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        results = executor.map(tasks.double, range(5000), chunksize=100)
        executor.shutdown()
        ticking = asyncio.ensure_future(ticker())
        async for _ in results:
            pass
        ticking.cancel()
        return turns

    assert asyncio.run(main()) >= 50


# -------------------------------------------------------------------- context


def test_each_row_has_the_context_of_the_map_call(threads):
    variable = contextvars.ContextVar("variable", default="none")

    def look(number):
        seen = variable.get()
        variable.set(f"set by {number}")
        return seen

    executor = threads()
    variable.set("of the call")
    results = executor.map(look, range(500), chunksize=10)
    variable.set("later")
    assert set(results) == {"of the call"}


def test_a_reader_that_holds_a_future_argument_of_a_cancelled_call(threads):
    missing = Future()
    results = threads().map(tasks.double, [1, missing, 3])
    assert next(results) == 2
    missing.cancel()
    with pytest.raises(CancelledError):
        next(results)
