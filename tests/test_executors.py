"""The behaviour that all executors share, each tested on every kind of them."""

import asyncio
import concurrent.futures
import functools
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest

import tasks
from parallelize.executors.base import Executor
from parallelize.futures.future import Future
from support.programs import program

SHUT = "cannot schedule new futures after shutdown"


def is_process(kind):
    return kind.startswith("process")


# ------------------------------------------------------------------- submit


def test_it_is_an_executor_of_both_libraries(executor):
    assert isinstance(executor, Executor)
    assert isinstance(executor, concurrent.futures.Executor)
    assert executor._max_workers >= 1


def test_submit_gives_a_future(executor):
    future = executor.submit(tasks.double, 21)
    assert isinstance(future, Future)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 42
    assert future.done()
    assert not future.cancelled()
    assert future.exception() is None


def test_arguments_of_every_form(executor):
    assert executor.submit(tasks.add, 1, 2, 3, c=4).result() == 10
    args, kwargs = executor.submit(tasks.echo, 1, (2, [3]), key={"a": b"x"}).result()
    assert args == (1, (2, [3]))
    assert kwargs == {"key": {"a": b"x"}}


def test_names_of_parameters_of_ours_are_the_functions(executor):
    args, kwargs = executor.submit(tasks.echo, self=1, fn=2, args=3, timeout=4).result()
    assert args == ()
    assert kwargs == {"self": 1, "fn": 2, "args": 3, "timeout": 4}


def test_many_calls_each_get_their_own_result(executor):
    futures = [executor.submit(tasks.double, number) for number in range(200)]
    assert [future.result() for future in futures] == [2 * n for n in range(200)]


def test_where_the_call_runs(executor, kind):
    pid = executor.submit(tasks.pid_of).result()
    assert (pid != os.getpid()) == is_process(kind)


@pytest.mark.parametrize("fn", [None, 5, "print"])
def test_what_cannot_be_called_is_refused_at_submit(executor, fn):
    with pytest.raises(TypeError, match="fn must be a callable"):
        executor.submit(fn)


@pytest.mark.parametrize(
    ("fn", "args", "value"),
    [
        pytest.param(lambda x: x + 1, (1,), 2, id="lambda"),
        pytest.param(functools.partial(tasks.add, 1, c=5), (2,), 8, id="partial"),
        pytest.param(tasks.Counter(3).plus, (4,), 7, id="bound method"),
        pytest.param(tasks.Counter(3), (4,), 12, id="callable object"),
        pytest.param(tasks.Counter.make, (4,), 4, id="class method"),
        pytest.param(tasks.Counter.twice, (4,), 8, id="static method"),
        pytest.param(len, ("four",), 4, id="C function"),
        pytest.param("four".upper, (), "FOUR", id="method of a C type"),
        pytest.param(dict, ([(1, 2)],), {1: 2}, id="class"),
    ],
)
def test_everything_that_can_be_called(executor, fn, args, value):
    assert executor.submit(fn, *args).result() == value


def test_a_closure(executor):
    seen = [1, 2, 3]

    def total(more):
        return sum(seen) + more

    assert executor.submit(total, 4).result() == 10


def test_a_process_gets_a_snapshot(make_executor, kind):
    if not is_process(kind):
        pytest.skip("threads share what they are given")
    executor = make_executor()
    values = list(range(10))
    futures = []
    for _ in range(50):
        futures.append(executor.submit(tasks.length, values))
        values.append(0)
    assert [future.result() for future in futures] == list(range(10, 60))


# ------------------------------------------------------------------- errors


def test_an_error_arrives_in_its_own_class(executor):
    future = executor.submit(tasks.refuse, 7)
    with pytest.raises(tasks.Refusal) as caught:
        future.result()
    assert caught.value.code == 7
    assert future.exception() is caught.value
    assert executor.submit(tasks.double, 1).result() == 2


def test_an_error_keeps_its_notes(executor):
    error = executor.submit(tasks.refuse_with_note, 7).exception()
    assert "seen by the worker" in error.__notes__


def test_the_place_of_an_error_is_told(executor, kind):
    error = executor.submit(tasks.refuse, 7).exception()
    import traceback

    text = "".join(traceback.format_exception(error))
    assert "tasks.py" in text
    assert "in refuse" in text


def test_the_cause_of_an_error_is_told(executor):
    import traceback

    error = executor.submit(tasks.refuse_because, 7).exception()
    assert "the reason" in "".join(traceback.format_exception(error))


