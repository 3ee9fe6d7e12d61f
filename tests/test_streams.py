"""Streams: what a call of a decorated generator function gives."""

import asyncio
import concurrent.futures
import contextlib
import copy
import functools
import gc
import inspect
import multiprocessing
import pickle
import threading
import traceback
import weakref

import pytest

import decorated
import generators
import parallelize
import tasks
from factories import CONCURRENT, KINDS
from parallelize import (
    Future,
    ProcessPoolExecutor,
    SerialExecutor,
    SerializationError,
    Stream,
    StreamFunction,
    TaskTimeout,
    ThreadPoolExecutor,
    parallel_map,
    parallelized,
    processed,
    thread_map,
    threaded,
    using,
)
from parallelize.futures.future import Failure
from parallelize.streams.channel import Channel, Life
from parallelize.streams.reader import Reader
from parallelize.streams.stream import _Chained
from tasks import Refusal


@pytest.fixture(params=[kind for kind in KINDS if kind != "interpreter"])
def kind(request):
    """The kinds that have streams."""
    return request.param


@pytest.fixture(params=[kind for kind in CONCURRENT if kind != "interpreter"])
def concurrent_kind(request):
    return request.param


@pytest.fixture(autouse=True)
def end_of_pools():
    """The shared pools of a test end with it."""
    yield
    parallelize.shutdown()


@pytest.fixture
def on(executor):
    """Decorates for an executor of each kind."""
    return parallelized(executor)


@pytest.fixture
def beside(concurrent):
    """Decorates for an executor of each kind whose calls run beside the test."""
    return parallelized(concurrent)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "notes")


def notes(path):
    with contextlib.suppress(FileNotFoundError):
        with open(path) as file:
            return file.read().split()
    return []


# ------------------------------------------------------------------------- reading


@pytest.mark.parametrize("fn", [generators.numbers, generators.async_numbers])
@pytest.mark.parametrize("count", [0, 1, 5, 3000])
def test_items_come_in_order(on, fn, count):
    stream = on(fn)(count)
    assert isinstance(stream, Stream)
    assert iter(stream) is stream
    assert list(stream) == list(range(count))
    assert list(stream) == []


@pytest.mark.parametrize("fn", [generators.numbers, generators.async_numbers])
def test_a_loop_reads_it(on, fn):
    async def read(count):
        return [number async for number in on(fn)(count)]

    async def main():
        assert await asyncio.gather(read(3), read(200)) == [
            [0, 1, 2],
            list(range(200)),
        ]

    asyncio.run(main())


@pytest.mark.parametrize("buffersize", [1, 2, 3, 1000])
def test_with_any_buffersize(on, buffersize):
    decorate = on(generators.numbers).options(buffersize=buffersize)
    assert list(decorate(500)) == list(range(500))


@pytest.fixture
def ends_late(monkeypatch):
    """Streams whose items and end come just when the reader has found none."""

    def take(channel, read):
        if took := Channel.take.original(channel, read):
            return took
        if channel.life is Life.FLOWING:
            channel.extend([1, 2])
            channel.end(Failure(Refusal("late")))
        return False

    take.original = Channel.take
    monkeypatch.setattr(Channel, "take", take)
    channel = Channel(8)
    channel.begin()
    with SerialExecutor() as executor:
        yield _Chained(Reader(executor, channel, None), "late")


def test_the_end_overtakes_no_item(ends_late):
    assert [next(ends_late), next(ends_late)] == [1, 2]
    with pytest.raises(Refusal):
        next(ends_late)
    assert list(ends_late) == []


def test_the_end_overtakes_no_item_in_a_loop(ends_late):
    async def main():
        assert [await anext(ends_late), await anext(ends_late)] == [1, 2]
        with pytest.raises(Refusal):
            await anext(ends_late)
        assert [item async for item in ends_late] == []

    asyncio.run(main())


