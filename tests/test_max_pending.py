"""`max_pending`: a call beyond that number waits, or is refused in an event loop."""

import asyncio
import concurrent.futures
import os
import pickle
import signal
import sys
import threading
import time

import pytest

import parallelize
from parallelize import (
    QueueFull,
    ThreadPoolExecutor,
    interpreted,
    processed,
    threaded,
    wait,
)
from tasks import identity

KINDS = ["threads", "processes", "foreign"]
if sys.version_info >= (3, 14):
    KINDS.append("interpreters")


@pytest.fixture(autouse=True)
def ends_shared_pools():
    yield
    parallelize.shutdown()


@pytest.fixture(params=KINDS)
def executor(request):
    if request.param != "foreign":
        yield request.param
        return
    with concurrent.futures.ThreadPoolExecutor(2) as theirs:
        yield theirs


def work(n):
    time.sleep(0.005)
    return n


def long_work(n):
    time.sleep(1)
    return n


async def work_async(n):
    await asyncio.sleep(0.005)
    return n


def count(n):
    yield from range(n)


@pytest.mark.parametrize("function", [work, work_async])
def test_no_more_calls_than_that_are_under_way(executor, function):
    f = threaded(executor=executor, max_pending=3)(function)
    made = []
    for n in range(20):
        made.append(f(n))
        assert sum(not each.done() for each in made) <= 3
    assert [each.result(60) for each in made] == list(range(20))


def test_a_call_waits_until_another_is_done():
    gate = threading.Event()
    f = threaded(max_pending=1)(gate.wait)
    first, made = f(20), []
    waiting = threading.Thread(target=lambda: made.append(f(20)))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    gate.set()
    waiting.join(20)
    assert first.result(20)
    assert made[0].result(20)


def test_a_cancelled_call_makes_room():
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate.wait, 20)
        f = threaded(executor=pool, max_pending=1)(identity)
        f(1).cancel()
        second = f(2)
        gate.set()
        assert second.result(20) == 2


def test_a_thread_of_the_pool_lends_its_place_while_it_waits():
    with ThreadPoolExecutor(1) as pool:
        f = threaded(executor=pool, max_pending=1)(work)

        @threaded(executor=pool)
        def outer():
            return sum(each.result() for each in [f(n) for n in range(5)])

        assert outer().result(20) == 10


def test_calls_that_a_call_makes_itself_do_not_wait():
    @threaded(max_workers=1, max_pending=1)
    def tree(n):
        return 1 + sum(each.result() for each in [tree(n - 1) for _ in range(n)])

    assert tree(3).result(20) == 16


@pytest.mark.parametrize("decorate", [threaded, processed])
def test_in_a_running_loop_it_is_refused_at_once(decorate):
    f = decorate(max_pending=2, name="the work")(long_work)

    async def main():
        made = [f(0), f(1)]
        with pytest.raises(QueueFull, match="the work has 2 calls under way") as caught:
            f(2)
        assert (caught.value.task, caught.value.count) == ("the work", 2)
        assert [await each for each in made] == [0, 1]
        return await f(2)

    assert asyncio.run(main()) == 2


def test_it_can_be_pickled():
    error = pickle.loads(pickle.dumps(QueueFull("f", 3)))
    assert str(error) == str(QueueFull("f", 3))


def test_submit_of_an_executor_counts_too():
    gate = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        f = threaded(max_pending=1)(gate.wait)

        async def main():
            first = pool.submit(f, 20)
            with pytest.raises(QueueFull):
                pool.submit(f, 20)
            gate.set()
            await first

        asyncio.run(main())


@pytest.mark.parametrize("kind", ["threads", "processes", "serial"])
def test_streams_count_until_they_end(kind):
    f = threaded(executor=kind, max_pending=1)(count)
    assert [list(f(3)) for _ in range(3)] == [[0, 1, 2]] * 3


def test_a_map_is_no_further_ahead_than_that():
    read = []

    def rows():
        for n in range(100):
            read.append(n)
            yield n

    results = threaded(max_pending=3)(identity).map(rows())
    assert next(results) == 0
    assert len(read) <= 5
    assert list(results) == list(range(1, 100))


def test_a_call_that_is_refused_does_not_count():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    f = threaded(executor=pool, max_pending=1)(identity)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="after shutdown"):
            f(1)


def test_many_threads_that_call_at_once_all_get_through():
    f = threaded(max_pending=2)(identity)
    made = [[] for _ in range(6)]

    def call(own):
        own.extend(f(n) for n in range(100))

    threads = [threading.Thread(target=call, args=(own,)) for own in made]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert [[f.result(60) for f in own] for own in made] == [list(range(100))] * 6
    assert not f._options.max_pending._taken


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals here")
def test_ctrl_c_ends_the_waiting():
    # A shell may have started this process with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupt_a_call_that_waits()
    finally:
        signal.signal(signal.SIGINT, before)


def interrupt_a_call_that_waits():
    gate = threading.Event()
    f = threaded(max_pending=1)(gate.wait)
    first = f(20)

    def interrupt():
        while not f._options.max_pending._waiting:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        f(20)
    gate.set()
    assert first.result(20)
    wait([first])
    assert f(20).result(20)


def test_each_function_has_its_own():
    gate = threading.Event()
    decorate = threaded(max_pending=1)
    one, two = decorate(gate.wait), decorate(identity)
    first = one(20)
    assert two(1).result(20) == 1
    gate.set()
    assert first.result(20)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), ("1", TypeError), (1.5, TypeError)]
)
def test_a_wrong_number_is_refused_at_the_decorator(value, error):
    for decorate in (threaded, processed, interpreted):
        with pytest.raises(error, match="max_pending must be"):
            decorate(max_pending=value)
