"""The end of one future ends others, however many: nothing of that nests."""

import asyncio
import gc
import threading
import time
import traceback
import weakref
from concurrent.futures import CancelledError
from concurrent.futures import ThreadPoolExecutor as StandardPool

import pytest

from parallelize import (
    Future,
    ProcessPoolExecutor,
    SerialExecutor,
    TaskGroup,
    TaskKilled,
    TaskTimeout,
    ThreadPoolExecutor,
    as_completed,
    gather,
    threaded,
    wait,
)
from parallelize.registry.kinds import adapt
from tasks import Refusal, refuse
from tasks import identity as same

LONG = 2000  # much more than Python's stack has room for

POOLS = {
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(1),
}


@pytest.fixture(params=[*POOLS, "foreign"])
def pool(request):
    if request.param == "foreign":
        with StandardPool(1) as theirs:
            yield adapt(theirs)
        return
    with POOLS[request.param]() as executor:
        yield executor


def chain(pool, first, length=LONG):
    made = []
    for _ in range(length):
        first = pool.submit(same, first)
        made.append(first)
    return made


def test_a_failure_ends_all_that_wait_for_it(pool):
    first = Future()
    made = chain(pool, first)
    error = LookupError("the first")
    first.set_exception(error)
    assert all(each.exception(10) is error for each in made)
    assert error.__context__ is None
    assert error.__cause__ is None


def test_reading_all_of_them_does_not_make_the_error_grow(pool):
    first = Future()
    made = chain(pool, first, 200)
    first.set_exception(LookupError("the first"))
    whole = gather(*made)
    for each in [*made, whole, *reversed(made)]:
        with pytest.raises(LookupError) as caught:
            each.result(10)
    assert len(traceback.format_exception(caught.value)) < 20
    for _ in range(50):  # and where what is read is waited for by the next
        each = pool.submit(same, each)
        with pytest.raises(LookupError) as caught:
            each.result(10)
    assert len(traceback.format_exception(caught.value)) < 20


def test_the_traceback_tells_where_a_call_failed(pool):
    for _ in range(3):
        with pytest.raises(Refusal) as caught:
            failed = pool.submit(refuse, 3)
            failed.result(10)
        told = "".join(traceback.format_exception(caught.value))
        assert "in refuse" in told
        with pytest.raises(Refusal) as again:
            failed.result(10)
        assert "in refuse" in "".join(traceback.format_exception(again.value))


def test_so_does_a_cancellation(pool):
    first = Future()
    made = chain(pool, first)
    assert first.cancel()
    for each in made:
        assert isinstance(error_of(each), CancelledError)


def error_of(future):
    try:
        return future.exception(10)
    except CancelledError as error:
        return error


def test_a_value_goes_through_all(pool):
    first = Future()
    made = chain(pool, first, 300 if pool.kind == "processes" else LONG)
    first.set_result("the value")
    assert made[-1].result(60) == "the value"


def test_a_deadline_and_a_death_do_likewise():
    go = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        slow = threaded(timeout=0.05, executor=threads)(lambda: go.wait(10))
        made = chain(threads, slow())
        assert isinstance(made[-1].exception(10), TaskTimeout)
        go.set()
    with ProcessPoolExecutor(1) as processes:
        first = processes.submit(time.sleep, 100)
        made = chain(processes, first)
        assert first.kill()
        with pytest.raises((TaskKilled, CancelledError)):
            made[-1].result(30)


def test_a_call_that_is_killed_as_it_begins_leaves_its_worker():
    """In whatever moment between its being sent and its running that is."""
    pause = threading.Event()
    for moment in range(15):
        with ProcessPoolExecutor(1) as processes:
            first = processes.submit(time.sleep, 1000)
            while not first.running():
                pause.wait(0.001)
            pause.wait(0.003 * moment)
            assert first.kill()
            with pytest.raises(TaskKilled):
                first.result(30)


def test_serial_calls_that_wait_for_one_elsewhere():
    first = Future()
    threading.Timer(0.05, first.set_exception, [LookupError()]).start()
    with SerialExecutor() as serial:
        made = chain(serial, first)
    assert isinstance(made[-1].exception(), LookupError)