def test_it_runs_in_a_worker(concurrent_kind, concurrent):
    if concurrent_kind == "thread":
        fn, here = generators.threads, threading.get_ident()
    else:
        import os

        fn, here = generators.pids, os.getpid()
    seen = set(parallelized(concurrent)(fn)(5))
    assert len(seen) == 1
    assert here not in seen


def test_items_flow_while_it_runs(beside, latch):
    with beside(generators.held_between)(latch.folder) as stream:
        assert next(stream) == 1
        latch.wait_begun()
        latch.release()
        assert list(stream) == [2]


def test_a_loop_goes_on_while_it_waits(beside, latch):
    async def main():
        stream = beside(generators.held_between)(latch.folder)
        assert await anext(stream) == 1
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(latch.wait_begun)
        assert not waiting.done()
        await asyncio.to_thread(latch.release)
        assert await waiting == 2
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(main())


def test_the_last_of_many_fast_items_come_at_once(beside, latch):
    with beside(generators.burst).options(buffersize=200)(latch.folder, 100) as stream:
        assert [next(stream) for _ in range(100)] == list(range(100))
        latch.wait_begun()
        latch.release()
        assert list(stream) == []


def test_threads_may_share_one(on):
    stream = on(generators.numbers)(5000)
    with concurrent.futures.ThreadPoolExecutor(4) as readers:
        parts = [readers.submit(list, stream) for _ in range(4)]
    assert sorted(n for part in parts for n in part.result()) == list(range(5000))


def test_a_loop_that_is_cancelled_reads_on(beside, latch):
    async def main():
        stream = beside(generators.held_between)(latch.folder)
        assert await anext(stream) == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(stream)
        await asyncio.to_thread(latch.wait_begun)
        await asyncio.to_thread(latch.release)
        assert [number async for number in stream] == [2]

    asyncio.run(main())


# ------------------------------------------------------------------------ the bound


def test_it_begins_at_the_call(beside, latch):
    with beside(generators.stuck)(latch.folder, 0) as stream:
        latch.wait_begun()
        latch.release()
        assert list(stream) == []


@pytest.mark.parametrize("buffersize", [1, 4, 7])
def test_it_is_never_further_ahead_than_that(make_concurrent, path, buffersize):
    # A worker that is held back gives its place away: that another call runs in a
    # pool of one worker says that the generator stands still.
    with make_concurrent(max_workers=1) as pool:
        fn = parallelized(pool)(generators.noted).options(buffersize=buffersize)
        stream = fn(path, 100)
        pool.submit(tasks.double, 1).result()
        assert len(notes(path)) == buffersize
        for taken in range(50):
            assert next(stream) == taken
            assert len(notes(path)) <= buffersize + taken + 1
        stream.close()


def test_a_serial_stream_is_not_ahead(path):
    stream = parallelized("serial")(generators.noted)(path, 100)
    assert notes(path) == []
    assert next(stream) == 0
    assert notes(path) == ["0"]


def test_without_a_buffersize_it_is_bounded_too(make_concurrent, path):
    with make_concurrent(max_workers=1) as pool:
        stream = parallelized(pool)(generators.noted)(path, 100_000)
        pool.submit(tasks.double, 1).result()
        assert 1 <= len(notes(path)) <= 1 << 15
        stream.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_more_streams_than_workers_are_read_in_turn(make_concurrent, workers):
    with make_concurrent(max_workers=workers) as pool:
        fn = parallelized(pool)(generators.numbers).options(buffersize=3)
        streams = [fn(100) for _ in range(workers + 2)]
        for row in zip(*streams, strict=True):
            assert len(set(row)) == 1
        assert pool.submit(tasks.double, 2).result() == 4


def test_no_call_is_sent_behind_a_stream(make_latch):
    first, second = make_latch(), make_latch()
    with ProcessPoolExecutor(1) as pool:
        for number in range(20):  # their duration is known then
            assert pool.submit(tasks.double, number).result() == 2 * number
        fn = parallelized(pool)(generators.held_twice)
        stream = fn(first.folder, second.folder)
        assert next(stream) == 1
        waiting = pool.submit(tasks.double, 1)
        first.wait_begun()
        first.release()
        assert next(stream) == 2  # when an item comes the worker may be given more
        second.wait_begun()
        assert waiting.cancel()
        second.release()
        assert list(stream) == []


