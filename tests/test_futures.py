"""The Future by itself: states, waiting, callbacks."""

import asyncio
import concurrent.futures
import gc
import pickle
import threading
import weakref
from concurrent.futures import CancelledError, InvalidStateError, as_completed

import pytest

import tasks
from parallelize.futures.future import Failure, Future, Outcome
from parallelize.futures.wait import wait
from support.futures import done, failed, running


class Opened(Outcome):
    """An outcome that counts how often it is opened."""

    def __init__(self, value=None, error=None):
        self.times = 0
        self._value, self._error = value, error

    def open(self):
        self.times += 1
        if self._error is not None:
            return None, self._error(3)
        return self._value, None


# --------------------------------------------------------------------- states


def test_a_new_future_is_pending():
    future = Future()
    assert not future.done()
    assert not future.running()
    assert not future.cancelled()
    assert "pending" in repr(future)


def test_its_text_is_that_of_the_standard_librarys():
    theirs = [concurrent.futures.Future() for _ in range(4)]
    theirs[1].set_running_or_notify_cancel()
    theirs[2].set_result([1])
    theirs[3].set_exception(KeyError())
    ours = [Future(), running(), done([1]), failed(KeyError())]
    for future, other in zip(ours, theirs, strict=True):
        assert repr(future) == repr(other).replace(hex(id(other)), hex(id(future)))


def test_its_text_opens_nothing():
    future, outcome = Future(), Opened(1)
    future._set_outcome(outcome, failed=False)
    assert repr(future) == f"<Future at {id(future):#x} state=finished>"
    assert not outcome.times


def test_running():
    future = running()
    assert future.running()
    assert not future.cancel()
    assert not future.kill()
    with pytest.raises(RuntimeError, match="in unexpected state"):
        future.set_running_or_notify_cancel()


def test_done():
    future = done(5)
    assert future.done()
    assert not future.running()
    assert future.result(timeout=0) == 5
    assert future.exception(timeout=0) is None


@pytest.mark.parametrize(
    "end", [lambda f: f.set_result(1), lambda f: f.set_exception(OSError())]
)
@pytest.mark.parametrize("first", [lambda f: f.set_result(0), lambda f: f.cancel()])
def test_a_future_ends_once(first, end):
    future = Future()
    first(future)
    with pytest.raises(InvalidStateError):
        end(future)
    assert not future._set_outcome(Failure(OSError()), failed=True)


def test_cancelled():
    future = Future()
    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    assert not future.set_running_or_notify_cancel()
    with pytest.raises(CancelledError):
        future.result()
    with pytest.raises(CancelledError):
        future.exception()


def test_a_failed_one_raises_the_very_error():
    error = LookupError("what")
    future = failed(error)
    assert future.exception() is error
    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            future.result()
        assert caught.value is error


# ------------------------------------------------------------------- outcomes


def test_an_outcome_is_opened_by_the_first_reader_alone():
    outcome = Opened(value=5)
    future = running()
    assert future._set_outcome(outcome, failed=False)
    assert future.done()
    assert outcome.times == 0
    assert [future.result(), future.result(), future.exception()] == [5, 5, None]
    assert outcome.times == 1


def test_an_outcome_may_turn_out_to_be_an_error():
    future = running()
    future._set_outcome(Opened(error=SystemExit), failed=False)
    assert isinstance(future.exception(), SystemExit)
    with pytest.raises(SystemExit):
        future.result()


def test_an_outcome_that_never_opens_harms_its_reader_alone():
    future, other = running(), running()
    hanging, go = threading.Event(), threading.Event()

    class Hanging(Outcome):
        def open(self):
            hanging.set()
            return go.wait(20), None

    future._set_outcome(Hanging(), failed=False)
    reader = threading.Thread(target=future.result)
    reader.start()
    assert hanging.wait(20)
    other.set_result(1)
    assert other.result() == 1
    assert future.done()
    go.set()
    reader.join(20)


@pytest.mark.parametrize(
    "outcome",
    [
        lambda: Opened(error=tasks.Refusal),
        lambda: Failure(tasks.Refusal(2)),
    ],
)
def test_an_opened_error_makes_no_reference_cycle(outcome):
    def read(future):
        try:
            future.result()
        except tasks.Refusal:
            del future  # an error holds all frames it was raised under

    gc.collect()
    gc.disable()
    try:
        future = running()
        future._set_outcome(outcome(), failed=True)
        read(future)
        gone = weakref.ref(future.exception())
        del future
        assert gone() is None
    finally:
        gc.enable()


# -------------------------------------------------------------------- waiting


def test_result_waits():
    future = running()
    found = []
    reader = threading.Thread(target=lambda: found.append(future.result()))
    reader.start()
    future.set_result(5)
    reader.join(20)
    assert found == [5]


