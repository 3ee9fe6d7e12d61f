"""Nesting: calls that wait for calls, on pools of any size, come to their end."""

import concurrent.futures
import contextvars
import functools
import os
import signal
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nested
import parallelize
import tasks
from factories import Held, collect, shut_down_after
from parallelize import SerialExecutor, as_completed, gather, threaded, wait
from parallelize.executors.thread import ThreadPoolExecutor
from parallelize.futures.future import Future
from parallelize.runtime.options import CallOptions, Limit
from parallelize.threads import roster
from support.waiting import wait_until


@pytest.fixture
def make_pool():
    with shut_down_after(ThreadPoolExecutor) as make_one:
        yield make_one


@pytest.fixture
def shared_pools():
    yield
    parallelize.shutdown()


# ------------------------------------------------------------ ways to wait

WAYS = {
    "result": lambda futures: [future.result() for future in futures],
    "last first": lambda futures: [f.result() for f in futures[::-1]][::-1],
    "timed": lambda futures: [future.result(timeout=30) for future in futures],
    "exception": lambda futures: [
        future.exception() or future.result() for future in futures
    ],
    "wait": lambda futures: wait(futures) and [f.result() for f in futures],
    "wait first": lambda futures: (
        wait(futures, return_when="FIRST_COMPLETED") and [f.result() for f in futures]
    ),
    "timed wait": lambda futures: (
        wait(futures, timeout=30) and [f.result() for f in futures]
    ),
    "as_completed": lambda futures: [
        future.result() for future in as_completed(futures)
    ],
    "standard wait": lambda futures: (
        concurrent.futures.wait(futures) and [f.result() for f in futures]
    ),
    "standard as_completed": lambda futures: [
        future.result() for future in concurrent.futures.as_completed(futures)
    ],
    "gather": lambda futures: gather(*futures).result(),
    "timed gather": lambda futures: gather(*futures).result(30),
    "gather of gathers": lambda futures: [
        each[0] for each in gather(*(gather(future) for future in futures)).result()
    ],
    "proxy": lambda futures: [int(future.proxy()) for future in futures],
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_fib_of_20_by_recursion(workers, shared_pools):
    @threaded(max_workers=workers)
    def fib(n):
        if n < 2:
            return n
        first, second = fib(n - 1), fib(n - 2)
        return first.result() + second.result()

    assert fib(20).result(60) == 6765


@pytest.mark.parametrize("workers", [1, 2])
def test_recursion_by_every_way_to_wait(way, workers, make_pool):
    pool = make_pool(workers)

    def fib(n):
        if n < 2:
            return n
        return sum(way([pool.submit(fib, n - 1), pool.submit(fib, n - 2)]))

    assert pool.submit(fib, 10).result(60) == 55


def test_two_pools_that_wait_for_each_other(way, make_pool):
    pools = [make_pool(1), make_pool(1)]

    def fib(n):
        if n < 2:
            return n
        pool = pools[n % 2]
        return sum(way([pool.submit(fib, n - 1), pool.submit(fib, n - 2)]))

    assert pools[0].submit(fib, 10).result(60) == 55


def test_a_chain_over_two_pools(make_pool):
    one, other = make_pool(1), make_pool(1)

    def down(n):
        pool = one if n % 2 else other
        return 0 if n == 0 else 1 + pool.submit(down, n - 1).result()

    assert one.submit(down, 100).result(60) == 100


def test_threads_and_processes_that_wait_for_each_other(shared_pools):
    assert nested.in_thread(7).result(60) == 13
    assert nested.in_process(7).result(60) == 13


def test_the_number_of_processes_stays_what_was_asked_for(shared_pools):
    seen = set()
    for found in nested.pids.map([3] * 20):
        seen |= found
        assert len(found) == 1  # calls inside run in place
    assert len(seen) <= 2


# -------------------------------------------------------------------- maps


@pytest.mark.parametrize(
    "root",
    [nested.branch_1, nested.process_branch_1, nested.mixed_branch, nested.mixed_root],
    ids=["threads", "processes", "mixed", "mixed, from processes"],
)
def test_a_map_in_a_map_in_a_map(root, shared_pools):
    expected = [sum(sum(z + 1 for z in range(y)) for y in range(x)) for x in range(9)]
    if root is nested.mixed_root:
        expected = [sum(expected[:x]) for x in range(9)]
    assert list(root.map(range(9))) == expected


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ordered": False},
        {"timeout": 30},
        {"chunksize": 1},
        {"chunksize": 3, "ordered": False},
        {"buffersize": 1},
        {"return_exceptions": True},
    ],
    ids=str,
)
def test_maps_of_one_pool_in_each_other(make_pool, workers, options):
    pool = make_pool(workers)

    def level(depth):
        if depth == 0:
            return 1
        return sum(pool.map(level, [depth - 1] * 4, **options))

    assert list(pool.map(level, [3, 3, 3], **options)) == [64, 64, 64]


