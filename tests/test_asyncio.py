"""Awaiting futures and reading maps in event loops of any kind."""

import asyncio
import concurrent.futures
import pickle
import sys
import threading
import time

import pytest

import tasks
from factories import emptied, make
from parallelize import (
    Future,
    TaskKilled,
    ThreadPoolExecutor,
    parallelized,
    processed,
    threaded,
    using,
)
from parallelize.threads import awake

# ------------------------------------------------------------------ whichever loop


# Of the session, for the first loop of uvloop opens pipes for all that follow.
@pytest.fixture(params=["asyncio", "uvloop"], scope="session")
def run(request):
    """Runs a coroutine in a loop of some kind."""
    if request.param == "asyncio":
        return asyncio.run
    uvloop = pytest.importorskip("uvloop")

    def run_uvloop(main):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)

    run_uvloop(asyncio.sleep(0))
    return run_uvloop


def test_await_and_async_for(executor, run):
    double = parallelized(executor)(tasks.double)

    async def main():
        with pytest.raises(tasks.Refusal):
            await parallelized(executor)(tasks.refuse)(1)
        mapped = [value async for value in double.map(range(200))]
        unordered = [v async for v in double.map(range(50), ordered=False)]
        return (
            await double(4),
            await asyncio.gather(double(1), double(2)),
            (
                mapped == [2 * n for n in range(200)],
                sorted(unordered) == [2 * n for n in range(50)],
            ),
        )

    assert run(main()) == (8, [2, 4], (True, True))


def test_run_in_executor_of_each_loop(executor, run):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(tasks.Refusal):
            await loop.run_in_executor(executor, tasks.refuse, 1)
        calls = [loop.run_in_executor(executor, tasks.double, n) for n in range(20)]
        return await asyncio.gather(*calls)

    assert run(main()) == [2 * n for n in range(20)]


def test_several_loops_at_once(concurrent, latch, run):
    held = concurrent.submit(tasks.hold, latch.folder, "shared")
    latch.wait_begun()
    together, found = threading.Barrier(4), []

    async def main(number):
        waiting = asyncio.create_task(_value(held))
        own = concurrent.submit(tasks.double, number)
        await asyncio.to_thread(together.wait)  # every loop runs now
        found.append((await waiting, await own))

    loops = [threading.Thread(target=lambda n=n: run(main(n))) for n in range(3)]
    for loop in loops:
        loop.start()
    together.wait()
    latch.release()
    for loop in loops:
        loop.join()
    assert sorted(found) == [("shared", 0), ("shared", 2), ("shared", 4)]


async def _value(future):
    return await future


def test_without_a_loop_an_error_says_what_is_wrong(executor):
    future = executor.submit(tasks.double, 1)
    with pytest.raises(RuntimeError, match="only while an asyncio event loop runs"):
        _value(future).send(None)
    results = executor.map(tasks.double, [1])
    with pytest.raises(RuntimeError, match="only while an asyncio event loop runs"):
        anext(results).send(None)
    assert future.result() == 2
    assert list(results) == [2]


def test_under_trio_an_error_says_what_is_wrong():
    trio = pytest.importorskip("trio")

    async def main():
        await threaded(tasks.double)(1)

    with using("serial"), pytest.raises(RuntimeError, match="asyncio event loop"):
        trio.run(main)


def test_an_ended_future_is_awaited_without_a_pause():
    future = Future()
    future.set_result(5)

    async def main():
        others = []
        asyncio.get_running_loop().call_soon(others.append, 1)
        return await future, list(others)

    assert asyncio.run(main()) == (5, [])


def test_a_loop_that_waits_awake_for_each_call_has_its_turns(monkeypatch):
    monkeypatch.setattr(awake, "LOOP_LIMIT", 20)
    executor = ThreadPoolExecutor(1)

    async def main():
        other = asyncio.ensure_future(asyncio.sleep(0.001))
        await asyncio.sleep(0)
        for _ in range(20_000):
            assert await executor.submit(abs, -1) == 1
            if other.done():
                return True
        return False

    assert asyncio.run(main())
    executor.shutdown()


def test_awaiting_a_cancelled_future():
    async def main():
        future = Future()
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    asyncio.run(main())


def test_a_loop_that_ends_first_does_no_harm(concurrent, latch, caplog):
    log = emptied(caplog)

    async def main():
        future = concurrent.submit(tasks.hold, latch.folder, 5)
        waiting = future.__await__()
        waiting.send(None)
        await asyncio.to_thread(latch.wait_begun)
        return future, waiting

    future, waiting = asyncio.run(main())
    latch.release()
    assert future.result() == 5
    assert not log.records
    del waiting


# ---------------------------------------------------------------------- cancelling


def cancel_awaiting(future, begun):
    """Await a future in a task, and cancel that when the other has begun."""

    async def main():
        reading = asyncio.create_task(_value(future))
        await asyncio.sleep(0)  # or there would be nothing to cancel yet
        await asyncio.to_thread(begun)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(main())


def test_cancelling_cancels_a_call_that_has_not_begun(make_concurrent, latch, tmp_path):
    executor = make_concurrent(max_workers=1)
    held = executor.submit(tasks.hold, latch.folder, 5)
    latch.wait_begun()
    waiting = executor.submit(tasks.append_line, tmp_path / "ran", "it ran")
    cancel_awaiting(waiting, lambda: None)
    assert waiting.cancelled()
    latch.release()
    executor.shutdown()
    assert held.result() == 5
    assert not (tmp_path / "ran").exists()


