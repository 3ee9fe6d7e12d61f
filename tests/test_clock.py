"""Waits of any length, and clocks that a test has replaced."""

import asyncio
import concurrent.futures
import gc
import io
import math
import threading
import time
import unittest.mock
import weakref

import pytest

import parallelize
import tasks
from parallelize import (
    Future,
    ProcessPoolExecutor,
    TaskGroup,
    TaskTimeout,
    ThreadPoolExecutor,
    as_completed,
    gather,
    parallelized,
    wait,
)
from parallelize.runtime import clock, timer
from parallelize.runtime.agenda import SWEEP_ABOVE, Agenda

DAY = 86_400
LONG = [
    25 * DAY,
    30 * DAY,
    366 * DAY,
    1e10,
    1e300,
    10**400,
    math.inf,
    threading.TIMEOUT_MAX,
    math.nextafter(threading.TIMEOUT_MAX, 0),
    math.nextafter(threading.TIMEOUT_MAX, math.inf),
]


def give(x):
    return x


async def give_later(x):
    await asyncio.sleep(0)
    return x


def give_both(x):
    yield x
    yield x


def make_large(size):
    return Large(size)


async def make_large_later(size):
    return Large(size)


class Large:
    """Something that can be referred to weakly."""

    def __init__(self, size):
        self.data = bytes(size)


@pytest.fixture(params=["thread", "process"])
def pool(request):
    make = {"thread": ThreadPoolExecutor, "process": ProcessPoolExecutor}[request.param]
    with make(2) as executor:
        yield executor


# -------------------------------------------------------------------------- long waits


def test_a_call_may_take_for_ever(executor):
    for timeout in LONG:
        decorated = parallelized(executor, timeout=timeout, retries=1)(give)
        assert decorated(1).result(20) == 1
        assert list(decorated.map([1, 2, 3])) == [1, 2, 3]


def test_a_coroutine_may_take_for_ever(pool):
    for timeout in LONG:
        decorated = parallelized(pool, timeout=timeout, retries=1)(give_later)
        assert decorated(1).result(20) == 1
        assert list(decorated.map([1, 2, 3])) == [1, 2, 3]


def test_a_stream_may_take_for_ever(pool):
    for timeout in LONG:
        assert list(parallelized(pool, timeout=timeout)(give_both)(1)) == [1, 1]


def test_a_reader_may_wait_for_ever(pool):
    for timeout in LONG:
        assert pool.submit(give, 1).result(timeout) == 1
        assert pool.submit(give, 1).exception(timeout) is None
        assert list(pool.map(give, [1, 2, 3], timeout=timeout)) == [1, 2, 3]
        futures = [pool.submit(give, x) for x in range(3)]
        assert len(wait(futures, timeout).done) == 3
        assert set(as_completed(futures, timeout)) == set(futures)
        assert gather(*futures).result(timeout) == [0, 1, 2]


def test_a_loop_may_wait_for_ever(pool):
    async def read(results):
        return [x async for x in results]

    for timeout in LONG:
        results = pool.map(give, [1, 2, 3], timeout=timeout)
        assert asyncio.run(read(results)) == [1, 2, 3]