def test_a_map_over_futures_inside_a_task(make_pool):
    pool = make_pool(1)

    def outer():
        inner = [pool.submit(tasks.double, n) for n in range(5)]
        return list(pool.map(tasks.double, inner))

    assert pool.submit(outer).result(20) == [0, 4, 8, 12, 16]


def test_a_row_that_waits_hands_over_those_behind_it(make_pool):
    pool, other, second_row = make_pool(1), make_pool(1), threading.Event()

    def row(number):
        if number == 0:
            return other.submit(second_row.wait, 20).result()
        second_row.set()
        return number

    assert list(pool.map(row, range(5), chunksize=5)) == [True, 1, 2, 3, 4]


def test_several_tasks_read_one_map(make_pool):
    pool = make_pool(2)
    results = pool.map(tasks.double, range(500), chunksize=5)
    readers = [pool.submit(list, results) for _ in range(3)]
    found = sorted(sum((reader.result(20) for reader in readers), []))
    assert found == [2 * n for n in range(500)]


def test_an_error_in_a_map_in_a_map(make_pool):
    pool = make_pool(1)

    def outer(n):
        return list(pool.map(tasks.refuse_odd, [0, 2, n]))

    results = pool.map(outer, [4, 5], return_exceptions=True)
    assert next(results) == [0, 2, 4]
    assert isinstance(next(results), tasks.Refusal)


# ----------------------------------------------------- futures as arguments


def test_waiting_for_a_future_that_was_passed_in(make_pool):
    pool = make_pool(1)

    def waits_for(box):
        return box[0]().result()

    held = Held(pool)
    first = pool.submit(tasks.double, 4)
    # Hidden from the search for futures among the arguments.
    second = pool.submit(waits_for, [lambda: first])
    third = pool.submit(waits_for, [lambda: second])
    held.release()
    assert third.result(20) == 8


def test_a_task_waits_for_one_that_stands_behind_it(make_pool):
    pool = make_pool(1)
    held = Held(pool)
    box = []
    first = pool.submit(lambda: box[0].result())
    box.append(pool.submit(tasks.double, 4))
    held.release()
    assert first.result(20) == 8


def test_waiting_for_a_call_whose_arguments_are_open(way, make_pool):
    pool = make_pool(1)

    def outer():
        inner = pool.submit(tasks.double, 4)
        calls = [pool.submit(tasks.add, inner, pool.submit(tasks.double, 1))]
        return way(calls)

    assert pool.submit(outer).result(20) == [10]


def test_a_long_chain_of_arguments(make_pool):
    pool = make_pool(1)

    def outer():
        future = pool.submit(tasks.double, 0)
        for _ in range(3000):
            future = pool.submit(tasks.add, future, 1)
        return future.result()

    assert pool.submit(outer).result(60) == 3000


def test_a_process_call_that_needs_a_thread_call(make_pool, shared_pools):
    pool = make_pool(1)
    processes = parallelize.ProcessPoolExecutor(1)

    def fib(n):
        if n < 2:
            return n
        # Each waits for a process, and that for calls in this pool's queue.
        return processes.submit(
            tasks.add, pool.submit(fib, n - 1), pool.submit(fib, n - 2)
        ).result()

    with processes:
        assert pool.submit(fib, 6).result(60) == 8