def test_places_that_were_given_away_come_back(make_latch):
    with ProcessPoolExecutor(1) as pool:
        fn = parallelized(pool)(generators.numbers).options(buffersize=1)
        streams = [fn(20) for _ in range(3)]
        list(zip(*streams, strict=True))
        assert [list(stream) for stream in streams] == [[], [], []]
        latch = make_latch()
        held = pool.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        waiting = pool.submit(tasks.double, 1)
        assert waiting.cancel()  # as only one runs at a time
        latch.release()
        held.result()
        assert pool._pool.scheduler.workers.slots == 1


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize("fn", [generators.refusing, generators.async_refusing])
@pytest.mark.parametrize("count", [0, 1, 100])
def test_errors_arrive_after_the_items_before_them(on, fn, count):
    stream, got = on(fn)(count), []
    with pytest.raises(Refusal) as caught:
        for number in stream:
            got.append(number)
    assert got == list(range(count))
    assert caught.value.code == count
    assert list(stream) == []
    text = "".join(traceback.format_exception(caught.value))
    assert "raise Refusal(end)" in text


def test_errors_in_a_loop(on):
    async def main():
        got = []
        with pytest.raises(Refusal):
            async for number in on(generators.refusing)(50):
                got.append(number)
        assert got == list(range(50))

    asyncio.run(main())


def test_wrong_arguments_of_a_stream(on):
    stream = on(generators.numbers)(1, 2, 3)
    with pytest.raises(TypeError, match="numbers"):
        next(stream)


class Thing:
    pass


@pytest.mark.parametrize("kind", ["serial", "thread"])
def test_an_error_that_was_read_from_a_stream_is_in_no_ring(make_executor):
    seen = []

    @parallelized(make_executor(max_workers=1))
    def failing():
        thing = Thing()
        seen.append(weakref.ref(thing))
        yield 1
        raise Refusal(1)

    def read():
        stream = failing()
        try:
            list(stream)
        except Refusal:
            return
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        read()
        make_idle(failing)
        assert seen[0]() is None
    finally:
        gc.enable()


def make_idle(fn):
    """Have the worker thread run something else, so that it holds nothing."""
    parallelized(fn._source.executor())(tasks.double)(1).result()


# -------------------------------------------------------------------------- closing


@pytest.mark.parametrize(
    ("fn", "error"),
    [
        (generators.endless, "GeneratorExit"),
        (generators.async_endless, None),
        (generators.awaiting, None),
    ],
)
@pytest.mark.parametrize("how", ["close", "with", "drop", "async with"])
def test_closing_early_closes_the_generator(beside, latch, path, fn, error, how):
    stream = beside(fn)(latch.folder, path)
    first = next(stream)
    assert first in (0, 1)
    if how == "close":
        stream.close()
        stream.close()
        assert list(stream) == []
    elif how == "with":
        with stream as entered:
            assert entered is stream
        assert list(stream) == []
    elif how == "async with":

        async def leave(stream):
            async with stream as entered:
                assert entered is stream
            assert [item async for item in stream] == []

        asyncio.run(leave(stream))
    else:
        del stream
        gc.collect()
    latch.wait_begun()  # its finally runs
    (seen,) = notes(path)
    assert seen == error or (
        error is None and seen in ("GeneratorExit", "CancelledError")
    )


def test_what_an_async_generator_awaits_is_cancelled(beside, latch, path):
    stream = beside(generators.awaiting)(latch.folder, path)
    assert next(stream) == 1
    assert next(beside(generators.numbers)(1)) == 0
    stream.close()
    latch.wait_begun()
    assert notes(path) in (["CancelledError"], ["GeneratorExit"])


