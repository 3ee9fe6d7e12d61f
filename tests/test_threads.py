"""What is particular to the thread pool."""

import contextvars
import gc
import os
import signal
import threading
import time
import weakref
from concurrent.futures.thread import BrokenThreadPool

import pytest

import tasks
from factories import Held, shut_down_after
from parallelize.errors import TaskTimeout
from parallelize.executors.thread import ThreadPoolExecutor
from parallelize.futures.future import Future
from parallelize.runtime import timer
from parallelize.runtime.options import CallOptions, Limit
from support.free_threading import freed_at_once
from support.waiting import wait_until


@pytest.fixture
def make_pool():
    with shut_down_after(ThreadPoolExecutor) as make_one:
        yield make_one


# -------------------------------------------------------------------- threads


@pytest.mark.parametrize("prefix", [3, b"x"])
def test_a_prefix_that_is_no_string(prefix):
    with pytest.raises(TypeError, match="thread_name_prefix must be a string, not"):
        ThreadPoolExecutor(1, prefix)


def test_the_text_of_a_future_is_that_of_the_standard_librarys(make_pool):
    pool = make_pool(1)
    held = Held(pool)
    assert repr(held.future) == f"<Future at {id(held.future):#x} state=running>"
    held.release()
    done = pool.submit(abs, -1)
    done.result()
    assert repr(done) == f"<Future at {id(done):#x} state=finished returned int>"


def test_threads_start_only_when_needed(make_pool):
    pool = make_pool(4)
    assert pool._threads == set()
    for _ in range(20):
        pool.submit(tasks.double, 1).result()
        wait_until(lambda: len(pool._engine._idle) == len(pool._threads))
    assert len(pool._threads) == 1
    held = [Held(pool) for _ in range(4)]
    assert len(pool._threads) == 4
    more = pool.submit(tasks.double, 4)
    assert len(pool._threads) == 4
    assert not more.done()
    for one in held:
        one.release()
    assert more.result() == 8


def test_the_thread_that_rested_last_works_first(make_pool):
    pool = make_pool(3)
    held = [Held(pool) for _ in range(3)]
    threads = []
    for one in held:
        threads.append(one.release())
        wait_until(lambda: len(pool._engine._idle) == len(threads))
    for _ in range(5):
        assert pool.submit(threading.current_thread).result() is threads[-1]
        wait_until(lambda: len(pool._engine._idle) == 3)


def test_a_thread_without_work_leaves(make_pool):
    pool = make_pool(2, idle_timeout=0.02)
    for one in [Held(pool), Held(pool)]:
        one.release()
    wait_until(lambda: not pool._threads)
    assert pool.submit(tasks.double, 4).result() == 8


def test_resting_threads_come_and_go_without_losing_calls(make_pool):
    pool = make_pool(4, idle_timeout=0.0005)
    for number in range(300):
        assert pool.submit(tasks.double, number).result(20) == 2 * number
        time.sleep(0.0005)  # about as long as threads stay
    pool.shutdown()


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_a_wrong_idle_timeout(wrong):
    with pytest.raises(ValueError, match="idle_timeout"):
        ThreadPoolExecutor(1, idle_timeout=wrong)


def test_names_of_threads(make_pool):
    def name():
        return threading.current_thread().name

    assert make_pool(1, "fetch").submit(name).result() == "fetch_0"
    assert make_pool(1).submit(name).result().startswith("ThreadPoolExecutor-")


def test_default_number_of_threads(monkeypatch):
    from parallelize.runtime import cpus

    monkeypatch.setattr(cpus, "cpu_count", lambda: 3)
    assert ThreadPoolExecutor()._max_workers == 7
    monkeypatch.setattr(cpus, "cpu_count", lambda: 300)
    assert ThreadPoolExecutor()._max_workers == 32


def test_the_initializer_runs_once_in_each_thread(make_pool):
    ran = []
    pool = make_pool(3, initializer=lambda: ran.append(threading.get_ident()))
    for one in [Held(pool) for _ in range(3)]:
        one.release()
    assert len(ran) == len(set(ran)) == 3


def test_a_broken_pool_says_why(make_pool, caplog):
    pool = make_pool(1, initializer=tasks.initialize_badly)
    futures = []
    with pytest.raises(BrokenThreadPool) as caught:
        while True:
            futures.append(pool.submit(tasks.double, 1))
    assert isinstance(caught.value.__cause__, tasks.Refusal)
    for future in futures:
        assert isinstance(future.exception(20), BrokenThreadPool)
    assert "Exception in initializer" in caplog.text
    with pytest.raises(BrokenThreadPool):
        pool.submit(tasks.double, 1)


