"""What is collected takes no lock: it may be collected under any, in any thread.

In each test a thread holds a lock of a thing while another drops the thing. Were a
finaliser to wait for the lock, as it did for that of its pool, the holder might as well
wait for what the other one holds.
"""

import contextlib
import gc
import logging
import os
import threading
import time
import weakref

import pytest

import tasks
from parallelize import Future, ProcessPoolExecutor, ThreadPoolExecutor, threaded
from parallelize.futures import unretrieved
from parallelize.mapping import progress

#: Seconds for what takes a moment.
LONG = 20


@contextlib.contextmanager
def held_elsewhere(*held):
    """Within the block another thread holds the locks."""
    taken, free = threading.Event(), threading.Event()

    def hold():
        with contextlib.ExitStack() as stack:
            for lock in held:
                stack.enter_context(lock)
            taken.set()
            free.wait(3 * LONG)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(LONG)
    try:
        yield
    finally:
        free.set()
        holder.join()


def dropped(box):
    """Let a thread drop what alone is in a list, and return whether it could."""
    ref = weakref.ref(box[0])

    def drop():
        box.clear()
        gc.collect()

    dropper = threading.Thread(target=drop, daemon=True)
    dropper.start()
    dropper.join(LONG)
    return not dropper.is_alive() and ref() is None


def comes(condition):
    """Wait until something holds that nothing tells of."""
    until = time.monotonic() + LONG
    while not (came := condition()) and time.monotonic() < until:
        time.sleep(0.01)
    return came


async def identity(x):
    return x


def test_a_pool_of_processes():
    box = [ProcessPoolExecutor(1)]
    assert box[0].submit(abs, -1).result() == 1
    pool = box[0]._pool
    with held_elsewhere(pool.scheduler.lock):
        assert dropped(box)
        assert not pool.takes_nothing
    assert comes(lambda: pool.state.name == "CLOSED")


def test_a_pool_of_processes_that_has_calls_still_runs_them():
    box = [ProcessPoolExecutor(1)]
    futures = [box[0].submit(abs, -i) for i in range(5)]
    pool = box[0]._pool
    with held_elsewhere(pool.scheduler.lock):
        assert dropped(box)
    assert [future.result(LONG) for future in futures] == [0, 1, 2, 3, 4]
    assert comes(lambda: pool.state.name == "CLOSED")


def test_a_pool_of_processes_without_a_call():
    box = [ProcessPoolExecutor(1)]
    pool = box[0]._pool
    with held_elsewhere(pool.scheduler.lock):
        assert dropped(box)
    assert comes(lambda: pool.state.name == "CLOSED")


def test_a_pool_of_threads():
    box = [ThreadPoolExecutor(2, idle_timeout=None)]
    assert list(box[0].map(abs, [-1, -2])) == [1, 2]
    engine = box[0]._engine
    with held_elsewhere(engine._lock):
        assert dropped(box)
        assert engine.threads
    assert comes(lambda: not any(thread.is_alive() for thread in engine.threads))


def test_a_pool_of_loops():
    box = [ThreadPoolExecutor(2, idle_timeout=None)]
    call = threaded(identity, executor=box[0])
    assert call(3).result() == 3
    loops = box[0]._made_loops()
    loop = loops._loops[0]
    del call
    with held_elsewhere(loops._lock, loop._lock):
        assert dropped(box)
        assert loop.is_alive()
    assert comes(lambda: not loop.is_alive())


@pytest.mark.parametrize("lock", ["reading", "_arrived"])
def test_a_map_that_was_read_in_part(executor, lock):
    closed = []

    def numbers():
        try:
            yield from range(10_000)
        finally:
            closed.append(True)

    box = [executor.map(tasks.double, numbers(), buffersize=4)]
    assert next(box[0]) == 0
    window = box[0]._reader._window
    with held_elsewhere(getattr(window, lock)):
        assert dropped(box)
    window.close_if_over()  # as all code does that has held the lock for reading
    del window
    assert comes(lambda: closed)


def test_a_map_that_nobody_read_is_run_all_the_same():
    ran = []
    with ThreadPoolExecutor(1) as executor:
        box = [executor.map(ran.append, range(100))]
        window = box[0]._reader._window
        with held_elsewhere(window.reading, window._arrived):
            assert dropped(box)
        assert comes(lambda: len(ran) == 100)


