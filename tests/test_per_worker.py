"""`per_worker`: objects that each worker makes once, keeps, and cleans up."""

import asyncio
import copy
import functools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

import keepers
import parallelize
from parallelize import (
    InterpreterPoolExecutor,
    PerWorker,
    PerWorkerError,
    ProcessPoolExecutor,
    SerialExecutor,
    ThreadPoolExecutor,
    WorkerDied,
    per_worker,
    processed,
    threaded,
    worker,
)
from support.programs import PROGRAMS, run_script
from support.waiting import wait_until

needs_interpreters = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="there are interpreters from Python 3.14 on"
)
POOLS = [
    pytest.param(ThreadPoolExecutor, "threads", id="threads"),
    pytest.param(ProcessPoolExecutor, "processes", id="processes"),
    pytest.param(
        InterpreterPoolExecutor,
        "interpreters",
        id="interpreters",
        marks=needs_interpreters,
    ),
]
WHOLE_LIFE = ["first made", "second made", "second closed", "first closed"]


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """Return a function that reads what happened, by worker."""
    path = tmp_path / "notes"
    monkeypatch.setenv("KEEPERS", str(path))

    def read():
        lives = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            kind, index, what = line.split(" ", 2)
            lives.setdefault((kind, int(index)), []).append(what)
        return lives

    return read


def both(pool, fn):
    """Call a function in both workers of a pool, at the same time."""

    def slow():
        time.sleep(0.2)
        return fn()

    return [future.result(30) for future in [pool.submit(slow) for _ in range(2)]]


@pytest.mark.parametrize(("make", "kind"), POOLS)
def test_each_worker_makes_its_own_once_and_cleans_up_in_reverse(make, kind, notes):
    with make(2) as pool:
        assert both(pool, keepers.use_second) == [["first", "second"]] * 2
        assert list(pool.map(keepers.use_second, range(20)))[-1] == ["first", "second"]
    assert notes() == {(kind, 0): WHOLE_LIFE, (kind, 1): WHOLE_LIFE}


@pytest.mark.every_method
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_with_every_start_method(method, notes):
    with ProcessPoolExecutor(1, mp_context=method) as pool:
        assert pool.submit(keepers.use_second).result(30) == ["first", "second"]
    assert notes() == {("processes", 0): WHOLE_LIFE}


def test_a_forked_worker_has_nothing_of_the_program(notes):
    assert keepers.second() == ["first", "second"]
    with ProcessPoolExecutor(1, mp_context="fork") as pool:
        assert pool.submit(keepers.use_second).result(30) == ["first", "second"]
    assert notes()["processes", 0] == WHOLE_LIFE
    parallelize.inside.kept.close_program()
    assert notes()["none", 0] == WHOLE_LIFE


def test_in_threads_it_is_used_by_the_thread_that_made_it(notes):
    with ThreadPoolExecutor(2) as pool:
        assert both(pool, keepers.use_database) == [(1,), (1,)]
        (one, *mine), (other, *its) = both(pool, keepers.use_plain)
    assert one != other
    assert mine[0] == mine[1] != its[0] == its[1]
    assert Counter(what for life in notes().values() for what in life) == {
        "database closed": 2
    }


def test_serial_calls_share_that_of_the_program():
    made = []

    @per_worker
    def counted():
        made.append(worker())
        return object()

    with SerialExecutor() as pool:
        one = pool.submit(counted).result()
        other = []
        thread = threading.Thread(
            target=lambda: other.append(pool.submit(counted).result())
        )
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as threads:
            within = threads.submit(lambda: pool.submit(counted).result()).result(10)
    assert one is other[0] is within is counted()
    assert len(made) == 1


def test_many_threads_make_one_for_the_program():
    made, barrier = [], threading.Barrier(8)

    @per_worker
    def slow():
        made.append(1)
        time.sleep(0.05)
        return object()

    def get():
        barrier.wait()
        found.append(slow())

    found = []
    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(set(map(id, found))) == 1


# ---------------------------------------------------------------------------- ends