def test_a_serial_generator_is_closed(path, latch):
    closed = []

    @parallelized("serial")
    def endless():
        try:
            while True:
                yield 1
        except GeneratorExit:
            closed.append("GeneratorExit")
            raise

    with endless() as stream:
        assert next(stream) == 1
    assert closed == ["GeneratorExit"]
    assert list(stream) == []
    stream = endless()
    next(stream)
    del stream
    gc.collect()
    assert len(closed) == 2


def test_a_stream_in_a_ring_is_closed(beside, latch, path):
    stream = beside(generators.endless)(latch.folder, path)
    next(stream)
    ring = [stream]
    ring.append(ring)
    del stream, ring
    gc.collect()
    latch.wait_begun()
    assert notes(path) == ["GeneratorExit"]


def test_one_that_is_closed_before_it_begins_never_runs(make_concurrent, latch, path):
    with make_concurrent(max_workers=1) as pool:
        held = pool.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        fn = parallelized(pool)(generators.noted)
        closed, dropped = fn(path, 3), fn(path, 3)
        closed.close()
        del dropped
        gc.collect()
        latch.release()
        held.result()
        assert pool.submit(tasks.double, 1).result() == 2
    assert notes(path) == []
    assert list(closed) == []


@pytest.mark.parametrize("cancel_futures", [False, True])
def test_shutdown_ends_streams(make_concurrent, latch, path, cancel_futures):
    pool = make_concurrent(max_workers=1)
    stream = parallelized(pool)(generators.endless).options(buffersize=3)(
        latch.folder, path
    )
    pool.submit(tasks.double, 1).result()  # as it is held back
    closed = threading.Thread(target=latch.wait_begun)
    closed.start()
    pool.shutdown(wait=True, cancel_futures=cancel_futures)
    closed.join()
    assert notes(path) == ["GeneratorExit"]
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="was shut down while the stream was open"):
        next(stream)
    assert list(stream) == []


def test_the_end_of_a_with_block_does_not_wait_for_the_reader(make_concurrent):
    with make_concurrent() as pool:
        stream = parallelized(pool)(generators.numbers)(10**9)
    with pytest.raises(RuntimeError, match="was shut down"):
        list(stream)


def test_what_has_ended_can_be_read_after_shutdown(make_concurrent):
    with make_concurrent(max_workers=1) as pool:
        stream = parallelized(pool)(generators.numbers).options(buffersize=10)(5)
        pool.submit(tasks.double, 1).result()  # behind it
    assert list(stream) == list(range(5))


def test_a_closed_executor_takes_none(make_executor):
    pool = make_executor()
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        parallelized(pool)(generators.numbers)(3)


def test_the_shared_pools_come_back():
    for decorator in (threaded, processed):
        fn = decorator(generators.numbers)
        assert list(fn(3)) == [0, 1, 2]
        parallelize.shutdown()
        assert list(fn(3)) == [0, 1, 2]


# -------------------------------------------------------------------------- options


@pytest.mark.parametrize("kind", ["thread", "process-default"])
@pytest.mark.parametrize("buffersize", [None, 1])
def test_the_timeout_is_for_each_item(kind, make_executor, latch, buffersize):
    fn = parallelized(make_executor())(generators.stuck)
    fn = fn.options(timeout=1, buffersize=buffersize)
    stream, got = fn(latch.folder, 5), []
    with pytest.raises(TaskTimeout, match="stuck ran longer than its timeout of 1"):
        for number in stream:
            got.append(number)
    assert got == list(range(5))
    assert list(stream) == []
    if kind == "thread":  # which nobody can stop
        latch.wait_begun()
        latch.release()


@pytest.mark.parametrize("kind", ["thread", "process-default"])
@pytest.mark.parametrize("fn", [generators.numbers, generators.async_numbers])
def test_the_readers_time_does_not_count(make_executor, fn):
    stream = parallelized(make_executor())(fn).options(timeout=1, buffersize=1)(4)
    assert next(stream) == 0
    threading.Event().wait(1.5)  # it is as slow as that
    assert list(stream) == [1, 2, 3]


