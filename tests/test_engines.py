"""What is true of the executors on other engines where none of these is installed.

The calls themselves are tested on real clusters, in the folder `engines`.
"""

import concurrent.futures
import os
import pickle
import sys
import threading

import pytest

import parallelize
import tasks
from parallelize import (
    ClusterLost,
    MissingExtraError,
    SerializationError,
    TaskTimeout,
    WorkerDied,
    parallelized,
    processed,
    use,
    using,
)
from parallelize.clusters import payloads
from parallelize.clusters.call import Remote
from parallelize.clusters.executor import EngineExecutor
from parallelize.clusters.payloads import EncodedError, LargePayload, Payload
from parallelize.futures.future import Failure
from parallelize.mapping import plan, start_map
from parallelize.registry import kinds
from parallelize.runtime.options import CallOptions

LARGE = 2 << 20


class Engine(EngineExecutor):
    """An engine of threads, that knows a grave error: a worker dies of `Death`."""

    kind = "dask"  # one of those whose chunks are long
    _max_workers = 2

    def __init__(self, *, again=False):
        super().__init__()
        self._starts_again = again
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.put = []

    def _hand_over(self, call, run, order, objects):
        theirs = self.pool.submit(self._work, run, order, objects)
        attempt = call.attempt
        theirs.add_done_callback(
            lambda done: self._answered(call, self._come(done), attempt)
        )
        return theirs

    def _work(self, run, order, objects):
        order, run = pickle.loads(pickle.dumps((order, run)))
        seen = [
            each.result() if isinstance(each, concurrent.futures.Future) else each
            for each in objects
        ]
        try:
            answer = run(order, *pickle.loads(pickle.dumps(seen, 5)))
            outcomes = answer.open()[0] if run is payloads.run_rows else ()
            if any(
                type(each) is payloads.FinalError and is_death(each)
                for each in outcomes
            ):
                raise Death
            return answer
        finally:
            payloads._has_run = False

    def _come(self, done):
        error = done.exception()
        if error is not None:
            return error
        return Remote(done) if type(done.result()) is LargePayload else done.result()

    def _start_reporter(self, number):
        raise NotImplementedError

    def _put(self, payload):
        self.put.append(payload)
        ref = concurrent.futures.Future()
        ref.set_result(pickle.loads(pickle.dumps(payload, 5)))
        return ref

    def _is_there(self, ref):
        return True

    def _fetch(self, ref):
        return ref.result()

    def _running(self, refs):
        return [ref.running() for ref in refs]

    def _drop(self, refs):
        for ref in refs:
            ref.cancel()

    def _translated(self, error, name):
        if isinstance(error, concurrent.futures.CancelledError):
            return None
        return WorkerDied(name) if isinstance(error, Death) else error

    def _leave(self):
        self.pool.shutdown()


class Death(Exception):
    pass


def is_death(failed):
    return isinstance(failed.carried.error(), Death)


def die_at(number, fatal):
    if number == fatal:
        raise Death
    return number


@pytest.fixture
def engine():
    with Engine() as made:
        yield made


# ------------------------------------------------------------------ missing extras


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("DaskExecutor", "distributed", "dask"), ("RayExecutor", "ray", "ray")],
)
def test_a_missing_extra_names_the_command(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    make = getattr(parallelize, name)
    with pytest.raises(
        MissingExtraError, match=rf"pip install 'parallelize\[{extra}\]'"
    ):
        make()
    with using(extra), pytest.raises(MissingExtraError):
        processed(tasks.double)(1)
    monkeypatch.setenv("PARALLELIZE_EXECUTOR", f"{extra}://host:1234")
    parallelize.shutdown()
    with pytest.raises(MissingExtraError):
        processed(tasks.double)(1)
    monkeypatch.delenv("PARALLELIZE_EXECUTOR")
    parallelize.shutdown()


# -------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    "word", ["dask", "ray", "dask://host:8786", "ray://host:10001"]
)
def test_the_words_of_the_engines(word):
    assert kinds.adapt(word) == word