@pytest.mark.parametrize("make", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_a_worker_that_was_idle_for_long_cleans_up(make, notes):
    with make(1, idle_timeout=0.05) as pool:
        for lives in (1, 2):
            pool.submit(keepers.use_second).result(20)
            wait_until(lambda lives=lives: [*notes().values()] == [WHOLE_LIFE * lives])


def test_a_worker_that_had_its_number_of_calls_cleans_up(notes):
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
        for _ in range(3):
            pool.submit(keepers.use_second).result(20)
    assert notes() == {("processes", 0): WHOLE_LIFE * 3}


def test_a_worker_that_is_killed_does_not(notes):
    def die():
        keepers.second()
        os.kill(os.getpid(), signal.SIGKILL)

    with ProcessPoolExecutor(1) as pool:
        with pytest.raises(WorkerDied):
            pool.submit(die).result(20)
        assert notes() == {("processes", 0): WHOLE_LIFE[:2]}
        pool.submit(keepers.use_second).result(20)
    assert notes() == {("processes", 0): WHOLE_LIFE[:2] + WHOLE_LIFE}


def test_a_clean_up_may_take_its_time(notes, monkeypatch):
    """A worker that leaves is killed soon, unless it is busy with that."""
    monkeypatch.setattr("parallelize.process.parent.workers.LEAVE_GRACE", 0.2)

    @per_worker
    def slow():
        yield 1
        time.sleep(0.8)
        keepers.note("closed")

    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(lambda: slow()).result(20) == 1
    assert notes() == {("processes", 0): ["closed"]}


PROGRAM = PROGRAMS / "per_worker" / "ends.py"


@pytest.mark.parametrize("end", ["normally", "by an error", "by exit"])
def test_at_the_end_of_the_program_all_clean_up(end, notes):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), end],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout.split() == ["first", "second"] * 3
    lives = notes()
    assert lives.pop(("coroutines", 0)) == ["session made", "session closed"]
    assert lives == {
        ("processes", 0): WHOLE_LIFE,
        ("threads", 0): WHOLE_LIFE,
        ("none", 0): WHOLE_LIFE,
    }


def test_a_forked_child_cleans_up_only_what_it_made(notes):
    run_script(PROGRAMS / "per_worker" / "fork.py", folders=sys.path)
    assert notes() == {("none", 0): [*WHOLE_LIFE[:2], *WHOLE_LIFE, *WHOLE_LIFE[2:]]}


# -------------------------------------------------------------------------- errors


@pytest.mark.parametrize(("make", "kind"), [*POOLS, (SerialExecutor, "serial")])
def test_an_error_fails_the_call_and_the_next_tries_again(make, kind, notes):
    with make(*([1] if make is not SerialExecutor else [])) as pool:
        error = pool.submit(keepers.use_failing).exception(20)
        assert type(error) is PerWorkerError
        assert type(error.__cause__) is ConnectionError
        assert error.__cause__.args == ("no answer",)
        place = f"in worker 0 of 1 ({kind})"
        assert (error.maker, error.place) == ("at_the_second_try", place)
        text = f"at_the_second_try() failed {place}: ConnectionError: no answer"
        assert str(error) == text
        assert pool.submit(keepers.use_failing).result(20) == "made"
    assert notes() == {(kind, 0): ["failed"]}


def test_an_error_is_retried_like_any_other(notes):
    again = processed(
        keepers.use_failing, max_workers=1, retries=1, retry_on=PerWorkerError
    )
    assert again().result(20) == "made"


def test_an_error_of_a_clean_up_is_logged_and_the_others_run(caplog, notes):
    @per_worker
    def failing():
        yield 1
        raise LookupError("in the clean-up")

    def use():
        keepers.first()
        failing()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(use).result(10)
    assert notes() == {("threads", 0): ["first made", "first closed"]}
    [record] = caplog.records
    assert "the clean-up of" in record.getMessage()
    assert "failing" in record.getMessage()
    assert record.exc_info[0] is LookupError


@pytest.mark.parametrize("items", [0, 2])
def test_a_generator_must_yield_once(items, caplog):
    @per_worker
    def numbers():
        yield from range(items)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(numbers)
        if items == 0:
            with pytest.raises(RuntimeError, match="numbers.* must yield once, not n"):
                future.result(10)
        else:
            assert future.result(10) == 0
    if items == 2:
        assert "must yield once, not again" in str(caplog.records[0].exc_info[1])


