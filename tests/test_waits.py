"""`retry_wait`: how long calls wait between attempts, and what ends the waiting."""

import asyncio
import concurrent.futures
import datetime as dt
import email.utils
import os
import pickle
import sys
import time

import pytest

import parallelize
import tasks
from parallelize import (
    Limit,
    RateLimit,
    TaskGroup,
    TaskTimeout,
    ThreadPoolExecutor,
    WorkerDied,
    backoff,
    processed,
    retry_after,
    threaded,
    using,
)
from parallelize.pace.waits import Backoff
from tasks import identity

pytestmark = pytest.mark.waits

WAIT = 0.1
ENDLESS = 1000.0

KINDS = ["threads", "processes", "serial", "foreign"]
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


@pytest.fixture(params=[each for each in KINDS if each != "serial"])
def concurrent_executor(request):
    if request.param != "foreign":
        yield request.param
        return
    with concurrent.futures.ThreadPoolExecutor(2) as theirs:
        yield theirs


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "attempts")


def times(path):
    try:
        with open(path) as file:
            return [float(line) for line in file]
    except FileNotFoundError:
        return []


def fails(path, failures, name=""):
    """Note when it is called, and fail the first times."""
    path = f"{path}{name}"
    tasks.append_line(path, repr(time.monotonic()))
    if len(times(path)) <= failures:
        raise ConnectionError(len(times(path)))
    return len(times(path))


async def fails_later(path, failures, name=""):
    await asyncio.sleep(0)
    return fails(path, failures, name)


def fails_silently(path, failures):
    """Take too long the first times."""
    tasks.append_line(path, repr(time.monotonic()))
    if len(times(path)) <= failures:
        time.sleep(0.4)
    return len(times(path))


def dies(path, failures):
    tasks.append_line(path, repr(time.monotonic()))
    if len(times(path)) <= failures:
        os._exit(1)
    return len(times(path))


def await_attempts(path, count):
    until = time.monotonic() + 60
    while len(times(path)) < count:
        assert time.monotonic() < until
        time.sleep(0.002)


def await_rest(future):
    while future.running():
        time.sleep(0.001)


def check_gaps(moments, least=WAIT):
    gaps = [b - a for a, b in zip(moments, moments[1:], strict=False)]
    assert gaps
    assert min(gaps) >= least - 0.001, gaps


# ------------------------------------------------------------------ attempts wait


def test_a_call_waits_before_each_retry(executor, path):
    f = threaded(executor=executor, retries=3, retry_wait=WAIT)(fails)
    assert f(path, 2).result(60) == 3
    check_gaps(times(path))


def test_so_does_an_async_call(executor, path):
    f = threaded(executor=executor, retries=3, retry_wait=WAIT)(fails_later)
    assert f(path, 2).result(60) == 3
    check_gaps(times(path))


def test_so_do_the_rows_of_a_map(executor, path):
    f = threaded(executor=executor, retries=3, retry_wait=WAIT)(fails)
    rows = [(path, n % 3, n) for n in range(6)]
    assert list(f.starmap(rows, chunksize=3)) == [1, 2, 3, 1, 2, 3]
    for n in (1, 2, 4, 5):
        check_gaps(times(f"{path}{n}"))


def test_so_do_rows_in_any_order(executor, path):
    f = threaded(executor=executor, retries=1, retry_wait=WAIT)(fails)
    rows = [(path, n % 2, n) for n in range(6)]
    assert sorted(f.starmap(rows, ordered=False)) == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_so_does_a_call_that_has_timed_out(kind, path):
    decorate = threaded(executor=kind, retries=2, retry_wait=WAIT, timeout=0.2)
    assert decorate(identity)(1).result(60) == 1  # a worker has started
    assert decorate(fails_silently)(path, 1).result(60) == 2
    check_gaps(times(path), 0.2 + WAIT - 0.05)


def test_the_death_of_a_worker_is_no_reason_to_wait(path):
    f = processed(retries=2, retry_wait=ENDLESS)(dies)
    assert f(path, 2).result(60) == 3


def test_nor_is_it_for_a_row(path):
    f = processed(retries=2, retry_wait=ENDLESS)(dies)
    assert list(f.starmap([(path, 1)])) == [2]


def test_a_waiting_call_holds_no_thread():
    with ThreadPoolExecutor(1) as pool:

        @threaded(executor=pool, retries=1, retry_wait=ENDLESS)
        def refused():
            raise ConnectionError

        made = [refused() for _ in range(5)]
        assert pool.submit(identity, 7).result(10) == 7
        assert not any(each.done() or each.running() for each in made)
        assert all(each.cancel() for each in made)