def test_no_further_thread_can_be_started(make_pool, monkeypatch, caplog):
    pool = make_pool(4)
    one = Held(pool)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    futures = [pool.submit(tasks.double, n) for n in range(5)]
    one.release()
    assert [future.result(20) for future in futures] == [0, 2, 4, 6, 8]
    assert caplog.text.count("no further thread") == 1


def test_no_thread_at_all_can_be_started(make_pool, monkeypatch):
    pool = make_pool(4)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(tasks.double, 1)
        waiting = Future()
        future = pool.submit(tasks.double, waiting)
        waiting.set_result(1)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            future.result(20)
    assert pool.submit(tasks.double, 1).result(20) == 2


def test_a_task_holds_nothing_after_its_end(make_pool):
    pool = make_pool(1)
    counter = tasks.Counter(1)
    gone = weakref.ref(counter)
    assert pool.submit(counter.plus, 1).result() == 2
    del counter
    wait_until(lambda: gone() is None)


@freed_at_once
def test_a_resting_thread_holds_no_result(make_pool):
    pool = make_pool(1)
    future = pool.submit(tasks.Counter, 1)
    gone = weakref.ref(future.result())
    del future
    wait_until(lambda: gone() is None)


def test_shutdown_keeps_threads_for_calls_that_wait(make_pool):
    pool = make_pool(1)
    assert pool.submit(tasks.double, 1).result() == 2
    wait_until(lambda: pool._engine._idle)  # all threads have started, and rest
    missing = Future()
    waiting = pool.submit(tasks.double, missing)
    (thread,) = pool._threads
    pool.shutdown(wait=False)
    # Woken by the shutdown, the thread has looked round and rests again.
    wait_until(lambda: pool._engine._idle or not thread.is_alive())
    missing.set_result(2)
    assert waiting.result(20) == 4


def test_a_pool_that_is_dropped_lets_its_threads_go():
    pool = ThreadPoolExecutor(3)
    for one in [Held(pool) for _ in range(3)]:
        one.release()
    threads = list(pool._threads)
    del pool
    gc.collect()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_shutdown_in_a_thread_of_the_pool(make_pool):
    pool = make_pool(2)
    future = pool.submit(pool.shutdown)
    assert future.result(20) is None
    with pytest.raises(RuntimeError):
        pool.submit(tasks.double, 1)


def test_two_threads_of_the_pool_shut_it_down(make_pool):
    pool = make_pool(2)
    meet = threading.Barrier(2)
    futures = [pool.submit(lambda: (meet.wait(20), pool.shutdown())) for _ in range(2)]
    for future in futures:
        future.result(20)


