"""`stopping()` and `check_stop()`: a call learns that it was asked to stop."""

import asyncio
import os
import sys
import threading
import time
from concurrent.futures import CancelledError

import pytest

import parallelize
from parallelize import (
    Future,
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    TaskGroup,
    TaskKilled,
    TaskTimeout,
    ThreadPoolExecutor,
    check_stop,
    gather,
    interpreted,
    parallelized,
    processed,
    stopping,
    threaded,
)
from support.programs import PROGRAMS, run_script
from support.waiting import wait_until

LONGEST = 20  # seconds after which a call that was not asked gives up

needs_interpreters = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="there are interpreters from Python 3.14 on"
)
POOLS = [
    pytest.param(ThreadPoolExecutor, id="threads"),
    pytest.param(ProcessPoolExecutor, id="processes"),
    pytest.param(InterpreterPoolExecutor, id="interpreters", marks=needs_interpreters),
]
DECORATORS = [
    pytest.param(threaded, id="threads"),
    pytest.param(processed, id="processes"),
]


@pytest.fixture(autouse=True)
def no_pools_are_left():
    yield
    parallelize.shutdown()


def until_asked(path=None, *_):
    """Run until it is asked to stop; leave a mark then."""
    if path is not None:
        open(f"{path}.begun", "w").close()
    until = time.monotonic() + LONGEST
    while not stopping():
        if time.monotonic() > until:
            return "never asked"
        time.sleep(0.002)
    if path is not None:
        open(f"{path}.stopped", "w").close()
    return "stopped"


def checking(path, *_):
    open(f"{path}.begun", "w").close()
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        check_stop()
        time.sleep(0.002)


def busy(path, seconds=0):
    """Look at nothing, for a while."""
    open(f"{path}.begun", "w").close()
    time.sleep(seconds)


def deaf(path):
    """Look, and run on all the same."""
    stopping()
    busy(path, LONGEST)


def row(path):
    if path is not None:
        until_asked(path)
    return os.getpid()


def second(path):
    """Return at the second attempt, if the first has ended before."""
    if os.path.exists(f"{path}.stopped"):
        return "second"
    return until_asked(path)


def ask(*_):
    return stopping()


@pytest.fixture
def mark(tmp_path):
    return str(tmp_path / "mark")


def begun(mark):
    wait_until(lambda: os.path.exists(f"{mark}.begun"), 20)


def stopped(mark):
    wait_until(lambda: os.path.exists(f"{mark}.stopped"), 15)


def test_outside_of_calls_nothing_stops():
    assert not stopping()
    check_stop()


@pytest.mark.parametrize("make", POOLS)
def test_a_call_is_not_asked_by_itself(make):
    with make(1) as pool:
        assert not pool.submit(ask).result(20)
        assert list(pool.map(ask, range(100))) == [False] * 100


@pytest.mark.parametrize("make", POOLS)
def test_cancel_asks_the_running_call(make, mark):
    with make(1) as pool:
        future = pool.submit(until_asked, mark)
        begun(mark)
        assert not future.cancel()  # as PEP 3148 wants it
        assert future.result(20) == "stopped"
        assert not future.cancelled()
        assert not pool.submit(ask).result(20)  # the next call is not meant


@pytest.mark.parametrize("options", [{}, {"retries": 1}, {"timeout": 60}])
@pytest.mark.parametrize("make", POOLS)
def test_a_shutdown_asks_no_running_call(make, options, tmp_path):
    """It cancels those that have not begun; the others are finished."""
    mark, go = tmp_path / "mark", tmp_path / "go"

    def wait_and_tell():
        mark.touch()
        while not go.exists():
            time.sleep(0.002)
        return stopping()

    with make(1) as pool:
        future = parallelized(pool, **options)(wait_and_tell)()
        wait_until(mark.exists, 20)
        pool.shutdown(wait=False, cancel_futures=True)
        go.touch()
        assert future.result(20) is False