def test_a_waiting_row_holds_no_thread():
    with ThreadPoolExecutor(1) as pool:

        @threaded(executor=pool, retries=1, retry_wait=ENDLESS)
        def odd(n):
            if n % 2:
                raise ConnectionError
            return n

        results = odd.map(range(6), ordered=False)
        assert sorted(next(results) for _ in range(3)) == [0, 2, 4]
        assert pool.submit(identity, 7).result(10) == 7
        results.close()


def test_a_waiting_coroutine_holds_no_place_on_a_loop():
    with ThreadPoolExecutor(1) as pool:

        @threaded(executor=pool, retries=1, retry_wait=ENDLESS)
        async def refused():
            raise ConnectionError

        made = [refused() for _ in range(150)]  # more than a loop has places
        assert threaded(executor=pool)(fails_later)("/dev/null", -1).result(20) == 0
        assert all(each.cancel() for each in made)


@pytest.mark.parametrize("kind", ["threads", "processes"])
@pytest.mark.parametrize("function", [fails, fails_later])
def test_a_waiting_call_has_no_place_in_its_limit(kind, function, path):
    limit = Limit(1)
    f = threaded(executor=kind, retries=1, retry_wait=ENDLESS, limit=limit)(function)
    late = f(path, 1)
    await_attempts(path, 1)
    assert threaded(executor=kind, limit=limit)(identity)(7).result(60) == 7
    assert late.cancel()


def test_each_attempt_counts_in_the_rate(executor, path):
    rate = RateLimit(1 / WAIT)
    f = threaded(executor=executor, retries=4, retry_wait=0, rate=rate)(fails)
    begun = time.monotonic()
    assert f(path, 3).result(60) == 4
    for number, moment in enumerate(times(path)):
        assert moment - begun >= number * WAIT - 0.001


@pytest.mark.parametrize("kind", ["threads", "serial"])
def test_a_recursive_call_with_a_limit_is_retried(kind, path):
    @threaded(executor=kind, limit=1, retries=2, retry_wait=0.01)
    def outer(n):
        return outer(n - 1).result() if n else fails(path, 1)

    assert outer(2).result(30) == 2


# --------------------------------------------------------------- how long they wait


def test_a_function_gets_the_attempt_and_the_error(executor, path):
    seen = []

    def policy(attempt, error):
        seen.append((attempt, type(error), error.args))
        return 0

    f = threaded(executor=executor, retries=5, retry_wait=policy)(fails)
    assert f(path, 3).result(60) == 4
    assert seen == [(n, ConnectionError, (n,)) for n in (1, 2, 3)]


def test_none_means_no_retry(executor, path):
    policy = {1: 0.0, 2: None}
    f = threaded(executor=executor, retries=5, retry_wait=lambda n, _: policy[n])(fails)
    with pytest.raises(ConnectionError) as caught:
        f(path, 9).result(60)
    assert len(times(path)) == 2
    assert any(
        note.startswith("after 2 attempts in") for note in caught.value.__notes__
    )


@pytest.mark.parametrize("result", [-1, "1", float("nan")])
def test_a_wrong_wait_ends_the_retries_with_a_note(executor, path, result):
    f = threaded(executor=executor, retries=5, retry_wait=lambda *_: result)(fails)
    with pytest.raises(ConnectionError) as caught:
        f(path, 9).result(60)
    assert "retry_wait raised" in caught.value.__notes__[0]


def test_a_policy_that_fails_ends_the_retries_with_a_note(executor, path):
    f = threaded(executor=executor, retries=5, retry_wait=lambda *_: 1 / 0)(fails)
    with pytest.raises(ConnectionError) as caught:
        f(path, 9).result(60)
    assert "retry_wait raised ZeroDivisionError" in caught.value.__notes__[0]


def test_the_last_error_says_after_how_many_attempts(executor, path):
    f = threaded(executor=executor, retries=2, retry_wait=0.01)(fails)
    with pytest.raises(ConnectionError) as caught:
        f(path, 9).result(60)
    assert sum(note.startswith("after 3 attempts in ") for note in notes(caught)) == 1


def test_so_does_that_of_a_row_and_of_a_coroutine(executor, path):
    decorate = threaded(executor=executor, retries=2, retry_wait=0.01)
    with pytest.raises(ConnectionError) as caught:
        list(decorate(fails).starmap([(path, 9), (path, 9)]))
    assert any(note.startswith("after 3 attempts in") for note in notes(caught))
    with pytest.raises(ConnectionError) as caught:
        decorate(fails_later)(path + "2", 9).result(60)
    assert any(note.startswith("after 3 attempts in") for note in notes(caught))


