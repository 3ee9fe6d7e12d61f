"""Decorated coroutine functions: many at once on the loop of a worker."""

import asyncio
import concurrent.futures
import gc
import threading
import weakref

import pytest

import async_tasks
import tasks
from factories import make
from parallelize import (
    TaskTimeout,
    WorkerDied,
    parallelized,
    processed,
    thread_map,
    threaded,
)
from parallelize.calls.coroutines import COROUTINES_PER_LOOP

FULL = COROUTINES_PER_LOOP


@pytest.fixture(params=["thread", "process-default"])
def looped_kind(request):
    return request.param


@pytest.fixture
def make_looped(looped_kind):
    """A factory of executors with loops, of one worker if nothing else is said."""
    made = []

    def make_one(max_workers=1, **options):
        made.append(make(looped_kind, max_workers, **options))
        return made[-1]

    yield make_one
    for each in made:
        each.shutdown(cancel_futures=True)


@pytest.fixture
def on(make_looped):
    """Decorates a function for an executor of one worker, or for that given."""

    def decorate(fn, executor=None, **options):
        decorate.executor = executor or decorate.executor or make_looped()
        return parallelized(decorate.executor, **options)(fn)

    decorate.executor = None
    return decorate


def lines(path):
    return path.read_text().split() if path.exists() else []


# --------------------------------------------------------------- a future of its value


def test_a_call_gives_the_awaited_value(concurrent):
    double = parallelized(concurrent)(async_tasks.double)
    assert double(4).result() == 8
    assert [future.result() for future in map(double, range(300))] == [
        2 * n for n in range(300)
    ]


def test_an_error_is_the_calls_own(concurrent):
    refuse = parallelized(concurrent)(async_tasks.refuse)
    with pytest.raises(tasks.Refusal) as caught:
        refuse(4).result()
    assert caught.value.code == 4


def test_errors_that_end_programs_end_only_the_call(on):
    with pytest.raises(SystemExit):
        on(async_tasks.leave)(3).result()
    with pytest.raises(KeyboardInterrupt):
        on(async_tasks.interrupt)().result()
    assert on(async_tasks.double)(1).result() == 2


def test_a_task_of_the_users_own_does_not_end_the_loop(on):
    where = on(async_tasks.where)
    before = where().result()
    assert on(async_tasks.start_one_that_leaves)().result() == "on"
    assert where().result() == before


def test_futures_among_the_arguments_of_coroutines(on):
    double = on(async_tasks.double)
    assert double(double(double(1))).result() == 8
    with pytest.raises(tasks.Refusal):
        double(on(async_tasks.refuse)(1)).result()


def test_retries_of_coroutines(on, tmp_path):
    flaky = on(async_tasks.fail_first, retries=2, retry_on=tasks.Refusal)
    assert flaky(tmp_path / "tries", 2, "value").result() == "value"
    with pytest.raises(tasks.Refusal):
        flaky(tmp_path / "more", 3, "value").result()


def test_methods_and_helpers(tmp_path):
    class Shop:
        def __init__(self, price):
            self.price = price

        @threaded(max_workers=1)
        async def cost(self, count):
            await asyncio.sleep(0)
            return self.price * count

    assert Shop(3).cost(4).result() == 12
    assert list(Shop(3).cost.map([1, 2])) == [3, 6]
    assert list(thread_map(async_tasks.double, [1, 2], max_workers=1)) == [2, 4]
    Shop.cost._source.executor().shutdown()


# ------------------------------------------------------------------- many at once


def test_many_are_on_one_loop_at_once(concurrent_kind):
    if concurrent_kind == "interpreter":
        pytest.skip("an interpreter has no loop: there async calls run one by one")
    with make(concurrent_kind, 1) as executor:
        meet = parallelized(executor)(async_tasks.meet)
        places = {future.result() for future in [meet(FULL) for _ in range(FULL)]}
        assert len(places) == 1


