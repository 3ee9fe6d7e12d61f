"""gather: one future of the results of many."""

import asyncio
import concurrent.futures
import gc
import weakref

import pytest

import tasks
from parallelize import (
    CancelledError,
    Future,
    TaskKilled,
    ThreadPoolExecutor,
    as_completed,
    gather,
    shutdown,
    threaded,
    wait,
)
from parallelize.futures.future import Outcome
from support.futures import done, failed, running


@pytest.fixture(autouse=True)
def fresh():
    """No test sees another's pools."""
    yield
    shutdown()


class Counted(Outcome):
    """An outcome that counts how often it is opened."""

    def __init__(self, value=None, error=None):
        self.times, self.value, self.error = 0, value, error

    @property
    def failed(self):
        return self.error is not None

    def open(self):
        self.times += 1
        return self.value, self.error


def test_gather_keeps_the_order():
    first, second = Future(), Future()
    both = gather(first, second)
    second.set_result(2)
    assert not both.done()
    first.set_result(1)
    assert both.result() == [1, 2]


@pytest.mark.parametrize("wrong", [[], [done(1)], 3, None])
def test_gather_takes_futures_one_by_one(wrong):
    future = Future()
    with pytest.raises(TypeError, match=r"gather\(\*futures\)"):
        gather(future, wrong)
    assert future._callbacks is None


def test_gather_nothing():
    assert gather().result() == []


def test_gather_fails_with_the_first():
    first, second = Future(), Future()
    both = gather(first, second)
    second.set_exception(LookupError())
    with pytest.raises(LookupError):
        both.result(timeout=0)
    first.set_result(1)


def test_gather_errors_as_items():
    error = LookupError()
    cancelled = Future()
    cancelled.cancel()
    items = gather(done(1), failed(error), cancelled, return_exceptions=True).result()
    assert items[:2] == [1, error]
    assert isinstance(items[2], CancelledError)


def test_gather_of_other_libraries_futures():
    theirs = concurrent.futures.Future()
    both = gather(theirs, done(2))
    theirs.set_result(1)
    assert both.result(20) == [1, 2]


def test_gather_of_the_same_future():
    future = Future()
    both = gather(future, future)
    future.set_result(3)
    assert both.result(0) == [3, 3]


def test_gather_of_gathers():
    futures = [Future() for _ in range(4)]
    whole = gather(gather(*futures[:2]), gather(*futures[2:], return_exceptions=True))
    error = LookupError()
    for number, future in enumerate(futures[:3]):
        future.set_result(number)
    futures[3].set_exception(error)
    assert whole.result(0) == [[0, 1], [2, error]]


def test_gather_in_a_gather_fails():
    first, second = Future(), Future()
    whole = gather(gather(first), second)
    first.set_exception(LookupError())
    with pytest.raises(LookupError):
        whole.result(0)


def test_gather_that_fails_leaves_the_others_alone():
    first, second = running(), Future()
    whole = gather(first, second)
    first.set_exception(LookupError())
    assert whole.done()
    assert not second.done()
    second.set_exception(KeyError())
    with pytest.raises(LookupError):
        whole.result(0)


def test_gather_of_a_cancelled_future_is_not_cancelled_itself():
    future = Future()
    whole = gather(future, Future())
    future.cancel()
    assert not whole.cancelled()
    with pytest.raises(CancelledError):
        whole.result(0)
    assert isinstance(whole.exception(0), CancelledError)


def test_cancelling_a_gather_cancels_what_has_not_begun():
    waits, works, ended = Future(), running(), done(1)
    whole = gather(waits, works, ended)
    assert not whole.running()
    assert whole.cancel()
    assert whole.cancelled()
    assert waits.cancelled()
    assert works.running()
    works.set_result(1)
    assert ended.result(0) == 1
    assert whole.cancel()


def test_a_gather_that_has_ended_cannot_be_cancelled():
    whole = gather(done(1))
    assert not whole.cancel()
    assert not whole.kill()
    assert whole.result(0) == [1]


def test_cancelling_a_gather_of_gathers():
    futures = [Future() for _ in range(3)]
    assert gather(gather(*futures[:2]), futures[2]).cancel()
    assert all(future.cancelled() for future in futures)


def test_killing_a_gather_kills_what_runs(make_latch):
    from parallelize import ProcessPoolExecutor

    latches = make_latch(), make_latch()
    with ProcessPoolExecutor(2) as pool:
        futures = [pool.submit(tasks.hold, latch.folder) for latch in latches]
        for latch in latches:
            latch.wait_begun()
        whole = gather(*futures, pool.submit(tasks.double, 1))
        assert whole.kill()
        assert whole.cancelled()
        for future in futures:
            assert isinstance(future.exception(30), TaskKilled)


def test_who_awaits_a_gather_and_is_cancelled_cancels_it():
    async def main():
        future = Future()
        task = asyncio.ensure_future(wrapped(gather(future)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()

    async def wrapped(future):
        await future

    asyncio.run(main())


def test_gather_can_be_awaited():
    double = threaded(tasks.double)

    async def main():
        return await gather(double(1), gather(double(2)))

    assert asyncio.run(main()) == [2, [4]]


def test_gather_opens_nothing_before_it_is_read():
    outcomes = Counted(1), Counted(2), Counted(error=LookupError())
    futures = running(), running(), running()
    good, bad = gather(*futures[:2]), gather(*futures)
    kept = gather(*futures, return_exceptions=True)
    for future, outcome in zip(futures, outcomes, strict=True):
        future._set_outcome(outcome, failed=outcome.failed)
    assert good.done() and bad.done() and kept.done()
    assert [outcome.times for outcome in outcomes] == [0, 0, 0]
    assert good.result(0) == [1, 2]
    with pytest.raises(LookupError):
        bad.result(0)
    assert kept.result(0)[:2] == [1, 2]
    assert [outcome.times for outcome in outcomes] == [1, 1, 1]


def test_gather_of_what_shows_to_be_an_error_when_it_is_opened():
    future = running()
    whole = gather(done(1), future)

    class Sealed(Outcome):
        def open(self):
            return None, LookupError()

    future._set_outcome(Sealed(), failed=False)
    with pytest.raises(LookupError):
        whole.result(0)


@pytest.mark.parametrize("threads", [1, 2])
def test_gather_in_a_small_pool(threads):
    with ThreadPoolExecutor(threads) as pool:

        def leaves(depth):
            if not depth:
                return 1
            below = [pool.submit(leaves, depth - 1) for _ in range(3)]
            return sum(gather(*below).result())

        assert pool.submit(leaves, 4).result(50) == 81


def test_wait_and_as_completed_take_gathers():
    first, second = Future(), Future()
    one, two = gather(first), gather(second)
    second.set_result(2)
    assert wait([one, two], 0) == ({two}, {one})
    first.set_result(1)
    assert {future.result(0)[0] for future in as_completed([one, two], 0)} == {1, 2}


def test_a_gather_lets_go_of_its_members():
    class Value:
        pass

    future = Future()
    whole = gather(future, return_exceptions=True)
    value = Value()
    seen = weakref.ref(value)
    future.set_result(value)
    del future, value
    whole.result(0)
    del whole
    gc.collect()
    assert seen() is None


def test_a_gather_as_an_argument():
    whole = gather(failed(LookupError()))
    with pytest.raises(LookupError):
        threaded(tasks.identity)(whole).result(30)
    assert threaded(tasks.identity)(gather(done(1))).result(30) == [1]
