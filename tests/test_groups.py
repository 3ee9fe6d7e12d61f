"""Task groups: blocks that their calls cannot outlive."""

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import pickle
import signal
import threading
import weakref

import pytest

import tasks
from parallelize import (
    CancelledError,
    Future,
    SerialExecutor,
    TaskGroup,
    TaskKilled,
    ThreadPoolExecutor,
    gather,
    processed,
    shutdown,
    threaded,
    using,
)
from parallelize.futures import group as groups_module


@pytest.fixture(autouse=True)
def fresh():
    """No test sees another's pools."""
    yield
    shutdown()


@threaded
def double(x):
    return 2 * x


@processed
def refuse(code):
    return tasks.refuse(code)


def running():
    future = Future()
    future.set_running_or_notify_cancel()
    return future


def joined(group, *futures):
    """Make futures members of a group."""
    for future in futures:
        assert group.start(lambda each=future: each) is future


@contextlib.contextmanager
def beside(step):
    """Do something in a thread while the block runs."""
    thread = threading.Thread(target=step)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(30)


# ------------------------------------------------------------------------ leaving


def test_it_returns_the_functions_futures():
    with TaskGroup() as group:
        first, second = group.start(double, 1), group.start(double, x=2)
        assert isinstance(first, Future)
    assert (first.result(0), second.result(0)) == (2, 4)


def test_leaving_waits_for_all(concurrent, latch):
    leaving = threading.Event()

    def release():
        latch.wait_begun()
        leaving.wait(30)
        latch.release()

    with beside(release):
        with TaskGroup() as group:
            held = group.start(concurrent.submit, tasks.hold, latch.folder, 5)
            quick = group.start(concurrent.submit, tasks.double, 3)
            leaving.set()
        assert held.done()
    assert (held.result(0), quick.result(0)) == (5, 6)


def test_an_empty_group():
    with TaskGroup():
        pass


def test_a_group_lets_go_of_what_has_ended():
    with TaskGroup() as group:
        joined(group, future := running())
        future.set_result(1)
        seen = weakref.ref(future)
        del future
        assert seen() is None


def test_it_works_serially():
    with using("serial"), TaskGroup() as group:
        assert group.start(double, 4).done()
    with pytest.raises(tasks.Refusal), using("serial"), TaskGroup() as group:
        failed = group.start(refuse, 1)
        assert failed.done()
        group.start(double, 1)


def test_futures_of_other_libraries():
    with concurrent.futures.ThreadPoolExecutor(1) as theirs:
        with TaskGroup() as group:
            future = group.start(theirs.submit, pow, 2, 5)
        assert future.result(0) == 32
        with pytest.raises(tasks.Refusal), TaskGroup() as group:
            group.start(theirs.submit, tasks.refuse, 3)


def test_a_cancelled_one_of_another_library_holds_nobody(latch):
    # Their `wait` returns only when their pool comes across the cancelled call.
    with concurrent.futures.ThreadPoolExecutor(1) as theirs:
        held = theirs.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        ours = running()
        with beside(lambda: ours.set_exception(LookupError())):
            with pytest.raises(LookupError), TaskGroup() as group:
                queued = group.start(theirs.submit, pow, 2, 5)
                joined(group, ours)
        assert queued.cancelled()
        assert not held.done()
        latch.release()


# ------------------------------------------------------------------------- errors


def test_the_first_error_stops_the_rest(concurrent_kind, concurrent, latch):
    waits = Future()
    with pytest.raises(tasks.Refusal) as caught, TaskGroup() as group:
        held = group.start(concurrent.submit, tasks.hold, latch.folder)
        latch.wait_begun()
        joined(group, waits)
        failed = group.start(concurrent.submit, tasks.refuse, 7)
        if concurrent_kind in ("thread", "interpreter"):  # which nobody can stop
            concurrent_wait([failed])
            assert waits.cancelled()
            latch.release()
    assert caught.value is failed.exception(0)
    assert waits.cancelled()
    assert held.done()
    if concurrent_kind in ("thread", "interpreter"):
        assert held.exception(0) is None
    else:
        assert isinstance(held.exception(0), TaskKilled)


def concurrent_wait(futures):
    concurrent.futures.wait(futures, 30)