@pytest.mark.parametrize("decorator", [threaded, processed, parallelized("serial")])
def test_retries_are_refused(decorator):
    with pytest.raises(ValueError, match="retries must be 0 for a generator function"):
        if decorator in (threaded, processed):
            decorator(retries=2)(generators.numbers)
        else:
            parallelized("serial", retries=2)(generators.numbers)
    fn = decorator(generators.numbers)
    with pytest.raises(ValueError, match="retries must be 0"):
        fn.options(retries=1)


def test_buffersize_is_checked():
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="buffersize must be at least 1"):
            threaded(buffersize=wrong)
    for wrong in ("x", 1.5, True):
        with pytest.raises(TypeError, match="buffersize must be a whole number"):
            threaded(generators.numbers).options(buffersize=wrong)


def test_options_make_a_copy():
    fn = threaded(generators.numbers)
    other = fn.options(buffersize=7, name="counted", limit=3)
    assert isinstance(other, StreamFunction)
    assert other._options.buffersize == 7
    assert other.options(timeout=3)._options.buffersize == 7
    assert fn._options.buffersize is None
    assert "counted" in repr(other(1))


def test_a_limit_bounds_open_streams(beside, path, latch):
    fn = beside(generators.noted).options(limit=1, buffersize=2)
    first, second = fn(path, 4), fn(path, 2)
    assert list(first) == [0, 1, 2, 3]
    assert list(second) == [0, 1]
    assert notes(path) == ["0", "1", "2", "3", "0", "1"]


def test_there_is_no_map_in_another_executor(executor):
    fn = parallelized(executor)(generators.numbers)
    for call in (
        lambda: thread_map(fn, [1]),
        lambda: parallel_map(fn, [1], executor=executor),
    ):
        with pytest.raises(TypeError, match="there is no map of the generator"):
            call()


def test_futures_among_the_arguments_of_streams(on, executor):
    end = executor.submit(tasks.double, 3)
    assert list(on(generators.numbers)(end)) == list(range(6))
    failed = executor.submit(tasks.refuse, 5)
    stream = on(generators.numbers)(failed)
    with pytest.raises(Refusal):
        next(stream)


def test_use_redirects():
    with using("serial"):
        assert list(threaded(generators.threads)(2)) == [threading.get_ident()] * 2


# --------------------------------------------------------------------------- context


@pytest.mark.parametrize("kind", ["serial", "thread"])
def test_a_stream_has_the_context_of_its_call(make_executor):
    fn = parallelized(make_executor())(generators.in_context)
    token = generators.VARIABLE.set("at the call")
    stream = fn()
    generators.VARIABLE.reset(token)
    assert list(stream) == ["at the call", *["changed by the generator"] * 2]
    assert generators.VARIABLE.get() == "unset"


# --------------------------------------------------------------------------- nesting


def test_a_stream_read_inside_a_pool_of_one_thread():
    with ThreadPoolExecutor(1) as pool:
        fn = parallelized(pool)(generators.numbers)
        other = parallelized(pool)(generators.async_numbers)

        def read():
            threads = set(parallelized(pool)(generators.threads)(3))
            return list(fn(5)), list(other(5)), threads == {threading.get_ident()}

        assert pool.submit(read).result() == ([*range(5)], [*range(5)], True)
        assert list(fn(3)) == [0, 1, 2]
        assert len(pool._engine._queue) <= 16


def test_streams_inside_streams_in_a_pool_of_one_thread():
    with ThreadPoolExecutor(1) as pool:

        @parallelized(pool)
        def walk(depth):
            yield depth
            if depth:
                yield from walk(depth - 1)
                yield from walk(depth - 1)

        assert sum(1 for _ in walk(6)) == 127


def test_closing_a_stream_inside_a_pool_of_one_thread(path, latch):
    with ThreadPoolExecutor(1) as pool:
        fn = parallelized(pool)(generators.noted)

        def read():
            with fn(path, 10) as stream:
                return next(stream)

        assert pool.submit(read).result() == 0
    assert notes(path) == ["0"]


def nested(end):
    return list(processed(generators.numbers)(end))


def test_a_stream_inside_a_worker_process():
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(nested, 4).result() == [0, 1, 2, 3]


