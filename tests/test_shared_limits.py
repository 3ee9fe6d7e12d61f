"""`Limit`: shared by functions, reentrant for signal handlers, aware of forks."""

import asyncio
import concurrent.futures
import copy
import os
import pickle
import signal
import sys
import threading

import pytest

import parallelize
from async_tasks import waits_for_itself
from parallelize import (
    Limit,
    ProcessPoolExecutor,
    SerialExecutor,
    TaskGroup,
    ThreadPoolExecutor,
    gather,
    interpreted,
    threaded,
    wait,
)
from tasks import identity

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as executor:
        yield executor


class Most:
    """Counts how many are inside at once."""

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = self.seen = 0

    def __enter__(self):
        with self._lock:
            self._inside += 1
            self.seen = max(self.seen, self._inside)

    def __exit__(self, *_):
        with self._lock:
            self._inside -= 1


def test_functions_share_one(pool):
    most, limit = Most(), Limit(2)
    with ThreadPoolExecutor(4) as other:

        def work(n):
            with most:
                threading.Event().wait(0.002)
                return n

        one = threaded(executor=pool, limit=limit)(work)
        two = threaded(executor=other)(work).options(limit=limit)
        made = [f(n) for n in range(20) for f in (one, two)]
        assert sum(gather(*made).result(30)) == 2 * sum(range(20))
    assert most.seen == 2


def test_each_function_has_its_own_for_a_number(pool):
    go = threading.Event()
    decorate = threaded(executor=pool, limit=1)
    one, two = decorate(lambda: go.wait(10)), decorate(lambda: 3)
    waits = one()
    assert two().result(10) == 3
    go.set()
    assert waits.result(10)


def test_copies_share_it(pool):
    go, limit = threading.Event(), Limit(1)
    one = threaded(executor=pool, limit=limit)(lambda: go.wait(10))
    other = threaded(executor=pool)(identity).options(limit=limit).options(retries=1)
    first, second = one(), other(3)
    free = other.options(limit=None)(4)
    assert free.result(10) == 4
    assert not second.done()
    go.set()
    assert (first.result(10), second.result(10)) == (True, 3)


def test_executors_of_several_kinds_share_one(pool):
    limit = Limit(1)
    with ProcessPoolExecutor(1) as processes, SerialExecutor() as serial:
        places = (pool, processes, serial)
        functions = [threaded(executor=e, limit=limit)(identity) for e in places]
        made = [f(n) for n in range(5) for f in functions]
        assert [each.result(30) for each in made] == [
            n for n in range(5) for _ in "abc"
        ]
        assert list(functions[0].map(range(9))) == list(range(9))
        assert list(functions[1].map(range(9))) == list(range(9))


def test_a_thread_waits_for_a_process_under_the_same_limit(pool):
    limit = Limit(1)
    with ProcessPoolExecutor(1) as processes:
        inner = threaded(executor=processes, limit=limit)(identity)
        outer = threaded(executor=pool, limit=limit)(lambda n: inner(n).result() + 1)
        assert outer(3).result(30) == 4
        assert gather(outer(1), outer(2), inner(3)).result(30) == [2, 3, 3]


def test_a_serial_call_waits_for_a_thread_under_the_same_limit(pool):
    limit = Limit(1)
    with SerialExecutor() as serial:
        inner = threaded(executor=pool, limit=limit)(identity)
        for wait_for in (
            lambda future: future.result(),
            lambda future: wait([future]).done.pop().result(),
            lambda future: gather(future).result()[0],
        ):
            outer = threaded(executor=serial, limit=limit)(
                lambda n, wait_for=wait_for: wait_for(inner(n)) + 1
            )
            assert outer(3).result(10) == 4
        assert outer.options(executor=pool)(3).result(10) == 4


def test_places_are_given_in_the_order_of_arrival(pool):
    go, seen, limit = threading.Event(), [], Limit(1)
    hold = threaded(executor=pool, limit=limit)(lambda: go.wait(10))
    note = [threaded(executor=pool, limit=limit)(seen.append) for _ in range(3)]
    made = [hold()] + [note[n % 3](n) for n in range(60)]
    go.set()
    assert not wait(made, 10).not_done
    assert seen == list(range(60))


def test_short_calls_that_travel_together_have_a_limit_too():
    with ProcessPoolExecutor(1) as processes:
        one = threaded(executor=processes, limit=20)(identity)
        made = [one(n) for n in range(200)]
        assert gather(*made).result(30) == list(range(200))


def test_what_is_cancelled_while_it_waits_takes_no_place(pool):
    go = threading.Event()
    one = threaded(executor=pool, limit=1)(lambda x: x and go.wait(10))
    first, *others = [one(n == 0) for n in range(10)]
    assert all(each.cancel() for each in others[:-1])
    go.set()
    assert others[-1].result(10) is False
    assert first.result(10)


