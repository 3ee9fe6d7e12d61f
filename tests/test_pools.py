"""The global pools: made once, redirected by use(), shut down, forgotten by forks."""

import asyncio
import concurrent.futures
import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest

import parallelize
import tasks
from parallelize import (
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    SerialExecutor,
    ThreadPoolExecutor,
    parallel_map,
    parallelized,
    process_map,
    processed,
    thread_map,
    threaded,
    use,
)
from parallelize.api import use as choice
from parallelize.process.start.early import Prestart
from parallelize.registry import kinds, shared_pools
from support.programs import program


@pytest.fixture(autouse=True)
def no_pools_are_left():
    yield
    use(None)
    parallelize.shutdown()


@threaded
def thread():
    return threading.current_thread()


@processed
def pid():
    return os.getpid()


@processed
def pids_of_nested_calls():
    inner = [pid().result() for _ in range(3)]
    return (
        os.getpid(),
        inner,
        list(process_map(tasks.pid_of, range(3))),
        list(pid.options(max_workers=2).starmap([()])),
    )


def here(future):
    return future.result() is threading.current_thread()


# ------------------------------------------------------------------------- the pools


def test_fifty_threads_at_once_make_one_pool(monkeypatch):
    made = []
    make = shared_pools.make_executor

    def make_slowly(*args, **kwargs):
        made.append(make(*args, **kwargs))
        threading.Event().wait(0.02)
        return made[-1]

    monkeypatch.setattr(shared_pools, "make_executor", make_slowly)
    ready = threading.Barrier(50)
    results = []

    def call():
        ready.wait()
        results.append(thread().result())

    callers = [threading.Thread(target=call) for _ in range(50)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 50
    assert len(made) == 1


def test_nothing_is_made_before_a_call():
    assert threaded(tasks.double) and processed(tasks.double, max_workers=2)
    assert not shared_pools._pools
    assert not [own for own in shared_pools._own if own._executor is not None]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no server")
def test_a_shared_pool_whose_first_call_never_comes_leaves_no_process(monkeypatch):
    monkeypatch.setattr(shared_pools, "prestart", lambda kind: Prestart("forkserver"))
    assert list(processed(tasks.double).map([])) == []
    pool = shared_pools._pools["processes"]
    server = pool._early
    assert server.launcher is not None  # it boots for the call that was to come
    parallelize.shutdown()
    assert pool._early is None
    with pytest.raises(ChildProcessError):  # it has ended, and was waited for
        os.waitpid(server.launcher._pid, os.WNOHANG)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no server")
def test_the_server_that_boots_early_is_that_of_the_first_call():
    executor = kinds.make_executor("processes", 1, early=Prestart("forkserver"))
    server = executor._early.launcher
    with executor:
        assert executor.submit(tasks.double, 2).result() == 4
        assert executor._pool.scheduler.workers.starter.launcher is server
        assert executor._early is None


@pytest.mark.skipif(sys.platform == "win32", reason="there is no server")
def test_one_of_another_method_is_closed():
    early = Prestart("spawn")
    executor = kinds.make_executor("processes", 1, early=early)
    with executor:
        assert executor.submit(tasks.double, 2).result() == 4
        assert executor._pool.scheduler.workers.starter.launcher is not early.launcher
    with pytest.raises(ChildProcessError):
        os.waitpid(early.launcher._pid, os.WNOHANG)


def test_functions_and_helpers_share_the_pool_of_their_kind():
    thread().result()
    pool = shared_pools._pools["threads"]
    assert list(thread_map(tasks.double, [1, 2])) == [2, 4]
    assert threaded(tasks.double)(1).result() == 2
    assert shared_pools._pools == {"threads": pool}


def test_shutdown_closes_and_the_next_call_makes_fresh_ones():
    own = threaded(threading.current_thread, max_workers=1)
    before = [thread().result(), own().result()]
    executors = [shared_pools._pools["threads"], own._source.executor()]
    parallelize.shutdown()
    assert not any(one.is_alive() for one in before)
    for executor in executors:
        with pytest.raises(RuntimeError):
            executor.submit(tasks.double, 1)
    assert thread().result() not in before
    assert own().result() not in before
    parallelize.shutdown()
    parallelize.shutdown()


def test_shutdown_of_pools_leaves_what_was_submitted_to_end():
    done = []
    go = threading.Event()
    fn = threaded(lambda x: (go.wait(10), done.append(x)), max_workers=1)
    futures = [fn(1), fn(2)]
    parallelize.shutdown(wait=False)
    assert not done
    go.set()
    concurrent.futures.wait(futures, 10)
    assert done == [1, 2]


def test_shutdown_can_cancel_what_has_not_begun():
    begun, go = threading.Event(), threading.Event()
    fn = threaded(lambda: (begun.set(), go.wait(10)), max_workers=1)
    first, second = fn(), fn()
    begun.wait(10)
    parallelize.shutdown(wait=False, cancel_futures=True)
    assert second.cancelled()
    go.set()
    assert first.result() == (None, True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: thread,
        lambda: threaded(threading.current_thread, max_workers=1),
        lambda: pid,
    ],
    ids=["global", "own", "process"],
)
def test_a_pool_that_somebody_else_shut_down_is_replaced(make):
    fn = make()
    fn().result()
    fn._source.executor().shutdown()
    assert fn().result()


