"""`rate`: how many calls start per time, on every executor."""

import asyncio
import concurrent.futures
import copy
import os
import pickle
import signal
import sys
import threading
import time

import pytest

import parallelize
from parallelize import (
    Limit,
    ProcessPoolExecutor,
    RateLimit,
    ThreadPoolExecutor,
    interpreted,
    processed,
    threaded,
    wait,
)
from tasks import identity

INTERVAL = 0.02
PER_SECOND = 1 / INTERVAL

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

KINDS = ["threads", "processes", "serial", "foreign"]
if sys.version_info >= (3, 14):
    KINDS.append("interpreters")


@pytest.fixture(autouse=True)
def ends_shared_pools():
    yield
    parallelize.shutdown()


@pytest.fixture(params=KINDS)
def executor(request):
    """Any executor; the rate is the caller's business, whatever runs the calls."""
    if request.param != "foreign":
        yield request.param
        return
    with concurrent.futures.ThreadPoolExecutor(2) as theirs:
        yield theirs


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as made:
        yield made


def now(_=None):
    return time.monotonic()


async def now_async(_=None):
    await asyncio.sleep(0)
    return time.monotonic()


def items(count):
    yield time.monotonic()
    yield from range(count)


def check_pace(begun, moments, interval=INTERVAL):
    """None started before its time; how much later is the machine's affair."""
    for number, moment in enumerate(sorted(moments)):
        assert moment - begun >= number * interval - 0.001, number


def test_calls_start_no_faster_than_the_rate(executor):
    f = threaded(executor=executor, rate=PER_SECOND)(now)
    begun = time.monotonic()
    check_pace(begun, [each.result(30) for each in [f() for _ in range(10)]])


def test_so_do_the_rows_of_a_map(executor):
    f = threaded(executor=executor, rate=PER_SECOND)(now)
    begun = time.monotonic()
    check_pace(begun, list(f.map(range(10), chunksize=5)))


def test_so_do_the_rows_of_a_starmap_and_of_an_executors_map(pool):
    f = threaded(rate=PER_SECOND)(now)
    begun = time.monotonic()
    moments = list(f.starmap([(n,) for n in range(5)]))
    moments += pool.map(f, range(5))
    check_pace(begun, moments)


def test_so_do_async_calls(executor):
    f = threaded(executor=executor, rate=PER_SECOND)(now_async)
    begun = time.monotonic()
    check_pace(begun, [each.result(30) for each in [f() for _ in range(10)]])


@pytest.mark.parametrize("kind", ["threads", "processes", "serial"])
def test_so_do_streams(kind):
    f = threaded(executor=kind, rate=PER_SECOND)(items)
    begun = time.monotonic()
    streams = [f(3) for _ in range(5)]
    found = [list(each) for each in streams]
    assert [each[1:] for each in found] == [[0, 1, 2]] * 5
    check_pace(begun, [each[0] for each in found])


def test_a_thread_of_the_pool_that_reads_a_stream_does_not_start_it_early(pool):
    produce = threaded(executor=pool, rate=PER_SECOND)(items)

    @threaded(executor=pool)
    def consume():
        return next(produce(1))

    begun = time.monotonic()
    check_pace(begun, [each.result(30) for each in [consume() for _ in range(6)]])


def test_calls_to_an_executor_by_submit_count_too(pool):
    f = threaded(rate=PER_SECOND)(now)
    begun = time.monotonic()
    check_pace(begun, [each.result(30) for each in [pool.submit(f) for _ in range(5)]])


def test_functions_share_a_rate_in_order_of_arrival():
    """One worker runs the calls in the order in which they are let through."""
    rate, seen = RateLimit(PER_SECOND), []
    with ThreadPoolExecutor(1) as pool:
        one = threaded(executor=pool, rate=rate)(seen.append)
        two = threaded(executor=pool)(seen.append).options(rate=rate)
        begun = time.monotonic()
        made = [f(n) for n, f in enumerate((one, two) * 5)]
        wait(made)
    assert time.monotonic() - begun >= 9 * INTERVAL
    assert len(seen) == 10
    assert seen == sorted(seen)