def test_what_waits_is_found_by_every_wait():
    for look in (
        lambda last: last.exception(10),
        lambda last: wait([last], 10),
        lambda last: list(as_completed([last], 10)),
        lambda last: gather(last).exception(10),
        lambda last: asyncio.run(awaited(last)),
    ):
        with ThreadPoolExecutor(2) as pool:
            first = Future()
            made = chain(pool, first)
            threading.Timer(0.02, first.set_exception, [LookupError()]).start()
            look(made[-1])
            assert isinstance(made[-1].exception(10), LookupError)


async def awaited(future):
    with pytest.raises(LookupError):
        await future


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_waits_for_the_last_one(workers):
    with ThreadPoolExecutor(workers) as pool:
        first = Future()

        def last():
            future = chain(pool, first)[-1]
            first.set_result(3)
            return future.result()

        assert pool.submit(last).result(60) == 3


def test_the_last_one_can_be_cancelled_and_killed():
    with ThreadPoolExecutor(1) as pool:
        first = Future()
        made = chain(pool, first)
        assert made[-1].cancel()
        assert made[-2].kill()
        first.cancel()
        assert isinstance(error_of(made[-3]), CancelledError)


@pytest.mark.parametrize("how", ["succeeds", "fails", "is cancelled"])
def test_gathers_in_gathers(how):
    first = Future()
    made = [first]
    for _ in range(LONG):
        made.append(gather(made[-1]))
    if how == "succeeds":
        first.set_result(3)
        value = made[-1].result(10)
        for _ in range(LONG):
            [value] = value
        assert value == 3
    elif how == "fails":
        error = LookupError()
        first.set_exception(error)
        assert all(each.exception() is error for each in reversed(made))
    else:
        first.cancel()
        with pytest.raises(CancelledError):
            made[-1].result(10)


@pytest.mark.parametrize("stop", [Future.cancel, Future.kill])
def test_to_stop_the_outermost_gather_stops_the_innermost(stop):
    del stop  # by its name, as gathers have their own
    first = whole = Future()
    for _ in range(LONG):
        whole = gather(whole)
    assert whole.cancel()
    assert first.cancelled()


def test_gathers_that_share_what_they_gather():
    first = whole = Future()
    for _ in range(100):
        whole = gather(whole, whole)
    first.set_result(3)
    value = whole.result(10)
    for _ in range(100):
        value = value[1]
    assert value == 3


def test_a_deep_gather_is_awaited():
    first = whole = Future()
    for _ in range(LONG):
        whole = gather(whole)
    first.set_result(3)

    async def main():
        return await whole

    assert len(asyncio.run(main())) == 1


def test_a_group_of_a_chain():
    with ThreadPoolExecutor(2) as pool:
        first = Future()
        with pytest.raises(LookupError), TaskGroup() as group:
            last = first
            for _ in range(LONG):
                last = group.start(pool.submit, same, last)
            first.set_exception(LookupError())
        assert last.done()


def test_streams_and_maps_over_the_last_one():
    @threaded
    def items(x):
        yield x

    with ThreadPoolExecutor(2) as pool:
        first = Future()
        made = chain(pool, first)
        stream, mapped = items(made[-1]), threaded(same).map([made[-1]])
        first.set_exception(LookupError())
        with pytest.raises(LookupError):
            list(stream)
        with pytest.raises(LookupError):
            list(mapped)


def test_proxies_of_proxies():
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(same, 3)
        for _ in range(LONG):
            last = pool.submit(same, last.proxy())
        assert last.proxy() + 1 == 4


# ----------------------------------------------------------------- users' callbacks


def test_callbacks_that_end_other_futures():
    futures = [Future() for _ in range(LONG)]
    for one, other in zip(futures, futures[1:], strict=False):
        one.add_done_callback(lambda _, other=other: other.set_result(1))
    futures[0].set_result(1)
    assert all(each.done() for each in futures)  # before it has returned


def test_callbacks_that_add_callbacks_to_what_has_ended():
    left, future = [LONG], Future()
    future.set_result(1)

    def again(future):
        left[0] -= 1
        if left[0]:
            future.add_done_callback(again)

    future.add_done_callback(again)
    assert left == [0]


def test_callbacks_have_run_when_the_end_was_set_even_in_a_callback():
    outer, inner, seen = Future(), Future(), []
    inner.add_done_callback(lambda _: seen.append("inner"))

    def end_inner(_):
        inner.set_result(1)
        seen.append("outer")

    outer.add_done_callback(end_inner)
    outer.add_done_callback(lambda _: seen.append("second"))
    outer.set_result(1)
    assert seen == ["inner", "outer", "second"]


