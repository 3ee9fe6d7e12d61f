"""freezegun puts clocks of its own into every module that is loaded."""

import asyncio
import os
import subprocess
import sys
import textwrap
import time

import pytest

from parallelize import (
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    SerialExecutor,
    TaskTimeout,
    ThreadPoolExecutor,
    as_completed,
    parallelized,
    trace,
    wait,
)
from parallelize.runtime import clock
from support.programs import program

PACKAGE = "freezegun"

pytestmark = pytest.mark.usefixtures("package")

POOLS = {
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(2),
    "forks": lambda: ProcessPoolExecutor(2, mp_context="fork"),
    "spawned": lambda: ProcessPoolExecutor(2, mp_context="spawn"),
}
if sys.version_info >= (3, 14):
    POOLS["interpreters"] = lambda: InterpreterPoolExecutor(2)

#: Years away, standing still, running, or in leaps.
FROZEN = [
    ("1970-01-01", {}),
    ("2100-06-01 12:00", {}),
    ("2012-01-14", {"tick": True}),
    ("2012-01-14", {"auto_tick_seconds": 10_000_000}),
]


@pytest.fixture(params=FROZEN, ids=lambda each: f"{each[0]} {each[1]}")
def frozen(request):
    from freezegun import freeze_time

    moment, how = request.param
    with freeze_time(moment, **how):
        yield


@pytest.fixture(params=POOLS)
def pool(request):
    with POOLS[request.param]() as executor:
        yield executor


def give(x):
    return x


def sleep(seconds):
    time.sleep(seconds)
    return "slept"


async def sleep_async(seconds):
    await asyncio.sleep(seconds)
    return "slept"


def count(most):
    yield from range(most)


def sleep_frozen(seconds):
    from freezegun import freeze_time

    with freeze_time("1999-12-31"):
        time.sleep(seconds)
        return time.strftime("%Y")


def test_calls_run_as_ever(frozen, pool):
    decorated = parallelized(pool, timeout=1000, retries=1)(give)
    assert [decorated(x).result(20) for x in range(5)] == [*range(5)]
    assert list(pool.map(give, range(1000))) == [*range(1000)]
    assert list(pool.map(sleep, [0.03] * 6, timeout=20)) == ["slept"] * 6


def test_a_deadline_is_met_in_real_time(frozen, pool):
    before = clock.monotonic()
    late = parallelized(pool, timeout=0.1)(sleep)(1.0)
    assert isinstance(late.exception(20), TaskTimeout)
    assert 0.09 < clock.monotonic() - before < 20


def test_waits_are_in_real_time(frozen, pool):
    held = pool.submit(sleep, 0.5)
    with pytest.raises(TimeoutError):
        held.result(0.02)
    with pytest.raises(TimeoutError):
        list(as_completed([held], 0.02))
    assert not wait([held], 0.02).done
    assert next(as_completed([held], 20)) is held
    assert held.result() == "slept"


def test_a_map_that_is_late(frozen, pool):
    with pytest.raises(TimeoutError):
        list(pool.map(sleep, [0.3, 0.3], timeout=0.02))


def test_a_map_that_is_late_on_a_loop(frozen, pool):
    async def read():
        return [x async for x in pool.map(sleep, [0.3, 0.3], timeout=0.02)]

    with pytest.raises(TimeoutError):
        asyncio.run(read())


@pytest.mark.parametrize("make", ["threads", "processes"])
def test_coroutines_sleep_in_real_time(frozen, make):
    with POOLS[make]() as executor:
        quick = parallelized(executor, timeout=20)(sleep_async)
        assert list(quick.map([0.01] * 5)) == ["slept"] * 5
        late = parallelized(executor, timeout=0.05)(sleep_async)(1000)
        assert isinstance(late.exception(20), TaskTimeout)


@pytest.mark.parametrize("make", ["threads", "processes"])
def test_streams(frozen, make):
    with POOLS[make]() as executor:
        assert list(parallelized(executor, timeout=20)(count)(50)) == [*range(50)]


@pytest.mark.parametrize("make", ["threads", "processes"])
def test_workers_leave_after_a_real_while(frozen, make):
    kinds = {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}
    with kinds[make](1, idle_timeout=0.05) as executor:
        for number in range(3):
            assert executor.submit(give, number).result(20) == number
            clock.sleep(0.1)  # about when the worker leaves


def test_a_trace_has_real_durations(frozen):
    with ProcessPoolExecutor(1) as executor:
        executor.submit(give, 1).result()
        with trace() as seen:
            assert parallelized(executor)(sleep)(0.1).result() == "slept"
    (record,) = seen.records
    assert 0.09 < (record.ended - record.started) / 1e9 < 20


@pytest.mark.parametrize("make", ["one thread", "processes", "forks"])
def test_a_call_that_freezes_time_itself(make):
    # freezegun is not for several threads at once.
    pools = {**POOLS, "one thread": lambda: ThreadPoolExecutor(1)}
    with pools[make]() as executor:
        frozen = parallelized(executor, timeout=20)(sleep_frozen)
        assert frozen(0.01).result(20) == "1999"
        assert list(frozen.map([0.01] * 3)) == ["1999"] * 3
        assert list(executor.map(sleep_frozen, [0.0] * 50)) == ["1999"] * 50
        late = parallelized(executor, timeout=0.1)(sleep_frozen)(1.0)
        assert isinstance(late.exception(20), TaskTimeout)


def test_frozen_before_the_library_is_loaded(tmp_path):
    text = program("clocks/frozen_before_the_library_is_loaded")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env=os.environ,
    )
    assert done.stdout.splitlines() == ["[1, 1]", "['TaskTimeout']", "[2, 2]"], (
        done.stderr
    )


async def count_slowly(most):
    for number in range(most):
        await asyncio.sleep(0.01)
        yield number


def test_coroutines_and_streams_that_run_in_place(frozen):
    with SerialExecutor() as executor:
        assert parallelized(executor)(sleep_async)(0.01).result() == "slept"
        assert list(parallelized(executor)(count_slowly)(3)) == [0, 1, 2]