def test_each_failed_call_has_an_error_of_its_own(executor):
    first, second = (executor.submit(tasks.refuse, 7).exception() for _ in range(2))
    assert first is not second


def test_system_exit_fails_the_call_alone(executor):
    future = executor.submit(tasks.leave, 3)
    error = future.exception()
    assert isinstance(error, SystemExit)
    assert error.code == 3
    assert executor.submit(tasks.double, 1).result() == 2


def test_keyboard_interrupt_fails_the_call_alone(executor, kind):
    if kind == "serial":
        pytest.skip("there it is the caller's own Ctrl-C")
    assert isinstance(executor.submit(tasks.interrupt).exception(), KeyboardInterrupt)
    assert executor.submit(tasks.double, 1).result() == 2


def test_serially_keyboard_interrupt_reaches_the_caller():
    from parallelize.executors.serial import SerialExecutor

    with SerialExecutor() as executor:
        with pytest.raises(KeyboardInterrupt):
            executor.submit(tasks.interrupt)
        assert executor.submit(tasks.double, 1).result() == 2


def test_an_error_holds_no_reference_cycle(concurrent):
    def failure():
        future = concurrent.submit(tasks.refuse, tasks.Counter(1))
        read(future)
        error = weakref.ref(future.exception())
        del future
        return error

    def read(future):
        try:
            future.result()
        except tasks.Refusal:
            del future  # an error holds all frames it was raised under

    gc.collect()
    gc.disable()
    try:
        error = failure()
        concurrent.shutdown()  # then the worker has let go of the call, too
        assert error() is None
    finally:
        gc.enable()


# -------------------------------------------------------- cancel and callbacks


def test_a_call_that_waits_can_be_cancelled(make_concurrent, latch):
    executor = make_concurrent(max_workers=1)
    running = executor.submit(tasks.hold, latch.folder)
    latch.wait_begun()
    # Some go to the worker ahead of time; those far behind do not.
    waiting = [executor.submit(tasks.double, n) for n in range(3000)]
    assert not running.cancel()
    assert running.running()
    last = waiting[-1]
    assert last.cancel()
    assert last.cancel()
    assert last.cancelled()
    assert last.done()
    with pytest.raises(concurrent.futures.CancelledError):
        last.result()
    latch.release()
    assert running.result() is None
    assert [future.result() for future in waiting[:-1]] == [2 * n for n in range(2999)]


def test_a_cancelled_call_never_runs(make_concurrent, latch, tmp_path):
    executor = make_concurrent(max_workers=1)
    trace = tmp_path / "trace"
    running = executor.submit(tasks.hold, latch.folder)
    latch.wait_begun()
    futures = [executor.submit(tasks.append_line, trace, n) for n in range(50)]
    cancelled = {n for n, future in enumerate(futures) if future.cancel()}
    latch.release()
    running.result()
    executor.shutdown()
    ran = set(map(int, trace.read_text().split())) if trace.exists() else set()
    assert ran.isdisjoint(cancelled)
    assert ran | cancelled == set(range(50))


def test_a_done_call_cannot_be_cancelled(executor):
    future = executor.submit(tasks.double, 1)
    future.result()
    assert not future.cancel()
    assert not future.kill()
    assert not future.cancelled()


def test_callbacks_run_in_their_order(executor):
    seen, all_seen = [], threading.Event()
    future = executor.submit(tasks.double, 4)
    for number in range(3):
        future.add_done_callback(
            lambda done, number=number: seen.append((number, done))
        )
    future.add_done_callback(lambda _: all_seen.set())
    assert all_seen.wait(20)
    assert seen == [(0, future), (1, future), (2, future)]
    future.add_done_callback(lambda done: seen.append(done.result()))
    assert seen[-1] == 8


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_error_of_a_callback_hurts_nobody(make_concurrent, latch, caplog, error):
    executor = make_concurrent(max_workers=1)
    after = threading.Event()
    future = executor.submit(tasks.hold, latch.folder)

    def fail(_):
        raise error("a callback's own")

    future.add_done_callback(fail)
    future.add_done_callback(lambda _: after.set())
    latch.wait_begun()
    latch.release()
    assert after.wait(20)
    assert executor.submit(tasks.double, 2).result() == 4
    assert "a callback's own" in caplog.text