def test_so_does_that_of_a_worker_that_died(path):
    with pytest.raises(WorkerDied) as caught:
        processed(retries=1)(dies)(path, 9).result(60)
    assert any(note.startswith("after 2 attempts in") for note in notes(caught))


def test_so_does_that_of_a_timeout(path):
    f = threaded(retries=1, timeout=0.05, retry_wait=0)(fails_silently)
    with pytest.raises(TaskTimeout) as caught:
        f(path, 9).result(60)
    assert any(note.startswith("after 2 attempts in") for note in notes(caught))


def test_the_first_error_has_no_such_note(executor, path):
    f = threaded(executor=executor, retries=2, retry_on=KeyError)(fails)
    with pytest.raises(ConnectionError) as caught:
        f(path, 9).result(60)
    assert not any("attempts" in note for note in notes(caught))


def notes(caught):
    return getattr(caught.value, "__notes__", ())


def test_backoff_grows_to_a_most():
    steady = backoff(0.5, most=4, jitter=0)
    assert [steady(n, ValueError()) for n in range(1, 7)] == [0.5, 1, 2, 4, 4, 4]
    assert steady(100_000, ValueError()) == 4
    assert backoff(1, factor=3, jitter=0)(3, ValueError()) == 9


def test_its_jitter_is_the_random_part():
    full, half = backoff(1, most=1), backoff(1, most=1, jitter=0.5)
    drawn = [full(1, ValueError()) for _ in range(500)]
    assert 0 <= min(drawn) < 0.2
    assert 0.8 < max(drawn) <= 1
    assert min(half(1, ValueError()) for _ in range(500)) >= 0.5
    assert len(set(drawn)) > 400


def test_it_can_be_pickled():
    copy = pickle.loads(pickle.dumps(backoff(0.5, most=4, jitter=0)))
    assert copy(2, ValueError()) == 1
    assert repr(copy) == "backoff(0.5, most=4.0, factor=2.0, jitter=0.0)"


def test_the_default_waits_and_a_zero_does_not(path):
    from parallelize.pace import waits

    assert isinstance(waits.DEFAULT_WAIT, Backoff)
    assert 0 <= waits.DEFAULT_WAIT(1, ValueError()) <= 0.1
    assert waits.DEFAULT_WAIT(50, ValueError()) <= 10
    f = threaded(retries=200, retry_wait=0)(fails)
    assert f(path, 100).result(60) == 101


# ------------------------------------------------------------------ what a service asks


class Response:
    def __init__(self, headers):
        self.headers = headers


class Refused(Exception):
    """As client libraries have it."""

    def __init__(self, value, name="Retry-After"):
        super().__init__(value, name)
        self.response = Response({name: value})


def test_retry_after_reads_seconds_and_dates():
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)
    assert retry_after(1, Refused("7")) == 7
    assert retry_after(1, Refused("0.5", "retry-after")) == 0.5
    assert retry_after(1, Refused(b"3")) == 3
    date = email.utils.format_datetime(later, usegmt=True)
    assert 90 < retry_after(1, Refused(date)) <= 100
    assert retry_after(1, Refused("Wed, 21 Oct 2015 07:28:00 GMT")) == 0
    assert retry_after(1, Refused("-5")) == 0


def test_it_finds_the_response_of_a_cause_and_other_shapes():
    outer = KeyError()
    outer.__cause__ = Refused("4")
    assert retry_after(1, outer) == 4
    plain = OSError()
    plain.headers = {"Retry-After": "6"}
    assert retry_after(1, plain) == 6
    boto = OSError()
    headers = {"retry-after": "8"}
    boto.response = {"ResponseMetadata": {"HTTPHeaders": headers}}
    assert retry_after(1, boto) == 8


@pytest.mark.parametrize("value", ["soon", "", "nan"])
def test_without_a_usable_header_the_wait_is_the_default(value):
    assert 0 <= retry_after(1, Refused(value)) <= 0.1
    assert 0 <= retry_after(1, ValueError()) <= 0.1


def asks(path, seconds):
    tasks.append_line(path, repr(time.monotonic()))
    if len(times(path)) == 1:
        raise Refused(str(seconds))
    return len(times(path))