def test_a_number_is_a_rate_of_each_function_by_itself(pool):
    decorate = threaded(executor=pool, rate=0.001)
    one, two = decorate(now), decorate(now)
    assert one().result(10)
    assert two().result(10)


def test_a_copy_with_other_options_shares_the_rate(pool):
    f = threaded(executor=pool, rate=0.001)(now)
    assert f().result(10)
    late = f.options(timeout=5)()
    assert not late.done()
    assert late.cancel()
    assert f.options(rate=None)().result(10)


def test_a_burst_starts_at_once_and_what_follows_in_time(pool):
    f = threaded(executor=pool, rate=RateLimit(1, per=1000, burst=5))(now)
    made = [f() for _ in range(6)]
    wait(made[:5])
    assert not made[5].done()
    assert made[5].cancel()


def test_waiting_calls_hold_no_worker_and_no_thread():
    with ThreadPoolExecutor(1) as pool:
        slow = threaded(executor=pool, rate=0.001)(now)
        slow().result(10)
        before = threading.active_count()
        waiting = [slow() for _ in range(50)]
        assert pool.submit(identity, 7).result(10) == 7
        assert threading.active_count() <= before + 1  # the timer's
        assert all(each.cancel() for each in waiting)


def test_cancelled_calls_do_not_count(pool):
    rate = RateLimit(1, per=1)
    f = threaded(executor=pool, rate=rate)(now)
    f().result(10)
    dropped = [f() for _ in range(200)]
    last = f()
    assert [each.cancel() for each in dropped].count(False) <= 3
    assert last.result(60)  # at a second each, the others would take 200 s
    assert "0 waiting" in repr(rate)


def test_limit_and_rate_hold_together(pool):
    inside, most = [], []

    @threaded(executor=pool, limit=2, rate=200)
    def work():
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return time.monotonic() - 0.01

    begun = time.monotonic()
    with ThreadPoolExecutor(8) as wide:
        made = [work.options(executor=wide)() for _ in range(20)]
        check_pace(begun, [each.result(30) for each in made], 0.005)
    assert max(most) <= 2


@pytest.mark.parametrize("kind", ["threads", "serial"])
def test_a_recursive_function_with_both_ends(kind):
    @threaded(executor=kind, limit=1, rate=PER_SECOND)
    def count(n):
        return [time.monotonic(), *(count(n - 1).result() if n else ())]

    begun = time.monotonic()
    check_pace(begun, count(4).result(30))


def test_an_async_recursion_with_both_ends():
    @threaded(limit=1, rate=PER_SECOND)
    async def count(n):
        return [time.monotonic(), *((await count(n - 1)) if n else ())]

    begun = time.monotonic()
    check_pace(begun, count(4).result(30))


def test_a_pause_delays_the_next_calls_only(pool):
    rate = RateLimit(1000)
    f = threaded(executor=pool, rate=rate)(now)
    f().result(10)
    begun = time.monotonic()
    rate.pause(0.2)
    rate.pause(0.01)  # a shorter one changes nothing
    assert f().result(10) - begun >= 0.2


def test_a_pause_holds_for_calls_that_wait_already(pool):
    rate = RateLimit(1, per=0.05)
    f = threaded(executor=pool, rate=rate)(now)
    f().result(10)
    begun, late = time.monotonic(), f()
    rate.pause(0.2)
    assert late.result(10) - begun >= 0.2


def test_arguments_are_waited_for_first(pool):
    f = threaded(executor=pool, rate=RateLimit(1, per=1000, burst=2))(identity)
    gate = parallelize.Future()
    held = f(gate)  # it does not count yet
    assert f(1).result(10) == 1
    gate.set_result(5)
    assert held.result(10) == 5


def test_shutdown_finishes_or_drops_the_waiting_calls():
    pool = ThreadPoolExecutor(1)
    f = threaded(executor=pool, rate=PER_SECOND)(identity)
    made = [f(n) for n in range(4)]
    pool.shutdown()
    assert [each.result(0) for each in made] == [0, 1, 2, 3]
    pool = ThreadPoolExecutor(1)
    slow = threaded(executor=pool, rate=0.001)(identity)
    made = [slow(n) for n in range(4)]
    made[0].result(10)
    pool.shutdown(cancel_futures=True)
    assert all(each.cancelled() for each in made[1:])