def test_a_callback_may_submit(make_concurrent, latch):
    executor = make_concurrent(max_workers=1)
    found = concurrent.futures.Future()
    future = executor.submit(tasks.hold, latch.folder)
    future.add_done_callback(
        lambda _: found.set_result(executor.submit(tasks.double, 8))
    )
    latch.wait_begun()
    latch.release()
    assert found.result(20).result(20) == 16


def test_a_user_who_ends_a_future_hurts_nobody_else(make_concurrent, latch):
    executor = make_concurrent(max_workers=1)
    future = executor.submit(tasks.hold, latch.folder, "late")
    latch.wait_begun()
    future.set_result("early")
    latch.release()
    assert executor.submit(tasks.double, 2).result() == 4
    assert future.result() == "early"


# ------------------------------------------------------------------- waiting


def test_result_and_exception_wait_no_longer_than_told(concurrent, latch):
    future = concurrent.submit(tasks.hold, latch.folder)
    latch.wait_begun()
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    latch.release()
    assert future.result(timeout=20) is None


@pytest.mark.parametrize("home", ["concurrent.futures", "parallelize"])
def test_wait_and_as_completed(concurrent, make_latch, home):
    module = __import__(home, fromlist=["wait"])
    first, second = make_latch(), make_latch()
    slow = concurrent.submit(tasks.hold, first.folder, "slow")
    first.wait_begun()
    quick = concurrent.submit(tasks.hold, second.folder, "quick")
    second.wait_begun()

    done, pending = module.wait([slow, quick], timeout=0.01)
    assert (done, pending) == (set(), {slow, quick})
    second.release()
    done, pending = module.wait([slow, quick], return_when=module.FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {slow})
    completed = module.as_completed([slow, quick])
    assert next(completed) is quick
    first.release()
    assert next(completed) is slow
    assert module.wait([slow, quick]).not_done == set()


def test_wait_for_the_first_exception(concurrent, latch):
    slow = concurrent.submit(tasks.hold, latch.folder)
    latch.wait_begun()
    failing = concurrent.submit(tasks.refuse, 1)
    done, _ = concurrent_wait([slow, failing])
    assert done == {failing}
    latch.release()
    assert slow.exception() is None


def concurrent_wait(futures):
    return concurrent.futures.wait(
        futures, timeout=20, return_when=concurrent.futures.FIRST_EXCEPTION
    )


# ------------------------------------------------------ futures as arguments


def test_a_future_is_an_argument_wherever_it_stands(executor):
    two = executor.submit(tasks.double, 1)
    four = executor.submit(tasks.double, two)
    assert four.result() == 4
    nested = executor.submit(
        tasks.echo, [two, (four, {"key": two})], key={"deep": [four]}
    )
    args, kwargs = nested.result()
    assert args == ([2, (4, {"key": 2})],)
    assert kwargs == {"key": {"deep": [4]}}


def test_a_failing_argument_fails_the_call(executor, tmp_path):
    trace = tmp_path / "trace"
    failed = executor.submit(tasks.refuse, 5)
    future = executor.submit(tasks.append_line, trace, [failed])
    with pytest.raises(tasks.Refusal):
        future.result()
    assert not trace.exists()


def test_a_call_that_waits_for_a_future_holds_no_worker(make_concurrent, make_latch):
    executor = make_concurrent(max_workers=2)
    latch = make_latch()
    first = executor.submit(tasks.hold, latch.folder, 5)
    latch.wait_begun()
    waiting = [executor.submit(tasks.double, first) for _ in range(5)]
    assert executor.submit(tasks.double, 1).result(timeout=20) == 2
    assert not any(future.done() for future in waiting)
    latch.release()
    assert [future.result(timeout=20) for future in waiting] == [10] * 5


def test_a_cancelled_argument_fails_the_call(make_concurrent):
    executor = make_concurrent()
    never = Future()
    future = executor.submit(tasks.double, never)
    assert never.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(timeout=20)


def test_a_chain_over_executors_of_two_kinds(make_executor):
    from parallelize.executors.thread import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as threads:
        here = threads.submit(tasks.double, 3)
        there = make_executor().submit(tasks.double, here)
        assert threads.submit(tasks.double, [there]).result() == [12, 12]


def test_shutdown_waits_for_calls_that_wait_for_futures(make_concurrent):
    executor = make_concurrent()
    missing = Future()
    future = executor.submit(tasks.double, missing)
    closer = threading.Thread(target=executor.shutdown)
    closer.start()
    missing.set_result(4)
    closer.join(20)
    assert not closer.is_alive()
    assert future.result(timeout=0) == 8