@pytest.mark.parametrize("make", POOLS)
def test_check_stop_cancels_the_future(make, mark):
    with make(1) as pool:
        future = pool.submit(checking, mark)
        begun(mark)
        assert not future.cancel()
        with pytest.raises(CancelledError):
            future.result(20)
        assert future.cancelled()
        assert not pool.submit(ask).result(20)


@pytest.mark.parametrize("decorate", DECORATORS)
def test_a_call_with_options_is_asked_too_and_not_retried(decorate, mark):
    call = decorate(checking, retries=5, limit=1, timeout=60)
    future = call(mark)
    begun(mark)
    assert not future.cancel()
    with pytest.raises(CancelledError):
        future.result(20)


@pytest.mark.parametrize("make", POOLS)
def test_kill_with_a_grace_asks_first(make, mark):
    with make(1) as pool:
        future = pool.submit(until_asked, mark)
        begun(mark)
        assert future.kill(grace=LONGEST) is (make is ProcessPoolExecutor)
        assert future.result(20) == "stopped"


def test_kill_with_a_grace_kills_in_the_end(mark):
    with ProcessPoolExecutor(1) as pool:
        future = pool.submit(busy, mark, LONGEST)
        begun(mark)
        assert future.kill(grace=0.1)
        with pytest.raises(TaskKilled):
            future.result(15)
        assert pool.submit(abs, -3).result(20) == 3


def test_after_a_grace_only_that_call_is_killed(mark):
    with ProcessPoolExecutor(1) as pool:
        future = pool.submit(until_asked, mark)
        begun(mark)
        future.kill(grace=0.3)
        assert future.result(20) == "stopped"
        assert pool.submit(time.sleep, 0.6).result(20) is None


@pytest.mark.parametrize("grace", [-1, float("nan")])
def test_a_wrong_grace_is_refused(grace):
    with pytest.raises(ValueError, match="grace must be 0 seconds or more"):
        Future().kill(grace=grace)
    with pytest.raises(TypeError, match="grace must be a number of seconds"):
        Future().kill(grace="soon")
    with pytest.raises(TypeError, match="grace must be a number of seconds"):
        gather(Future()).kill(grace=None)


@pytest.mark.parametrize(
    "decorate",
    [threaded, pytest.param(interpreted, marks=needs_interpreters)],
)
def test_a_timeout_stops_a_thread(decorate, mark):
    future = decorate(until_asked, timeout=0.1)(mark)
    with pytest.raises(TaskTimeout):
        future.result(20)
    stopped(mark)


def test_a_call_in_a_process_is_asked_at_its_timeout_and_its_worker_stays(mark):
    with ProcessPoolExecutor(1) as pool:
        worker = pool.submit(os.getpid).result(20)
        for call in (until_asked, checking):
            begin = time.monotonic()
            with pytest.raises(TaskTimeout) as caught:
                parallelized(pool, timeout=0.4)(call)(mark).result(20)
            assert call.__name__ in str(caught.value.__cause__)  # where it was
            assert time.monotonic() - begin < LONGEST / 2
        stopped(mark)
        assert pool.submit(os.getpid).result(20) == worker


def test_a_call_in_a_process_that_is_asked_and_stays_is_killed(mark):
    with ProcessPoolExecutor(1) as pool:
        future = parallelized(pool, timeout=0.4)(deaf)(mark)
        with pytest.raises(TaskTimeout):
            future.result(20)
        assert pool.submit(ask).result(20) is False


def test_rows_in_a_process_are_asked_at_their_timeout(tmp_path):
    """Each has its time, those before and behind keep their results."""
    rows = [None, str(tmp_path / "one"), None, str(tmp_path / "two"), None]
    with ProcessPoolExecutor(1) as pool:
        worker = pool.submit(os.getpid).result(20)
        run = parallelized(pool, timeout=0.4)(row)
        results = list(run.map(rows, chunksize=5, return_exceptions=True))
        assert [type(each) for each in results] == [int, TaskTimeout] * 2 + [int]
        assert {each for each in results if type(each) is int} == {worker}
    assert {"one.stopped", "two.stopped"} <= set(os.listdir(tmp_path))