@pytest.mark.parametrize(
    ("count", "error", "says"),
    [
        (0, ValueError, "count must be at least 1"),
        (-3, ValueError, "count must be at least 1"),
        (1.5, TypeError, "count must be a whole number"),
        ("2", TypeError, "count must be a whole number"),
        (True, TypeError, "count must be a whole number"),
        (None, TypeError, "count must be a whole number"),
    ],
)
def test_bad_counts(count, error, says):
    with pytest.raises(error, match=says):
        Limit(count)


@pytest.mark.parametrize("limit", ["2", 1.5, [], Limit, True])
def test_bad_limits(limit):
    with pytest.raises(
        TypeError, match="limit must be a whole number, a Limit or None"
    ):
        threaded(limit=limit)
    with pytest.raises(TypeError, match="limit must be"):
        threaded(identity).options(limit=limit)


def test_it_tells_how_it_stands(pool):
    limit, go = Limit(2), threading.Event()
    assert repr(limit) == "<Limit of 2: 0 running, 0 waiting>"
    one = threaded(executor=pool, limit=limit)(lambda: go.wait(10))
    made = [one() for _ in range(5)]
    assert repr(limit) == "<Limit of 2: 2 running, 3 waiting>"
    go.set()
    assert not wait(made, 10).not_done
    assert limit.count == 2
    assert parallelize.Limit is Limit


def test_a_copy_is_a_limit_of_its_own(pool):
    limit, go = Limit(1), threading.Event()
    holder = threaded(executor=pool, limit=limit)(lambda: go.wait(10))()
    for made in (pickle.loads(pickle.dumps(limit)), copy.deepcopy(limit)):
        assert made is not limit
        assert threaded(executor=pool, limit=made)(identity)(3).result(10) == 3
    one, same = pickle.loads(pickle.dumps((limit, limit)))
    assert one is same
    go.set()
    assert holder.result(10)


