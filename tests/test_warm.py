"""`warm`: workers start, and make what they keep, before the first call."""

import sys
import threading
import time

import pytest

import keepers
import parallelize
from parallelize import (
    InterpreterPoolExecutor,
    PerWorkerError,
    ProcessPoolExecutor,
    SerialExecutor,
    ThreadPoolExecutor,
    WorkerStartError,
    per_worker,
    processed,
    threaded,
)
from test_per_worker import notes  # noqa: F401 - a fixture

POOLS = [
    pytest.param(ThreadPoolExecutor, "threads", id="threads"),
    pytest.param(ProcessPoolExecutor, "processes", id="processes"),
    pytest.param(
        InterpreterPoolExecutor,
        "interpreters",
        id="interpreters",
        marks=pytest.mark.skipif(
            sys.version_info < (3, 14), reason="interpreters need Python 3.14"
        ),
    ),
]


@pytest.fixture(autouse=True)
def no_pools_are_left():
    yield
    parallelize.shutdown()


def start(*_):
    keepers.note("initializer")


@pytest.mark.parametrize(("make", "kind"), POOLS)
def test_all_workers_start_and_make_their_objects(make, kind, notes):  # noqa: F811
    with make(3, initializer=start) as pool:
        pool.warm(keepers.second)
        begun = ["initializer", "first made", "second made"]
        assert notes() == {(kind, number): begun for number in range(3)}
        pool.warm(keepers.second)  # all is there
        assert notes() == {(kind, number): begun for number in range(3)}
        assert pool.submit(keepers.use_second).result(20) == ["first", "second"]
    assert len(notes()) == 3


@pytest.mark.parametrize(("make", "kind"), POOLS)
def test_without_objects_the_workers_start(make, kind, notes):  # noqa: F811
    with make(2, initializer=start) as pool:
        pool.warm()
        assert notes() == {(kind, 0): ["initializer"], (kind, 1): ["initializer"]}


@pytest.mark.parametrize("decorate", [threaded, processed])
def test_a_function_makes_what_it_names(decorate, notes):  # noqa: F811
    @per_worker
    def of_closure():
        keepers.note("closure made")

    def use():
        return of_closure(), keepers.plain()

    function = decorate(use, max_workers=2)
    function.warm(keepers.first)
    assert {(*life,) for life in notes().values()} == {("closure made", "first made")}
    assert len(notes()) == 2
    function.options(timeout=60).warm()
    assert len(notes()) == 2


def test_warming_a_busy_pool_delays_nothing_and_starts_the_rest(notes):  # noqa: F811
    go = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        busy = pool.submit(go.wait)
        pool.warm(keepers.first)
        assert not busy.done()
        assert len(notes()) == 2
        go.set()


def test_a_busy_process_is_left_alone(notes):  # noqa: F811
    with ProcessPoolExecutor(2) as pool:
        busy = pool.submit(time.sleep, 1)
        pool.warm(keepers.first)
        assert not busy.done()
        assert len(notes()) == 1


def test_it_does_not_wait_if_it_should_not(notes):  # noqa: F811
    go = threading.Event()

    @per_worker
    def slow():
        go.wait(20)
        keepers.note("made")

    with ThreadPoolExecutor(2) as pool:
        pool.warm(slow, wait=False)
        assert notes() == {}
        go.set()
    assert len(notes()) == 2


def test_it_is_no_call_of_those_that_a_worker_may_run(notes):  # noqa: F811
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
        pool.warm(keepers.first)
        pool.submit(keepers.note, "call").result(20)
    assert notes() == {("processes", 0): ["first made", "call", "first closed"]}


def test_serial_makes_that_of_the_program():
    made = []

    @per_worker
    def counted():
        made.append(1)

    with SerialExecutor() as pool:
        pool.warm(counted)
        pool.submit(counted).result()
    assert made == [1]


async def use_session():
    return await keepers.session()


@pytest.mark.parametrize("decorate", [threaded, processed])
def test_a_coroutine_function_starts_loops(decorate, notes):  # noqa: F811
    function = decorate(use_session, max_workers=2)
    function.warm(keepers.session, keepers.first)
    lives = [sorted(life) for life in notes().values()]
    assert lives
    assert all(life == ["first made", "session made"] for life in lives)
    before = notes()
    assert function().result(20) == ["session"]
    assert notes() == before


def test_an_error_of_an_object_is_raised(notes):  # noqa: F811
    for make in (ThreadPoolExecutor, ProcessPoolExecutor):
        with make(1) as pool, pytest.raises(PerWorkerError, match="no model"):
            pool.warm(failing)


@per_worker
def failing():
    raise LookupError("no model")


def refuse():
    raise LookupError("no worker")


def test_an_error_of_an_initializer_is_raised():
    from concurrent.futures import BrokenExecutor

    with (
        ThreadPoolExecutor(2, initializer=refuse) as pool,
        pytest.raises(BrokenExecutor),
    ):
        pool.warm()
    with (
        ProcessPoolExecutor(2, initializer=refuse) as pool,
        pytest.raises(WorkerStartError),
    ):
        pool.warm()


def test_a_pool_that_is_closed_is_not_warmed():
    for make in (ThreadPoolExecutor, ProcessPoolExecutor, SerialExecutor):
        pool = make()
        pool.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.warm()


@pytest.mark.parametrize("wrong", [3, len, threaded(abs)])
def test_what_is_not_per_worker_is_refused(wrong):
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(TypeError, match="warm takes what per_worker has decorated"),
    ):
        pool.warm(wrong)


@pytest.mark.parametrize("what", [ThreadPoolExecutor(1), threaded(abs)])
def test_a_wrong_wait_is_refused(what):
    with pytest.raises(TypeError, match="wait must be True or False, not 'no'"):
        what.warm(wait="no")


def test_an_object_of_a_loop_is_for_coroutines():
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="event loop"):
        pool.warm(keepers.session)