def test_a_stream_read_by_a_stream(make_concurrent):
    with ThreadPoolExecutor(2) as threads:
        inner = parallelized(make_concurrent())(generators.numbers)

        @parallelized(threads)
        def doubled(end):
            for number in inner(end):
                yield 2 * number

        assert list(doubled(100)) == list(range(0, 200, 2))


# ----------------------------------------------------------------- what items may be


@pytest.mark.parametrize("kind", ["process-default"])
def test_items_are_as_they_were_when_they_were_yielded(make_executor):
    stream = parallelized(make_executor())(generators.one_list)(5)
    assert list(stream) == [list(range(n + 1)) for n in range(5)]


def test_items_of_all_sorts(on):
    items = [1, "two", 3.0, None, True, b"six", [7], ("eight",), 2**100, "x" * 50_000]
    items = items * 30
    assert list(on(generators.values)(*items)) == items


@pytest.mark.parametrize("size", [10, 40_000, 1 << 20, 3 << 20])
def test_large_items(make_concurrent, size):
    stream = parallelized(make_concurrent())(generators.blobs)(20, size)
    for number, blob in enumerate(stream):
        assert blob == bytes([number]) * size


@pytest.mark.parametrize("size", [10, 10_000, 1 << 17])
def test_arrays_as_items_of_streams(make_concurrent, size):
    np = pytest.importorskip("numpy")
    got = list(parallelized(make_concurrent())(generators.arrays)(40, size))
    assert [int(each[0]) for each in got] == list(range(40))
    assert all(np.all(each == each[0]) for each in got)


@pytest.mark.parametrize("kind", ["process-default"])
def test_an_item_that_cannot_travel(make_executor):
    pool = make_executor()
    stream = parallelized(pool)(generators.cannot_travel)()
    assert next(stream) == 1
    text = "an item of the stream, a lock, cannot be pickled"
    with pytest.raises(SerializationError, match=text):
        next(stream)
    stream = parallelized(pool)(generators.cannot_arrive)()
    assert next(stream) == 1
    text = "an item of generators.cannot_arrive cannot be unpickled"
    with pytest.raises(SerializationError, match=text):
        next(stream)
    assert list(stream) == []
    assert list(parallelized(pool)(generators.numbers)(3)) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["process-default"])
def test_arguments_that_cannot_travel(make_executor):
    stream = parallelized(make_executor())(generators.values)(threading.Lock())
    with pytest.raises(SerializationError, match="the arguments of"):
        next(stream)


def test_small_items_travel_together(monkeypatch):
    from parallelize.process.parent.tasks.stream import StreamTask

    frames = []
    deliver = StreamTask._deliver

    def counting(self, items, *, more):
        frames.append(len(items))
        deliver(self, items, more=more)

    monkeypatch.setattr(StreamTask, "_deliver", counting)
    with ProcessPoolExecutor(1) as pool:
        count = 50_000
        assert sum(1 for _ in parallelized(pool)(generators.numbers)(count)) == count
    assert sum(frames) == count
    assert len(frames) < count / 20


# ------------------------------------------------------------------ foreign executors


def test_a_foreign_pool_of_threads():
    with concurrent.futures.ThreadPoolExecutor(2) as theirs:
        fn = parallelized(theirs)(generators.numbers)
        assert list(fn(100)) == list(range(100))
        stream = parallelized(theirs)(generators.refusing)(2)
        assert [next(stream), next(stream)] == [0, 1]
        with pytest.raises(Refusal):
            next(stream)
        with fn(10**9) as endless:
            assert next(endless) == 0


