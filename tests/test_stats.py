"""The numbers of executors: exact at each moment that can be held, and at the end."""

import asyncio
import concurrent.futures
import os
import threading
import time

import pytest

import parallelize
from parallelize import (
    ProcessPoolExecutor,
    SerialExecutor,
    Stats,
    TaskKilled,
    ThreadPoolExecutor,
    WorkerDied,
    process_map,
    processed,
    threaded,
)
from parallelize.executors.foreign import ForeignExecutor


def half(n):
    return 1 / n


def until(condition):
    """Wait for a state that another thread or process brings about."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def past(stats):
    return stats.done, stats.failed, stats.retried, stats.killed, stats.died


def foreign():
    return ForeignExecutor(concurrent.futures.ThreadPoolExecutor(2), owned=True)


KINDS = {
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(2),
    "serial": SerialExecutor,
    "foreign": foreign,
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_call_and_row_is_counted_when_its_outcome_can_be_read(kind):
    with KINDS[kind]() as executor:
        for n in range(1, 4):
            assert executor.submit(half, 1).result() == 1.0
            assert past(executor.stats()) == (n, 0, 0, 0, 0)
        assert isinstance(executor.submit(half, 0).exception(), ZeroDivisionError)
        assert past(executor.stats()) == (3, 1, 0, 0, 0)
        rows = executor.map(half, [1] * 700 + [0] + [1] * 300, return_exceptions=True)
        assert len(list(rows)) == 1001
        assert past(executor.stats()) == (1003, 2, 0, 0, 0)
    stats = executor.stats()
    assert (stats.queued, stats.running, stats.busy) == (0, 0, 0)


def test_many_short_calls_in_processes_are_counted_though_they_are_sent_as_rows():
    with ProcessPoolExecutor(1) as executor:
        futures = [executor.submit(half, n % 10) for n in range(2000)]
        concurrent.futures.wait(futures)
        assert past(executor.stats()) == (1800, 200, 0, 0, 0)


def test_what_runs_in_threads_and_what_waits():
    gate, begun = threading.Event(), threading.Semaphore(0)

    def hold():
        begun.release()
        gate.wait(20)

    with ThreadPoolExecutor(2) as executor:
        futures = [executor.submit(hold) for _ in range(5)]
        late = executor.submit(max, futures[0], key=bool)  # it waits for an argument
        begun.acquire()
        begun.acquire()
        futures[4].cancel()
        assert executor.stats() == Stats(workers=2, busy=2, queued=3, running=2)
        gate.set()
        late.exception()
    assert past(executor.stats()) == (4, 1, 0, 0, 0)


def test_rows_of_threads_that_have_not_begun_are_queued():
    gate, begun = threading.Event(), threading.Event()

    def hold(n):
        if n == 3:
            begun.set()
            gate.wait(20)

    with ThreadPoolExecutor(1) as executor:
        rows = executor.map(hold, range(8), chunksize=8)
        begun.wait(20)
        stats = executor.stats()
        assert (stats.running + stats.queued + stats.done, stats.busy) == (8, 1)
        assert stats.queued >= 4
        gate.set()
        assert len(list(rows)) == executor.stats().done == 8


def test_what_runs_in_processes_and_what_waits(tmp_path):
    gate = tmp_path / "gate"

    def hold():
        while not gate.exists():
            time.sleep(0.005)

    with ProcessPoolExecutor(1) as executor:
        futures = [executor.submit(hold) for _ in range(3)]
        until(lambda: executor.stats().running)
        assert executor.stats() == Stats(workers=1, busy=1, queued=2, running=1)
        gate.touch()
        concurrent.futures.wait(futures)
        assert executor.stats() == Stats(workers=1, done=3)


def sleep(mark):
    mark.touch()
    time.sleep(60)


def test_kills_deaths_and_retries_in_processes(tmp_path):
    @processed(max_workers=1, retries=1, retry_wait=0, retry_on=ZeroDivisionError)
    def again(n):
        return 1 / n

    with ProcessPoolExecutor(1) as executor:
        sleeping = executor.submit(sleep, mark := tmp_path / "mark")
        until(mark.exists)
        sleeping.kill()
        assert isinstance(sleeping.exception(), TaskKilled)
        assert past(executor.stats()) == (0, 1, 0, 1, 0)
        assert isinstance(executor.submit(os._exit, 3).exception(), WorkerDied)
        assert past(executor.stats()) == (0, 2, 0, 1, 1)
    before = parallelize.stats("processes")
    assert isinstance(again(0).exception(), ZeroDivisionError)
    assert len(list(again.map([0, 1, 2], return_exceptions=True))) == 3
    after = parallelize.stats("processes")
    assert (after.failed - before.failed, after.retried - before.retried) == (2, 2)
    assert after.done - before.done == 2


@pytest.mark.parametrize("kind", ["threads", "serial", "foreign"])
def test_retries_are_counted(kind):
    with KINDS[kind]() as executor, parallelize.using(executor):

        @parallelize.parallelized(retries=2, retry_wait=0)
        def fails(n):
            return 1 / n

        assert isinstance(fails(0).exception(), ZeroDivisionError)
        assert past(executor.stats()) == (0, 1, 2, 0, 0)
        list(fails.map([0, 1], return_exceptions=True))
        stats = executor.stats()
        assert (stats.done, stats.failed) == (1, 2)


def test_coroutines_are_counted_with_their_loops():
    gate = threading.Event()

    @threaded
    async def waits(n):
        await asyncio.to_thread(gate.wait, 20)
        return 1 / n

    with ThreadPoolExecutor(2) as executor:
        futures = [executor.submit(waits, n) for n in (0, 1, 2)]
        until(lambda: executor.stats().running == 3)
        assert executor.stats().queued == 0
        gate.set()
        concurrent.futures.wait(futures)
        assert past(executor.stats()) == (2, 1, 0, 0, 0)


def test_a_call_that_is_too_late_has_failed_and_its_thread_is_busy():
    gate = threading.Event()

    @threaded(timeout=0.01)
    def late():
        gate.wait(20)

    with ThreadPoolExecutor(1) as executor:
        assert isinstance(executor.submit(late).exception(), TimeoutError)
        stats = executor.stats()
        assert (stats.failed, stats.busy, stats.done) == (1, 1, 0)
        gate.set()
    assert past(executor.stats()) == (0, 1, 0, 0, 0)


def test_numbers_of_threads_that_have_ended_remain():
    with ThreadPoolExecutor(4, idle_timeout=0.01) as executor:
        list(executor.map(half, range(1, 100), chunksize=1))
        until(lambda: executor.stats().workers == 0)
        assert executor.stats() == Stats(done=99)


def test_they_can_be_had_while_threads_take_calls():
    """Without the GIL the queue may change while it is looked at."""
    with ThreadPoolExecutor(2) as executor:
        for _ in range(20):
            futures = [executor.submit(half, 2) for _ in range(500)]
            while not futures[-1].done():
                stats = executor.stats()
                assert 0 <= stats.queued <= 500
        until(lambda: executor.stats().done == 20 * 500)


def test_warming_counts_no_call():
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        threads.warm()
        processes.warm()
        assert threads.stats().done == processes.stats().done == 0
        assert threads.stats().workers == processes.stats().workers == 2


def test_shared_pools_are_added_and_told_apart_by_kind():
    parallelize.shutdown()
    list(parallelize.thread_map(half, [1, 2, 3]))
    list(process_map(half, [1, 2]))
    own = threaded(max_workers=1)(half)
    own(1).result()
    assert parallelize.stats("threads").done == 4
    assert parallelize.stats("processes").done == 2
    assert parallelize.stats().done == 6
    assert parallelize.stats("no such kind") == Stats()
    with pytest.raises(TypeError, match="kind must be a string"):
        parallelize.stats(3)
    parallelize.shutdown()


def test_before_the_first_call_and_after_the_end_there_are_numbers():
    executor = ProcessPoolExecutor(1)
    assert executor.stats() == Stats()
    executor.shutdown()
    assert executor.stats() == Stats()
