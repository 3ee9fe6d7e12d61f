"""Where we differ from the standard library on purpose, as docs/guide.md lists it.

Each test here is of a line there that no other file of tests is about.
"""

import asyncio
import concurrent.futures
import contextvars
import gc
import itertools
import os
import signal
import threading
import weakref
from concurrent.futures.process import BrokenProcessPool

import pytest

import parallelize
import parallelize.process.start.launcher
import tasks
from factories import emptied, make
from parallelize import (
    Future,
    ProcessPoolExecutor,
    RemoteTraceback,
    SerializationError,
    ThreadPoolExecutor,
    WorkerDied,
)

MARK = contextvars.ContextVar("MARK", default="unset")


def fail():
    raise ValueError


def end_process():
    os._exit(99)


class Unpicklable:
    def __reduce__(self):
        raise TypeError("it stays here")


class EndsAtUnpickling:
    def __reduce__(self):
        return exit_here, ()


def exit_here():
    raise SystemExit(3)


def give(of_class):
    return of_class()


def test_a_worker_that_dies_fails_its_call_alone(concurrent):
    if concurrent.kind != "processes":
        pytest.skip("it has no process of its own")
    with pytest.raises(BrokenProcessPool, match="exit code 99") as first:
        concurrent.submit(end_process).result(timeout=30)
    with pytest.raises(WorkerDied) as second:
        concurrent.submit(end_process).result(timeout=30)
    assert first.value is not second.value
    assert concurrent.submit(abs, -1).result(timeout=30) == 1


@pytest.mark.parametrize(
    ("argument", "error"),
    [(Unpicklable(), SerializationError), (EndsAtUnpickling(), SystemExit)],
    ids=["pickled", "unpickled"],
)
def test_an_argument_that_cannot_travel(argument, error):
    with ProcessPoolExecutor(1) as pool:
        with pytest.raises(error):
            pool.submit(id, argument).result(timeout=30)
        assert pool.submit(abs, -1).result(timeout=30) == 1


@pytest.mark.parametrize("result", [Unpicklable, EndsAtUnpickling])
def test_a_result_that_cannot_travel(result):
    with ProcessPoolExecutor(1) as pool:
        with pytest.raises(SerializationError, match=r"result"):
            pool.submit(give, result).result(timeout=30)
        assert pool.submit(abs, -1).result(timeout=30) == 1


def test_the_cause_of_an_error(concurrent_kind):
    if concurrent_kind == "thread":
        pytest.skip("it has its own traceback")
    with make(concurrent_kind) as pool:
        error = pool.submit(fail).exception(timeout=30)
    assert type(error.__cause__) is RemoteTraceback
    assert "in fail" in error.__cause__.tb


def test_who_waits_hears_of_a_cancellation_at_once(make_latch):
    latch = make_latch()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(tasks.hold, latch.folder, 1)
        latch.wait_begun()
        queued = pool.submit(abs, -1)
        assert queued.cancel()
        for wait in (parallelize.wait, concurrent.futures.wait):
            assert wait([queued], timeout=0).done == {queued}
        assert list(concurrent.futures.as_completed([queued], timeout=0)) == [queued]
        assert queued._state == "CANCELLED"
        assert queued._state == "CANCELLED_AND_NOTIFIED"
        latch.release()


def test_the_states_that_are_set_from_outside():
    future = Future()
    future._state = "CANCELLED"
    assert future.cancelled()
    assert future.done()
    assert future.cancel()
    assert concurrent.futures.wait([future], timeout=0).not_done == {future}
    assert not future.set_running_or_notify_cancel()
    assert future._state == "CANCELLED_AND_NOTIFIED"
    assert concurrent.futures.wait([future], timeout=0).done == {future}
    with pytest.raises(RuntimeError, match="Future in unexpected state"):
        future.set_running_or_notify_cancel()


@pytest.mark.parametrize("state", ["RUNNING", "FINISHED", "CANCELLED_AND_NOTIFIED"])
def test_a_future_that_cannot_begin(state, caplog):
    log = emptied(caplog)
    future = Future()
    future._state = state
    with pytest.raises(RuntimeError, match="Future in unexpected state"):
        future.set_running_or_notify_cancel()
    assert [(each.name, each.levelname) for each in log.records] == [
        ("concurrent.futures", "CRITICAL")
    ]
    assert f"in unexpected state: {state}" in log.text


def test_a_result_is_set_and_told_by_the_condition():
    future = Future()

    def end():
        with future._condition:
            future._state, future._result = "FINISHED", 5
            future._condition.notify_all()

    thread = threading.Timer(0.01, end)
    thread.start()
    assert future.result(timeout=30) == 5
    thread.join()


def test_a_map_reads_a_window_ahead():
    with ThreadPoolExecutor(1) as pool:
        results = pool.map(abs, itertools.count())
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        results.close()


def test_a_pool_that_is_let_go_finishes():
    pool = ProcessPoolExecutor(1, max_tasks_per_child=1)
    futures = [pool.submit(abs, -i) for i in range(4)]
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    assert [each.result(timeout=30) for each in futures] == [0, 1, 2, 3]