def test_other_runtime_errors_are_the_callers():
    class Refusing(SerialExecutor):
        def _submit(self, *_):
            raise RuntimeError("not today")

    with use(Refusing()), pytest.raises(RuntimeError, match="not today"):
        thread()


def test_calls_while_the_pools_are_shut_down_again_and_again():
    stop = threading.Event()
    errors = []

    def call():
        while not stop.is_set():
            try:
                thread().result(10)
            except BaseException as error:
                errors.append(error)
                return

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for _ in range(50):
        parallelize.shutdown()
    stop.set()
    for caller in callers:
        caller.join()
    assert not errors


def test_inside_a_worker_process_calls_run_in_place():
    outer, inner, mapped, starred = pids_of_nested_calls().result()
    assert outer != os.getpid()
    assert {*inner, *mapped, *starred} == {outer}


# ------------------------------------------------------------------------------ use


def test_use_in_a_block():
    with use("serial"):
        assert here(thread())
        assert pid().result() == os.getpid()
        with use("threads"):
            assert not here(thread())
            assert pid().result() == os.getpid()
        assert here(thread())
        with use(None):
            assert not here(thread())
        assert here(thread())
    assert not here(thread())


def test_use_for_the_whole_program():
    use("serial")
    assert here(thread())
    seen = []
    other = threading.Thread(target=lambda: seen.append(here(thread())))
    other.start()
    other.join()
    assert seen == [True]
    with use("threads"):
        assert not here(thread())
    assert here(thread())
    use(None)
    assert not here(thread())


def test_a_block_is_of_one_thread_alone():
    with use("serial"):
        seen = []
        other = threading.Thread(target=lambda: seen.append(here(thread())))
        other.start()
        other.join()
        if sys.version_info < (3, 14) or not getattr(
            sys.flags, "thread_inherit_context", 0
        ):
            assert seen == [False]


def test_a_block_is_of_one_task_alone():
    async def inside():
        with use("serial"):
            await asyncio.sleep(0)
            return here(thread())

    async def outside():
        await asyncio.sleep(0)
        return here(thread())

    async def main():
        return await asyncio.gather(inside(), outside(), inside())

    assert asyncio.run(main()) == [True, False, True]


def test_blocks_of_many_threads_at_once_leave_nothing():
    use("threads")

    def enter(kind):
        for _ in range(200):
            with use(kind):
                assert here(thread()) == (kind == "serial")

    errors = []

    def guarded(kind):
        try:
            enter(kind)
        except BaseException as error:
            errors.append(error)

    users = [
        threading.Thread(target=guarded, args=[kind])
        for kind in ("serial", "threads") * 3
    ]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not errors
    assert not here(thread())
    assert len(choice._program) == 1


def test_what_was_chosen_and_never_entered_does_not_pile_up():
    for _ in range(100):
        use("serial")
    assert len(choice._program) <= 2
    assert here(thread())


def test_a_block_may_be_entered_again():
    block = use("serial")
    for _ in range(2):
        with block, block:
            assert here(thread())
        assert not here(thread())


def test_a_block_of_use_that_fails_is_left():
    with pytest.raises(KeyError), use("serial"):
        raise KeyError
    assert not here(thread())


def test_use_of_an_executor():
    with ThreadPoolExecutor(1, "mine") as executor, use(executor):
        assert thread().result().name.startswith("mine")
        assert pid().result() == os.getpid()
        assert list(process_map(tasks.pid_of, [1])) == [os.getpid()]
    with concurrent.futures.ThreadPoolExecutor(1, "theirs") as executor, use(executor):
        assert thread().result().name.startswith("theirs")
        assert list(thread_map(tasks.double, [1, 2])) == [2, 4]


