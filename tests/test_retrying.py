"""Retries end with the call that they are for, and each attempt has its time."""

import asyncio
import concurrent.futures
import sys
import threading
import time

import pytest

import tasks
from parallelize import (
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    SerialExecutor,
    TaskGroup,
    TaskTimeout,
    ThreadPoolExecutor,
    parallelized,
    wait,
)
from parallelize.executors.foreign import ForeignExecutor
from parallelize.runtime import clock

MOST = 1000  # attempts of a call that nothing ends


def note_and_fail(path, seconds=0.02):
    """Count an attempt, which fails a little later."""
    tasks.append_line(path, "begun")
    time.sleep(seconds)
    raise tasks.Refusal(1)


async def note_and_fail_later(path, seconds=0.02):
    tasks.append_line(path, "begun")
    await asyncio.sleep(seconds)
    raise tasks.Refusal(2)


def late_at_first(path, times, seconds):
    """Take so long the first times."""
    tasks.append_line(path, "begun")
    if count(path) <= times:
        time.sleep(seconds)
    return count(path)


async def late_at_first_async(path, times, seconds):
    tasks.append_line(path, "begun")
    if count(path) <= times:
        await asyncio.sleep(seconds)
    return count(path)


async def stubborn(path, times):
    """Make nothing of being cancelled, the first times."""
    tasks.append_line(path, "begun")
    if count(path) <= times:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "late"
    return count(path)


def count(path):
    try:
        with open(path) as file:
            return len(file.readlines())
    except FileNotFoundError:
        return 0


def await_count(path, most):
    until = clock.monotonic() + 20
    while count(path) < most:
        assert clock.monotonic() < until
        clock.sleep(0.002)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "attempts")


def foreign():
    # As many as there may be attempts: their time counts from when they are queued.
    return Owning(concurrent.futures.ThreadPoolExecutor(4))


class Owning(ForeignExecutor):
    """One that ends the executor that it stands for."""

    def shutdown(self, wait=True, *, cancel_futures=False):
        super().shutdown(wait, cancel_futures=cancel_futures)
        self._theirs.shutdown(wait)


POOLS = {
    "threads": lambda: ThreadPoolExecutor(2),
    # The initializer has the workers load this file: that is not to be timed.
    "processes": lambda: ProcessPoolExecutor(2, initializer=count, initargs=("",)),
    "foreign": foreign,
}
if sys.version_info >= (3, 14):
    POOLS["interpreters"] = lambda: InterpreterPoolExecutor(
        2, initializer=count, initargs=("",)
    )

FUNCTIONS = [
    *((kind, note_and_fail) for kind in POOLS),
    ("threads", note_and_fail_later),
    ("processes", note_and_fail_later),
]


@pytest.fixture(params=FUNCTIONS, ids=lambda each: f"{each[0]}-{each[1].__name__}")
def retried(request):
    """A function that fails, on an executor, and the executor."""
    kind, function = request.param
    with POOLS[kind]() as executor:
        yield parallelized(executor, retries=MOST)(function), executor


def assert_ended(path, executor):
    """No attempt begins any more, when what has begun has ended."""
    executor.shutdown()
    begun = count(path)
    assert 0 < begun < MOST
    clock.sleep(0.1)
    assert count(path) == begun


# ----------------------------------------------------------------- what ends retrying


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_call_that_is_stopped(how, retried, path):
    decorated, executor = retried
    future = decorated(path)
    await_count(path, 3)
    getattr(future, how)()
    wait([future], 20)
    assert future.cancelled() or future.exception()
    assert_ended(path, executor)


def test_a_call_whose_future_the_user_has_ended(retried, path):
    decorated, executor = retried
    future = decorated(path)
    await_count(path, 3)
    future.set_result("enough")
    assert future.result() == "enough"
    assert_ended(path, executor)


def test_an_executor_that_shuts_down(retried, path):
    decorated, executor = retried
    future = decorated(path)
    await_count(path, 3)
    executor.shutdown(cancel_futures=True)
    assert future.cancelled() or future.exception()
    assert_ended(path, executor)


def test_a_group_that_stops(retried, path):
    decorated, executor = retried
    # The call itself may fail at that moment.
    errors = (ZeroDivisionError, ExceptionGroup)
    with pytest.raises(errors), TaskGroup() as group:
        group.start(decorated, path)
        await_count(path, 3)
        raise ZeroDivisionError
    assert_ended(path, executor)


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("chunksize", [1, 4])
def test_a_map_that_is_closed(kind, chunksize, path):
    with POOLS[kind]() as executor:
        decorated = parallelized(executor, retries=MOST)(note_and_fail)
        results = decorated.map([path] * 8, chunksize=chunksize)
        results_begin(results)
        await_count(path, 3)
        results.close()
        assert_ended(path, executor)


def results_begin(results):
    """Begin to read in a thread of its own, as there is nothing to read."""

    def read():
        try:
            next(results)
        except BaseException:  # noqa: BLE001 - it is closed
            return

    threading.Thread(target=read, daemon=True).start()


def test_an_error_of_a_future_that_is_awaited_no_longer(path):
    async def main(decorated):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await decorated(path)

    with ThreadPoolExecutor(1) as executor:
        decorated = parallelized(executor, retries=MOST)(note_and_fail)
        asyncio.run(main(decorated))
        assert_ended(path, executor)