def test_what_is_beyond_the_bound_waits(on, latch, tmp_path):
    held = begun(on, latch, tmp_path / "ends")
    # All places are taken, by some that wait for one more than they are.
    meeting = [on(async_tasks.meet)(FULL) for _ in range(FULL - 1)]
    late = on(async_tasks.meet)(FULL)
    unused = on(async_tasks.meet)(FULL)
    assert unused.cancel()
    assert not late.running()
    assert not any(future.done() for future in meeting)
    held.cancel()  # its coroutine goes, and `late` takes the place
    assert len({future.result() for future in [*meeting, late]}) == 1


def test_a_worker_keeps_its_loop(on):
    where = on(async_tasks.where)
    assert len({where().result() for _ in range(5)}) == 1


def test_more_loops_when_those_are_full():
    with make("thread", 2) as executor:
        where = parallelized(executor)(async_tasks.where)
        first = where().result()
        meet = parallelized(executor)(async_tasks.meet)
        full = [meet(FULL + 1) for _ in range(FULL)]
        assert where().result() != first
        for each in full:
            each.cancel()


def test_processes_share_the_calls():
    with make("process-default", 2) as executor:
        meet = parallelized(executor)(async_tasks.meet)
        # Half of them are in either process, or some would wait for ever.
        places = [future.result() for future in [meet(10) for _ in range(20)]]
        assert len(set(places)) == 2


def test_a_limit(on, make_latch):
    hold = on(async_tasks.hold, limit=1)
    latches = [make_latch() for _ in range(2)]
    first, second = (hold(latch.folder, n) for n, latch in enumerate(latches))
    latches[0].wait_begun()
    assert not second.running()
    latches[0].release()
    latches[1].wait_begun()
    latches[1].release()
    assert (first.result(), second.result()) == (0, 1)


def test_maps_run_many_at_once(on):
    meet = on(async_tasks.meet)
    assert len(set(meet.map([50] * 50))) == 1
    assert list(on(async_tasks.double).map(range(500))) == [2 * n for n in range(500)]


def test_a_map_is_bounded(on):
    numbers = iter(range(10**9))
    with on(async_tasks.double).map(numbers, buffersize=5) as results:
        assert [next(results) for _ in range(3)] == [0, 2, 4]
        assert next(numbers) <= 3 + 5


# ----------------------------------------------------------------------- nesting


def test_calls_of_coroutines_do_not_wait_for_a_place():
    with make("thread", 1) as executor:

        @parallelized(executor)
        async def fibonacci(n):
            if n < 2:
                return n
            return await fibonacci(n - 1) + await fibonacci(n - 2)

        @parallelized(executor)
        async def deep(n):
            return n and 1 + await deep(n - 1)

        assert fibonacci(12).result() == 144
        assert deep(3 * FULL).result() == 3 * FULL


def test_a_call_made_in_another_thread_by_a_coroutine_does_not_wait_either():
    with make("thread", 1) as executor:

        @parallelized(executor)
        async def inner(n):
            return n

        @parallelized(executor)
        async def outer(n):
            await async_tasks.meet(FULL)  # all places are taken now
            return await asyncio.to_thread(lambda: inner(n).result())

        assert sum(f.result() for f in [outer(1) for _ in range(FULL)]) == FULL


def test_to_block_a_loop_for_a_call_on_it():
    with make("thread", 1) as executor:

        @parallelized(executor)
        async def inner(n, event=None):
            if event is not None:
                event.set()
                await asyncio.Event().wait()
            return n

        @parallelized(executor)
        async def unbegun():
            return inner(inner(5)).result()  # runs in place

        @parallelized(executor)
        async def begun():
            event = asyncio.Event()
            call = inner(5, event)
            await event.wait()
            try:
                call.result()
            finally:
                call.cancel()

        @parallelized(executor)
        async def mapped():
            return list(inner.map(range(3)))

        assert unbegun().result() == 5
        with pytest.raises(RuntimeError, match="use await"):
            begun().result()
        with pytest.raises(RuntimeError, match="async for"):
            mapped().result()