def test_a_wrapper_of_a_foreign_executor_is_made_once():
    foreign = concurrent.futures.ThreadPoolExecutor(1)
    wrapper = kinds.adapt(foreign)
    assert kinds.adapt(foreign) is wrapper
    ours = SerialExecutor()
    assert kinds.adapt(ours) is ours
    gone = weakref.ref(foreign)
    del foreign, wrapper
    gc.collect()
    assert gone() is None


def test_who_was_given_an_executor_keeps_to_it():
    with ThreadPoolExecutor(1, "mine") as executor, use("serial"):
        assert (
            parallelized(executor)(threading.current_thread)()
            .result()
            .name.startswith("mine")
        )
        assert not here(parallelized("threads")(threading.current_thread)())
        assert not here(threaded(threading.current_thread, max_workers=1)())
        assert not here(processed(threading.current_thread, executor="threads")())
        assert list(parallel_map(tasks.pid_of, [1], executor="threads")) == [
            os.getpid()
        ]
        assert list(process_map(tasks.pid_of, [1], max_workers=1)) != [os.getpid()]
        assert here(thread.options(timeout=9)())


@pytest.mark.parametrize("wrong", ["seriell", 3, ThreadPoolExecutor, object()])
def test_use_of_something_wrong(wrong):
    with pytest.raises(
        (TypeError, ValueError),
        match="executor must be an executor or one of 'threads'",
    ):
        use(wrong)
    assert not here(thread())


@pytest.mark.parametrize(
    ("make", "singular", "word"),
    [
        (ThreadPoolExecutor, "thread", "threads"),
        (ProcessPoolExecutor, "process", "processes"),
        (InterpreterPoolExecutor, "interpreter", "interpreters"),
        (SerialExecutor, "serial", "serial"),
    ],
)
def test_a_kind_has_one_word(make, singular, word):
    """It is the one shown; a singular is accepted, as it always was."""
    assert make.kind == word
    assert kinds.adapt(word) == kinds.adapt(singular) == word
    assert f"'{word}'" in kinds.valid_names()
    assert word == singular or f"'{singular}'" not in kinds.valid_names()


# ---------------------------------------------------------------------- the environment


def test_the_environment_names_the_executor(monkeypatch):
    monkeypatch.setenv("PARALLELIZE_EXECUTOR", " serial ")
    assert here(thread())
    with use("threads"):
        assert not here(thread())
    with use(None):
        assert here(thread())
    assert not here(parallelized("threads")(threading.current_thread)())
    monkeypatch.setenv("PARALLELIZE_EXECUTOR", "threads")
    assert here(thread())
    parallelize.shutdown()
    assert not here(thread())


@pytest.mark.parametrize("word", ["thraed", "3", "__import__('os')"])
def test_a_wrong_executor_names_the_variable(monkeypatch, word):
    monkeypatch.setenv("PARALLELIZE_EXECUTOR", word)
    fn = threaded(tasks.double)
    with pytest.raises(
        ValueError, match="PARALLELIZE_EXECUTOR must be one of 'threads', "
    ):
        fn(1)
    with pytest.raises(ValueError, match="PARALLELIZE_EXECUTOR"):
        thread_map(tasks.double, [1])
    with use("serial"):
        assert fn(1).result() == 2


def test_the_environment_sets_the_number_of_workers(monkeypatch):
    monkeypatch.setenv("PARALLELIZE_MAX_WORKERS", "3")
    thread().result()
    assert shared_pools._pools["threads"]._max_workers == 3
    pid().result()
    assert shared_pools._pools["processes"]._max_workers == 3
    own = threaded(tasks.double, max_workers=2)
    assert own._source.executor()._max_workers == 2


def test_a_call_with_a_wrong_variable_names_it(monkeypatch):
    monkeypatch.setenv("PARALLELIZE_MAX_WORKERS", "many")
    with pytest.raises(
        ValueError, match="PARALLELIZE_MAX_WORKERS must be a whole number"
    ):
        thread()


# --------------------------------------------------------------------------- helpers