def test_a_chain_of_arguments_is_not_kept(make_pool):
    pool = make_pool(1)
    future = pool.submit(tasks.double, 0)
    for _ in range(50):
        future = pool.submit(tasks.add, future, 1)
    assert future.result(20) == 50
    assert not future._needs
    assert not gather(future)._needs


# ------------------------------------------------------ helping, in detail


IN_PLACE = {
    name: WAYS[name]
    for name in (
        "result",
        "last first",
        "exception",
        "wait",
        "gather",
        "gather of gathers",
        "proxy",
    )
}


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("name", IN_PLACE)
def test_the_very_call_is_run_in_the_waiting_thread(make_pool, name, limit):
    pool = make_pool(1)
    options = CallOptions(limit=None if limit is None else Limit(limit))

    def outer(n):
        inner = [
            pool._submit(outer, (n - 1,), {}, options) for _ in range(2 if n else 0)
        ]
        here = threading.get_ident()
        return here if all(each == here for each in IN_PLACE[name](inner)) else 0

    assert pool._submit(outer, (4,), {}, options).result(20) != 0
    assert len(pool._threads) == 1


@pytest.mark.parametrize("ordered", [True, False])
def test_the_rows_of_a_map_are_run_in_the_waiting_thread(make_pool, ordered):
    pool = make_pool(1)

    def outer(n):
        if n == 0:
            return {threading.get_ident()}
        return set().union(*pool.map(outer, [n - 1] * 3, ordered=ordered))

    assert len(pool.submit(outer, 3).result(20)) == 1
    assert len(pool._threads) == 1


def test_claimed_entries_do_not_pile_up(make_pool):
    pool = make_pool(1)
    queued = []

    def outer():
        for number in range(2000):
            assert pool.submit(tasks.double, number).result() == 2 * number
            queued.append(len(pool._engine._queue))

    pool.submit(outer).result(30)
    assert max(queued) <= 40


def test_waiting_inside_for_a_call_with_a_future_argument(make_pool):
    pool = make_pool(1)

    def outer():
        inner = pool.submit(tasks.double, 4)
        return pool.submit(tasks.double, [inner]).result()

    assert pool.submit(outer).result(20) == [8, 8]


def test_an_error_of_a_call_that_was_helped_along(make_pool):
    pool = make_pool(1)

    def outer():
        with pytest.raises(tasks.Refusal):
            pool.submit(tasks.refuse, 4).result()
        return "caught"

    assert pool.submit(outer).result(20) == "caught"


def test_a_call_helped_along_has_its_own_context(make_pool):
    pool = make_pool(1)
    variable = contextvars.ContextVar("variable", default="none")

    def outer():
        variable.set("outer")
        future = pool.submit(lambda: (variable.get(), variable.set("inner")))
        variable.set("outer again")
        return future.result()[0], variable.get()

    assert pool.submit(outer).result(20) == ("outer", "outer again")


def test_a_wait_with_a_bound_is_not_stretched_by_helping(make_pool):
    pool, go = make_pool(1), threading.Event()

    def outer():
        future = pool.submit(go.wait, 20)
        with pytest.raises(TimeoutError):
            future.result(timeout=0.01)
        go.set()
        return future.result(timeout=20)  # it runs in another thread meanwhile

    assert pool.submit(outer).result(20)


def test_to_ask_without_waiting_starts_nothing(make_pool):
    pool = make_pool(1)

    def outer():
        future = pool.submit(tasks.double, 4)
        with pytest.raises(TimeoutError):
            future.result(timeout=0)
        return future.cancel(), len(pool._threads)

    assert pool.submit(outer).result(20) == (True, 1)


def test_other_pools_are_not_helped(make_pool):
    one, other = make_pool(1), make_pool(1)
    held = Held(other)

    def outer():
        future = other.submit(threading.get_ident)
        held.release()
        return future.result() != threading.get_ident()

    assert one.submit(outer).result(20)


