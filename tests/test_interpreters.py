"""Calls in interpreters beside the main one; their errors on older Pythons."""

import concurrent.futures
import gc
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import parallelize
import tasks
from parallelize import (
    InterpreterPoolExecutor,
    SerializationError,
    TaskTimeout,
    interpreted,
    parallelized,
    processed,
    threaded,
    using,
)
from parallelize.interpreters import wire
from support.programs import program

SINCE = (3, 14)
needs_interpreters = pytest.mark.skipif(
    sys.version_info < SINCE, reason="interpreters came with Python 3.14"
)


@pytest.fixture
def pool():
    with InterpreterPoolExecutor(2) as executor:
        yield executor


def run(folder, source):
    script = folder / "script.py"
    script.write_text(textwrap.dedent(source))
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


# --------------------------------------------------------------- on older Pythons


@pytest.mark.skipif(sys.version_info >= SINCE, reason="they are there")
@pytest.mark.parametrize(
    "make",
    [
        InterpreterPoolExecutor,
        lambda: interpreted(tasks.double)(1),
        lambda: parallelized("interpreters")(tasks.double)(1),
        lambda: parallelize.parallel_map(tasks.double, [1], executor="interpreters"),
    ],
)
def test_an_older_python_says_which_one_is_needed(make):
    with pytest.raises(NotImplementedError, match="need Python 3.14 or later"):
        make()


def test_decorated_functions_run_elsewhere_on_every_python():
    doubled = interpreted(tasks.double)
    with using("serial"):
        assert doubled(4).result() == 8


# -------------------------------------------------------------------------- calls


@needs_interpreters
def test_calls_run_in_this_process_but_in_other_interpreters(pool, monkeypatch):
    monkeypatch.setattr(tasks, "INITIALIZED_PROCESS", {})  # other tests fill it, too
    assert pool.submit(os.getpid).result() == os.getpid()
    pool.submit(tasks.initialize, 5).result()
    assert not tasks.was_initialized()


@needs_interpreters
def test_functions_travel_by_name_and_by_value(pool):
    offset = 3
    assert pool.submit(tasks.double, 4).result() == 8
    assert pool.submit(lambda x: x + offset, 4).result() == 7
    assert pool.submit(tasks.Counter(4).plus, 1).result() == 5
    assert list(pool.map(lambda x: x + offset, range(100))) == list(range(3, 103))
    assert list(pool.map(tasks.Counter(4).plus, range(3))) == [4, 5, 6]


@needs_interpreters
def test_functions_of_main_travel_with_what_they_mention(tmp_path):
    source = program("interpreters/functions_of_main_travel_with_what_they_mention")
    ran = run(tmp_path, source)
    assert (ran.stdout.split(), ran.stderr) == (["1", "8", "15", "71"], "")


@needs_interpreters
def test_a_module_that_cannot_be_loaded_there_says_what_to_do(pool):
    advice = "does not support loading in subinterpreters: .*@processed"
    with pytest.raises(ImportError, match=advice):
        pool.submit(__import__, "_tracemalloc").result()
    with pytest.raises(ImportError, match=advice):
        list(pool.map(__import__, ["_tracemalloc"]))
    with pytest.raises(ImportError, match="No module named 'not_there'") as caught:
        pool.submit(__import__, "not_there").result()
    assert "processed" not in str(caught.value)


@needs_interpreters
def test_the_advice_stands_in_front_of_what_a_package_says(pool):
    pytest.importorskip("numpy")
    with pytest.raises(ImportError) as caught:
        pool.submit(__import__, "numpy").result()
    text = str(caught.value)
    if "subinterpreters" in text:  # a numpy to come may be able to
        assert text.count("\n") == 0
        assert "@processed" in text


@needs_interpreters
def test_what_cannot_travel_fails_its_call_alone(pool):
    lock = threading.Lock()
    bad = pool.submit(tasks.identity, lock)
    assert isinstance(bad.exception(), SerializationError)
    assert "tasks.identity" in str(bad.exception())
    bad = pool.submit(threading.Lock)
    assert isinstance(bad.exception(), SerializationError)
    results = pool.map(tasks.identity, [1, lock, 3], return_exceptions=True)
    first, second, third = results
    assert (first, third) == (1, 3)
    assert isinstance(second, SerializationError)