def test_it_pauses_the_rate_of_the_function(executor, path):
    rate = RateLimit(1000, burst=1000)
    f = threaded(executor=executor, retries=1, retry_wait=retry_after, rate=rate)(asks)
    other = threaded(rate=rate)(time.monotonic)
    begun = time.monotonic()
    first = f(path, 0.3)
    if executor == "serial":
        assert first.result(10) == 2
    else:
        await_attempts(path, 1)
        while rate._schedule.due < begun and not rate._pauses:
            time.sleep(0.001)
    assert other().result(60) - begun >= 0.3
    assert first.result(60) == 2


# --------------------------------------------------------------- what ends the waiting


@pytest.mark.parametrize("function", [fails, fails_later])
@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_waiting_call_can_be_stopped(concurrent_executor, function, how, path):
    f = threaded(executor=concurrent_executor, retries=3, retry_wait=ENDLESS)(function)
    future = f(path, 9)
    await_attempts(path, 1)
    await_rest(future)
    assert getattr(future, how)()
    assert future.cancelled()
    assert len(times(path)) == 1


def test_the_cancelled_task_that_awaits_one_ends_it(path):
    async def main():
        future = threaded(retries=3, retry_wait=ENDLESS)(fails)(path, 9)
        task = asyncio.ensure_future(_awaited(future))
        await asyncio.to_thread(await_attempts, path, 1)
        await asyncio.to_thread(await_rest, future)
        task.cancel()
        await asyncio.wait([task])
        return future.cancelled()

    assert asyncio.run(main())


async def _awaited(future):
    return await future


def test_a_group_that_ends_by_an_error_ends_it(path):
    f = threaded(retries=3, retry_wait=ENDLESS)(fails)
    with pytest.raises(tasks.Refusal), TaskGroup() as group:
        future = group.start(f, path, 9)
        await_attempts(path, 1)
        group.start(threaded(tasks.refuse), 1)
    assert future.cancelled()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_shutdown_that_cancels_ends_it(kind, path):
    with using(kind):
        future = threaded(retries=3, retry_wait=ENDLESS)(fails)(path, 9)
        await_attempts(path, 1)
        await_rest(future)
        parallelize.shutdown(cancel_futures=True)
    assert future.cancelled()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_plain_shutdown_lets_them_finish(kind, path):
    with using(kind):
        future = threaded(retries=3, retry_wait=WAIT)(fails)(path, 1)
        rows = threaded(retries=3, retry_wait=WAIT)(fails).starmap([(path + "r", 1)])
        await_attempts(path, 1)
        parallelize.shutdown()
    assert future.result(0) == 2
    assert list(rows) == [2]


def test_a_closed_map_ends_it(concurrent_executor, path):
    f = threaded(executor=concurrent_executor, retries=3, retry_wait=ENDLESS)(fails)
    results = f.starmap([(path, 9)])
    await_attempts(path, 1)
    results.close()
    parallelize.shutdown()  # it would wait for the row
    assert len(times(path)) == 1


PROGRAM = """
import sys, parallelize
from parallelize import threaded

@threaded(executor=KIND, retries=3, retry_wait=1000)
def refused():
    raise ConnectionError

future = refused()
while future.running() or not future._callbacks:
    pass
sys.exit(EXIT)
"""


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_an_error_that_ends_the_program_ends_it(kind):
    import subprocess

    source = PROGRAM.replace("KIND", repr(kind)).replace("sys.exit(EXIT)", "1 / 0")
    ended = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60
    )
    assert "ZeroDivisionError" in ended.stderr


# ----------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    ("value", "error"),
    [("1", TypeError), (-1, ValueError), (float("nan"), ValueError), (True, TypeError)],
)
def test_a_wrong_retry_wait_is_refused_at_the_decorator(value, error):
    with pytest.raises(error, match="retry_wait must be"):
        threaded(retry_wait=value)
    with pytest.raises(error, match="retry_wait must be"):
        processed(identity).options(retry_wait=value)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"first": 0}, ValueError, "first"),
        ({"first": "1"}, TypeError, "first"),
        ({"first": 2, "most": 1}, ValueError, "most must be at least first"),
        ({"first": 1, "factor": 0.5}, ValueError, "factor must be at least 1"),
        ({"first": 1, "jitter": 2}, ValueError, "jitter must be from 0 to 1"),
        ({"first": 1, "jitter": -1}, ValueError, "jitter"),
        ({"first": 1, "jitter": False}, TypeError, "jitter must be a number"),
    ],
)
def test_a_wrong_backoff_is_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        backoff(**arguments)