def test_a_call_that_has_begun_runs_on(concurrent, latch):
    future = concurrent.submit(tasks.hold, latch.folder, 5)
    cancel_awaiting(future, latch.wait_begun)
    assert future.running()
    latch.release()
    assert future.result() == 5


def test_or_is_killed_if_it_was_asked_for(concurrent_kind, latch):
    with make(concurrent_kind, 1) as executor:
        hold = parallelized(executor, kill_on_cancel=True)(tasks.hold)
        future = hold(latch.folder, 5)
        cancel_awaiting(future, latch.wait_begun)
        if concurrent_kind in ("thread", "interpreter"):  # which nobody can stop
            latch.release()
            assert future.result() == 5
        else:
            with pytest.raises(TaskKilled):
                future.result()
        assert executor.submit(tasks.double, 2).result() == 4


def test_a_timeout_of_asyncio_kills_too(latch):
    @processed(max_workers=1, kill_on_cancel=True)
    def hold():
        return tasks.hold(latch.folder)

    async def main():
        future = hold()
        await asyncio.to_thread(latch.wait_begun)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.01)
        return future

    assert isinstance(asyncio.run(main()).exception(), TaskKilled)
    hold._source.executor().shutdown()


def test_killing_is_an_option_like_others():
    plain = threaded(tasks.double)
    assert not plain._options.kill_on_cancel
    killing = plain.options(kill_on_cancel=True, timeout=3)
    assert killing._options.kill_on_cancel is True
    assert killing.options(timeout=5)._options.kill_on_cancel is True
    assert not killing.options(kill_on_cancel=False)._options.kill_on_cancel
    assert parallelized("processes", kill_on_cancel=True)(
        tasks.double
    )._options.kill_on_cancel
    for wrong in ("kill", None, 3):
        with pytest.raises(TypeError, match="kill_on_cancel must be True or False"):
            threaded(kill_on_cancel=wrong)
        with pytest.raises(TypeError, match="kill_on_cancel must be True or False"):
            plain.options(kill_on_cancel=wrong)


# ------------------------------------------------------------- the loop is not blocked


@pytest.fixture
def process():
    with make("process-default", 1) as executor:
        executor.submit(abs, 1).result()
        yield executor


class Gate:
    """A large result that can be unpickled only when the test lets it."""

    asked, opened = threading.Event(), threading.Event()

    def __init__(self):
        self.passed = False

    def __reduce__(self):
        return _pass_gate, (list(range(100_000)),)


def _pass_gate(_):
    gate = Gate()
    Gate.asked.set()
    gate.passed = Gate.opened.wait(20)
    return gate


@pytest.fixture
def gate():
    Gate.asked.clear()
    Gate.opened.clear()
    yield Gate
    Gate.opened.set()


async def _open_gate():
    await asyncio.to_thread(Gate.asked.wait)
    Gate.opened.set()  # which a loop that unpickles could not do


def test_large_results_are_unpickled_beside_the_loop(process, gate, run):
    async def main():
        value, _ = await asyncio.gather(process.submit(Gate), _open_gate())
        return value.passed

    assert run(main())


def test_those_of_maps_too(process, gate):
    async def main():
        results = process.map(_gate, [1])
        value, _ = await asyncio.gather(anext(results), _open_gate())
        return value.passed

    assert asyncio.run(main())


def _gate(_):
    return Gate()


def test_a_reader_that_is_cancelled_while_unpickling_loses_nothing(process, gate):
    async def main():
        results = process.map(_gate, [1])
        reading = asyncio.create_task(anext(results))
        await asyncio.to_thread(gate.asked.wait)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        gate.opened.set()
        return (await anext(results)).passed

    assert asyncio.run(main())


def test_while_a_large_result_is_unpickled_the_loop_has_turns(process):
    async def main():
        future = process.submit(_texts, 1_000_000)
        await asyncio.to_thread(concurrent.futures.wait, [future])
        longest, last = 0.0, time.perf_counter()
        reading = asyncio.create_task(_value(future))
        while not reading.done():
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        assert len(await reading) == 1_000_000
        return longest

    pickled = pickle.dumps(_texts(1_000_000), 5)
    begun = time.perf_counter()
    pickle.loads(pickled)
    in_one_step = time.perf_counter() - begun
    for _ in range(3):  # others may use this machine
        if asyncio.run(main()) < in_one_step / 2:
            return
    pytest.fail("the loop stood still while a result was unpickled")


def _texts(count):
    return list(map(str, range(count)))


@pytest.mark.parametrize("kind", ["bytes", "array"])
@pytest.mark.skipif(sys.platform == "win32", reason="there they travel as copies")
def test_a_snapshot_takes_at_most_two_copies_of_the_memory(process, kind):
    size = 50_000_000
    data = bytes(size)
    if kind == "array":
        data = pytest.importorskip("numpy").zeros(size, "u1")

    async def main():
        fastest = []
        for _ in range(10):
            begun = time.perf_counter()
            future = process.submit(tasks.length, data)
            fastest.append(time.perf_counter() - begun)
            assert await future == size
        return min(fastest)

    for _ in range(3):  # others may use this machine
        if asyncio.run(main()) <= 2 * seconds_of_a_copy(size):
            return
    pytest.fail("the snapshot took longer than two copies")


def seconds_of_a_copy(size):
    source, target = bytearray(size), memoryview(bytearray(size))
    seconds = []
    for _ in range(10):
        begun = time.perf_counter()
        target[:] = source
        seconds.append(time.perf_counter() - begun)
    return min(seconds)
