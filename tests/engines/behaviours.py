"""What calls on every engine do: each engine's tests derive from this class."""

import asyncio
import concurrent.futures
import copy
import gc
import os
import time
from collections import Counter

import pytest

import odd_errors
import tasks
from factories import collect, emptied
from parallelize import (
    Future,
    RemoteError,
    RemoteTraceback,
    SerializationError,
    TaskTimeout,
    WorkerDied,
    as_completed,
    check_stop,
    gather,
    parallel_map,
    parallelized,
    processed,
    share,
    stopping,
    thread_map,
    trace,
    using,
    wait,
)
from support.waiting import wait_until

np = pytest.importorskip("numpy")

LARGE = 1 << 18  # numbers in an array of two megabytes


def ones(count):
    return np.ones(count)


def total(array):
    return float(array.sum())


def spoil(array):
    """Write to what was passed; return what it was."""
    before = float(array.sum())
    array[:] = 0
    return before


def total_shared(handle):
    array = handle.get()
    return float(array.sum()), array.flags.writeable, handle.nbytes > LARGE


def die():
    os._exit(3)


def die_at(number, fatal):
    if number == fatal:
        os._exit(3)
    return number


def slow(path, seconds):
    tasks.append_line(path, "begun")
    time.sleep(seconds)
    tasks.append_line(path, "ended")


def late_first(path, times):
    """Hold the first attempts until the test lets them go; count them in the file."""
    tasks.append_line(path, "begun")
    attempts = path.read_text().count("\n")
    while attempts <= times and not (path.parent / "go").exists():
        time.sleep(0.02)
    return attempts


def slow_failures(path, times, seconds):
    """Fail the first attempts, each after this many seconds."""
    tasks.append_line(path, "begun")
    attempts = path.read_text().count("\n")
    if attempts <= times:
        time.sleep(seconds)
        raise tasks.Refusal(attempts)
    return attempts


class Stubborn(Exception):
    """An error that cannot be pickled."""

    def __reduce__(self):
        raise TypeError("not me")


def be_stubborn():
    raise Stubborn("no")


def nested(number):
    """Call a decorated function of processes inside a worker."""
    return tasks.double(number), processed(tasks.pid_of)().result() == os.getpid()