# ------------------------------------------------------------------ signal handlers


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_a_signal_handler_makes_limited_calls(pool):
    limit, made = Limit(1), []
    one = threaded(executor=pool, limit=limit)(identity)
    before = signal.signal(signal.SIGALRM, lambda *_: made.append(one(0)))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        made += [one(n) for n in range(3000)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(made) > 3000
    assert not wait(made, 60).not_done


def test_a_handler_in_any_step_of_a_limited_call(pool):
    """Between any two lines of `Limit` another call of it is made."""
    limit, made = Limit(1), []
    one = threaded(executor=pool, limit=limit)(identity)
    busy = [False]

    def each_line(frame, event, _):
        if frame.f_code.co_qualname.startswith("Limit."):
            if not busy[0]:
                busy[0] = True
                made.append(one(1))
                busy[0] = False
            return each_line
        return None

    sys.settrace(each_line)
    try:
        made += [one(0) for _ in range(30)]
    finally:
        sys.settrace(None)
    assert len(made) > 100
    assert not wait(made, 60).not_done
    assert one(3).result(10) == 3


# ----------------------------------------------------------------------------- forks


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_finds_it_empty():
    limit, go = Limit(1), threading.Event()

    def call(function, *args):
        with ThreadPoolExecutor(1) as pool:
            return threaded(executor=pool, limit=limit)(function)(*args).result(10)

    pool = ThreadPoolExecutor(1)
    one = threaded(executor=pool, limit=limit)(lambda: go.wait(10))
    holder, waits = one(), one()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if call(identity, 3) == 3 and call(identity, 4) == 4 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert repr(limit) == "<Limit of 1: 1 running, 1 waiting>"
    go.set()
    assert holder.result(10)
    assert waits.result(10)
    pool.shutdown()


# ---------------------------------------------------------------------- coroutines


def test_a_coroutine_awaits_itself_in_a_process():
    with ProcessPoolExecutor(2) as executor:
        function = waits_for_itself.options(executor=executor)
        assert function(6).result(30) == 6
        assert gather(*[function(4) for _ in range(5)]).result(30) == [4] * 5


def test_a_coroutine_awaits_itself(pool):
    async def count(n):
        return 0 if not n else 1 + await one(n - 1)

    one = decorated(pool, count)
    assert one(6).result(30) == 6
    assert gather(*[one(4) for _ in range(5)]).result(30) == [4] * 5


def decorated(pool, coroutine, limit=1):
    return threaded(executor=pool, limit=limit)(coroutine)


def test_by_a_detour_over_functions_without_a_limit(pool):
    async def limited(n):
        return 0 if not n else 1 + await free(n)

    async def detour(n):
        return await plain(n)

    def in_a_thread(n):
        return first(n - 1).result()

    first = decorated(pool, limited)
    free, plain = decorated(pool, detour, None), decorated(pool, in_a_thread, None)
    assert first(5).result(30) == 5


def test_two_that_share_a_limit_await_each_other(pool):
    limit = Limit(1)

    async def even(n):
        return True if not n else await odds(n - 1)

    async def odd(n):
        return False if not n else await evens(n - 1)

    evens, odds = decorated(pool, even, limit), decorated(pool, odd, limit)
    assert evens(8).result(30) is True
    assert odds(8).result(30) is False


@pytest.mark.parametrize("how", ["gather", "group", "task", "map"])
def test_in_whatever_way_it_is_awaited(pool, how):
    async def count(n):
        if not n:
            return 1
        if how == "gather":
            return sum(await asyncio.gather(one(n - 1), one(n - 1)))
        if how == "task":
            return await asyncio.create_task(awaited(one(n - 1)))
        if how == "map":
            return sum([each async for each in one.map([n - 1, n - 1])])
        async with TaskGroup() as group:
            made = [group.start(one, n - 1) for _ in range(2)]
        return sum([each.result() for each in made])

    one = decorated(pool, count)
    assert one(3).result(30) == (1 if how == "task" else 8)


async def awaited(future):
    return await future


def test_the_circle_may_be_closed_by_what_was_waited_for_all_along(pool):
    """The inner call comes to the limit when the outer one waits for it already."""
    limit, go = Limit(1), parallelize.Future()
    inner = threaded(executor=pool, limit=limit)(identity)
    outer = threaded(executor=pool, limit=limit)(lambda: inner(go).result())
    waits = outer()
    while not waits.running() or not inside(pool):
        threading.Event().wait(0.001)
    go.set_result(3)
    assert waits.result(10) == 3


def inside(pool):
    return any(worker.waits for worker in pool._engine.workers())


def test_it_holds_where_no_call_waits_for_itself(pool):
    most = Most()

    async def work(n):
        with most:
            await asyncio.sleep(0.001)
        return n

    one = decorated(pool, work, 3)
    assert gather(*map(one, range(50))).result(30) == list(range(50))
    assert most.seen == 3


# ------------------------------------------------- where no pool of ours knows the wait


@pytest.fixture
def foreign():
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        yield executor


def test_calls_on_a_foreign_pool_wait_for_themselves(foreign):
    @threaded(executor=foreign, limit=1)
    def f(n):
        return 0 if n == 0 else f(n - 1).result() + 1

    @threaded(executor=foreign, limit=1)
    async def g(n):
        return 0 if n == 0 else await g(n - 1) + 1

    assert f(3).result(20) == g(3).result(20) == 3


def test_a_call_on_a_foreign_pool_waits_for_a_thread_under_the_same_limit(
    foreign, pool
):
    limit = Limit(1)
    inner = threaded(executor=pool, limit=limit)(identity)

    def waits(n):
        return inner(n).result() + 1

    async def awaits(n):
        return await inner(n) + 1

    for fn in waits, awaits:
        assert threaded(executor=foreign, limit=limit)(fn)(3).result(20) == 4


def test_a_serial_coroutine_awaits_itself_while_a_loop_runs():
    with SerialExecutor() as serial:

        @threaded(executor=serial, limit=1)
        async def f(n):
            return 0 if n == 0 else await f(n - 1) + 1

        @threaded(executor=serial)
        async def ends_it():
            serial.shutdown(wait=True)

        async def main():
            count = await f(3)
            await ends_it()
            return count

        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            assert thread.submit(asyncio.run, main()).result(20) == 3


def test_a_serial_coroutine_awaits_a_thread_under_the_same_limit(pool):
    limit = Limit(1)
    inner = threaded(executor=pool, limit=limit)(identity)

    async def awaits(n):
        return await inner(n) + 1

    with SerialExecutor() as serial:
        outer = threaded(executor=serial, limit=limit)(awaits)
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            assert thread.submit(lambda: outer(3).result()).result(20) == 4


@pytest.mark.skipif(sys.version_info < (3, 14), reason="there are no interpreters")
def test_in_an_interpreter_calls_wait_for_themselves():
    try:
        assert limited_in_interpreter(3).result(20) == 3
        assert limited_async_in_interpreter(3).result(20) == 3
    finally:
        parallelize.shutdown()


@interpreted(limit=1)
def limited_in_interpreter(n):
    return 0 if n == 0 else limited_in_interpreter(n - 1).result() + 1


@interpreted(limit=1)
async def limited_async_in_interpreter(n):
    return 0 if n == 0 else await limited_async_in_interpreter(n - 1) + 1