def test_the_rest_is_stopped_while_the_block_is_open(concurrent, latch):
    with pytest.raises(tasks.Refusal), TaskGroup() as group:
        waits = Future()
        joined(group, waits)
        group.start(concurrent.submit, tasks.refuse, 7)
        with pytest.raises(CancelledError):
            waits.result(30)
        with pytest.raises(CancelledError, match="no more calls"):
            group.start(double, 1)


def test_a_call_made_while_the_group_is_stopped_is_stopped():
    late, failing = Future(), running()

    def start_late():
        failing.set_exception(LookupError())
        return late

    with pytest.raises(LookupError), TaskGroup() as group:
        joined(group, failing)
        assert group.start(start_late) is late
        assert late.cancelled()


def test_one_error_is_raised_as_it_is():
    error = LookupError()
    with pytest.raises(LookupError) as caught, TaskGroup() as group:
        joined(group, running(), failing := running())
        next(iter(group._members._running)).set_result(1)
        failing.set_exception(error)
    assert caught.value is error
    assert error.__context__ is None


def test_several_errors_are_a_group():
    first, second = LookupError(), KeyError()
    with pytest.raises(ExceptionGroup, match="2 errors in a TaskGroup") as caught:
        with TaskGroup() as group:
            one, two, three = running(), running(), running()
            joined(group, one, two, three)
            two.set_exception(first)
            three.set_result(3)
            one.set_exception(second)
    assert caught.value.exceptions == (first, second)
    assert type(caught.value) is ExceptionGroup


def test_an_error_that_is_no_exception():
    with pytest.raises(SystemExit), TaskGroup() as group:
        group.start(threaded(tasks.leave), 3)
    with pytest.raises(BaseExceptionGroup) as caught, TaskGroup() as group:
        one, two = running(), running()
        joined(group, one, two)
        one.set_exception(SystemExit())
        two.set_exception(KeyError())
    assert not isinstance(caught.value, Exception)


def test_the_blocks_own_error_stops_the_rest(make_concurrent, concurrent_kind, latch):
    pool = make_concurrent(max_workers=1)
    with pytest.raises(ZeroDivisionError) as caught, TaskGroup() as group:
        held = group.start(pool.submit, tasks.hold, latch.folder)
        latch.wait_begun()
        queued = Future()
        joined(group, queued)
        if concurrent_kind in ("thread", "interpreter"):
            queued.add_done_callback(lambda _: latch.release())
        1 / 0  # noqa: B018
    assert held.done()
    assert queued.cancelled()
    assert "__exit__" not in {each.name for each in caught.traceback}


def test_the_blocks_own_error_comes_with_the_others():
    error, own = LookupError(), ValueError()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        joined(group, failing := running())
        failing.set_exception(error)
        raise own
    assert caught.value.exceptions == (error, own)
    assert caught.value.__suppress_context__


def test_a_calls_error_that_the_block_raised_too_is_there_once():
    with pytest.raises(LookupError), TaskGroup() as group:
        joined(group, failing := running())
        failing.set_exception(LookupError())
        failing.result(0)
    with pytest.raises(tasks.Refusal) as caught, TaskGroup() as group:
        group.start(refuse, 3).result(30)
    assert caught.value.code == 3
    one = LookupError()
    with pytest.raises(LookupError), TaskGroup() as group:
        joined(group, first := running(), second := running())
        first.set_exception(one)
        second.set_exception(one)


def test_a_block_that_meets_a_stopped_call_raises_what_stopped_it():
    error = LookupError()
    with pytest.raises(LookupError) as caught, TaskGroup() as group:
        joined(group, waits := Future(), failing := running())
        failing.set_exception(error)
        waits.result(30)  # CancelledError
    assert caught.value is error


def test_what_is_cancelled_or_killed_has_not_failed(latch):
    with TaskGroup() as group:
        joined(group, waits := Future(), works := running())
        assert waits.cancel()
        assert not works.done()
        held = group.start(processed(tasks.hold), latch.folder)
        latch.wait_begun()
        assert held.kill()
        assert isinstance(held.exception(30), TaskKilled)
        joined(group, another := running())
        another.set_exception(CancelledError())
        works.set_result(1)


def test_a_block_that_meets_a_cancelled_call():
    with pytest.raises(CancelledError), TaskGroup() as group:
        joined(group, waits := Future())
        waits.cancel()
        waits.result(0)