@pytest.mark.parametrize(
    "word", ["dask:", "dask://", "dusk://host:1", "ray:host", "://"]
)
def test_what_is_no_word_of_an_engine(word, monkeypatch):
    with pytest.raises(ValueError, match="executor must be an executor or one of"):
        use(word)
    with pytest.raises(ValueError, match="'dask://host:port'"):
        parallelized(word)
    monkeypatch.setenv("PARALLELIZE_EXECUTOR", word)
    parallelize.shutdown()
    with pytest.raises(ValueError, match="PARALLELIZE_EXECUTOR"):
        processed(tasks.double)(1)
    monkeypatch.delenv("PARALLELIZE_EXECUTOR")
    parallelize.shutdown()


def test_an_engines_workers_are_there():
    fn = parallelized("ray")(tasks.double)
    with pytest.raises(ValueError, match="max_workers cannot be set for 'ray'"):
        fn.options(max_workers=2)(1)
    fn = parallelized("dask")(tasks.double)
    with pytest.raises(ValueError, match="initializer cannot be set for 'dask'"):
        fn.options(initializer=print)(1)


def test_inside_a_worker_of_another_engine(monkeypatch):
    monkeypatch.setattr(payloads, "_has_run", True)
    monkeypatch.setattr(payloads, "_is_program", False)
    for kind in ("processes", "dask", "ray", "dask://host:8786"):
        assert kinds.make_executor(kind).kind == "serial"
    monkeypatch.setattr(payloads, "_is_program", True)
    assert not kinds.inside_worker()


# ------------------------------------------------------------------------ payloads


def test_payloads():
    value = {"a": bytes(LARGE), "b": 2}
    payload = payloads.pack(value)
    assert payload.open() == value
    large = payloads.pack(bytes(LARGE))
    assert type(large) is LargePayload
    assert len(large.data) < 200
    assert large.open() == bytes(LARGE)
    assert type(payloads.pack(3)) is Payload
    for protocol in (4, 5):
        again = pickle.loads(pickle.dumps(large, protocol))
        assert type(again) is LargePayload
        assert again.open() == bytes(LARGE)