def test_callbacks_of_one_future_keep_their_order_however_deep():
    seen = []

    def end(futures):
        future, *others = futures
        for n in range(3):
            future.add_done_callback(lambda _, n=n: seen.append((len(others), n)))
        if others:
            future.add_done_callback(lambda _: end(others))
        future.set_result(1)

    end([Future() for _ in range(20)])
    for depth in range(20):
        assert [n for d, n in seen if d == depth] == [0, 1, 2]


def test_a_callback_may_wait_for_what_callbacks_behind_it_start():
    """Also where these are of the very same future."""
    with ThreadPoolExecutor(2) as pool:
        first, seen = Future(), []
        made = []
        first.add_done_callback(lambda _: seen.append(made[0].result(10)))
        made.append(pool.submit(same, first))
        first.set_result(5)
        assert seen == [5]


def test_a_callback_that_is_nested_deeply_may_wait_as_well():
    with ThreadPoolExecutor(2) as pool:
        futures = [Future() for _ in range(12)]
        for one, other in zip(futures, futures[1:], strict=False):
            one.add_done_callback(lambda _, other=other: other.set_result(2))
        last = Future()
        depending = pool.submit(same, last)
        seen = []

        def end_and_wait(_):
            last.set_result(7)
            seen.append(depending.result(10))

        futures[-1].add_done_callback(end_and_wait)
        futures[0].set_result(1)
        assert seen == [7]


def test_the_chain_holds_nothing_that_has_ended():
    class Big:
        pass

    with ThreadPoolExecutor(1) as pool:
        first, go = Future(), threading.Event()
        second = pool.submit(lambda x: x, first)
        last = pool.submit(lambda _: go.wait(10), second)
        big = Big()
        gone = weakref.ref(big)
        first.set_result(big)
        second.result(10)
        del big, first, second
        go.set()
        assert last.result(10)
        gc.collect()
        assert gone() is None


# ----------------------------------------------------------------------- limits


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_calls_that_wait_in_a_limit_end_where_none_can_start(kind):
    executor = POOLS[kind]()
    go = threading.Event()
    one = threaded(executor=executor, limit=1)(go.wait if kind == "threads" else same)
    first = Future()
    holder = one(10) if kind == "threads" else one(first)
    made = [one(first) for _ in range(2)] + [one(0) for _ in range(LONG)]
    executor.shutdown(wait=False, cancel_futures=True)
    go.set()
    first.cancel()
    assert not wait([holder, *made], 30).not_done
    assert list(map(error_of, made)) != [None] * len(made)
    executor.shutdown()


def test_calls_end_where_the_initializer_fails():
    go = threading.Event()

    def fail():
        go.wait(10)
        raise LookupError

    executor = ThreadPoolExecutor(1, initializer=fail)
    one = threaded(executor=executor, limit=2)(same)
    made = [one(n) for n in range(LONG)]
    go.set()
    assert not wait(made, 30).not_done
    assert None not in list(map(error_of, made))
    executor.shutdown()


def test_arguments_that_cannot_be_pickled_leave_the_place_free():
    with ProcessPoolExecutor(1) as pool:
        one = threaded(executor=pool, limit=1)(same)
        first = Future()
        made = [one([first, n]) for n in range(50)]
        first.set_result(threading.Lock())
        assert not wait(made, 30).not_done
        assert None not in list(map(error_of, made))
        assert one(3).result(10) == 3


def test_a_call_whose_start_fails_gives_its_place_back(monkeypatch):
    from parallelize.threads.tasks import ThreadCall

    with ThreadPoolExecutor(1) as pool:
        one = threaded(executor=pool, limit=1)(same)
        start = ThreadCall.start
        monkeypatch.setattr(ThreadCall, "start", lambda _: 1 / 0)
        failed = one(1)
        waits = pool.submit(same, first := Future())
        monkeypatch.setattr(ThreadCall, "start", start)
        assert isinstance(failed.exception(10), ZeroDivisionError)
        assert one(2).result(10) == 2
        first.set_result(3)
        assert waits.result(10) == 3


def test_a_step_of_ours_that_fails_fails_the_call_that_waits_for_it(monkeypatch):
    from parallelize.threads.tasks import ThreadCall

    with ThreadPoolExecutor(1) as pool:
        first = Future()
        waits = pool.submit(same, first)
        monkeypatch.setattr(ThreadCall, "start", lambda _: 1 / 0)
        first.set_result(1)
        assert isinstance(waits.exception(10), ZeroDivisionError)