def test_max_tasks_per_child_has_no_part_in_how_processes_start():
    with ProcessPoolExecutor(1, max_tasks_per_child=3) as pool:
        expected = ProcessPoolExecutor(1)._settings.method
        assert pool._settings.method == expected
    if "fork" in parallelize.process.start.launcher.METHODS:
        with ProcessPoolExecutor(1, "fork", max_tasks_per_child=1) as pool:
            pids = {pool.submit(os.getpid).result(timeout=30) for _ in range(3)}
            assert len(pids) == 3


def test_functions_and_classes_travel_by_value(concurrent):
    class Local:
        def __init__(self, value):
            self.value = value

        def double(self):
            return 2 * self.value

    factor = 3
    assert concurrent.submit(lambda x: factor * x, 2).result(timeout=30) == 6
    assert concurrent.submit(Local(4).double).result(timeout=30) == 8
    assert concurrent.submit(Local, 5).result(timeout=30).value == 5


def test_a_future_among_the_arguments_is_waited_for(executor):
    first = executor.submit(abs, -2)
    assert executor.submit(pow, first, 3).result(timeout=30) == 8


def test_a_call_has_the_context_in_which_it_was_made():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(MARK.get).result(timeout=30) == "unset"
        contextvars.copy_context().run(MARK.set, "other")
        token = MARK.set("set")
        assert pool.submit(MARK.get).result(timeout=30) == "set"
        MARK.reset(token)


def test_asyncio_takes_its_own_class_alone():
    async def main(pool):
        loop = asyncio.get_running_loop()
        with pytest.raises(TypeError, match="must be ThreadPoolExecutor instance"):
            loop.set_default_executor(pool)
        return await loop.run_in_executor(pool, abs, -1)

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(main(pool)) == 1


def test_a_block_that_ctrl_c_ends_does_not_wait(make_latch):

    latch = make_latch()
    pool = ThreadPoolExecutor(1)
    with pytest.raises(KeyboardInterrupt), pool:
        running = pool.submit(tasks.hold, latch.folder, 1)
        latch.wait_begun()
        queued = pool.submit(abs, -1)
        signal.raise_signal(signal.SIGINT)
    assert queued.cancelled()
    latch.release()
    assert running.result(timeout=30) == 1
    pool.shutdown()


def test_what_programs_look_at_inside(concurrent):
    assert concurrent._max_workers == 2
    assert concurrent._broken is False
    closed = "_shutdown_thread" if concurrent.kind == "processes" else "_shutdown"
    assert getattr(concurrent, closed) is False
    assert concurrent.submit(abs, -1).result(timeout=30) == 1
    if concurrent.kind != "processes":
        assert len(concurrent._threads) == 1
        assert concurrent._thread_name_prefix
    concurrent.shutdown()
    assert getattr(concurrent, closed) is True


def start_badly():
    raise OSError("no such device")


def test_a_pool_is_broken_by_its_initializer(concurrent_kind, caplog):
    with make(concurrent_kind, initializer=start_badly) as pool:
        first = pool.submit(abs, -1)
        with pytest.raises(concurrent.futures.BrokenExecutor):
            first.result(timeout=30)
        assert pool._broken
        with pytest.raises(concurrent.futures.BrokenExecutor):
            pool.submit(abs, -1)
        with pytest.raises(concurrent.futures.BrokenExecutor):
            list(pool.map(abs, [-1]))
    records = [each for each in caplog.records if each.name == "concurrent.futures"]
    assert {each.levelname for each in records} == {"CRITICAL"}
    assert {each.getMessage() for each in records} == {"Exception in initializer:"}
    assert "OSError: no such device" in caplog.text


WORDS = [
    ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
    ({"max_workers": -1}, ValueError, "max_workers must be greater than 0"),
    ({"max_workers": "2"}, TypeError, "max_workers must be"),
    ({"initializer": 3}, TypeError, "initializer must be a callable"),
]
OF_PROCESSES = [
    ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be >= 1"),
    ({"max_tasks_per_child": 1.5}, TypeError, "max_tasks_per_child must be an integer"),
]


@pytest.mark.parametrize(("options", "error", "words"), WORDS + OF_PROCESSES)
def test_errors_have_the_words_of_the_standard_library(
    options, error, words, concurrent_kind
):
    process = concurrent_kind.startswith("process")
    if not process and "max_tasks_per_child" in options:
        pytest.skip("it has no such option")
    with pytest.raises(error, match=words):
        make(concurrent_kind, **{"max_workers": 2} | options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"buffersize": 0}, ValueError, "buffersize must be None or > 0"),
        ({"buffersize": "x"}, TypeError, "buffersize must be an integer or None"),
        ({"chunksize": 0}, ValueError, "chunksize must be >= 1"),
    ],
)
def test_errors_of_a_map_have_them_too(options, error, words, executor):
    with pytest.raises(error, match=words):
        executor.map(abs, [1], **options)