def test_what_is_opened_is_the_readers_own():
    numpy = pytest.importorskip("numpy")
    payload = payloads.pack(numpy.ones(LARGE))
    payload.open()[0] = 7
    assert payload.look()[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        payload.look()[0] = 7


# ----------------------------------------------------------------- calls and rows


def test_calls(engine):
    assert engine.submit(tasks.add, 1, 2, c=3).result() == 6
    first = engine.submit(tasks.double, 1)
    assert engine.submit(tasks.add, first, c=first).result() == 4
    assert isinstance(engine.submit(tasks.refuse, 1).exception(), tasks.Refusal)
    assert list(engine.map(tasks.double, range(500))) == [2 * n for n in range(500)]


def test_large_results_stay_until_somebody_asks(engine, monkeypatch):
    fetched = []
    monkeypatch.setattr(
        engine, "_fetch", lambda ref: fetched.append(ref) or ref.result()
    )
    large = engine.submit(bytes, LARGE)
    assert engine.submit(tasks.length, large).result() == LARGE
    assert fetched == []
    assert len(large.result()) == LARGE
    assert len(large.result()) == LARGE
    assert len(fetched) == 1


def test_large_arguments_are_put_once_by_what_is_in_them(engine):
    text = bytes(LARGE)
    for _ in range(3):
        assert engine.submit(tasks.length, text).result() == LARGE
    assert engine.submit(tasks.length, bytearray(LARGE)).result() == LARGE
    assert len(engine.put) == 1  # what is in it counts, not which object it is
    assert engine.submit(tasks.length, "x" * LARGE).result() == LARGE
    assert len(engine.put) == 2


def test_so_much_is_kept_and_no_more(engine, monkeypatch):
    from parallelize.clusters import object_cache

    monkeypatch.setattr(object_cache, "KEPT_BYTES", 2 * LARGE)
    for number in (1, 2, 3, 1):
        engine.submit(tasks.length, bytes([number]) * LARGE).result()
    assert len(engine.put) == 4
    assert len(engine._cache._kept) == 2


def test_one_row_that_kills_harms_no_other_where_rows_run_again():
    with Engine(again=True) as engine:
        results = list(
            engine.map(die_at, range(6), [3] * 6, chunksize=6, return_exceptions=True)
        )
    assert isinstance(results[3], WorkerDied)
    assert results[:3] + results[4:] == [0, 1, 2, 4, 5]


def test_rows_of_a_killed_chunk_are_not_run_again_unasked(engine):
    results = engine.map(die_at, range(4), [3] * 4, chunksize=4, return_exceptions=True)
    results = list(results)
    assert [type(each) for each in results] == [WorkerDied] * 4


def test_rows_keep_their_errors_apart(engine):
    fns = [lambda: 1, lambda: (n for n in ()), lambda: 1 / 0, lambda: bytes(LARGE)]
    results = list(
        start_map(
            engine,
            lambda fn: fn(),
            (fns,),
            options=CallOptions(),
            chunksize=4,
            return_exceptions=True,
        )
    )
    assert results[0] == 1
    assert isinstance(results[1], SerializationError)
    assert isinstance(results[2], ZeroDivisionError)
    assert results[3] == bytes(LARGE)


@pytest.mark.parametrize(("row", "size"), [(0.001, 200), (0.01, 20), (0.15, 1)])
def test_chunks_are_longer_than_on_this_machine(engine, row, size):
    sizes = plan._sizes(engine.kind, 2, None, None)
    assert sizes.next(None) == 1
    for _ in range(10):
        rows = sizes.next(None)
        sizes.measured(rows, rows * row)
    assert sizes.next(None) == pytest.approx(size, abs=1)


def test_cancel_asks_the_engine(engine, tmp_path):
    os.mkfifo(tmp_path / "begun"), os.mkfifo(tmp_path / "go")
    held = [engine.submit(tasks.hold, tmp_path) for _ in range(1)]
    other = threading.Event()
    engine.pool.submit(other.wait)
    waiting = engine.submit(tasks.double, 1)
    with open(tmp_path / "begun") as pipe:
        pipe.read()
    assert not held[0].cancel()
    assert waiting.cancel()
    assert waiting.cancelled()
    assert not held[0].kill()
    other.set()
    with open(tmp_path / "go", "w"):
        pass
    assert held[0].result() is None


def test_the_errors_tell():
    assert (
        str(ClusterLost("m.f", "no answer")) == "the cluster of m.f was lost: no answer"
    )
    error = WorkerDied("m.f")
    assert str(error) == "the worker of m.f died under it"
    error.__cause__ = ValueError("why")
    assert str(error) == "the worker of m.f died under it: why"
    for each in (ClusterLost("m.f", "x"), error):
        assert type(pickle.loads(pickle.dumps(each))) is type(each)


class Told(Engine):
    """One whose calls with a timeout are told of when the test says so."""

    def _start_reporter(self, number):
        return tasks.pid_of


def test_no_deadline_holds_a_call_whose_future_has_ended(make_latch):
    executor, latch, told = Told(), make_latch(), threading.Event()
    future = parallelized(executor, timeout=1000)(tasks.hold)(latch.folder)
    latch.wait_begun()
    for number in executor._timed:
        executor._begun(number)
    executor._later(told.set)  # in the thread that has been told of the call before
    assert told.wait(20)
    call = future._call
    assert not call._deadline.void
    future._set_outcome(Failure(RuntimeError("enough")), failed=True)
    assert call._deadline.void
    assert not executor._timed
    assert str(future.exception()) == "enough"
    latch.release()
    executor.shutdown()
    executor.pool.shutdown()


# A timeout with retries: each attempt is submitted by itself, and has its own time.


class Manual(Engine):
    """One whose calls start and end when the test says so."""

    def __init__(self):
        super().__init__()
        self.submitted, self.dropped = [], []

    def _hand_over(self, call, run, order, objects):
        self.submitted.append(call.attempt)
        return len(self.submitted)

    def _start_reporter(self, number):
        return tasks.pid_of

    def _running(self, refs):
        return [False] * len(refs)

    def _drop(self, refs):
        self.dropped += refs

    def flush(self):
        """Return when the thread of the answers has done what it has."""
        done = threading.Event()
        self._later(done.set)
        assert done.wait(20)

    def start(self, index):
        self._begun(self.submitted[index])
        self.flush()

    def end(self, call, index, answer):
        self._answered(call, answer, self.submitted[index])
        self.flush()

    def expire(self, call, index):
        call._expire(self.submitted[index])
        self.flush()


@pytest.fixture
def manual():
    with Manual() as made:
        yield made


REFUSED = EncodedError(payloads.encode_failure(tasks.Refusal(1)))


def is_limited(call):
    return call._deadline is not None and not call._deadline.void


@pytest.mark.parametrize("answer", [REFUSED, Death()], ids=["error", "death"])
def test_a_deadline_ends_with_its_attempt(manual, answer):
    future = parallelized(manual, timeout=1000, retries=1)(tasks.double)(2)
    call = future._call
    manual.start(0)
    assert is_limited(call)
    manual.end(call, 0, answer)
    assert len(manual.submitted) == 2
    assert not is_limited(call)
    manual.start(0)  # reports that come late mean nothing
    manual.expire(call, 0)
    assert not is_limited(call)
    assert not future.done()
    manual.start(1)
    assert is_limited(call)
    manual.end(call, 1, payloads.pack(4))
    assert future.result(0) == 4
    assert not is_limited(call)
    assert not manual._timed


def test_attempts_end_with_the_retries(manual):
    future = parallelized(manual, timeout=1000, retries=1)(tasks.double)(2)
    call = future._call
    manual.end(call, 0, REFUSED)
    manual.end(call, 1, REFUSED)
    assert len(manual.submitted) == 2
    assert isinstance(future.exception(0), tasks.Refusal)


def test_a_timeout_is_retried(manual):
    future = parallelized(manual, timeout=1000, retries=1)(tasks.double)(2)
    call = future._call
    manual.start(0)
    manual.expire(call, 0)
    assert len(manual.submitted) == 2
    assert manual.dropped == [1]  # the late one
    manual.end(call, 0, REFUSED)  # it does not count any more
    assert not future.done()
    manual.start(1)
    manual.expire(call, 1)
    assert isinstance(future.exception(0), TaskTimeout)
    assert manual.dropped == [1, 2]


def test_a_timeout_is_not_retried_if_retry_on_says_so(manual):
    options = {"timeout": 1000, "retries": 1, "retry_on": LookupError}
    future = parallelized(manual, **options)(tasks.double)(2)
    manual.start(0)
    manual.expire(future._call, 0)
    assert isinstance(future.exception(0), TaskTimeout)
    assert len(manual.submitted) == 1


def test_no_attempt_follows_a_cancellation(manual):
    future = parallelized(manual, timeout=1000, retries=1)(tasks.double)(2)
    call = future._call
    manual.start(0)
    assert not future.cancel()  # it runs
    manual.end(call, 0, REFUSED)
    assert isinstance(future.exception(0), tasks.Refusal)
    assert len(manual.submitted) == 1


def test_no_attempt_follows_a_shutdown_that_cancels(manual):
    future = parallelized(manual, timeout=1000, retries=1)(tasks.double)(2)
    call = future._call
    manual.start(0)
    manual.shutdown(wait=False, cancel_futures=True)
    manual.end(call, 0, REFUSED)
    assert isinstance(future.exception(0), tasks.Refusal)
    assert len(manual.submitted) == 1


def test_a_reference_is_submitted_if_no_other_attempt_can_follow(manual):
    """What depends on a call gets the value of the attempt that succeeds."""
    first = parallelized(manual, timeout=1000, retries=1)(tasks.double)(2)
    call = first._call
    behind = manual.submit(tasks.double, first)
    assert len(manual.submitted) == 1
    manual.end(call, 0, REFUSED)
    last = manual.submit(tasks.double, first)
    assert len(manual.submitted) == 3
    manual.end(call, 1, payloads.pack(4))
    assert len(manual.submitted) == 4
    for each, index in ((last, 2), (behind, 3)):
        manual.end(each._call, index, payloads.pack(8))
        assert each.result(0) == 8


class AtOnce(Manual):
    """One whose calls have ended before they have a reference."""

    def _hand_over(self, call, run, order, objects):
        ref = super()._hand_over(call, run, order, objects)
        self.end(call, -1, payloads.pack(4))
        return ref


def test_a_call_that_has_ended_already_is_not_dropped():
    """Its result may still be in the cluster."""
    with AtOnce() as executor:
        timed = parallelized(executor, timeout=1000, retries=1)(tasks.double)
        assert [timed(2).result(20), executor.submit(tasks.double, 2).result(20)] == [
            4,
            4,
        ]
        assert executor.dropped == []