# ------------------------------------------------------------------ shutdown


def test_after_shutdown_nothing_is_taken(executor):
    executor.shutdown()
    with pytest.raises(RuntimeError, match=SHUT):
        executor.submit(tasks.double, 1)
    with pytest.raises(RuntimeError, match=SHUT):
        executor.map(tasks.double, [1])
    executor.shutdown()


def test_the_with_block_waits(executor, tmp_path):
    trace = tmp_path / "trace"
    with executor as entered:
        assert entered is executor
        for number in range(20):
            executor.submit(tasks.append_line, trace, number)
    assert len(trace.read_text().split()) == 20
    with pytest.raises(RuntimeError, match=SHUT):
        executor.submit(tasks.double, 1)


def test_shutdown_without_waiting_still_runs_everything(make_concurrent, latch):
    executor = make_concurrent(max_workers=1)
    first = executor.submit(tasks.hold, latch.folder, 1)
    others = [executor.submit(tasks.double, n) for n in range(20)]
    latch.wait_begun()
    executor.shutdown(wait=False)
    latch.release()
    assert first.result() == 1
    assert [future.result() for future in others] == [2 * n for n in range(20)]


def test_shutdown_cancels_what_has_not_begun(make_concurrent, latch):
    executor = make_concurrent(max_workers=1)
    first = executor.submit(tasks.hold, latch.folder, 1)
    latch.wait_begun()
    others = [executor.submit(tasks.double, n) for n in range(3000)]
    waiting = threading.Thread(target=concurrent.futures.wait, args=[others])
    waiting.start()
    executor.shutdown(wait=False, cancel_futures=True)
    assert others[-1].cancelled()
    latch.release()
    assert first.result() == 1
    waiting.join(20)
    assert not waiting.is_alive()


def test_shutdown_cancels_calls_that_wait_for_a_future(make_concurrent):
    executor = make_concurrent()
    missing = Future()
    future = executor.submit(tasks.double, missing)
    executor.shutdown(cancel_futures=True)
    assert future.cancelled()
    missing.set_result(1)


def test_shutdown_in_a_callback_and_a_call(concurrent, concurrent_kind, latch):
    done = threading.Event()
    future = concurrent.submit(tasks.hold, latch.folder)
    future.add_done_callback(lambda _: (concurrent.shutdown(), done.set()))
    latch.wait_begun()
    latch.release()
    assert done.wait(20)


def test_submits_and_shutdown_race(make_concurrent):
    executor = make_concurrent(max_workers=2)
    ready, futures = threading.Barrier(6), []

    def submit_on():
        ready.wait()
        try:
            for number in range(10_000):
                futures.append(executor.submit(tasks.double, number))
        except RuntimeError as error:
            assert SHUT in str(error)

    threads = [threading.Thread(target=submit_on) for _ in range(5)]
    for thread in threads:
        thread.start()
    ready.wait()
    executor.shutdown()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert all(future.done() for future in futures)


def test_an_executor_that_is_dropped_finishes(
    make_concurrent, concurrent_kind, latch, tmp_path
):
    executor = make_concurrent(max_workers=1)
    make_concurrent.made.clear()
    first = executor.submit(tasks.hold, latch.folder, 1)
    others = [executor.submit(tasks.double, n) for n in range(20)]
    latch.wait_begun()
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    latch.release()
    assert first.result(20) == 1
    assert [future.result(20) for future in others] == [2 * n for n in range(20)]


# ----------------------------------------------------------------- the pools


@pytest.mark.parametrize("workers", [0, -1])
def test_too_few_workers(concurrent_kind, workers):
    from factories import make

    with pytest.raises(ValueError, match="max_workers"):
        make(concurrent_kind, max_workers=workers)


@pytest.mark.parametrize("workers", [True, 1.5, "4", [2]])
def test_workers_that_are_no_number(concurrent_kind, workers):
    from factories import make

    with pytest.raises(TypeError, match="max_workers"):
        make(concurrent_kind, max_workers=workers)


def test_far_too_many_workers(concurrent_kind):
    from factories import make

    with pytest.raises(ValueError, match="max_workers"):
        make(concurrent_kind, max_workers=10**6)


def test_the_default_number_of_workers(make_concurrent):
    assert make_concurrent(max_workers=None)._max_workers >= 1


def test_the_initializer_runs_first_in_each_worker(make_concurrent):
    executor = make_concurrent(initializer=tasks.initialize, initargs=("ready",))
    futures = [executor.submit(tasks.initialized) for _ in range(20)]
    assert {future.result() for future in futures} == {("ready", "ready")}