def test_recursion_too_deep_fails_and_does_not_hang(make_pool):
    pool = make_pool(1)

    futures = []

    def deeper(n):
        futures.append(pool.submit(deeper, n + 1))
        return futures[-1].result()

    for _ in range(5):
        with pytest.raises(RecursionError):
            pool.submit(deeper, 0).result(30)
    assert pool.submit(tasks.double, 1).result(20) == 2
    pool.shutdown()
    assert all(future.done() for future in futures)


# ------------------------------------------------------------- compensation


def test_the_place_of_one_that_waits_is_taken(make_pool):
    pool, other = make_pool(2), make_pool(1)
    go = threading.Event()
    # The first sits in the pool; the second waits for it; the third lets it go.
    first = pool.submit(go.wait, 20)
    second = pool.submit(first.result)
    third = pool.submit(go.set)
    third.result(20)
    assert second.result(20) is True
    assert other.submit(tasks.double, 1).result(20) == 2


@pytest.mark.parametrize(
    "wait_for",
    [
        lambda future: future.result(),
        lambda future: future.result(timeout=20),
        lambda future: wait([future]),
        lambda future: list(as_completed([future])),
        lambda future: gather(future).result(),
        lambda future: bool(future.proxy()),
    ],
)
def test_whatever_is_waited_for_elsewhere(make_pool, wait_for):
    pool, open_future = make_pool(1), Future()
    waiting = pool.submit(lambda: wait_for(open_future))
    assert pool.submit(tasks.double, 4).result(20) == 8
    assert not waiting.done()
    open_future.set_result(3)
    waiting.result(20)


def test_a_reader_of_a_map_that_runs_elsewhere(make_pool):
    pool, other = make_pool(1), make_pool(1)
    held = Held(other)
    waiting = pool.submit(list, other.map(tasks.double, range(3)))
    assert pool.submit(tasks.double, 4).result(20) == 8
    held.release()
    assert waiting.result(20) == [0, 2, 4]