@pytest.fixture(scope="module")
def the_standard_librarys_tracker():
    """It lasts as long as the program, and so do its descriptors."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()


def test_a_foreign_pool_of_processes_is_refused(the_standard_librarys_tracker):
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as theirs:
        stream = parallelized(theirs)(generators.numbers)(3)
        with pytest.raises(TypeError, match="no other executor's workers can give"):
            next(stream)


# -------------------------------------------------------------- the decorated function


class Shop:
    def __init__(self, name="x"):
        self.name = name

    @threaded
    def method(self, count):
        for _ in range(count):
            yield self.name

    @threaded
    @classmethod
    def outer_class(cls, count):
        for _ in range(count):
            yield cls

    @classmethod
    @threaded
    def inner_class(cls, count):
        for _ in range(count):
            yield cls

    @threaded
    @staticmethod
    def outer_static(count):
        yield from range(count)

    @staticmethod
    @threaded
    def inner_static(count):
        yield from range(count)

    @threaded
    async def coroutine(self, count):
        for _ in range(count):
            yield self.name


def test_methods_that_are_streams():
    shop = Shop("milk")
    assert list(shop.method(2)) == ["milk"] * 2
    assert list(Shop.method(shop, 2)) == ["milk"] * 2
    assert list(shop.coroutine(2)) == ["milk"] * 2
    for holder in (shop, Shop):
        assert list(holder.outer_class(2)) == [Shop] * 2
        assert list(holder.inner_class(1)) == [Shop]
        assert list(holder.outer_static(2)) == [0, 1]
        assert list(holder.inner_static(2)) == [0, 1]
    assert list(shop.method.options(buffersize=1)(3)) == ["milk"] * 3


@pytest.mark.parametrize(
    "fn",
    [
        generators.Shop("ab").goods,
        functools.partial(generators.Shop.goods, generators.Shop("ab")),
    ],
)
def test_bound_methods_and_partials(on, fn):
    assert list(on(fn)(3)) == ["", "ab", "abab"]


class Callable:
    def __call__(self, count):
        yield from range(count)


def test_callable_objects():
    assert list(threaded(Callable())(3)) == [0, 1, 2]


def test_closures_and_lambdas():
    end = 3

    def local():
        yield from range(end)

    for decorator in (threaded, processed):
        assert list(decorator(local)()) == [0, 1, 2]
        assert list(decorator(lambda: (yield 5))()) == [5]


def test_it_looks_like_the_function():
    fn = threaded(generators.noted)
    assert isinstance(fn, StreamFunction)
    assert fn.__wrapped__ is generators.noted
    assert fn.__name__ == "noted"
    assert fn.__doc__ == generators.noted.__doc__
    assert str(inspect.signature(fn)) == "(path, end)"
    assert not inspect.isgeneratorfunction(fn)
    other = threaded(generators.async_numbers)
    assert not inspect.isasyncgenfunction(other)
    assert not inspect.iscoroutinefunction(other)
    assert repr(fn).startswith("<parallel <function noted")


def test_a_function_that_returns_a_generator_is_an_ordinary_one():
    @functools.wraps(generators.numbers)
    def wrapper(end):
        return generators.numbers(end)

    future = threaded(wrapper)(3)
    assert isinstance(future, Future)
    assert list(future.result()) == [0, 1, 2]


def test_the_function_travels_and_copies():
    fn = decorated.counted
    assert pickle.loads(pickle.dumps(fn)) is fn
    changed = pickle.loads(pickle.dumps(fn.options(buffersize=3)))
    assert isinstance(changed, StreamFunction)
    assert changed._options.buffersize == 3
    assert copy.copy(fn) is fn
    local = threaded(lambda: (yield 1))
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(list_of, fn, 3).result() == [0, 1, 2]
        assert pool.submit(list_of, local).result() == [1]


def list_of(fn, *args):
    return list(fn(*args))


def test_a_stream_neither_travels_nor_copies():
    stream = threaded(generators.numbers)(3)
    for refused in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="can neither be copied nor pickled"):
            refused(stream)
    stream.close()


def test_a_stream_shows_itself():
    stream = parallelized("serial")(generators.numbers)(3)
    assert "Stream of generators.numbers" in repr(stream)
    assert "state=inline" in repr(stream)
    stream = threaded(generators.numbers)(3)
    list(stream)
    assert "state=over" in repr(stream)
    stream.close()
    assert "state=closed" in repr(stream)