@pytest.mark.parametrize("initializer", [5, "print"])
def test_an_initializer_that_cannot_be_called(concurrent_kind, initializer):
    from factories import make

    with pytest.raises(TypeError, match="initializer"):
        make(concurrent_kind, initializer=initializer)


def test_arguments_of_an_initializer_that_are_none(concurrent_kind):
    from factories import make

    with pytest.raises(TypeError, match="initargs must be a tuple, not 3"):
        make(concurrent_kind, initargs=3)


def test_arguments_of_an_initializer_may_be_a_list(make_concurrent):
    """As with the standard library; and what gives them once serves each worker."""
    executor = make_concurrent(initializer=tasks.initialize, initargs=iter(["ready"]))
    futures = [executor.submit(tasks.initialized) for _ in range(20)]
    assert {future.result() for future in futures} == {("ready", "ready")}


def test_the_base_of_executors_says_that_it_is_none():
    with pytest.raises(TypeError, match="make a ThreadPoolExecutor"):
        Executor()


def test_a_failing_initializer_fails_the_calls(make_concurrent, caplog):
    executor = make_concurrent(max_workers=1, initializer=tasks.initialize_badly)
    future = executor.submit(tasks.double, 1)
    with pytest.raises(concurrent.futures.BrokenExecutor):
        future.result(timeout=30)


def test_calls_at_once_as_many_as_workers(make_concurrent, make_latch):
    executor = make_concurrent(max_workers=3)
    latches = [make_latch() for _ in range(3)]
    futures = [
        executor.submit(tasks.hold, one.folder, n) for n, one in enumerate(latches)
    ]
    for one in latches:
        one.wait_begun()
    for one in latches:
        one.release()
    assert [future.result() for future in futures] == [0, 1, 2]


# ------------------------------------------------------------------- asyncio


def test_await(executor):
    async def main():
        return await executor.submit(tasks.double, 4)

    assert asyncio.run(main()) == 8


def test_await_an_error(executor):
    async def main():
        await executor.submit(tasks.refuse, 4)

    with pytest.raises(tasks.Refusal):
        asyncio.run(main())


def test_await_one_future_in_several_tasks(concurrent, latch):
    async def main():
        future = concurrent.submit(tasks.hold, latch.folder, 3)

        async def reader():
            return await future

        readers = asyncio.gather(*(reader() for _ in range(5)))
        await asyncio.to_thread(latch.wait_begun)
        latch.release()
        return await readers

    assert asyncio.run(main()) == [3] * 5


def test_run_in_executor_and_wrap_future(executor):
    async def main():
        loop = asyncio.get_running_loop()
        first = await loop.run_in_executor(executor, tasks.double, 2)
        second = await asyncio.wrap_future(executor.submit(tasks.double, 3))
        return first, second

    assert asyncio.run(main()) == (4, 6)


def test_await_outside_a_loop_says_what_is_wrong(executor):
    future = executor.submit(tasks.double, 1)
    with pytest.raises(RuntimeError, match="asyncio event loop"):
        next(future.__await__())
    future.result()


# --------------------------------------------------- options of decorated calls


def options(**given):
    from parallelize.runtime.options import CallOptions

    return CallOptions(**given)


def test_retries_of_submitted_calls(executor, tmp_path):
    trace = tmp_path / "trace"
    future = executor._submit(tasks.fail_first, (trace, 2, 7), {}, options(retries=2))
    assert future.result() == 7
    assert len(trace.read_text().split()) == 3


def test_retries_are_as_many_as_asked(executor, tmp_path):
    trace = tmp_path / "trace"
    future = executor._submit(tasks.fail_first, (trace, 9, 7), {}, options(retries=2))
    assert future.exception().code == 3
    assert len(trace.read_text().split()) == 3


def test_retries_only_on_the_errors_named(executor, tmp_path):
    trace = tmp_path / "trace"
    future = executor._submit(
        tasks.fail_first, (trace, 2, 7), {}, options(retries=2, retry_on=(KeyError,))
    )
    assert future.exception().code == 1