@processed(max_workers=1)
async def in_place(n):
    return n, (await async_tasks.where())[1]


@processed(max_workers=1)
async def nest(n):
    here = (await async_tasks.where())[1]
    one, two = await asyncio.gather(in_place(n), in_place(n + 1))
    blocked = in_place(n + 2).result()[0]
    mapped = [value async for value, _ in in_place.map([7, 8])]
    return one, two, blocked, mapped, here


def test_inside_a_process_worker_calls_are_tasks_of_its_loop():
    try:
        one, two, blocked, mapped, here = nest(1).result()
        assert (one, two) == ((1, here), (2, here))
        assert (blocked, mapped) == (3, [7, 8])
    finally:
        nest._source.executor().shutdown()


# ----------------------------------------------------------------------- context


def test_a_call_runs_in_a_copy_of_its_callers_context():
    with make("thread", 1) as executor:
        variable = parallelized(executor)(async_tasks.variable)
        token = async_tasks.VARIABLE.set("callers")
        try:
            first = variable("its own")
            async_tasks.VARIABLE.set("later")
            assert first.result() == "callers"
            assert variable().result() == "later"
            assert list(variable.map(["a", "b"])) == ["later"] * 2
            assert async_tasks.VARIABLE.get() == "later"
        finally:
            async_tasks.VARIABLE.reset(token)


def test_what_a_coroutine_sets_is_not_there_in_the_next():
    with make("process-default", 1) as executor:
        variable = parallelized(executor)(async_tasks.variable)
        assert variable("its own").result() == "unset"
        assert variable().result() == "unset"


# ------------------------------------------------------------------ cancellation


def begun(on, latch, path, **options):
    future = on(async_tasks.wait_for_ever, **options)(latch.folder, path)
    latch.wait_begun()
    return future


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_cancelling_reaches_the_coroutine(on, latch, tmp_path, how):
    future = begun(on, latch, tmp_path / "ends")
    assert getattr(future, how)()
    assert future.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    on.executor.shutdown()
    assert lines(tmp_path / "ends") == ["cancelled", "finally"]


def test_cancelling_the_task_that_awaits_reaches_the_coroutine(on, latch, tmp_path):
    async def main():
        future = on(async_tasks.wait_for_ever)(latch.folder, tmp_path / "ends")

        async def reader():
            await future

        reading = asyncio.create_task(reader())
        await asyncio.sleep(0)  # or there would be nothing to cancel yet
        await asyncio.to_thread(latch.wait_begun)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return future.cancelled()

    assert asyncio.run(main())
    on.executor.shutdown()
    assert lines(tmp_path / "ends") == ["cancelled", "finally"]


def test_a_timeout_reaches_the_coroutine(on, latch, tmp_path):
    future = begun(on, latch, tmp_path / "ends", timeout=0.1)
    with pytest.raises(TaskTimeout):
        future.result()
    assert not future.cancel()
    on.executor.shutdown()
    assert lines(tmp_path / "ends") == ["cancelled", "finally"]


def test_others_on_the_loop_go_on(on, make_latch, tmp_path):
    first, second = (make_latch() for _ in range(2))
    held = on(async_tasks.hold)(first.folder, "held")
    first.wait_begun()
    cancelled = begun(on, second, tmp_path / "ends", timeout=0.05)
    assert isinstance(cancelled.exception(), TaskTimeout)
    first.release()
    assert held.result() == "held"


def test_a_call_that_waits_is_never_run_when_cancelled(on, latch, tmp_path):
    blocked = [on(async_tasks.meet)(FULL + 1) for _ in range(FULL)]
    waiting = on(async_tasks.wait_for_ever)(latch.folder, tmp_path / "ends")
    assert waiting.cancel()
    for each in blocked:
        assert each.cancel()
    assert on(async_tasks.double)(1).result() == 2
    on.executor.shutdown()
    assert lines(tmp_path / "ends") == []