def test_readers_that_wait_for_the_one_that_reads(make_pool):
    pool, other = make_pool(2), make_pool(1)
    held = Held(other)
    results = other.map(tasks.double, range(30))
    readers = [pool.submit(list, results) for _ in range(3)]
    assert pool.submit(tasks.double, 4).result(20) == 8
    held.release()
    assert sorted(sum((one.result(20) for one in readers), [])) == [*range(0, 60, 2)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_in_the_middle_of_waits(make_pool):
    pool, other, open_future = make_pool(1), make_pool(1), Future()

    def inner():
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                found = pool.submit(tasks.double, 4).result(10)
                found += other.submit(tasks.double, 4).result(10)
                found += sum(pool.map(tasks.double, range(5)))
                found += sum(f.result() for f in as_completed([pool.submit(abs, -1)]))
                os._exit(0 if found == 8 + 8 + 20 + 1 else 1)
            finally:
                os._exit(2)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def outer():
        done = pool.submit(tasks.double, 1)
        waiting = as_completed([done, open_future])
        assert next(waiting) is done
        return other.submit(inner).result(), pool.submit(inner).result()

    assert pool.submit(outer).result(40) == (0, 0)
    assert pool.submit(tasks.double, 4).result(20) == 8
    open_future.set_result(None)


def test_shutting_another_pool_down(make_pool):
    pool, other = make_pool(1), make_pool(1)
    needs = other.submit(lambda: pool.submit(tasks.double, 4).result())
    pool.submit(other.shutdown).result(20)
    assert needs.result(20) == 8


class Gauge:
    """Counts how many of its calls work at once; what waits does not work."""

    def __init__(self):
        self._lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self._lock:
            self.now -= 1


def test_no_more_work_than_asked_for(make_pool):
    pool, gauge = make_pool(2), Gauge()

    def work():
        with gauge:
            time.sleep(0.001)

    def outer(n):
        work()
        if n:
            inner = [pool.submit(outer, n - 1) for _ in range(2)]
            for future in inner:
                future.result()

    for future in [pool.submit(outer, 4) for _ in range(4)]:
        future.result(60)
    # One comes back while another has its place: one too many, for one call.
    assert gauge.most <= 4
    pool.submit(tasks.double, 1).result(20)


def test_a_pool_of_one_runs_one_at_a_time_when_nobody_waits(make_pool):
    pool, gauge, open_future = make_pool(1), Gauge(), Future()
    waiting = pool.submit(open_future.result)
    assert pool.submit(tasks.double, 1).result(20) == 2  # by a second thread
    open_future.set_result(None)
    waiting.result(20)

    def work(_):
        with gauge:
            time.sleep(0.001)

    for future in [pool.submit(work, n) for n in range(50)]:
        future.result(20)
    assert gauge.most == 1


def test_who_comes_back_finds_its_place_taken_and_then_rests(make_pool):
    pool, open_future = make_pool(1), Future()
    waiting = pool.submit(open_future.result)
    held = Held(pool)  # in the place of the one that waits
    quick = pool.submit(held._go.is_set)
    open_future.set_result(None)
    waiting.result(20)
    wait_until(lambda: pool._engine._idle or quick.done())
    held.release()
    assert quick.result(20)  # it ran when the held call had ended, not beside it


def test_how_many_threads_there_may_be(make_pool):
    pool = make_pool(3)
    futures = [Future() for _ in range(50)]
    waiting = [pool.submit(future.result) for future in futures]
    wait_until(lambda: sum(each.running() for each in waiting) == 6)
    assert len(pool._threads) == 6  # as many again as there may be, and no more
    for number, future in enumerate(futures):
        future.set_result(number)
    assert [each.result(20) for each in waiting] == list(range(50))


def test_threads_that_were_needed_leave_again(make_pool, monkeypatch):
    monkeypatch.setattr(roster, "BRIEF_IDLE", 0.02)
    pool, other = make_pool(1, idle_timeout=None), make_pool(1, idle_timeout=None)
    needed = set()

    def down(n):
        needed.add(threading.current_thread())
        pool_of = pool if n % 2 else other
        return 0 if n == 0 else 1 + pool_of.submit(down, n - 1).result()

    assert pool.submit(down, 30).result(20) == 30
    assert len(needed) > 10
    wait_until(lambda: len(pool._threads) == len(other._threads) == 1)
    assert pool.submit(down, 30).result(20) == 30


def test_many_rounds_do_not_make_more_threads(make_pool):
    pool, other = make_pool(1), make_pool(1)

    def down(n):
        pool_of = pool if n % 2 else other
        return 0 if n == 0 else 1 + pool_of.submit(down, n - 1).result()

    sizes = []
    for _ in range(100):
        assert pool.submit(down, 10).result(20) == 10
        sizes.append(len(pool._threads) + len(other._threads))
    assert max(sizes) <= 16


def test_a_task_is_run_inside_no_unrelated_one(make_pool):
    pool = make_pool(2)
    lock, inside = threading.Lock(), []

    def unrelated():
        inside.append(lock.acquire(timeout=20))
        lock.release()

    def holds_lock(timeout):
        with lock:  # whoever ran `unrelated` here would wait for itself
            queued = [pool.submit(unrelated) for _ in range(5)]
            assert pool.submit(tasks.double, 4).result(timeout) == 8
            return queued

    for timeout in (None, 20):
        for future in pool.submit(holds_lock, timeout).result(20):
            future.result(20)
    assert inside == [True] * 10


def test_an_initializer_of_a_value_under_a_lock(make_pool):
    pool, lock = make_pool(2), threading.Lock()
    made = []

    def value():
        with lock:
            if not made:
                made.append(pool.submit(tasks.double, 4).result())
            return made[0]

    assert [pool.submit(value).result(20) for _ in range(3)] == [8, 8, 8]
    made.clear()
    futures = [pool.submit(value) for _ in range(20)]
    assert [future.result(20) for future in futures] == [8] * 20


def test_a_cached_property_under_an_rlock_is_made_once(make_pool):
    pool, lock, made = make_pool(1), threading.RLock(), []

    @functools.cache
    def made_once():
        made.append(1)
        return pool.submit(tasks.double, 4).result()

    def value():
        with lock:
            return made_once()

    assert [f.result(20) for f in [pool.submit(value) for _ in range(20)]] == [8] * 20
    assert made == [1]


# ------------------------------------------------------------------- limits


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_limited_function_that_waits_for_itself(way, limit, workers, shared_pools):
    @threaded(max_workers=workers, limit=limit)
    def fib(n):
        if n < 2:
            return n
        return sum(way([fib(n - 1), fib(n - 2)]))

    assert fib(8).result(30) == 21


def test_who_comes_too_late_for_a_call_hides_no_circle(make_pool, monkeypatch):
    """A thread may take a call out of the queue that another one has claimed."""
    workers = roster.Roster.workers

    class Late:
        def __init__(self, engine):
            self.engine = engine

        def stack(self):
            return [task for each in workers(self.engine) for task in each.stack()]

        def waited_for(self):
            return []

    monkeypatch.setattr(roster.Roster, "workers", lambda e: [Late(e), *workers(e)])
    pool, limited = make_pool(2), CallOptions(limit=Limit(1))

    def fib(n):
        if n < 2:
            return n
        return sum(f.result(10) for f in concurrent.futures.as_completed(calls(n)))

    def calls(n):
        return [pool._submit(fib, (n - each,), {}, limited) for each in (1, 2)]

    assert pool._submit(fib, (5,), {}, limited).result(20) == 5


def test_a_limited_function_that_waits_for_itself_by_detours(way, make_pool):
    one, other = make_pool(2), make_pool(2)
    limited = CallOptions(limit=Limit(1))

    def outer(n):
        if n == 0:
            return 1
        return sum(way([other.submit(detour, n), other.submit(detour, n)]))

    def detour(n):
        return way([one._submit(outer, (n - 1,), {}, limited)])[0]

    assert one._submit(outer, (4,), {}, limited).result(30) == 16


def test_serially_inside_a_thread_a_limit_is_no_trap(make_pool):
    pool, serial = make_pool(1), SerialExecutor()
    limited = CallOptions(limit=Limit(1))

    def outer(n):
        return n and 1 + serial._submit(outer, (n - 1,), {}, limited).result()

    assert pool._submit(outer, (3,), {}, limited).result(20) == 3


def test_who_has_the_place_in_a_limit_stands_in_the_queue(make_pool):
    pool, limited, open_future = make_pool(1), CallOptions(limit=Limit(1)), Future()

    def outer():
        first = pool._submit(tasks.double, (1,), {}, limited)
        second = pool._submit(tasks.double, (2,), {}, limited)
        return second.result(), first.done()

    # As many threads as run anything at all wait already.
    waiting = pool.submit(open_future.result)
    assert pool.submit(outer).result(20) == (4, True)
    open_future.set_result(None)
    waiting.result(20)


def test_a_limit_still_holds_where_nobody_waits_for_himself(make_pool):
    pool, gauge = make_pool(4), Gauge()
    limited = CallOptions(limit=Limit(1))

    def work(n):
        with gauge:
            # It waits for something, and yet no other call has its place.
            pool.submit(time.sleep, 0.001).result()
        return n

    futures = [pool._submit(work, (n,), {}, limited) for n in range(10)]
    assert [future.result(20) for future in futures] == list(range(10))
    assert gauge.most == 1


# ------------------------------------------------------------------ too deep


@pytest.mark.parametrize("timeout", [None, 20])
def test_a_chain_over_two_pools_that_is_too_long(make_pool, timeout, monkeypatch):
    monkeypatch.setattr(roster, "MOST_AWAY", 10)
    pools, over = [make_pool(1), make_pool(1)], threading.Event()

    def down(n):
        if over.is_set():  # a call that was refused to wait has submitted the next
            return n
        return pools[n % 2].submit(down, n + 1).result(timeout)

    for _ in range(3):
        with pytest.raises(RecursionError, match="wait for each other"):
            pools[0].submit(down, 0).result(30)
    over.set()
    assert pools[0].submit(tasks.double, 1).result(20) == 2


@pytest.mark.parametrize("name", ["standard wait", "standard as_completed"])
def test_too_long_a_chain_by_the_standard_librarys_waits(make_pool, name, monkeypatch):
    monkeypatch.setattr(roster, "MOST_AWAY", 10)
    pool, over = make_pool(1), threading.Event()

    def down(n):
        if over.is_set():  # a call that was refused to wait has submitted the next
            return n
        return WAYS[name]([pool.submit(down, n + 1)])

    with pytest.raises(RecursionError):
        pool.submit(down, 0).result(30)
    over.set()
    assert pool.submit(tasks.double, 1).result(20) == 2
    pool.shutdown()
    collect()  # the failures that no call has waited for are in reference cycles


def test_a_map_in_a_map_without_end(make_pool):
    pool = make_pool(1)

    def deeper(n):
        return list(pool.map(deeper, [n + 1]))

    with pytest.raises(RecursionError):
        pool.submit(deeper, 0).result(60)
    assert pool.submit(tasks.double, 1).result(20) == 2


def test_no_thread_can_be_had_for_what_is_waited_for(make_pool, monkeypatch):
    pool = make_pool(1)
    pool.submit(tasks.double, 1).result(20)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    def outer():
        return pool.submit(tasks.double, 4).result(timeout=20)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(outer).result(20)
    assert pool.submit(outer).result(20) == 8


# ---------------------------------------------------------- the ends of waits


def test_a_wait_that_is_given_up_takes_its_place_again(make_pool):
    pool, open_future = make_pool(1), Future()

    def outer():
        for _ in range(20):
            with pytest.raises(TimeoutError):
                open_future.result(timeout=0.001)
            assert wait([open_future], timeout=0.001).not_done
            with pytest.raises(TimeoutError):
                next(as_completed([open_future], timeout=0.001))
        return pool._engine._active

    assert pool.submit(outer).result(20) == 1
    wait_until(lambda: pool._engine._active == 0)
    assert not pool._engine._wanted


def test_as_completed_that_another_thread_closes(make_pool):
    pool, open_future = make_pool(1), Future()
    done = pool.submit(tasks.double, 1)
    done.result(20)

    def outer():
        found = as_completed([open_future, pool.submit(tasks.double, 2)])
        next(found)
        return found

    pool.submit(outer).result(20).close()
    wait_until(lambda: pool._engine._active == 0)
    assert not pool._engine._wanted
    open_future.set_result(None)


def test_what_waits_when_the_pool_is_shut_down(make_pool):
    pool, other = make_pool(1), make_pool(1)
    held = Held(other)

    def outer():
        # Of the closed pool's own queue, too.
        return other.submit(inner.result).result()

    begun = Held(pool)
    waiting = pool.submit(outer)
    inner = pool.submit(tasks.double, 4)
    pool.shutdown(wait=False)
    begun.release()
    held.release()
    pool.shutdown()
    assert waiting.result(20) == 8


# ------------------------------------------------------------------- at random


def trees(joins, kinds, size):
    leaf = st.tuples(st.just(0), st.just(()), st.just(()))

    def grow(below):
        return st.lists(below, min_size=1, max_size=3).flatmap(
            lambda found: st.tuples(
                st.integers(0, joins - 1),
                st.tuples(*[st.integers(0, kinds - 1) for _ in found]),
                st.just(tuple(found)),
            )
        )

    return st.recursive(leaf, grow, max_leaves=size)


def check(tree):
    assert nested.in_two(tree).result(60) == nested.count(tree)


@pytest.mark.parametrize(
    ("kinds", "size", "examples"),
    [(len(nested.RUNNERS) - 1, 25, 150), (len(nested.RUNNERS), 12, 30)],
    ids=["threads", "threads and processes"],
)
def test_random_nesting(kinds, size, examples, shared_pools):
    bounded = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    bounded(given(tree=trees(len(nested.JOINS), kinds, size))(check))()