def test_a_limit_holds(make_concurrent, make_latch):
    from parallelize.runtime.options import Limit

    executor = make_concurrent(max_workers=2)
    one_at_once = options(limit=Limit(1))
    first, second = make_latch(), make_latch()
    running = executor._submit(tasks.hold, (first.folder,), {}, one_at_once)
    waiting = executor._submit(tasks.hold, (second.folder,), {}, one_at_once)
    first.wait_begun()
    assert executor.submit(tasks.double, 2).result(20) == 4
    assert executor.submit(tasks.double, 2).result(20) == 4
    assert not waiting.running()
    first.release()
    second.wait_begun()
    assert running.done() or running.result() is None
    second.release()
    waiting.result()


def test_a_limit_holds_in_serial_calls_of_many_threads():
    from parallelize.executors.serial import SerialExecutor
    from parallelize.runtime.options import Limit

    two_at_once = options(limit=Limit(2))
    lock, running, most = threading.Lock(), 0, 0
    meet = threading.Barrier(2)

    def task():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meet.wait(20)
        with lock:
            running -= 1

    with SerialExecutor() as executor:
        threads = [
            threading.Thread(target=executor._submit, args=(task, (), {}, two_at_once))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert most == 2


def test_a_serial_call_that_calls_itself_within_its_limit():
    from parallelize.executors.serial import SerialExecutor
    from parallelize.runtime.options import Limit

    one_at_once = options(limit=Limit(1))
    with SerialExecutor() as executor:

        def count_down(number):
            if number == 0:
                return "done"
            return executor._submit(count_down, (number - 1,), {}, one_at_once).result()

        assert executor._submit(count_down, (5,), {}, one_at_once).result() == "done"


def test_a_timeout_fails_the_call_alone(make_concurrent, latch):
    from parallelize.errors import TaskTimeout

    executor = make_concurrent(max_workers=2)
    late = executor._submit(
        tasks.hold, (latch.folder,), {}, options(timeout=0.2, name="the held one")
    )
    latch.wait_begun()
    with pytest.raises(TaskTimeout, match=r"the held one ran longer .* 0\.2 seconds"):
        late.result(20)
    assert executor._submit(tasks.double, (4,), {}, options(timeout=30)).result() == 8


# ---------------------------------------------------------- end of the program

PROGRAM = """
    import sys, os, time
    sys.path[:0] = {path!r}
    from factories import make
    import tasks
    executor = make({kind!r}, 2)
"""


def run_program(kind, body, **options):
    text = textwrap.dedent(PROGRAM).format(path=sys.path, kind=kind) + textwrap.dedent(
        body
    )
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        **options,
    )


def test_a_program_that_ends_finishes_its_calls(kind, tmp_path):
    trace = tmp_path / "trace"
    ran = run_program(
        kind,
        f"""
        for number in range(20):
            executor.submit(tasks.append_line, {str(trace)!r}, number)
        sys.exit(4)
    """,
    )
    assert ran.stderr == ""
    assert ran.returncode == 4
    assert len(trace.read_text().split()) == 20


def test_a_program_that_ends_finishes_a_map_that_nobody_reads(kind, tmp_path):
    trace = str(tmp_path / "trace")
    ran = run_program(
        kind,
        f"""
        executor.map(tasks.append_line, [{trace!r}] * 500, range(500))
        kept = executor.map(tasks.append_line, [{trace!r}] * 500, range(500, 1000))
    """,
    )
    assert ran.stderr == ""
    assert sorted(map(int, (tmp_path / "trace").read_text().split())) == list(
        range(1000)
    )


def test_an_error_ends_the_program_soon(kind, tmp_path):
    if kind == "serial":
        pytest.skip("nothing runs beside the program")
    ran = run_program(
        kind,
        """
        begun = time.monotonic()
        futures = [executor.submit(time.sleep, 30) for _ in range(20)]
        executor.submit(tasks.double, 1)
        raise LookupError("the program's own")
    """,
    )
    assert ran.returncode == 1
    assert "the program's own" in ran.stderr


def test_a_forked_child_has_a_pool_of_its_own(concurrent_kind, tmp_path):
    if concurrent_kind == "interpreter":
        pytest.skip("Python 3.14 crashes in a fork of a program with interpreters")
    ran = run_program(
        concurrent_kind,
        program(
            "executors/a_forked_child_has_a_pool_of_its_own", FOLDER=repr(str(tmp_path))
        ),
    )
    assert ran.returncode == 0, ran.stderr


def test_executor_cannot_be_pickled(executor):
    """Used or not: a copy would have no workers."""
    for _ in range(2):
        with pytest.raises(TypeError, match="an executor cannot be pickled"):
            pickle.dumps(executor)
        assert executor.submit(tasks.double, 21).result() == 42