def test_a_coroutine_that_is_cancelled_by_itself(on):
    future = on(async_tasks.cancel_itself)()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    assert future.cancelled()


def test_an_ended_call_cannot_be_cancelled(on):
    future = on(async_tasks.double)(1)
    assert future.result() == 2
    assert not future.cancel()
    assert not future.kill()


# ------------------------------------------------------------------------ the end


def test_async_generators_are_finished_and_loops_closed(on, tmp_path):
    on(async_tasks.use_generator)(tmp_path / "ends").result()
    assert lines(tmp_path / "ends") == []
    on.executor.shutdown()
    assert lines(tmp_path / "ends") == ["finished"]
    async_tasks.KEPT.clear()


def test_loops_are_closed():
    loops = []

    async def loop():
        loops.append(asyncio.get_running_loop())

    with make("thread", 1) as executor:
        parallelized(executor)(loop)().result()
        assert not loops[0].is_closed()
    assert loops[0].is_closed()


def test_shutdown_waits_for_coroutines(on, latch):
    held = on(async_tasks.hold)(latch.folder, "held")
    waiting = [on(async_tasks.double)(n) for n in range(2 * FULL)]
    latch.wait_begun()
    on.executor.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="after shutdown"):
        on(async_tasks.double)(1)
    latch.release()
    on.executor.shutdown()
    assert held.done()
    assert [future.result() for future in waiting] == [2 * n for n in range(2 * FULL)]


def test_shutdown_may_cancel_what_has_not_begun(on, latch):
    held = on(async_tasks.hold)(latch.folder, "held")
    latch.wait_begun()
    meeting = [on(async_tasks.meet)(FULL - 1) for _ in range(FULL - 1)]
    for each in meeting[:-1]:
        each.result()
    stuck = [on(async_tasks.meet)(FULL) for _ in range(FULL - 1)]
    waiting = on(async_tasks.double)(1)
    on.executor.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    for each in stuck:
        each.cancel()
    latch.release()
    on.executor.shutdown()
    assert held.result() == "held"


def test_an_executor_that_is_dropped_ends_its_loops():
    executor = make("thread", 1)
    assert parallelized(executor)(async_tasks.double)(1).result() == 2
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None  # and `nothing_is_left` sees to its threads


def test_idle_loops_leave():
    with make("thread", 1, idle_timeout=0.01) as executor:
        threads = []

        async def thread():
            threads.append(threading.current_thread())

        call = parallelized(executor)(thread)
        call().result()
        threads[0].join(20)
        assert not threads[0].is_alive()
        call().result()
        assert threads[1] is not threads[0]


def test_an_initializer_runs_in_each_loops_thread():
    with make("thread", 1, initializer=tasks.initialize, initargs=(5,)) as executor:

        async def initialized():
            return tasks.initialized()[0]

        assert parallelized(executor)(initialized)().result() == 5


def test_an_initializer_that_fails():
    with make("thread", 1, initializer=tasks.initialize_badly) as executor:
        double = parallelized(executor)(async_tasks.double)
        with pytest.raises(concurrent.futures.BrokenExecutor):
            double(1).result()
        with pytest.raises(concurrent.futures.BrokenExecutor):
            double(1)


# -------------------------------------------------------------------- in processes


@pytest.fixture
def process():
    with make("process-default", 1) as executor:
        yield executor


def test_a_death_fails_those_that_had_begun_and_no_others(process, make_latch):
    first, second, third = (make_latch() for _ in range(3))
    held = parallelized(process)(async_tasks.hold)(first.folder)
    first.wait_begun()
    dies = parallelized(process, name="dies")(async_tasks.die)(second.folder)
    second.wait_begun()  # it blocks the loop now ...
    double = parallelized(process)(async_tasks.double)
    unbegun = [double(n) for n in range(20)]  # ... and so these cannot begin there
    second.release()
    with pytest.raises(WorkerDied, match="dies"):
        dies.result()
    with pytest.raises(WorkerDied, match="hold"):
        held.result()
    assert [future.result() for future in unbegun] == [2 * n for n in range(20)]