@needs_interpreters
def test_an_error_arrives_in_its_own_class_with_its_traceback(pool):
    error = pool.submit(tasks.refuse, 5).exception()
    assert type(error) is tasks.Refusal
    assert error.code == 5
    assert "in refuse" in str(error.__cause__)


@needs_interpreters
def test_retries_and_timeouts_hold(tmp_path, make_latch):
    path = tmp_path / "attempts"
    again = interpreted(tasks.fail_first, retries=2)
    assert again(str(path), 2, 7).result() == 7
    path.unlink()
    assert list(again.map([str(path)], [2], [8])) == [8]
    latch = make_latch()
    held = interpreted(tasks.hold, timeout=0.3, max_workers=1)
    future = held(latch.folder)
    latch.wait_begun()
    with pytest.raises(TaskTimeout, match="tasks.hold"):
        future.result()
    latch.release()
    parallelize.shutdown()


@needs_interpreters
def test_futures_are_arguments(pool):
    three = pool.submit(tasks.add, 1, 2)
    assert pool.submit(tasks.add, three, c=three).result() == 6
    failed = pool.submit(tasks.refuse, 1)
    assert type(pool.submit(tasks.double, failed).exception()) is tasks.Refusal


@needs_interpreters
def test_a_large_argument_and_result(pool):
    data = os.urandom(5_000_000)
    assert pool.submit(tasks.identity, data).result() == data
    assert pool.submit(tasks.length, bytearray(data)).result() == len(data)


def nested(x):
    results = [
        decorate(tasks.double)(x).result()
        for decorate in (threaded, processed, interpreted)
    ]
    return [*results, *threaded(tasks.double).map([x])]


@needs_interpreters
def test_decorated_calls_inside_run_in_place():
    assert interpreted(nested)(4).result() == [8, 8, 8, 8]
    parallelize.shutdown()


async def _coroutine(x):
    return x + 1


@needs_interpreters
def test_coroutine_functions_in_interpreters():
    assert interpreted(_coroutine)(4).result() == 5
    parallelize.shutdown()


@needs_interpreters
def test_the_shared_pool_and_its_names():
    here = parallelized("interpreters")(tasks.double)
    assert here(1).result() == 2
    with using("interpreters"):
        assert threaded(os.getpid)().result() == os.getpid()
        assert processed(os.getpid)().result() == os.getpid()
    parallelize.shutdown()


# ------------------------------------------------------------------- start and end


@needs_interpreters
def test_the_initializer_runs_in_each_interpreter():
    with InterpreterPoolExecutor(1, "", tasks.initialize, (5,)) as pool:
        assert pool.submit(tasks.initialized).result()[1] == 5
    with (
        InterpreterPoolExecutor(1, initializer=tasks.initialize_badly) as pool,
        pytest.raises(concurrent.futures.BrokenExecutor) as caught,
    ):
        pool.submit(tasks.double, 1).result()
    assert type(caught.value.__cause__) is tasks.Refusal


@needs_interpreters
def test_arguments_are_checked():
    with pytest.raises(ValueError, match="max_workers"):
        InterpreterPoolExecutor(0)
    with pytest.raises(TypeError, match="initializer"):
        InterpreterPoolExecutor(1, initializer=3)
    with pytest.raises(SerializationError, match="initializer and initargs"):
        InterpreterPoolExecutor(1, "", print, (threading.Lock(),))


@needs_interpreters
def test_no_interpreter_is_left():
    from concurrent import interpreters

    before = len(interpreters.list_all())
    with InterpreterPoolExecutor(2) as pool:
        pool.submit(tasks.double, 1).result()
        assert len(interpreters.list_all()) > before
    assert len(interpreters.list_all()) == before
    pool = InterpreterPoolExecutor(1)
    future = pool.submit(tasks.double, 2)
    held = pool._interpreters
    del pool  # what was submitted is finished
    gc.collect()
    assert future.result() == 4
    for thread in held._live_threads():
        thread.join(20)
    assert len(interpreters.list_all()) == before