class EngineTests:
    """Needs a fixture ``executor`` (which lasts) and ``make`` (a fresh one)."""

    # Calls.

    def test_submit(self, executor):
        future = executor.submit(tasks.add, 1, 2, c=3)
        assert isinstance(future, Future)
        assert isinstance(future, concurrent.futures.Future)
        assert future.result() == 6
        assert future.done()
        assert not future.running()
        assert executor.submit(tasks.pid_of).result() != os.getpid()

    def test_functions_without_a_name(self, executor):
        factor = 3
        assert executor.submit(lambda x: factor * x, 5).result() == 15
        assert executor.submit(tasks.Counter(4).__class__, 2).result().start == 2

    def test_a_decorated_function(self, executor):
        double = parallelized(executor)(tasks.double)
        assert double(4).result() == 8
        assert list(double.map(range(10))) == [2 * n for n in range(10)]

        @parallelized(executor)
        async def later(x):
            await asyncio.sleep(0)
            return x

        assert later(5).result() == 5

    def test_it_can_be_awaited(self, executor):
        async def several():
            small, large = (
                executor.submit(tasks.double, 1),
                executor.submit(ones, LARGE),
            )
            await asyncio.wrap_future(small)
            return await asyncio.gather(small, large, large)

        small, large, again = asyncio.run(several())
        assert (small, total(large)) == (2, LARGE)
        assert again is large

    def test_wait_as_completed_and_gather(self, executor):
        futures = [executor.submit(tasks.double, n) for n in range(5)]
        assert wait(futures, timeout=60).done == set(futures)
        assert {f.result() for f in as_completed(futures)} == {0, 2, 4, 6, 8}
        assert gather(*futures).result() == [0, 2, 4, 6, 8]

    def test_a_callback_may_wait_for_another_call(self, executor):
        came = concurrent.futures.Future()

        def then(_):
            came.set_result(executor.submit(tasks.double, 4).add_done_callback(print))

        executor.submit(tasks.double, 2).add_done_callback(then)
        assert came.result(60) is None

    def test_a_callback_waits_for_another_call(self, executor):
        came = concurrent.futures.Future()

        def then(future):
            others = [executor.submit(tasks.double, future.result()) for _ in range(3)]
            came.set_result(gather(*others).result(60))

        executor.submit(tasks.double, 2).add_done_callback(then)
        assert came.result(60) == [8, 8, 8]
        assert executor.submit(tasks.double, 3).result(60) == 6

    def test_what_waits_for_a_failure_elsewhere_ends(self, executor):
        first = last = Future()
        for _ in range(400):
            last = executor.submit(tasks.identity, [last])
        error = LookupError()
        first.set_exception(error)
        assert last.exception(60) is not None

    # Maps.

    def test_map(self, executor):
        assert list(executor.map(tasks.double, range(5000))) == [
            2 * n for n in range(5000)
        ]
        assert list(executor.map(tasks.add, [1, 2], [10, 20])) == [11, 22]
        unordered = executor.map(tasks.double, range(100), ordered=False)
        assert sorted(unordered) == [2 * n for n in range(100)]

    def test_rows_go_together(self, executor, monkeypatch):
        handed = []
        start = executor._start_rows
        monkeypatch.setattr(
            executor, "_start_rows", lambda rows: handed.append(rows) or start(rows)
        )
        assert list(executor.map(tasks.double, range(100), chunksize=50))
        assert [len(rows.rows) for rows in handed] == [50, 50]

    def test_errors_of_rows(self, executor):
        results = list(
            executor.map(
                tasks.refuse_odd, range(6), chunksize=3, return_exceptions=True
            )
        )
        assert [type(each) for each in results] == [int, tasks.Refusal] * 3
        assert isinstance(results[1].__cause__, RemoteTraceback)

    def test_rows_that_cannot_come_back(self, executor):
        make = [lambda: 1, lambda: (n for n in ()), lambda: 3]
        results = list(
            executor.map(lambda f: f(), make, chunksize=3, return_exceptions=True)
        )
        assert results[0] == 1
        assert results[2] == 3
        assert isinstance(results[1], SerializationError)

    def test_maps_continue_from_their_checkpoint(self, executor, tmp_path):
        file, trace = tmp_path / "run.db", tmp_path / "trace"
        for rows, called in [(range(6), 6), (range(9), 3)]:
            results = executor.map(
                tasks.append_line,
                [str(trace)] * len(rows),
                rows,
                checkpoint=file,
                chunksize=2,
                with_input=True,
            )
            assert [result for _, result in results] == list(rows)
            assert len(trace.read_text().split()) == called
            trace.write_text("")

    def test_a_pipeline_with_threads(self, executor):
        def stages():
            inner = executor.map(tasks.double, executor.map(tasks.double, iter("ab")))
            return thread_map(str.upper, inner)

        async def read():
            return [each async for each in stages()]

        assert list(stages()) == asyncio.run(read()) == ["AAAA", "BBBB"]

    def test_generator_functions_are_refused_at_the_call(self, executor):
        @parallelized(executor)
        def numbers(end):
            yield from range(end)

        for call in (numbers, lambda end: numbers.map([end])):
            with pytest.raises(TypeError, match="numbers is a generator function"):
                call(3)

    def test_an_endless_input(self, executor):
        from itertools import count

        with executor.map(tasks.double, count(), chunksize=10) as results:
            assert [next(results) for _ in range(25)] == [2 * n for n in range(25)]

    def test_retries_within_rows(self, executor, tmp_path):
        flaky = parallelized(executor, retries=1)(tasks.fail_first)
        traces = [tmp_path / str(n) for n in range(4)]
        results = flaky.map(traces, [1] * 4, range(4), chunksize=4)
        assert list(results) == [0, 1, 2, 3]

    # Errors.

    def test_errors_in_their_own_class(self, executor):
        error = executor.submit(tasks.refuse, 7).exception()
        assert isinstance(error, tasks.Refusal)
        assert error.code == 7
        assert "in refuse" in str(error.__cause__)

    @pytest.mark.parametrize("fn", [tasks.interrupt, tasks.leave])
    def test_errors_that_would_end_a_program(self, executor, fn):
        args = (3,) if fn is tasks.leave else ()
        kind = SystemExit if fn is tasks.leave else KeyboardInterrupt
        assert isinstance(executor.submit(fn, *args).exception(), kind)
        assert executor.submit(tasks.double, 1).result() == 2

    def test_an_error_that_cannot_travel(self, executor):
        error = executor.submit(be_stubborn).exception()
        assert type(error).__name__ == "RemoteError"
        assert error.message == "no"

    @pytest.mark.parametrize("kind", sorted(odd_errors.MAKERS))
    def test_errors_of_odd_classes(self, executor, kind):
        """A frozen dataclass, one that is false, one that says that it is another."""
        error = executor.submit(odd_errors.here, kind).exception(60)
        (row,) = executor.map(odd_errors.here, [kind], return_exceptions=True)
        for each in (error, row):
            cause = vars(BaseException)["__cause__"].__get__(each)
            assert type(cause) is RemoteTraceback
            assert "odd_errors.py" in cause.text
            if kind in odd_errors.STAY:
                assert type(each) is RemoteError
            else:
                assert type(each) is type(odd_errors.made(kind))

    def test_a_failure_that_other_calls_wait_for_is_not_reported(
        self, executor, caplog
    ):
        log = emptied(caplog)
        future = executor.submit(tasks.refuse, 3)
        for _ in range(3):
            future = executor.submit(copy.copy, future)
        assert isinstance(future.exception(60), tasks.Refusal)
        del future
        collect()
        texts = [record.getMessage() for record in log.records]
        assert not [text for text in texts if "never retrieved" in text]

    def test_what_cannot_be_pickled(self, executor):
        import threading

        future = executor.submit(tasks.length, [threading.Lock()])
        assert isinstance(future.exception(), SerializationError)
        assert "tasks.length" in str(future.exception())
        future = executor.submit(lambda: (n for n in ()))
        assert isinstance(future.exception(), SerializationError)
        assert "generator" in str(future.exception())
        assert executor.submit(tasks.double, 1).result() == 2

    def test_a_worker_that_dies(self, executor):
        future = executor.submit(die)
        with pytest.raises(WorkerDied, match="died under it"):
            future.result(60)
        assert isinstance(future.exception(), concurrent.futures.BrokenExecutor)
        assert future.exception().__cause__ is not None
        assert executor.submit(tasks.double, 1).result() == 2

    def test_a_call_that_was_not_asked_to_stop(self, executor):
        assert executor.submit(stopping).result(60) is False
        assert executor.submit(check_stop).result(60) is None

    # Options of a call.

    def test_retries(self, executor, tmp_path):
        flaky = parallelized(executor, retries=2)(tasks.fail_first)
        assert flaky(tmp_path / "a", 2, 7).result() == 7
        assert (tmp_path / "a").read_text().count("\n") == 3
        assert isinstance(flaky(tmp_path / "b", 9, 7).exception(), tasks.Refusal)
        assert (tmp_path / "b").read_text().count("\n") == 3

    def test_retry_on(self, executor, tmp_path):
        other = parallelized(executor, retries=2, retry_on=OSError)(tasks.fail_first)
        assert isinstance(other(tmp_path / "a", 1, 7).exception(), tasks.Refusal)
        assert (tmp_path / "a").read_text().count("\n") == 1
        future = other(tmp_path / "b", 1, 7)
        behind = executor.submit(tasks.double, future)
        assert isinstance(behind.exception(), tasks.Refusal)

    def test_timeout(self, executor, tmp_path):
        late = parallelized(executor, timeout=1.0)(slow)
        future = late(tmp_path / "a", 30)
        behind = executor.submit(tasks.identity, future)
        with pytest.raises(TaskTimeout):
            future.result(60)
        with pytest.raises(TaskTimeout):
            behind.result(60)
        quick = parallelized(executor, timeout=60)(tasks.double)
        assert quick(2).result() == 4

    def test_a_timeout_counts_from_the_start(self, make, latch):
        executor = make(1)
        held = executor.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        queued = parallelized(executor, timeout=5.0)(tasks.double)(1)
        time.sleep(6)  # longer than the timeout of the one that has not begun
        assert not queued.done()
        latch.release()
        assert queued.result(60) == 2
        held.result()

    def test_limit(self, executor):
        one = parallelized(executor, limit=1)(tasks.double)
        assert gather(*map(one, range(5))).result() == [0, 2, 4, 6, 8]
        assert list(one.map(range(5))) == [0, 2, 4, 6, 8]

    # Futures as arguments.

    def test_futures_as_arguments(self, executor):
        first = executor.submit(tasks.double, 1)
        assert executor.submit(tasks.add, first, first, c=first).result() == 6
        assert executor.submit(tasks.identity, [first, {"a": first}]).result() == [
            2,
            {"a": 2},
        ]
        failing = executor.submit(tasks.refuse, 1)
        with pytest.raises(tasks.Refusal):
            executor.submit(tasks.double, failing).result()

    def test_futures_of_other_executors(self, executor):
        here = parallelized("threads")(tasks.double)
        assert executor.submit(tasks.double, here(2)).result() == 8
        assert executor.submit(total, parallelized("threads")(ones)(LARGE)).result()
        assert here(executor.submit(tasks.double, 2)).result() == 8

    def test_no_detour_through_the_program(self, executor, monkeypatch):
        fetched = []
        monkeypatch.setattr(
            executor,
            "_fetch",
            lambda ref, fetch=executor._fetch: fetched.append(ref) or fetch(ref),
        )
        array = executor.submit(ones, LARGE)
        again = executor.submit(tasks.identity, array)
        assert executor.submit(total, again).result() == LARGE
        assert array.done()
        assert again.done()
        assert fetched == []
        result = again.result()
        assert total(result) == LARGE
        assert len(fetched) == 1
        result[0] = 5  # it is the caller's own
        assert executor.submit(total, again).result() == LARGE

    def test_a_call_goes_out_before_what_it_needs_has_ended(self, executor, latch):
        held = executor.submit(tasks.hold, latch.folder, 4)
        behind = executor.submit(tasks.double, held)
        assert behind.ref is not None
        latch.wait_begun()
        latch.release()
        assert behind.result(60) == 8

    # Large arguments.

    def test_large_arguments_are_put_once(self, executor, monkeypatch):
        put = []
        monkeypatch.setattr(
            executor._cache,
            "_put",
            lambda payload, put_=executor._cache._put: (
                put.append(payload) or put_(payload)
            ),
        )
        array = np.arange(LARGE, dtype=float)
        expected = float(array.sum())
        assert executor.submit(total, array).result() == expected
        assert executor.submit(total, array.copy()).result() == expected
        assert list(executor.map(total, [array] * 4, chunksize=2)) == [expected] * 4
        assert len(put) == 1
        array[0] += 1  # another array now
        assert executor.submit(total, array).result() == expected + 1
        assert len(put) == 2
        assert executor.submit(tasks.length, bytes(3 << 20)).result() == 3 << 20
        assert executor.submit(tasks.length, list(range(1 << 20))).result() == 1 << 20

    def test_an_argument_is_a_snapshot_and_the_calls_own(self, executor, latch):
        array = np.ones(LARGE)
        held = executor.submit(tasks.hold, latch.folder, None)
        future = executor.submit(lambda _, array: total(array), held, array)
        array[:] = 7
        latch.wait_begun()
        latch.release()
        assert future.result(60) == LARGE
        array[:] = 1
        assert executor.submit(spoil, array).result() == LARGE
        assert executor.submit(spoil, array).result() == LARGE

    def test_share(self, executor):
        handle = share(np.ones(LARGE))
        assert executor.submit(total_shared, handle).result() == (LARGE, False, True)
        results = executor.map(total_shared, [handle] * 4, chunksize=2)
        assert list(results) == [(LARGE, False, True)] * 4
        assert len(executor._cache._shared) == 1
        del handle
        # The thread that has given the last result may hold its call for a moment.
        wait_until(lambda: gc.collect() >= 0 and not executor._cache._shared)

    # The end.

    def test_shutdown_waits_and_takes_no_more(self, make):
        executor = make()
        future = executor.submit(tasks.double, 1)
        lazy = executor.map(tasks.double, range(100))
        executor.shutdown()
        assert future.done()
        assert list(lazy) == [2 * n for n in range(100)]
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(tasks.double, 1)
        executor.shutdown()

    def test_shutdown_without_waiting(self, make, latch):
        executor = make()
        held = executor.submit(tasks.hold, latch.folder, 5)
        latch.wait_begun()
        executor.shutdown(wait=False)
        assert not held.done()
        latch.release()
        assert held.result(60) == 5
        executor.shutdown()

    # As the executor of a program.

    def test_use_and_the_helpers(self, executor):
        fn = processed(tasks.pid_of)
        with using(executor):
            assert fn().result() != os.getpid()
            assert list(parallel_map(tasks.double, [1, 2])) == [2, 4]
        assert list(parallel_map(tasks.double, [1, 2], executor=executor)) == [2, 4]

    def test_calls_of_processes_in_a_worker_run_in_place(self, executor):
        assert executor.submit(nested, 3).result() == (6, True)

    # Traces, and failures that are not retrieved.

    def test_a_trace_shows_calls_and_maps(self, executor):
        with trace() as seen:
            executor.submit(tasks.double, 1).result(60)
            executor.submit(tasks.refuse, 1).exception(60)
            assert len(list(executor.map(tasks.double, range(6), chunksize=3))) == 6
            list(executor.map(tasks.double, range(2), chunksize=1))
        outcomes = Counter((r.name, r.count, r.outcome) for r in seen.records)
        assert outcomes["tasks.double", 1, "done"] >= 1
        assert outcomes["tasks.refuse", 1, "failed"] == 1
        assert outcomes["tasks.double", 3, "done"] == 2
        assert {record.kind for record in seen.records} == {executor.kind}

    def test_a_long_chain_behind_a_failure_is_reported_once(self, executor, caplog):
        log = emptied(caplog)
        future = executor.submit(tasks.refuse, 3)
        for _ in range(100):
            future = executor.submit(tasks.identity, [future])
        while not future.done():
            time.sleep(0.01)
        del future

        def reports():
            collect()
            texts = [record.getMessage() for record in log.records]
            return [text for text in texts if "never retrieved" in text]

        ends = time.monotonic() + 30  # its call may still be about to end
        while not reports() and time.monotonic() < ends:
            time.sleep(0.01)
        assert reports() == [
            "tasks.identity failed, and its exception was never retrieved"
        ]

    # Timeouts that are retried.

    def test_a_timeout_is_retried(self, executor, tmp_path):
        late = parallelized(executor, timeout=1.5, retries=1)(late_first)
        try:
            assert late(tmp_path / "a", 1).result(60) == 2
        finally:
            (tmp_path / "go").touch()

    def test_a_retry_has_a_clock_of_its_own(self, executor, tmp_path):
        flaky = parallelized(executor, timeout=3.0, retries=3)(slow_failures)
        assert flaky(tmp_path / "a", 3, 1.2).result(60) == 4

    def test_retries_after_timeouts_come_to_an_end(self, make, tmp_path):
        late = parallelized(make(), timeout=1.0, retries=1)(late_first)
        future = late(tmp_path / "a", 9)
        try:
            with pytest.raises(TaskTimeout):
                future.result(60)
        finally:
            (tmp_path / "go").touch()
        assert (tmp_path / "a").read_text().count("\n") == 2

    def test_a_timeout_is_not_retried_against_retry_on(self, executor, tmp_path):
        options = {"timeout": 1.0, "retries": 3, "retry_on": KeyError}
        late = parallelized(executor, **options)(late_first)
        try:
            with pytest.raises(TaskTimeout):
                late(tmp_path / "a", 9).result(60)
        finally:
            (tmp_path / "go").touch()
        assert (tmp_path / "a").read_text().count("\n") == 1

    def test_rows_that_time_out_are_retried(self, executor, tmp_path):
        late = parallelized(executor, timeout=1.5, retries=1)(late_first)
        try:
            assert list(late.map([tmp_path / "a", tmp_path / "b"], [1, 0])) == [2, 1]
        finally:
            (tmp_path / "go").touch()
