"""Executors of others, behind our face."""

import concurrent.futures
import functools
import multiprocessing
import threading

import pytest

import tasks
from parallelize import parallelized, threaded
from parallelize.errors import TaskTimeout
from parallelize.executors.foreign import ForeignExecutor
from parallelize.futures.future import Future
from parallelize.mapping import start_map
from parallelize.runtime.options import CallOptions, Limit


def processes(workers):
    return concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn")
    )


@pytest.fixture(autouse=True, scope="module")
def the_standard_librarys_tracker():
    """It lasts as long as the program, and so do its descriptors."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()


KINDS = {"threads": concurrent.futures.ThreadPoolExecutor, "processes": processes}


@pytest.fixture(params=list(KINDS))
def make_theirs(request):
    made = []

    def make_one(workers=2):
        made.append(KINDS[request.param](workers))
        return made[-1]

    yield make_one
    for executor in made:
        executor.shutdown(cancel_futures=True)


@pytest.fixture
def theirs(make_theirs):
    return make_theirs()


@pytest.fixture
def make_concurrent(make_theirs):
    """For the latches of conftest: these end before the executors are shut down."""
    return make_theirs


@pytest.fixture
def executor(theirs):
    ours = ForeignExecutor(theirs)
    yield ours
    ours.shutdown()


def submit(executor, fn, *args, **options):
    return executor._submit(fn, args, {}, CallOptions(**options))


def test_submit_on_a_foreign_executor(executor):
    future = executor.submit(tasks.add, 1, 2, c=3)
    assert isinstance(future, Future)
    assert future.result() == 6
    assert not future.running()


def test_errors(executor):
    with pytest.raises(tasks.Refusal):
        executor.submit(tasks.refuse, 1).result()
    assert executor.submit(tasks.double, 1).result() == 2


def test_what_cannot_travel_fails_its_future():
    theirs = processes(1)
    try:
        executor = ForeignExecutor(theirs)
        assert executor.submit(tasks.length, [threading.Lock()]).exception() is not None
        assert executor.submit(tasks.double, 1).result() == 2
    finally:
        theirs.shutdown()


def test_futures_as_arguments_of_foreign_executors(executor):
    first = executor.submit(tasks.double, 1)
    assert executor.submit(tasks.double, [first]).result() == [2, 2]
    failing = executor.submit(tasks.refuse, 1)
    with pytest.raises(tasks.Refusal):
        executor.submit(tasks.double, failing).result()


def test_running_and_cancel(make_theirs, latch):
    executor = ForeignExecutor(make_theirs(1))
    held = executor.submit(tasks.hold, latch.folder, 5)
    waiting = [executor.submit(tasks.double, n) for n in range(10)]
    latch.wait_begun()
    assert held.running()
    assert not held.cancel()
    assert waiting[-1].cancel()
    assert waiting[-1].cancelled()
    assert not waiting[0].done()
    latch.release()
    assert held.result() == 5
    assert [future.result() for future in waiting[:-1]] == [2 * n for n in range(9)]
    executor.shutdown()


def test_who_cancels_their_future_cancels_ours():
    theirs = concurrent.futures.Future()

    class Executor(concurrent.futures.Executor):
        def submit(self, fn, /, *args, **kwargs):
            return theirs

    executor = ForeignExecutor(Executor())
    ours = executor.submit(tasks.double, 1)
    theirs.cancel()
    theirs.set_running_or_notify_cancel()
    assert ours.cancelled()
    executor.shutdown()


def test_a_cancel_while_the_call_is_handed_over():
    theirs = concurrent.futures.Future()
    missing = Future()

    class Executor(concurrent.futures.Executor):
        def submit(self, fn, /, *args, **kwargs):
            ours.cancel()
            return theirs

    executor = ForeignExecutor(Executor())
    ours = executor.submit(tasks.double, missing)
    missing.set_result(1)
    assert ours.cancelled()
    assert theirs.cancelled()
    executor.shutdown()


def test_a_timeout_cancels_theirs():
    theirs = concurrent.futures.Future()

    class Executor(concurrent.futures.Executor):
        def submit(self, fn, /, *args, **kwargs):
            return theirs

    executor = ForeignExecutor(Executor())
    cancelled = threading.Event()
    theirs.add_done_callback(lambda _: cancelled.set())
    with pytest.raises(TaskTimeout):
        submit(executor, tasks.double, 1, timeout=0.01).result(20)
    executor.shutdown()
    assert cancelled.wait(20)
    assert theirs.cancelled()


def test_an_executor_that_refuses():
    class Executor(concurrent.futures.Executor):
        def submit(self, fn, /, *args, **kwargs):
            raise OSError("no more")

    executor = ForeignExecutor(Executor())
    assert isinstance(executor.submit(tasks.double, 1).exception(), OSError)
    executor.shutdown()


def test_timeout_on_a_foreign_executor(make_theirs, latch):
    executor = ForeignExecutor(make_theirs(1))
    late = submit(executor, tasks.hold, latch.folder, timeout=0.05)
    behind = submit(executor, tasks.double, 1, timeout=0.05)
    latch.wait_begun()
    for future in (late, behind):
        with pytest.raises(TaskTimeout):
            future.result(20)
    latch.release()
    assert submit(executor, tasks.double, 1, timeout=60).result() == 2
    executor.shutdown()


def test_retries_on_a_foreign_executor(executor, tmp_path):
    trace = tmp_path / "trace"
    assert submit(executor, tasks.fail_first, trace, 2, 7, retries=2).result() == 7
    assert submit(executor, tasks.refuse, 1, retries=2).exception().code == 1


def test_limit_on_a_foreign_executor(executor):
    one = Limit(1)
    futures = [submit(executor, tasks.double, n, limit=one) for n in range(20)]
    assert [future.result() for future in futures] == [2 * n for n in range(20)]


def test_map_on_a_foreign_executor(executor):
    assert list(executor.map(tasks.double, range(3000))) == [2 * n for n in range(3000)]
    assert sorted(executor.map(tasks.double, range(300), ordered=False)) == [
        2 * n for n in range(300)
    ]
    errors = list(executor.map(tasks.refuse_odd, range(4), return_exceptions=True))
    assert [type(item) for item in errors] == [int, tasks.Refusal] * 2


def test_map_with_retries_and_a_limit(executor, tmp_path):
    traces = [tmp_path / str(n) for n in range(5)]
    fn = functools.partial(tasks.fail_first, times=1)
    results = start_map(
        executor,
        fn_of,
        ([fn] * 5, traces, range(5)),
        options=CallOptions(retries=1, limit=Limit(2)),
    )
    assert list(results) == list(range(5))


def fn_of(fn, trace, value):
    return fn(trace, value=value)


def test_shutdown_leaves_theirs_alone(theirs):
    executor = ForeignExecutor(theirs)
    future = executor.submit(tasks.double, 1)
    executor.shutdown()
    assert future.done()
    with pytest.raises(
        RuntimeError, match="cannot schedule new futures after shutdown"
    ):
        executor.submit(tasks.double, 1)
    assert theirs.submit(tasks.double, 1).result() == 2


def test_shutdown_of_an_owned_one(theirs):
    with ForeignExecutor(theirs, owned=True) as executor:
        future = executor.submit(tasks.double, 1)
    assert future.result(timeout=0) == 2
    with pytest.raises(RuntimeError):
        theirs.submit(tasks.double, 1)


def test_shutdown_waits_for_calls_that_wait(theirs):
    executor = ForeignExecutor(theirs)
    missing = Future()
    future = executor.submit(tasks.double, missing)
    closer = threading.Thread(target=executor.shutdown)
    closer.start()
    missing.set_result(4)
    closer.join(20)
    assert future.result(timeout=0) == 8


def test_shutdown_cancels(make_theirs, latch):
    executor = ForeignExecutor(make_theirs(1))
    held = executor.submit(tasks.hold, latch.folder)
    waiting = [executor.submit(tasks.double, n) for n in range(10)]
    latch.wait_begun()
    executor.shutdown(wait=False, cancel_futures=True)
    assert waiting[-1].cancelled()
    latch.release()
    held.result()


def test_a_call_that_waits_in_a_foreign_executor_can_be_cancelled(executor):
    missing = Future()
    future = executor.submit(tasks.double, missing)
    assert future.cancel()
    missing.set_result(1)
    assert future.cancelled()


def test_the_number_of_workers_of_a_foreign_executor():
    with concurrent.futures.ThreadPoolExecutor(3) as theirs:
        assert ForeignExecutor(theirs)._max_workers == 3

    class Executor(concurrent.futures.Executor):
        pass

    from parallelize.runtime.cpus import cpu_count

    assert ForeignExecutor(Executor())._max_workers == cpu_count()


def test_limited_calls_travel_to_processes():
    with processes(1) as theirs, ForeignExecutor(theirs) as ours:
        f = threaded(executor=ours, limit=1)(tasks.double)
        assert [each.result(20) for each in map(f, range(3))] == [0, 2, 4]


def test_functions_that_their_pickle_cannot_find_get_a_note():
    with processes(1) as theirs:
        local = parallelized(theirs)(lambda x: x)
        errors = [local(1).exception(30), *local.map([1], return_exceptions=True)]
        refused = parallelized(theirs)(abs)(threading.Lock()).exception(30)
    for error in errors:
        assert "which sends them by value" in "".join(error.__notes__)
    assert "by value" not in "".join(getattr(refused, "__notes__", []))