def test_a_timeout_of_any_size():
    future = running()
    with pytest.raises(TimeoutError):
        future.result(0)
    with pytest.raises(TimeoutError):
        future.result(-1)
    future.set_result(1)
    assert future.result(1e300) == 1
    assert future.result(float("inf")) == 1


def test_a_cancel_wakes_who_waits():
    future = Future()
    begun = threading.Event()
    found = []

    def read():
        begun.set()
        try:
            future.result()
        except CancelledError as error:
            found.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    begun.wait(20)
    future.cancel()
    reader.join(20)
    assert len(found) == 1


def test_kill_asks_the_call():
    class Call:
        asked = 0

        def ask_to_stop(self):
            self.asked += 1

        def kill(self):
            return True

        def kill_later(self, seconds):
            return seconds == 3

    future = running()
    future._call = Call()
    assert future.kill()
    assert future.kill(grace=3)
    assert future._call.asked == 2


@pytest.mark.parametrize("module", [concurrent.futures, None])
def test_wait_on_ended_and_cancelled_futures(module):
    wait_for = wait if module is None else module.wait
    futures = [done(1), failed(OSError()), Future()]
    futures[2].cancel()
    assert wait_for(futures).done == set(futures)
    assert set(as_completed(futures)) == set(futures)


def test_mixed_with_the_standard_librarys():
    theirs = concurrent.futures.Future()
    ours = Future()
    assert wait([theirs, ours], timeout=0).not_done == {theirs, ours}
    theirs.set_result(1)
    ours.set_result(2)
    assert {future.result() for future in as_completed([theirs, ours])} == {1, 2}


def test_wait_wakes_on_each_way_to_end():
    for end in (
        lambda f: f.set_result(1),
        lambda f: f.set_exception(OSError()),
        lambda f: f.cancel(),
        lambda f: f._set_outcome(Failure(OSError()), failed=True),
    ):
        future = Future()
        timer = threading.Timer(0.01, end, args=[future])
        timer.start()
        assert wait([future], timeout=20).done == {future}
        timer.join()


# ------------------------------------------------------------------ callbacks


def test_callbacks_of_a_cancelled_future():
    seen = []
    future = Future()
    future.add_done_callback(seen.append)
    future.cancel()
    future.cancel()
    assert seen == [future]


def test_a_callback_on_an_ended_future_runs_at_once():
    seen = []
    future = done()
    future.add_done_callback(seen.append)
    assert seen == [future]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_failing_callback_is_logged(caplog, error):
    seen = []
    future = Future()
    future.add_done_callback(lambda _: (_ for _ in ()).throw(error("oh")))
    future.add_done_callback(seen.append)
    future.set_result(1)
    assert seen == [future]
    assert "oh" in caplog.text


def test_callbacks_and_the_end_race():
    for _ in range(200):
        future, seen = Future(), []
        meet = threading.Barrier(2)

        def add(future=future, seen=seen, meet=meet):
            meet.wait()
            for _ in range(10):
                future.add_done_callback(seen.append)

        thread = threading.Thread(target=add)
        thread.start()
        meet.wait()
        future.set_result(1)
        thread.join()
        assert len(seen) == 10


def test_callbacks_are_let_go():
    class Callback:
        def __call__(self, future):
            pass

    callback = Callback()
    gone = weakref.ref(callback)
    future = Future()
    future.add_done_callback(callback)
    del callback
    future.set_result(1)
    assert gone() is None


# -------------------------------------------------------------------- asyncio


def test_await_an_ended_future():
    async def main():
        assert await done(5) == 5
        with pytest.raises(LookupError):
            await failed(LookupError())

    asyncio.run(main())


def test_cancelling_the_awaiting_task_cancels_a_call_that_has_not_begun():
    async def main():
        future = Future()

        async def reader():
            await future

        task = asyncio.ensure_future(reader())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return future

    assert asyncio.run(main()).cancelled()


def test_await_from_two_loops_at_once():
    future = running()
    ready, found = threading.Barrier(3), []

    async def main():
        waiting = asyncio.ensure_future(asyncio.wrap_future(future))
        await asyncio.sleep(0)
        await asyncio.to_thread(ready.wait)
        found.append(await waiting)

    loops = [threading.Thread(target=asyncio.run, args=[main()]) for _ in range(2)]
    for loop in loops:
        loop.start()
    ready.wait()
    future.set_result(5)
    for loop in loops:
        loop.join(20)
    assert found == [5, 5]


# --------------------------------------------------------------------- pickle


def test_a_future_does_not_travel_by_itself():
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Future())


# ----------------------------------------------------------------------- fork


def test_disown():
    future, seen = running(), []
    future.add_done_callback(seen.append)
    other = threading.Thread(target=future._fail_in_forked_child)
    with future._guard:  # as by a thread that the child does not have
        other.start()
        other.join(20)
    with pytest.raises(RuntimeError, match="parent process"):
        future.result(timeout=1)
    assert seen == []