@pytest.mark.parametrize("way", ["call", "row"])
def test_a_late_attempt_in_a_process_ends_before_the_next(way, mark):
    with ProcessPoolExecutor(1) as pool:
        run = parallelized(pool, timeout=0.4, retries=1, retry_wait=0)(second)
        result = run(mark).result(20) if way == "call" else next(run.map([mark]))
    assert result == "second"


def test_of_attempts_only_that_which_is_too_late_is_stopped(tmp_path):
    attempts = []

    @threaded(timeout=0.2, retries=1, max_workers=1)
    def attempt():
        mark = str(tmp_path / f"{len(attempts)}")
        attempts.append(mark)
        if len(attempts) == 1:
            return until_asked(mark)
        stopped(attempts[0])
        return stopping()

    assert attempt().result(20) is False


@pytest.mark.parametrize("make", POOLS)
def test_a_closed_map_stops_its_running_rows(make, tmp_path):
    marks = [str(tmp_path / f"{number}") for number in range(2)]
    with make(2) as pool:
        results = pool.map(until_asked, marks, chunksize=1)
        opened = threading.Thread(target=lambda: next(results, None))
        opened.start()
        for mark in marks:
            begun(mark)
        results.close()
        for mark in marks:
            stopped(mark)
        opened.join()


@pytest.mark.parametrize("decorate", DECORATORS)
def test_a_closed_stream_stops_its_generator(decorate, mark):
    @decorate
    def items():
        yield 1
        until_asked(mark)
        yield 2

    stream = items()
    assert next(stream) == 1
    begun(mark)
    stream.close()
    stopped(mark)


def test_a_batch_stops_the_one_row_that_is_meant(tmp_path):
    """Calls that wait one behind the other travel together."""
    marks = [str(tmp_path / f"{number}") for number in range(12)]
    with ProcessPoolExecutor(1) as pool:
        first = pool.submit(time.sleep, 0.5)
        futures = [pool.submit(until_asked, mark) for mark in marks]
        for mark, future in zip(marks, futures, strict=True):
            begun(mark)
            future.cancel()
            assert future.result(20) == "stopped"
        assert first.result(20) is None


@pytest.mark.parametrize("make", POOLS)
def test_a_group_that_is_stopped_asks_its_calls(make, mark):
    def fail():
        begun(mark)
        raise LookupError

    with make(2) as pool:
        with pytest.raises(LookupError), TaskGroup() as group:
            running = group.start(pool.submit, until_asked, mark)
            group.start(pool.submit, fail)
        killed = isinstance(running.exception(20), TaskKilled)
        if make is ThreadPoolExecutor or not killed:  # it may end before it is killed
            assert running.result(20) == "stopped"


def test_a_cancelled_await_asks_the_call(mark):
    async def main():
        awaits = asyncio.Event()
        task = asyncio.create_task(awaited(threaded(until_asked)(mark), awaits))
        await asyncio.to_thread(begun, mark)
        await awaits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def awaited(future, awaits):
        awaits.set()
        return await future

    asyncio.run(main())
    stopped(mark)


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize("way", ["cancel", "kill"])
def test_a_coroutine_learns_of_it_without_waiting(decorate, way, mark):
    """Its task is cancelled where it awaits, but it may compute for long."""

    @decorate
    async def compute():
        await asyncio.sleep(0)
        return until_asked(mark)

    future = compute()
    begun(mark)
    assert getattr(future, way)() is True
    stopped(mark)
    assert future.cancelled()