@pytest.mark.parametrize("timeout", LONG[::3])
@pytest.mark.parametrize("make", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_a_worker_may_be_idle_for_ever(timeout, make):
    with make(1, idle_timeout=timeout) as executor:
        assert executor.submit(give, 1).result(20) == 1
        assert parallelized(executor)(give_later)(2).result(20) == 2
        assert executor.submit(give, 3).result(20) == 3


def test_a_dump_may_take_for_ever(process_pool):
    process_pool.submit(give, 1).result()
    for timeout in LONG:
        text = io.StringIO()
        parallelize.dump(text, timeout=timeout)
        assert "pool of 1 processes" in text.getvalue()


@pytest.fixture
def process_pool():
    with ProcessPoolExecutor(1) as executor:
        yield executor


def test_a_call_with_a_near_deadline_beside_one_with_a_far(process_pool, make_latch):
    far = parallelized(process_pool, timeout=400 * DAY)(give)
    near = parallelized(process_pool, timeout=0.2)(tasks.hold)
    latch = make_latch()
    futures = [far(1), near(latch.folder), far(2)]
    latch.wait_begun()
    late = futures[1].exception(20)
    assert isinstance(late, TaskTimeout)
    assert [futures[0].result(20), futures[2].result(20)] == [1, 2]


def test_a_timeout_that_is_none():
    for wrong in ("3", math.nan, object()):
        with pytest.raises(TypeError, match="timeout must be a number of seconds"):
            as_completed([], wrong)
        with pytest.raises(TypeError, match="timeout must be a number of seconds"):
            wait([], wrong)


# ------------------------------------------------------------------------ as_completed


@pytest.mark.parametrize("timeout", [-1, 0, 0.02])
def test_as_completed_ends_when_the_time_is_over(timeout):
    done, never = concurrent.futures.Future(), concurrent.futures.Future()
    done.set_result(1)
    given = []
    with pytest.raises(TimeoutError, match=r"1 \(of 2\) futures unfinished"):
        given.extend(as_completed([never, done, done], timeout))
    assert given in ([], [done])
    assert not never._waiters


def test_as_completed_gives_what_is_there_at_once():
    done, never = concurrent.futures.Future(), concurrent.futures.Future()
    done.set_result(1)
    for timeout in (0, 20):
        each = as_completed([never, done], timeout)
        assert next(each) is done
        each.close()
        assert not never._waiters


def test_as_completed_keeps_nothing_that_it_gave():
    futures = [concurrent.futures.Future() for _ in range(3)]
    for future in futures:
        future.set_result(1)
    references = list(map(weakref.ref, futures))
    each = as_completed(futures, 60)
    del futures, future
    for left in (2, 1, 0):
        next(each)
        gc.collect()
        assert sum(reference() is not None for reference in references) == left
    each.close()


# ------------------------------------------------------------------------ what is held


@pytest.mark.parametrize("function", [make_large, make_large_later])
def test_a_timeout_holds_nothing_of_a_call_that_has_ended(function, pool):
    make = parallelized(pool, timeout=1000)(function)
    futures = [make(1000) for _ in range(5)]
    results = [weakref.ref(future.result(20)) for future in futures]
    references = list(map(weakref.ref, futures))
    del futures
    _assert_gone([*references, *results])


@pytest.mark.parametrize("function", [tasks.refuse, make_large_later])
def test_nor_of_one_that_failed_or_was_cancelled(function, pool):
    make = parallelized(pool, timeout=1000, retries=1)(function)
    futures = [make(1000) for _ in range(5)]
    for future in futures:
        future.cancel()
    wait(futures, 20)
    for future in futures:
        assert future.cancelled() or future.exception() or future.result()
    references = list(map(weakref.ref, futures))
    del futures, future
    _assert_gone(references)


def test_nor_of_a_map(pool):
    make = parallelized(pool, timeout=1000)(make_large)
    results = [weakref.ref(large) for large in make.map([1000] * 5)]
    _assert_gone(results)


def test_nor_of_a_stream(pool):
    stream = parallelized(pool, timeout=1000)(give_both)(1)
    assert list(stream) == [1, 1]
    reference = weakref.ref(stream)
    del stream
    _assert_gone([reference])


def _assert_gone(references):
    """Wait for the workers' threads to have left what they ran."""
    until = clock.monotonic() + 10
    while any(reference() is not None for reference in references):
        assert clock.monotonic() < until
        gc.collect()
        clock.sleep(0.005)


def test_the_deadlines_of_many_calls_take_no_room(process_pool):
    quick = parallelized(process_pool, timeout=1000)(give)
    later = parallelized(process_pool, timeout=1000)(give_later)
    for decorated in (quick, later):
        for _ in range(3):
            assert gather(*map(decorated, range(300))).result(20) == list(range(300))
    heap = process_pool._pool.scheduler.deadlines._heap
    assert len(heap) <= 2 * (SWEEP_ABOVE + 10)


# ---------------------------------------------------------------------------- the heap


def test_an_agenda_gives_what_is_due_in_order():
    agenda, met = Agenda(), []
    for when in (3.0, 1.0, 2.0, 1.0):
        agenda.at(when, lambda when=when: met.append(when))
    assert agenda.nearest() == 1.0
    while (deadline := agenda.take_due(2.0)) is not None:
        deadline.meet()
    assert met == [1.0, 1.0, 2.0]
    assert agenda.nearest() == 3.0


def test_what_is_cancelled_is_let_go_of_and_not_met():
    agenda = Agenda()
    large = Large(1)
    reference = weakref.ref(large)
    deadline = agenda.at(1.0, lambda held=large: pytest.fail(repr(held)))
    del large
    deadline.cancel()
    deadline.cancel()
    gc.collect()
    assert reference() is None
    assert agenda.nearest() is None
    assert agenda.take_due(math.inf) is None


def test_void_deadlines_are_never_more_than_half():
    agenda = Agenda()
    kept = [agenda.at(float(n), print) for n in range(SWEEP_ABOVE)]
    for number in range(10 * SWEEP_ABOVE):
        agenda.at(number + 0.5, print).cancel()
        assert len(agenda._heap) <= 2 * (len(kept) + 1)
    assert sum(not entry[2].void for entry in agenda._heap) == len(kept)


def test_an_action_that_fails_is_logged(caplog):
    agenda = Agenda()
    agenda.at(0.0, lambda: 1 / 0).meet()
    assert "an action at a deadline failed" in caplog.text


# -------------------------------------------------------------------- replaced clocks


@pytest.fixture(params=["stands", "jumps", "falls", "is none", "fails"])
def replaced(request):
    """A clock that other code sees in place of the system's."""
    moments = {
        "stands": lambda: 5.0,
        "jumps": iter(range(0, 10**18, 10**9)).__next__,
        "falls": iter(range(0, -(10**18), -(10**9))).__next__,
        "is none": lambda: None,
        "fails": iter(()).__next__,
    }[request.param]
    names = ("monotonic", "time", "perf_counter")
    with unittest.mock.patch.multiple(time, **dict.fromkeys(names, moments)):
        yield moments


@pytest.mark.parametrize("make", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_a_timeout_is_met_by_the_real_clock(make, replaced, make_latch):
    latch = make_latch()
    with make(1) as executor:
        before = clock.monotonic()
        held = parallelized(executor, timeout=0.1)(tasks.hold)(latch.folder)
        latch.wait_begun()
        assert isinstance(held.exception(20), TaskTimeout)
        assert clock.monotonic() - before > 0.09
        if make is ThreadPoolExecutor:
            latch.release()


def test_waits_are_met_by_the_real_clock(replaced, make_latch):
    latch = make_latch()
    with ThreadPoolExecutor(2) as executor:
        held = executor.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        with pytest.raises(TimeoutError):
            held.result(0.05)
        with pytest.raises(TimeoutError):
            list(executor.map(Future.result, [held], timeout=0.05))
        with pytest.raises(TimeoutError):
            list(as_completed([held], 0.05))
        assert wait([held], 0.05).not_done == {held}
        latch.release()


def test_modules_that_are_loaded_meanwhile_have_the_real_clock(replaced):
    import importlib
    import sys

    name = "parallelize.streams.local"
    loaded = sys.modules.pop(name, None)
    try:
        assert importlib.import_module(name).monotonic is clock.monotonic
    finally:
        if loaded is not None:
            sys.modules[name] = loaded


def test_a_group_and_a_loop_under_a_replaced_clock(replaced):
    with ThreadPoolExecutor(2) as executor, TaskGroup() as group:
        futures = [group.start(parallelized(executor)(sleep_a_little)) for _ in "ab"]
    assert [future.result() for future in futures] == ["slept", "slept"]


async def sleep_a_little():
    await asyncio.sleep(0.01)
    return "slept"


# ------------------------------------------------------------------- no thread to start


def test_a_timer_that_could_not_start_starts_with_the_next_call(monkeypatch):
    monkeypatch.setattr(timer, "_timer", None)
    met = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _refuse)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                timer.after(0.0, met.set)
    assert timer._timer.nearest() is None
    timer.after(0.0, met.set)
    assert met.wait(20)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_timer_outlives_an_action_that_ends_its_thread(monkeypatch):
    monkeypatch.setattr(timer, "_timer", None)
    first, met = threading.Event(), threading.Event()

    def leave():
        first.set()
        raise SystemExit

    timer.after(0.0, leave)
    assert first.wait(20)
    service = timer._timer._service
    if service is not None:  # else it has ended already
        service.join()
    timer.after(0.0, met.set)
    assert met.wait(20)


def _refuse(thread):
    raise RuntimeError("can't start new thread")