def test_submit_from_many_threads(make_pool):
    pool = make_pool(4)
    results = []

    def submit(start):
        futures = [pool.submit(tasks.double, start + n) for n in range(2000)]
        results.append(sum(future.result() for future in futures))

    threads = [threading.Thread(target=submit, args=(n * 2000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(results) == 2 * sum(range(8000))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_signal_handlers_may_submit(make_pool):
    pool = make_pool(2)
    from_handler = []
    before = signal.signal(
        signal.SIGALRM, lambda *_: from_handler.append(pool.submit(tasks.double, 1))
    )
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pool.submit(tasks.double, 2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert from_handler
    assert {future.result(20) for future in from_handler} == {2}


# -------------------------------------------------------------------- context


def test_each_call_runs_in_a_copy_of_the_callers_context(make_pool):
    pool = make_pool(1)
    variable = contextvars.ContextVar("variable", default="none")

    def look():
        seen = variable.get()
        variable.set("set by a task")
        return seen

    assert pool.submit(look).result() == "none"
    token = variable.set("first")
    future = pool.submit(look)
    variable.set("second")
    assert future.result() == "first"
    assert pool.submit(look).result() == "second"
    variable.reset(token)
    assert pool.submit(look).result() == "none"
    assert variable.get() == "none"


@pytest.fixture(params=["empty", "filled"])
def in_context(request):
    """Run a function in a context that is empty, and in one that is not."""
    context = contextvars.Context()
    if request.param == "filled":
        context.run(contextvars.ContextVar("filled").set, 1)
    return context.run


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("columns", [1, 2])
def test_rows_of_a_chunk_do_not_see_what_others_set(
    make_pool, in_context, retries, columns
):
    pool = make_pool(2)
    variable = contextvars.ContextVar("variable", default="none")

    def row(number, *_):
        seen = variable.get()
        if number % 3:  # some set something, others do not
            variable.set(number)
        return seen

    def run():
        from parallelize.mapping import start_map

        options = CallOptions(retries=retries)
        found = start_map(
            pool, row, [range(200)] * columns, options=options, chunksize=50
        )
        return list(found), variable.get()

    assert in_context(run) == (["none"] * 200, "none")


def test_rows_run_in_the_context_in_which_the_map_was_made(make_pool):
    pool = make_pool(2)
    variable = contextvars.ContextVar("variable", default="none")

    def row(_):
        seen = variable.get()
        variable.set("set by a row")
        return seen

    token = variable.set("made")
    results = pool.map(row, range(500), chunksize=20)
    variable.reset(token)
    assert list(results) == ["made"] * 500


# --------------------------------------------------------------------- errors


def last_line(error):
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_name


class Fatal(BaseException):
    """No Exception."""


ERRORS = [
    ValueError,
    StopIteration,
    SystemExit,
    KeyboardInterrupt,
    Fatal,
    GeneratorExit,
]


@pytest.mark.parametrize("kind", ERRORS)
def test_any_error_of_a_call_is_the_calls_own(make_pool, kind):
    pool = make_pool(1)

    def fails():
        raise kind("here")

    def fails_deeper():
        fails()

    error = pool.submit(fails_deeper).exception(20)
    assert type(error) is kind
    assert error.args == ("here",)
    assert last_line(error) == "fails"
    assert pool.submit(tasks.double, 1).result(20) == 2
    assert len(pool._threads) == 1


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_of_a_row_is_that_rows_own(make_pool, in_context, kind, columns):
    pool, ran = make_pool(2), []

    def row(number, *_):
        ran.append(number)
        if number % 7 == 3:
            raise kind(number)
        return number

    def run():
        inputs = [range(100)] * columns
        return list(pool.map(row, *inputs, chunksize=30, return_exceptions=True))

    found = in_context(run)
    for number, outcome in enumerate(found):
        if number % 7 == 3:
            assert type(outcome) is kind
            assert outcome.args == (number,)
            assert last_line(outcome) == "row"
        else:
            assert outcome == number
    assert sorted(ran) == list(range(100))  # none twice


@freed_at_once
def test_errors_of_rows_keep_nothing_alive(make_pool, in_context):
    pool = make_pool(1)

    class Argument:
        pass

    def row(_):
        raise ValueError

    gc.collect()
    gc.disable()
    try:
        arguments = [Argument() for _ in range(50)]
        alive = [weakref.ref(argument) for argument in arguments]
        given = iter(arguments)
        del arguments
        results = in_context(
            lambda: pool.map(row, given, chunksize=10, return_exceptions=True)
        )
        for outcome in results:
            assert type(outcome) is ValueError
            del outcome
        wait_until(lambda: not any(ref() for ref in alive))
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [ValueError, SystemExit, Fatal])
def test_an_error_of_a_callback_harms_nobody(make_pool, kind, caplog):
    pool, called = make_pool(1), []
    held = Held(pool)

    def fails(_):
        raise kind

    held.future.add_done_callback(fails)
    held.future.add_done_callback(called.append)
    held.release()
    assert pool.submit(tasks.double, 1).result(20) == 2
    assert called == [held.future]
    assert caplog.text.count("exception calling callback for") == 1


# ------------------------------------------------------------------- deadlines


def submit(pool, fn, *args, **options):
    return pool._submit(fn, args, {}, CallOptions(**options))


def test_a_timeout_fails_the_future_and_leaves_the_thread(make_pool):
    pool = make_pool(1)
    begun, go = threading.Event(), threading.Event()

    def task():
        begun.set()
        go.wait(20)
        return "too late"

    future = submit(pool, task, timeout=0.02)
    assert begun.wait(20)
    with pytest.raises(TaskTimeout, match="longer than its timeout"):
        future.result(20)
    assert not future.kill()
    go.set()
    assert pool.submit(tasks.double, 1).result(20) == 2
    with pytest.raises(TaskTimeout):
        future.result()


def test_the_time_counts_from_the_start_of_the_call(make_pool):
    pool = make_pool(1)
    held = Held(pool)
    future = submit(pool, tasks.double, 4, timeout=0.05)
    time.sleep(0.1)  # longer than the timeout, in the queue
    assert not future.done()
    held.release()
    assert future.result(20) == 8


def test_a_call_within_its_time_leaves_no_deadline(make_pool):
    pool = make_pool(1)
    for number in range(1000):
        assert submit(pool, tasks.double, number, timeout=3600).result() == 2 * number
    assert len(timer._timer._heap) < 300


def test_deadlines_come_in_their_order():
    seen, last = [], threading.Event()
    timer.after(0.06, last.set)
    timer.after(0.04, lambda: seen.append("second"))
    timer.after(0.02, lambda: seen.append("first"))
    cancelled = timer.after(0.03, lambda: seen.append("cancelled"))
    timer.after(0.01, lambda: 1 / 0)
    cancelled.cancel()
    cancelled.cancel()
    assert last.wait(20)
    assert seen == ["first", "second"]


def test_kill_cancels_what_waits_and_cannot_stop_what_runs(make_pool):
    pool = make_pool(1)
    held = Held(pool)
    waiting = pool.submit(tasks.double, 1)
    assert waiting.kill()
    assert waiting.cancelled()
    assert not held.future.kill()
    held.release()


def test_a_cancelled_call_gives_its_place_in_the_limit_on(make_pool):
    pool = make_pool(3)
    one = CallOptions(limit=Limit(1))
    held = Held(pool)
    gate = threading.Event()
    first = pool._submit(gate.wait, (20,), {}, one)
    second = pool._submit(tasks.double, (2,), {}, one)
    third = pool._submit(tasks.double, (3,), {}, one)
    assert second.cancel()
    gate.set()
    assert first.result(20)
    assert third.result(20) == 6
    held.release()


# ------------------------------------------------------------------------ maps


def test_rows_that_turn_out_slow_are_shared_out(make_pool):
    pool = make_pool(2)
    slow_in = set()

    def row(number):
        if number >= 1000:
            slow_in.add(threading.get_ident())
            time.sleep(0.03)  # longer than a thread may sit on its rows
        return number

    # One chunk: without sharing, one thread would run it all.
    assert list(pool.map(row, range(1006), chunksize=1006)) == list(range(1006))
    assert len(slow_in) == 2


def test_rows_are_watched_only_while_they_run(make_pool):
    pool = make_pool(1)
    assert list(pool.map(tasks.double, range(100), chunksize=50))[-1] == 198
    watch = pool._engine.watch
    wait_until(lambda: not watch._armed)
    assert not watch._running


def test_a_closed_map_stops_within_its_chunk(make_pool):
    pool = make_pool(1)
    begun, go, ran = threading.Event(), threading.Event(), []

    def row(number):
        ran.append(number)
        begun.set()
        go.wait(20)

    results = pool.map(row, range(1000), chunksize=1000)
    assert begun.wait(20)
    results.close()
    go.set()
    pool.shutdown()
    assert ran == [0]


# ------------------------------------------------------------------------ fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_call_that_forks_and_returns_on_both_sides(make_pool):
    pool = make_pool(1)
    read_end, write_end = os.pipe()
    parent = os.getpid()

    def task():
        child = os.fork()
        if child == 0:
            os.write(write_end, b"child")
        return os.getpid(), child

    pid, child = pool.submit(task).result(20)
    assert pid == parent
    assert os.read(read_end, 5) == b"child"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(read_end)
    os.close(write_end)
    assert pool.submit(tasks.double, 1).result(20) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forks_while_other_threads_submit(make_pool):
    pool = make_pool(2)
    stop = threading.Event()

    def submit_on():
        while not stop.is_set():
            pool.submit(tasks.double, 1).result()

    threads = [threading.Thread(target=submit_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                works = pool.submit(tasks.double, 4).result(10) == 8
                os._exit(0 if works else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_map_in_a_forked_child_says_whose_it_is(make_pool):
    pool = make_pool(1)
    held = Held(pool)
    results = pool.map(tasks.double, range(10))
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            next(results)
        except RuntimeError as error:
            os._exit(0 if "parent" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    held.release()
    assert list(results) == [2 * n for n in range(10)]