def test_other_calls_and_coroutines_are_never_in_one_worker(process, latch):
    held = parallelized(process)(async_tasks.hold)(latch.folder)
    latch.wait_begun()
    other = process.submit(tasks.pid_of)
    killed = process.submit(tasks.pid_of)
    assert not other.running()
    assert killed.kill()
    latch.release()
    assert held.result() is None
    assert other.result() > 0


def test_neither_kind_starves_the_other(process):
    meet = parallelized(process)(async_tasks.double)
    left = [2000]
    done = threading.Event()

    def again(_):
        if left[0] and not done.is_set():
            left[0] -= 1
            meet(1).add_done_callback(again)

    for _ in range(5):
        meet(1).add_done_callback(again)
    assert process.submit(tasks.double, 2).result() == 4  # among calls without end
    done.set()
    flood = [process.submit(tasks.double, n) for n in range(2000)]
    assert meet(3).result() == 6
    assert flood[-1].result() == 3998


def test_coroutines_make_way_for_calls_that_wait(process, latch):
    held = parallelized(process)(async_tasks.hold)(latch.folder)
    latch.wait_begun()
    beside = parallelized(process)(async_tasks.double)(1)
    assert beside.running()  # nothing else waits
    assert beside.result() == 2
    other = process.submit(tasks.double, 2)
    late = parallelized(process)(async_tasks.double)(3)
    assert not other.running()
    assert not late.running()  # or `other` might wait for ever
    latch.release()
    assert (held.result(), other.result(), late.result()) == (None, 4, 6)


def test_and_the_other_way_round(process, latch):
    for _ in range(20):  # it is known for short: it may be sent ahead
        process.submit(tasks.double, 1).result()
    held = process.submit(tasks.hold, latch.folder)
    latch.wait_begun()
    ahead = process.submit(tasks.double, 1)
    coroutine = parallelized(process)(async_tasks.double)(2)
    late = process.submit(tasks.double, 3)
    assert not coroutine.running()
    assert not late.running()
    latch.release()
    assert held.result() is None
    assert (ahead.result(), coroutine.result(), late.result()) == (2, 4, 6)


@pytest.mark.parametrize("how", ["timeout", "kill"])
def test_a_loop_that_hears_nothing_is_killed(process, latch, how):
    timeout = 0.1 if how == "timeout" else None
    stuck = parallelized(process, timeout=timeout)(async_tasks.compute_for_ever)
    future = stuck(latch.folder)
    latch.wait_begun()
    if how == "kill":
        assert future.kill()
        assert future.cancelled()
    else:
        with pytest.raises(TaskTimeout):
            future.result()
    assert process.submit(tasks.double, 2).result() == 4  # in another worker


def test_each_attempt_has_its_timeout(process, tmp_path):
    stuck = parallelized(process, timeout=0.05, retries=2)(async_tasks.note_and_wait)
    with pytest.raises(TaskTimeout):
        stuck(tmp_path / "tries").result()
    assert lines(tmp_path / "tries") == ["begun"] * 3


def test_large_arguments_and_results(process):
    data = bytes(range(256)) * 20_000
    assert parallelized(process)(async_tasks.identity)(data).result() == data
    length = parallelized(process)(async_tasks.length)
    assert [f.result() for f in [length(data) for _ in range(10)]] == [len(data)] * 10


def test_a_worker_is_replaced_after_so_many_calls():
    with make("process-default", 1, max_tasks_per_child=3) as executor:
        where = parallelized(executor)(async_tasks.where)
        places = [future.result() for future in [where() for _ in range(9)]]
        assert len({pid for pid, _ in places}) == 3