def test_serial_calls_end_with_their_executor(path):
    executor = SerialExecutor()
    decorated = parallelized(executor, retries=MOST)(note_and_fail)
    thread = threading.Thread(target=decorated, args=(path,))
    thread.start()
    await_count(path, 3)
    executor.shutdown(cancel_futures=True)
    thread.join(20)
    assert not thread.is_alive()
    assert_ended(path, executor)


def test_ctrl_c_is_not_retried():
    attempts = []

    def interrupted():
        attempts.append(1)
        raise KeyboardInterrupt

    with SerialExecutor() as executor:
        decorated = parallelized(executor, retries=5, retry_on=BaseException)
        with pytest.raises(KeyboardInterrupt):
            decorated(interrupted)()
    assert attempts == [1]


# -------------------------------------------------------------- a time for each attempt


TIMED = [
    *((kind, late_at_first) for kind in POOLS),
    ("threads", late_at_first_async),
    ("processes", late_at_first_async),
]


@pytest.mark.parametrize(("kind", "function"), TIMED)
def test_an_attempt_that_is_late_is_followed_by_another(kind, function, path):
    with POOLS[kind]() as executor:
        decorated = parallelized(executor, timeout=0.3, retries=2)(function)
        assert decorated(path, 1, 2.0).result(20) == 2
    assert count(path) == 2


@pytest.mark.parametrize(("kind", "function"), TIMED)
def test_not_if_a_timeout_is_no_error_to_retry(kind, function, path):
    with POOLS[kind]() as executor:
        decorated = parallelized(
            executor, timeout=0.3, retries=2, retry_on=tasks.Refusal
        )
        late = decorated(function)(path, 9, 1.0)
        assert isinstance(late.exception(20), TaskTimeout)
    assert count(path) == 1


@pytest.mark.parametrize(("kind", "function"), TIMED)
def test_the_last_attempt_that_is_late_fails_the_call(kind, function, path):
    with POOLS[kind]() as executor:
        decorated = parallelized(executor, timeout=0.2, retries=2)(function)
        assert isinstance(decorated(path, 9, 1.0).exception(20), TaskTimeout)
    assert count(path) == 3


@pytest.mark.parametrize(("kind", "function"), FUNCTIONS)
def test_the_time_is_that_of_an_attempt_not_of_all(kind, function, path):
    with POOLS[kind]() as executor:
        decorated = parallelized(executor, timeout=5.0, retries=4)(function)
        before = clock.monotonic()
        assert isinstance(decorated(path).exception(20), tasks.Refusal)
        assert clock.monotonic() - before > 0.1
    assert count(path) == 5


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_maps_have_a_time_for_each_attempt(kind, tmp_path):
    paths = [str(tmp_path / str(number)) for number in range(4)]
    with POOLS[kind]() as executor:
        decorated = parallelized(executor, timeout=0.3, retries=1)(late_at_first)
        results = decorated.map(paths, [1] * 4, [1.0] * 4)
        assert list(results) == [2] * 4


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_coroutine_that_makes_nothing_of_its_deadline(kind, path):
    with POOLS[kind]() as executor:
        decorated = parallelized(executor, timeout=0.1, retries=3)(stubborn)
        assert decorated(path, 2).result(20) == 3


@pytest.mark.parametrize("how", ["cancel", "shut down", "end"])
def test_a_late_attempt_of_a_call_that_nobody_wants(how, path):
    with ThreadPoolExecutor(1) as executor:
        decorated = parallelized(executor, timeout=0.3, retries=5)(late_at_first)
        future = decorated(path, 9, 0.6)
        await_count(path, 1)
        if how == "cancel":
            assert not future.cancel()
        elif how == "end":
            future.set_result(None)
        else:
            executor.shutdown(wait=False, cancel_futures=True)
        if how != "end":
            assert isinstance(future.exception(20), TaskTimeout)
    assert count(path) == 1


def test_late_attempts_do_not_use_up_the_threads_of_a_pool(path):
    go = threading.Event()
    attempts = []

    def hang():
        attempts.append(threading.get_ident())
        go.wait(20)
        return "too late"

    with ThreadPoolExecutor(1) as executor:
        late = parallelized(executor, timeout=0.05, retries=4)(hang)()
        assert isinstance(late.exception(20), TaskTimeout)
        assert len(set(attempts)) == 5
        go.set()
        assert executor.submit(tasks.double, 2).result(20) == 4
        # Once more there is one place.
        wait([executor.submit(time.sleep, 0.01) for _ in range(5)], 20)
        assert executor._engine._active <= 1


def test_what_a_late_attempt_comes_to_is_dropped():
    go, attempts = threading.Event(), []

    def slow_at_first():
        attempts.append(1)
        number = len(attempts)
        if number == 1:
            go.wait(20)
        return number

    with ThreadPoolExecutor(2) as executor:
        future = parallelized(executor, timeout=0.1, retries=1)(slow_at_first)()
        assert future.result(20) == 2
        go.set()
    assert future.result() == 2


def test_a_call_that_waits_for_one_whose_attempt_is_late(path):
    with ThreadPoolExecutor(1) as executor:
        inner = parallelized(executor, timeout=0.2, retries=1)(late_at_first)

        def outer():
            return inner(path, 1, 1.0).result()

        assert executor.submit(outer).result(20) == 2