def test_shutdown_of_processes_drops_the_waiting_calls():
    pool = ProcessPoolExecutor(1)
    slow = threaded(executor=pool, rate=0.001)(identity)
    made = [slow(n) for n in range(4)]
    made[0].result(60)
    pool.shutdown(cancel_futures=True)
    assert all(each.cancelled() for each in made[1:])


def test_closing_a_map_drops_the_waiting_rows(pool):
    slow = threaded(executor=pool, rate=0.001)(identity)
    results = slow.map(range(10))
    assert next(results) == 0
    results.close()
    pool.shutdown()  # it would wait for them


def test_a_pickled_rate_has_the_same_numbers():
    rate = pickle.loads(pickle.dumps(RateLimit(3, per=2, burst=4)))
    assert (rate.count, rate.per, rate.burst) == (3, 2, 4)
    assert copy.copy(rate) is not rate


def test_a_function_with_a_rate_works_in_a_process():
    f = threaded(rate=RateLimit(1000))(identity)

    @processed
    def outer():
        return f(3).result()

    assert outer().result(60) == 3


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_a_signal_handler_may_make_calls(pool):
    """Also while its own thread is inside the rate."""
    f = threaded(executor=pool, rate=RateLimit(1e6, burst=1000))(identity)
    made = []
    before = signal.signal(signal.SIGALRM, lambda *_: made.append(f(1)))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(3000):
            made.append(f(1))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert {each.result(30) for each in made} == {1}


def test_threads_that_submit_at_once_lose_no_call(pool):
    f = threaded(executor=pool, rate=RateLimit(20_000))(identity)
    made = [[] for _ in range(4)]

    def submit(own):
        own.extend(f(n) for n in range(300))

    threads = [threading.Thread(target=submit, args=(own,)) for own in made]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [[f.result(60) for f in own] for own in made] == [list(range(300))] * 4


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_waits_for_none_of_its_parents_calls(pool):
    rate = RateLimit(1, per=1000)
    f = threaded(executor=pool, rate=rate)(identity)
    f(0).result(10)
    waiting = f(1)
    pid = os.fork()
    if pid == 0:
        ok = threaded(rate=rate)(identity)(5).result(20) == 5
        os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert waiting.cancel()


@pytest.mark.parametrize(
    ("rate", "error", "text"),
    [
        ("5", TypeError, "rate must be a number of calls a second, a RateLimit"),
        (True, TypeError, "rate must be"),
        (0, ValueError, "rate must be more than 0"),
        (-1.5, ValueError, "rate must be more than 0"),
        (float("nan"), ValueError, "rate must be more than 0"),
        (float("inf"), ValueError, "rate must be more than 0, and finite"),
        (Limit(3), TypeError, "rate must be"),
    ],
)
def test_a_wrong_rate_is_refused_at_the_decorator(rate, error, text):
    for decorate in (threaded, processed, interpreted):
        with pytest.raises(error, match=text):
            decorate(rate=rate)
    with pytest.raises(error, match=text):
        threaded(identity).options(rate=rate)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"count": 0}, ValueError, "count"),
        ({"count": "1"}, TypeError, "count"),
        ({"count": 1, "per": 0}, ValueError, "per"),
        ({"count": 1, "per": None}, TypeError, "per"),
        ({"count": 1, "burst": 0}, ValueError, "burst"),
        ({"count": 1, "burst": 1.5}, TypeError, "burst"),
        ({"count": 1, "burst": int}, TypeError, "burst must be a whole number"),
        ({"count": 1, "burst": 10**400}, ValueError, "burst must be"),
    ],
)
def test_a_wrong_rate_limit_is_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        RateLimit(**arguments)


def test_a_wrong_pause_is_refused():
    with pytest.raises(ValueError, match="seconds must be more than 0"):
        RateLimit(1).pause(0)