def test_helpers():
    assert list(thread_map(tasks.double, range(5))) == [0, 2, 4, 6, 8]
    assert list(process_map(tasks.add, [1, 2], [3, 4])) == [4, 6]
    assert list(parallel_map(tasks.double, [1])) == [2]
    assert list(parallel_map(tasks.double, [1], executor=SerialExecutor())) == [2]
    assert sorted(thread_map(tasks.double, range(5), ordered=False, chunksize=2)) == [
        0,
        2,
        4,
        6,
        8,
    ]
    assert set(process_map(tasks.pid_of, range(4))) != {os.getpid()}
    assert list(process_map(lambda x: x + 1, [1, 2])) == [2, 3]
    assert list(process_map(int, ["1", "2"])) == [1, 2]


def test_helpers_take_decorated_functions():
    decorated = threaded(tasks.double, retries=1)
    assert list(thread_map(decorated, [1])) == [2]
    assert list(process_map(decorated, [1])) == [2]
    assert list(parallel_map(decorated, [1])) == [2]
    with ThreadPoolExecutor(1, "mine") as executor:
        name = parallelized(executor)(lambda _: threading.current_thread().name)
        assert [*parallel_map(name, [1])][0].startswith("mine")
        assert not [*thread_map(name, [1])][0].startswith("mine")


def test_helpers_keep_the_options_of_decorated_functions():
    tries = []

    @threaded(retries=2)
    def at_last(x):
        tries.append(x)
        if len(tries) < 3:
            raise OSError
        return x

    assert list(thread_map(at_last, [7])) == [7]


def test_helpers_take_coroutine_functions():
    async def later(x):
        await asyncio.sleep(0)
        return x + 1

    assert list(thread_map(later, [1, 2])) == [2, 3]
    assert list(process_map(later, [1, 2])) == [2, 3]
    assert list(thread_map(threaded(later), [1, 2])) == [2, 3]


def test_workers_of_one_map_alone():
    results = process_map(tasks.pid_of, range(6), max_workers=1, chunksize=1)
    assert len(set(results)) == 1
    threads = set(
        thread_map(lambda _: threading.current_thread(), range(50), max_workers=2)
    )
    assert len(threads) <= 2
    assert not shared_pools._pools
    del results


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: thread_map(3, [1]), TypeError, "fn must be a callable, not 3"),
        (
            lambda: process_map(tasks.double, [1], max_workers=0),
            ValueError,
            "max_workers must be at least 1",
        ),
        (
            lambda: parallel_map(tasks.double, [1], executor="x"),
            ValueError,
            "executor must be an executor or one of",
        ),
        (lambda: thread_map(tasks.double, [1], chunksize=0), ValueError, "chunksize"),
    ],
)
def test_what_helpers_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ------------------------------------------------------------------- forks and exits


def run_script(tmp_path, text, **environment):
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(text))
    path = os.path.dirname(os.path.dirname(parallelize.__file__))
    return subprocess.run(
        [sys.executable, "-W", "ignore", script],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(
    "decorator",
    ["threaded", "threaded(max_workers=2)", "processed", "processed(max_workers=2)"],
)
def test_a_forked_child_has_pools_of_its_own(tmp_path, decorator):
    done = run_script(
        tmp_path,
        program(
            "pools/a_forked_child_has_pools_of_its_own",
            NAME=decorator.partition("(")[0],
            DECORATOR=decorator,
        ),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["2", "4 [6, 8]", "child 0", "10"]
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_other_threads_make_pools(tmp_path):
    done = run_script(tmp_path, program("pools/a_fork_while_other_threads_make_pools"))
    assert done.stdout == "well\n", done.stderr


@pytest.mark.parametrize(
    "decorator",
    ["threaded", "processed", "threaded(max_workers=1)", "processed(max_workers=1)"],
)
def test_a_normal_end_finishes_what_was_submitted(tmp_path, decorator):
    done = run_script(
        tmp_path,
        program(
            "pools/a_normal_end_finishes_what_was_submitted",
            NAME=decorator.partition("(")[0],
            DECORATOR=decorator,
        ),
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["0", "1", "2", "3"]
    assert done.stderr == ""


def test_a_call_when_the_program_ends_is_refused(tmp_path):
    done = run_script(
        tmp_path, program("pools/a_call_when_the_program_ends_is_refused")
    )
    assert "cannot schedule new futures" in done.stdout
    assert done.returncode == 0, done.stderr


def test_no_main_guard_is_needed(tmp_path):
    done = run_script(tmp_path, program("pools/no_main_guard_is_needed"))
    assert done.stdout == "main runs\n[2, 3]\n", done.stderr