def test_a_map_that_was_read_leaves_no_work(monkeypatch):
    from parallelize.runtime import lifecycle

    left = []
    monkeypatch.setattr(lifecycle, "later", left.append)
    with ThreadPoolExecutor(1) as executor:
        for chunksize in (None, 1, 7):
            results = executor.map(abs, range(20), chunksize=chunksize)
            assert list(results) == list(range(20))
            del results
    gc.collect()
    assert not [action for action in left if "Window" in repr(action)]


class Bar:
    """Stands in for tqdm's, with a lock."""

    def __init__(self, desc=None, total=None):
        self._lock = threading.RLock()
        self.n = 0
        self.closed = False
        bars.append(self)

    def update(self, items):
        with self._lock:
            self.n += items

    def close(self):
        with self._lock:
            self.closed = True


bars = []


@pytest.mark.parametrize("is_free", [False, True])
def test_a_bar(monkeypatch, is_free):
    monkeypatch.setattr(progress, "_tqdm", lambda: Bar)
    with ThreadPoolExecutor(1) as executor:
        box = [executor.map(abs, range(100), progress=True)]
        assert next(box[0]) == 0
        bar = bars.pop()
        with contextlib.nullcontext() if is_free else held_elsewhere(bar._lock):
            assert dropped(box)
        assert comes(lambda: bar.closed)
        assert bar.n == 1


def counted(n):
    yield from range(n)


@pytest.mark.parametrize("was_read", [False, True])
def test_a_stream_that_a_finaliser_drops(concurrent_kind, make_concurrent, was_read):
    if concurrent_kind == "interpreter":
        pytest.skip("items do not travel from interpreters")
    executor = make_concurrent()
    box = [threaded(counted, executor=executor)(10**9)]
    if was_read:
        assert next(box[0]) == 0
    channel = box[0]._reader.channel
    with held_elsewhere(channel.lock):
        assert dropped(box)
    assert comes(lambda: channel.life.name == "CLOSED")


def test_what_is_left_is_done_although_some_of_it_fails(monkeypatch):
    from parallelize.runtime import lifecycle

    failures, done = [], threading.Event()
    monkeypatch.setattr(threading, "excepthook", failures.append)
    lifecycle.later(lambda: tasks.refuse(1))
    lifecycle.later(done.set)
    assert done.wait(LONG)
    assert comes(lambda: failures)
    assert failures[0].exc_type is tasks.Refusal


def test_what_is_left_is_done_beside_what_takes_long():
    from parallelize.runtime import lifecycle

    free, done = threading.Event(), threading.Event()
    lifecycle.later(lambda: free.wait(LONG))
    lifecycle.later(done.set)
    try:
        assert done.wait(LONG)
    finally:
        free.set()


def test_where_no_thread_can_be_started_it_is_done_with_the_next(monkeypatch):
    from parallelize.runtime import lifecycle

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    done = []
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "start_new_thread", refuse)
        lifecycle.later(lambda: done.append(1))
    assert not done
    lifecycle.later(lambda: done.append(2))
    assert comes(lambda: done == [1, 2])


class Locked(logging.Handler):
    """Notes records; who handles one holds its lock."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@pytest.fixture
def handler():
    handler, log = Locked(), logging.getLogger("parallelize")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def test_failures_that_nobody_looked_at(handler):
    box = [failed(n) for n in range(100)]
    with held_elsewhere(handler.lock):
        reference = weakref.ref(box[0])
        dropper = threading.Thread(target=box.clear, daemon=True)
        dropper.start()
        dropper.join(LONG)
        assert not dropper.is_alive()
        assert reference() is None
        assert not handler.texts
        # They are logged by one thread, and not by one for each.
        threads = [t for t in threading.enumerate() if "collected" in t.name]
        assert len(threads) <= 2
    assert comes(lambda: len(handler.texts) == 100)


def failed(number):
    future = Future()
    future.set_exception(LookupError(number))
    return future


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_failures_are_reported_in_a_forked_child_too(handler, monkeypatch):
    monkeypatch.setattr(
        unretrieved, "_asked_in", os.getpid()
    )  # as if it were under way
    pid = os.fork()
    if pid == 0:
        box = [failed(1)]
        box.clear()
        os._exit(0 if comes(lambda: handler.texts) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