@needs_interpreters
def test_an_idle_interpreter_ends():
    pool = InterpreterPoolExecutor(1, idle_timeout=0.05)
    pool.submit(tasks.double, 1).result()
    (thread,) = pool._interpreters._live_threads()
    thread.join(20)
    assert not thread.is_alive()
    assert pool.submit(tasks.double, 2).result() == 4
    pool.shutdown()


@needs_interpreters
def test_a_callback_may_shut_the_pool_down():
    pool = InterpreterPoolExecutor(1)
    done = threading.Event()

    def end(_):
        pool.shutdown(wait=True)
        done.set()

    pool.submit(tasks.double, 1).add_done_callback(end)
    assert done.wait(20)
    pool.shutdown()


@needs_interpreters
@pytest.mark.parametrize("end", ["", "raise LookupError", "sys.exit(3)"])
def test_a_program_ends_cleanly(tmp_path, end):
    source = program("interpreters/a_program_ends_cleanly", END=end)
    ran = run(tmp_path, source)
    assert ran.stdout.split() == ["4950", "3"]
    assert ran.returncode == {"": 0, "raise LookupError": 1, "sys.exit(3)": 3}[end]
    assert "subinterpreters" not in ran.stderr


@needs_interpreters
def test_a_program_that_fails_does_not_wait_for_what_runs(tmp_path):
    source = program("interpreters/a_program_that_fails_does_not_wait_for_what_runs")
    ran = run(tmp_path, source)
    assert ran.returncode == 1
    assert "its own" in ran.stderr
    assert "at exit" in ran.stdout


# ------------------------------------------------------------------------ the wire


def test_messages_of_every_size_arrive_whole():
    there, here = os.pipe()
    for size in (0, 1, 1 << 12, (1 << 16) + 1, 3_000_000):
        message = [1, "two", os.urandom(size)]
        thread = threading.Thread(target=wire.send, args=(here, message))
        thread.start()
        assert wire.receive(there) == message
        thread.join()
    os.close(here)
    with pytest.raises(EOFError):
        wire.receive(there)
    os.close(there)


# --------------------------------------- pools that a call makes inside an interpreter

INSIDE = program("interpreters/inside")


@needs_interpreters
def test_a_call_may_make_pools_of_its_own(tmp_path):
    """That interpreter allows no daemon threads; those of the pools end with it."""
    (tmp_path / "script.py").write_text(INSIDE)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "threads [0, 1, 2, 3]",
        "deadlines (True, 3)",
        "loops 6",
        "processes [0, 1, 2]",
        "interpreters 3",
        "foreign 3",
        "left 3",
        "end",
    ]


@needs_interpreters
def test_one_that_cannot_be_told_to_end_ends_all_the_same(monkeypatch):
    from parallelize.interpreters import handle

    with InterpreterPoolExecutor(1) as executor:
        assert executor.submit(abs, -1).result(30) == 1

        def refuse(*_):
            raise ValueError

        monkeypatch.setattr(handle, "send", refuse)


@needs_interpreters
def test_one_for_which_nothing_can_be_prepared_fails_its_call(monkeypatch):
    from parallelize.interpreters import handle

    def refuse(_):
        raise LookupError("no path")

    monkeypatch.setattr(handle.origins, "workers_have", refuse)
    with InterpreterPoolExecutor(1) as executor:
        with pytest.raises(RuntimeError, match="could not be started: no path"):
            executor.submit(abs, -1).result(30)


@pytest.mark.skipif(sys.version_info[:2] != SINCE, reason="others bear it")
def test_calls_fail_rather_than_crash_while_tracemalloc_traces():
    import tracemalloc  # not at the top, as interpreters load this module

    tracemalloc.start()
    try:
        with InterpreterPoolExecutor(1) as executor:
            with pytest.raises(RuntimeError, match="while tracemalloc traces: stop it"):
                executor.submit(tasks.double, 2).result(30)
            tracemalloc.stop()
            assert executor.submit(tasks.double, 2).result(30) == 4
    finally:
        tracemalloc.stop()