@pytest.mark.parametrize("decorate", DECORATORS)
def test_other_coroutines_are_not_asked(decorate, mark):
    @decorate
    async def wait():
        busy(mark)
        await asyncio.sleep(LONGEST)

    @decorate
    async def other():
        return stopping()

    future = wait()
    begun(mark)
    future.cancel()
    assert other().result(20) is False


def test_the_calls_of_a_call_have_a_future_of_their_own(mark):
    """A thread that helps another call is asked for that one alone."""
    with ThreadPoolExecutor(1) as pool:

        def outer():
            open(f"{mark}.begun", "w").close()
            while not stopping():
                time.sleep(0.002)
            return pool.submit(ask).result(), stopping()

        future = pool.submit(outer)
        begun(mark)
        future.cancel()
        assert future.result(20) == (False, True)


@pytest.mark.parametrize("end", ["normally", "by an error"])
def test_the_end_of_the_program_stops_its_calls(end, tmp_path):
    program = PROGRAMS / "stopping" / "end.py"
    begin = time.monotonic()
    if end == "normally":
        run_script(program, end, str(tmp_path))
        names = {"threads", "processes", "queued", "loops"}
    else:
        with pytest.raises(AssertionError, match="the end"):
            run_script(program, end, str(tmp_path))
        names = {"threads", "processes"}
    assert time.monotonic() - begin < 40
    assert names <= set(os.listdir(tmp_path))


# ------------------------------------------------------------------- TaskGroup.cancel


def test_a_group_that_is_cancelled_ends_without_an_error(mark):
    with ThreadPoolExecutor(1) as pool, TaskGroup() as group:
        running = group.start(pool.submit, until_asked, mark)
        waiting = group.start(pool.submit, until_asked)
        begun(mark)
        group.cancel()
        group.cancel()
    assert running.result(1) == "stopped"
    assert waiting.cancelled()
    group.cancel()


def test_a_cancelled_group_starts_nothing_and_leaves_the_block():
    reached = []
    with TaskGroup() as group:
        group.cancel()
        group.start(threaded(abs), -3)
        reached.append("after")
    assert not reached


def test_another_error_of_the_block_is_raised():
    with pytest.raises(LookupError), TaskGroup() as group:
        group.cancel()
        raise LookupError


def test_an_error_of_a_call_before_is_raised():
    with pytest.raises(ZeroDivisionError), TaskGroup() as group:
        failed = group.start(threaded(divmod), 1, 0)
        wait_until(failed.done)
        group.cancel()


def test_a_group_cannot_be_cancelled_before_it_is_entered():
    with pytest.raises(RuntimeError, match="not entered"):
        TaskGroup().cancel()


def test_another_thread_cancels_a_group(mark):
    with ThreadPoolExecutor(1) as pool, TaskGroup() as group:
        running = group.start(pool.submit, checking, mark)
        begun(mark)
        timer = threading.Timer(0.05, group.cancel)
        timer.start()
    timer.join()
    assert running.cancelled()


def test_an_asynchronous_block_is_cancelled_where_it_waits(mark):
    async def main():
        async with TaskGroup() as group:
            running = group.start(threaded(until_asked), mark)
            await asyncio.to_thread(begun, mark)
            asyncio.get_running_loop().call_later(0.05, group.cancel)
            await asyncio.sleep(LONGEST)
        assert asyncio.current_task().cancelling() == 0
        await asyncio.sleep(0)
        return running.result(1)

    assert asyncio.run(main()) == "stopped"


def test_an_asynchronous_block_that_starts_more_ends_quietly():
    async def main():
        async with TaskGroup() as group:
            group.cancel()
            group.start(threaded(abs), -3)
        return "ended"

    assert asyncio.run(main()) == "ended"


def test_a_cancellation_from_outside_is_still_raised():
    async def main():
        async with TaskGroup() as group:
            group.start(threaded(until_asked))
            asyncio.current_task().cancel()
            await asyncio.sleep(LONGEST)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