def remotely_cancelled():
    raise CancelledError("over there")


def test_a_process_that_raises_cancelled_error_does_not_vanish():
    # That it is one is known only when it is opened, and then the rest is stopped.
    waits = Future()
    with pytest.raises(CancelledError, match="over there"), TaskGroup() as group:
        joined(group, waits)
        group.start(processed(remotely_cancelled))
    assert waits.cancelled()


def test_errors_of_a_group_leave_no_cycle():
    gc.collect()
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as pool:  # whose thread lets go when it leaves
            try:
                with TaskGroup() as group:
                    call = weakref.ref(group.start(pool.submit, tasks.refuse, 1))
            except tasks.Refusal as error:
                seen = weakref.ref(error)
        del group
        assert seen() is None
        assert call() is None
    finally:
        gc.enable()


# ------------------------------------------------------------------------- Ctrl-C


def interrupt_main():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_ctrl_c_in_the_block_kills_processes_and_cancels(latch):
    queued = Future()
    with pytest.raises(KeyboardInterrupt), TaskGroup() as group:
        held = group.start(processed(tasks.hold), latch.folder)
        latch.wait_begun()
        joined(group, queued, failing := running())
        failing.set_exception(LookupError())  # Ctrl-C goes before it
        raise KeyboardInterrupt
    assert isinstance(held.exception(0), TaskKilled)
    assert queued.cancelled()


def test_ctrl_c_in_the_block_waits_for_threads(latch):
    stopped = Future()
    stopped.add_done_callback(lambda _: latch.release())
    with pytest.raises(KeyboardInterrupt), TaskGroup() as group:
        held = group.start(threaded(tasks.hold), latch.folder, 3)
        latch.wait_begun()
        joined(group, stopped)
        raise KeyboardInterrupt
    assert held.result(0) == 3


def test_ctrl_c_waits_for_threads_but_a_moment(latch, monkeypatch):
    monkeypatch.setattr(groups_module, "INTERRUPT_GRACE", 0.01)
    with pytest.raises(KeyboardInterrupt), TaskGroup() as group:
        held = group.start(threaded(tasks.hold), latch.folder)
        latch.wait_begun()
        raise KeyboardInterrupt
    assert held.running()
    with pytest.raises(RuntimeError, match="ended"):
        group.start(double, 1)
    latch.release()
    assert held.result(30) is None


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
def test_ctrl_c_while_leaving(concurrent_kind, concurrent, latch):
    leaving, stopping, stopped = threading.Event(), threading.Event(), Future()
    stopped.add_done_callback(lambda _: stopping.set())
    if concurrent_kind in ("thread", "interpreter"):
        stopped.add_done_callback(lambda _: latch.release())

    def press():
        latch.wait_begun()
        leaving.wait(30)
        interrupt_main()
        while not stopping.wait(1):  # one that comes as it falls asleep is not heard
            interrupt_main()

    with beside(press):
        with pytest.raises(KeyboardInterrupt):
            with TaskGroup() as group:
                held = group.start(concurrent.submit, tasks.hold, latch.folder)
                joined(group, stopped)
                leaving.set()
            pytest.fail("it should not come here")
    assert held.done()
    assert stopped.cancelled()


# -------------------------------------------------------------------------- start


def test_start_outside_of_the_block():
    group = TaskGroup()
    with pytest.raises(RuntimeError, match="not entered"):
        group.start(double, 1)
    with group:
        pass
    with pytest.raises(RuntimeError, match="ended"):
        group.start(double, 1)
    with pytest.raises(RuntimeError, match="once"), group:
        pass


def test_a_refused_call_is_not_made():
    called = []
    with pytest.raises(RuntimeError):
        TaskGroup().start(called.append, 1)
    assert called == []


def test_start_within_tasks():
    # A task in a thread starts others, while the group waits for it.
    leaving = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with TaskGroup() as group:

            def more(count):
                leaving.wait(30)
                return [group.start(pool.submit, tasks.double, n) for n in range(count)]

            first = group.start(pool.submit, more, 5)
            leaving.set()
        assert [future.result(0) for future in first.result(0)] == [0, 2, 4, 6, 8]