def test_what_needs_itself_is_refused():
    @per_worker
    def circle():
        return circle()

    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="itself"):
        pool.submit(circle).result(10)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (3, "what is decorated"),
        (lambda x: x, "needs the argument 'x'"),
        (lambda *, key: key, "needs the argument 'key'"),
        (keepers.plain, "decorated already"),
        (threaded(lambda: 1), "decorated already"),
    ],
)
def test_what_is_no_function_without_arguments_is_refused(fn, message):
    with pytest.raises(TypeError, match=message):
        per_worker(fn)


def test_optional_arguments_classes_and_partials_are_taken():
    assert per_worker(lambda x=1, *_, key=2, **__: x + key)() == 3
    assert per_worker(dict)() == {}
    assert per_worker(functools.partial(pow, 2, 3))() == 8


# ---------------------------------------------------------------------- coroutines


async def use_session(*_):
    return await keepers.deeper()


@pytest.mark.parametrize(
    ("decorate", "kind"), [(threaded, "coroutines"), (processed, "processes")]
)
def test_coroutines_share_that_of_their_loop(decorate, kind, notes):
    use = decorate(use_session, max_workers=1)
    futures = [use() for _ in range(20)]
    assert [f.result(20) for f in futures] == [["session", "deeper"]] * 20
    parallelize.shutdown()
    del use, futures
    wait_until(lambda: len(notes().get((kind, 0), ())) == 3)
    assert notes() == {(kind, 0): ["session made", "deeper closed", "session closed"]}


def test_a_loop_of_the_program_cleans_up_when_it_ends(notes):
    async def main():
        return await asyncio.gather(use_session(), use_session())

    assert asyncio.run(main()) == [["session", "deeper"]] * 2
    life = ["session made", "deeper closed", "session closed"]
    assert notes() == {("none", 0): life}
    asyncio.run(main())
    assert notes() == {("none", 0): life * 2}


def test_a_coroutine_function_makes_it_once():
    made = []

    @per_worker
    async def slow():
        await asyncio.sleep(0.02)
        made.append(1)
        return object()

    async def main():
        return await asyncio.gather(*(slow() for _ in range(10)))

    assert len(set(map(id, asyncio.run(main())))) == 1
    assert made == [1]


def test_when_the_first_caller_is_cancelled_the_next_makes_it():
    tries = []

    @per_worker
    async def slow():
        tries.append(1)
        await asyncio.sleep(0.05)
        return "made"

    async def main():
        one, other = asyncio.create_task(slow()), asyncio.create_task(slow())
        await asyncio.sleep(0.01)
        one.cancel()
        return await other

    assert asyncio.run(main()) == "made"
    assert len(tries) == 2


def test_an_asynchronous_one_that_needs_itself_is_refused():
    @per_worker
    async def circle():
        return await circle()

    with pytest.raises(RuntimeError, match="itself"):
        asyncio.run(circle())


# ------------------------------------------------------------------------- pickles


def test_it_is_pickled_by_name():
    again = pickle.loads(pickle.dumps(keepers.second))
    assert again is keepers.second
    assert copy.deepcopy(again) is copy.copy(again) is again
    assert isinstance(again, PerWorker)
    assert again.__name__ == "second"


def test_as_an_argument_it_is_that_of_the_worker(notes):
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(call, keepers.second).result(20) == ["first", "second"]
        assert pool.submit(keepers.use_second).result(20) == ["first", "second"]
    assert notes() == {("processes", 0): WHOLE_LIFE}


def call(fn):
    return fn()


@pytest.mark.parametrize(("make", "kind"), POOLS)
def test_one_of_a_closure_is_made_once_too(make, kind, notes):
    @per_worker
    def local():
        keepers.note("made")
        yield 5
        keepers.note("closed")

    with make(1) as pool:
        for number in range(3):
            assert pool.submit(lambda n=number: local() + n).result(20) == 5 + number
            assert pool.submit(call, local).result(20) == 5
    assert notes() == {(kind, 0): ["made", "closed"]}


def test_one_of_a_script_is_made_once_in_each_worker(notes):
    done = run_script(PROGRAMS / "per_worker" / "script.py", folders=sys.path)
    assert done.stdout.split() == ["10", "11", "12", "20", "7"]
    assert notes() == {
        ("processes", 0): ["made", "closed"],
        ("threads", 0): ["made", "closed"],
    }