def test_it_waits_for_a_call_that_is_being_made():
    making, leaving, made = threading.Event(), threading.Event(), running()
    group = TaskGroup()
    wait = group._members.wait
    group._members.wait = lambda: (leaving.set(), wait())

    def make():
        making.set()
        leaving.wait(30)
        return made

    def start():
        group.start(make)
        made.set_result(1)

    with group:
        thread = threading.Thread(target=start)
        thread.start()
        making.wait(30)
    assert made.done()
    thread.join(30)


def test_ctrl_c_while_a_call_is_made():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), TaskGroup() as group:
        group.start(interrupted)


def test_a_plain_function_is_refused():
    with TaskGroup() as group:
        with pytest.raises(TypeError, match=r"decorated.*returned 6.*executor\.submit"):
            group.start(tasks.double, 3)
        with pytest.raises(TypeError, match="futures"):
            group.start(asyncio.sleep, 0)
        with pytest.raises(TypeError, match="not callable"):
            group.start(3)


def test_a_group_does_not_travel():
    with TaskGroup() as group:
        future = group.start(processed(tasks.identity), group)
        with pytest.raises(pickle.PicklingError, match="TaskGroup cannot be pickled"):
            future.result(30)
        with pytest.raises(pickle.PicklingError):  # as a call that failed
            group.__exit__(None, None, None)


def test_its_text():
    group = TaskGroup()
    assert repr(group) == "<TaskGroup not entered, 0 running>"
    with group:
        joined(group, future := running())
        assert repr(group) == "<TaskGroup open, 1 running>"
        future.set_result(1)
    assert repr(group) == "<TaskGroup ended, 0 running>"


# ------------------------------------------------------------------------ nesting


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_groups_nest_on_a_small_pool(threads):
    with ThreadPoolExecutor(threads) as pool:

        def leaves(depth):
            if not depth:
                return 1
            with TaskGroup() as group:
                below = [group.start(pool.submit, leaves, depth - 1) for _ in range(3)]
            return sum(future.result(0) for future in below)

        assert pool.submit(leaves, 4).result(50) == 81


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_deep_inside_a_small_pool(threads):
    with ThreadPoolExecutor(threads) as pool:

        def fail(depth):
            if not depth:
                raise LookupError
            with TaskGroup() as group:
                for _ in range(3):
                    group.start(pool.submit, fail, depth - 1)

        with pytest.raises((LookupError, ExceptionGroup)) as caught:
            pool.submit(fail, 3).result(50)
        assert LookupError in set(kinds(caught.value))


def kinds(error):
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from kinds(each)
    else:
        yield type(error)


def test_gather_in_a_group():
    with TaskGroup() as group:
        both = group.start(gather, double(1), double(2))
    assert both.result(0) == [2, 4]
    with pytest.raises(tasks.Refusal), TaskGroup() as group:
        group.start(gather, double(1), refuse(2))


# ------------------------------------------------------------------------ asyncio


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 50))


def test_async_returns_when_all_have_ended():
    async def main():
        async with TaskGroup() as group:
            futures = [group.start(double, n) for n in range(20)]
        return [future.result(0) for future in futures]

    assert run(main()) == [2 * n for n in range(20)]


def test_async_blocks_no_loop(concurrent, latch):
    async def main():
        turns = 0
        async with TaskGroup() as group:
            held = group.start(concurrent.submit, tasks.hold, latch.folder)
            await asyncio.to_thread(latch.wait_begun)
            loop = asyncio.get_running_loop()

            async def others():
                nonlocal turns
                for _ in range(10):
                    await asyncio.sleep(0)
                    turns += 1
                latch.release()

            task = loop.create_task(others())
        assert held.done()
        await task
        assert turns == 10

    run(main())


def test_async_first_error_stops_the_rest_and_the_block(latch):
    async def main():
        waits = Future()
        try:
            async with TaskGroup() as group:
                held = group.start(processed(tasks.hold), latch.folder)
                await asyncio.to_thread(latch.wait_begun)
                joined(group, waits)
                group.start(refuse, 4)
                await asyncio.get_running_loop().create_future()  # for ever
        except tasks.Refusal as error:
            assert error.code == 4
        assert waits.cancelled()
        assert isinstance(held.exception(0), TaskKilled)
        assert not asyncio.current_task().cancelling()
        await asyncio.sleep(0)  # no cancellation is left over

    run(main())


def test_async_error_while_it_waits():
    async def main():
        failing = running()
        with pytest.raises(LookupError):
            async with TaskGroup() as group:
                joined(group, waits := Future(), failing)
                loop = asyncio.get_running_loop()
                loop.call_soon(failing.set_exception, LookupError())
        assert waits.cancelled()
        assert not asyncio.current_task().cancelling()

    run(main())


def test_async_several_errors():
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with TaskGroup() as group:
                joined(group, one := running(), two := running())
                one.set_exception(LookupError())
                two.set_exception(KeyError())
                raise ValueError
        assert list(kinds(caught.value)) == [LookupError, KeyError, ValueError]
        assert not asyncio.current_task().cancelling()

    run(main())


@pytest.mark.parametrize("where", ["in the block", "while it waits"])
def test_async_cancellation_of_the_task_cancels_the_group(where, latch):
    async def main():
        waits, begun = Future(), asyncio.Event()

        async def block():
            nonlocal held
            async with TaskGroup() as group:
                joined(group, waits)
                held = group.start(processed(tasks.hold), latch.folder)
                await asyncio.to_thread(latch.wait_begun)
                begun.set()
                if where == "in the block":
                    await asyncio.get_running_loop().create_future()
            pytest.fail("it was cancelled")

        held = None
        task = asyncio.create_task(block())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert waits.cancelled()
        assert isinstance(held.exception(0), TaskKilled)

    run(main())


def test_async_cancellation_waits_for_threads(latch):
    async def main():
        async def block():
            nonlocal held
            async with TaskGroup() as group:
                held = group.start(threaded(tasks.hold), latch.folder, 5)
                await asyncio.to_thread(latch.wait_begun)
                begun.set()

        held, begun = None, asyncio.Event()
        task = asyncio.create_task(block())
        await begun.wait()
        await asyncio.sleep(0)
        for _ in range(3):  # more than once changes nothing
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        latch.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held.result(0) == 5

    run(main())


def test_async_errors_go_before_the_cancellation():
    async def main():
        async def block():
            async with TaskGroup() as group:
                joined(group, failing)
                begun.set()

        failing, begun = running(), asyncio.Event()
        task = asyncio.create_task(block())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        failing.set_exception(LookupError())
        with pytest.raises(LookupError):
            await task

    run(main())


def test_async_the_tasks_cancellation_is_still_heard_after_an_error():
    async def main():
        async def block():
            try:
                async with TaskGroup() as group:
                    joined(group, failing)
                    begun.set()
            except LookupError:
                await asyncio.sleep(0)
                pytest.fail("it was cancelled")

        failing, begun = running(), asyncio.Event()
        task = asyncio.create_task(block())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        failing.set_exception(LookupError())
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_async_failure_that_is_told_late():
    # The loop may hear of it only when the block has seen, by itself, that all ended.
    async def main():
        group = TaskGroup()
        with contextlib.suppress(LookupError):
            async with group:
                late = group._async.call_has_failed
                joined(group, failing := running())
                failing.set_exception(LookupError())
        late()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not asyncio.current_task().cancelling()

    run(main())


def test_async_within_a_timeout(latch):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as timeout, TaskGroup() as group:
                held = group.start(processed(tasks.hold), latch.folder)
                await asyncio.to_thread(latch.wait_begun)
                timeout.reschedule(0)
        assert isinstance(held.exception(0), TaskKilled)
        assert not asyncio.current_task().cancelling()

    run(main())


def test_async_several_loops_at_once():
    async def main(number):
        async with TaskGroup() as group:
            futures = [group.start(double, n) for n in range(number)]
        return sum(future.result(0) for future in futures)

    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda n: run(main(n)), [3, 4, 5])) == [6, 12, 20]


def test_async_needs_a_loop_of_asyncio():
    coroutine = TaskGroup().__aenter__()
    with pytest.raises(RuntimeError, match="running asyncio event loop"):
        coroutine.send(None)


def test_async_blocks_error_alone():
    async def main():
        async with TaskGroup() as group:
            joined(group, waits := Future())
            waits.add_done_callback(lambda each: ended.append(each.cancelled()))
            raise LookupError

    ended = []
    with pytest.raises(LookupError):
        run(main())
    assert ended == [True]


def test_serial_executor_in_a_group():
    with SerialExecutor() as executor, TaskGroup() as group:
        assert group.start(executor.submit, os.getpid).result(0) == os.getpid()
