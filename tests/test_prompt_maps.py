"""Results are given while the input of a map is waited for, and calls begin at once."""

import asyncio
import contextvars
import itertools
import sqlite3
import sys
import threading
import time
from contextlib import closing

import pytest

import tasks
from parallelize.mapping.input import InputSource, Pace
from parallelize.mapping.thread_bound import is_bound
from support.waiting import wait_until

PATIENCE = 20  # seconds after which a test has failed


class Answered:
    """An input whose next item comes once the result of the last one was read."""

    def __init__(self, number, first=1):
        self.number = number
        self.first = first  # the number of items that come at once
        self.read = threading.Semaphore(0)
        self.closed = threading.Event()

    def __iter__(self):
        try:
            for number in range(self.number):
                if number >= self.first and not self.read.acquire(timeout=PATIENCE):
                    pytest.fail("the result was held back")
                yield number
        finally:
            self.closed.set()

    def was_read(self, _result=None):
        self.read.release()


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", [None, 5])
def test_a_result_is_given_before_the_next_item_comes(concurrent, ordered, chunksize):
    items = Answered(30)
    results = concurrent.map(tasks.double, items, ordered=ordered, chunksize=chunksize)
    given = []
    for result in results:
        given.append(result)
        items.was_read()
    assert given == [2 * n for n in range(30)]


def test_in_an_event_loop_too(concurrent):
    async def main():
        items = Answered(30)
        given = []
        async for result in concurrent.map(tasks.double, items):
            await asyncio.sleep(0)  # the loop goes on
            given.append(result)
            items.was_read()
        return given

    assert asyncio.run(main()) == [2 * n for n in range(30)]


def test_bursts(concurrent):
    """What has come before a pause is called, whatever the size of a chunk."""
    burst = 7
    items = Answered(10 * burst, first=burst)
    results = concurrent.map(tasks.double, items, chunksize=50)
    given = []
    for result in results:
        given.append(result)
        items.was_read()
    assert given == [2 * n for n in range(10 * burst)]


@pytest.mark.parametrize("chunksize", [None, 100])
def test_an_endless_input_that_waits(concurrent, chunksize):
    items = Answered(10**9)
    with concurrent.map(tasks.double, items, chunksize=chunksize) as results:
        for number in range(20):
            assert next(results) == 2 * number
            items.was_read()
    items.was_read()
    assert items.closed.wait(PATIENCE)


def test_a_row_waits_for_no_chunk_while_all_workers_are_busy(make_concurrent, latch):
    """It leaves the reader's side; a worker that gets free takes it."""
    executor = make_concurrent(max_workers=1)
    read = threading.Event()

    def items():
        yield latch.folder
        yield None
        latch.wait_begun()
        latch.release()  # the first call ends, the second row was held until then
        assert read.wait(PATIENCE)
        yield None

    results = executor.map(tasks.hold_if, items(), chunksize=100)
    next(results)
    next(results)
    read.set()
    assert len(list(results)) == 1


def test_a_window_is_kept(concurrent):
    """A feeder reads no further ahead than a reader would."""
    drawn = itertools.count()
    last = [0]

    def items():
        while True:
            last[0] = next(drawn)
            if last[0] == 1:
                time.sleep(0.02)  # not quick: the feeder stays
            yield last[0]

    with concurrent.map(tasks.double, items(), buffersize=3) as results:
        for given in range(1, 50):
            next(results)
            assert last[0] + 1 <= given + 3


def test_a_quick_input_is_left_to_the_reader(threads_of_map, monkeypatch):
    monkeypatch.setattr("parallelize.mapping.feeder.NO_TIME", 1000)
    readers = set()

    def items():
        for number in range(3000):
            readers.add(threading.get_ident())
            yield number

    results = threads_of_map.map(tasks.double, items())
    assert list(results) == [2 * n for n in range(3000)]
    assert threading.get_ident() in readers
    assert len(readers) <= 2


@pytest.fixture
def threads_of_map():
    from parallelize import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as executor:
        yield executor


def test_what_is_in_memory_is_read_by_the_reader(threads_of_map):
    before = set(threading.enumerate())
    two = {1: 2, 3: 4}
    for make in (
        *(lambda: [1, 2], lambda: (1, 2), lambda: two, lambda: range(2), lambda: b"12"),
        *(lambda: two.values(), lambda: iter(two), lambda: reversed([1, 2])),
        *(lambda: enumerate(iter("12")), lambda: zip([1, 2], itertools.repeat(3))),
    ):
        assert len(list(threads_of_map.map(tasks.double, make()))) == 2
        assert InputSource([make()], star=False).pace is Pace.INSTANT
    for items in (
        map(str, "12"),
        enumerate(map(str, "12")),
        zip("12", (x for x in "12")),
    ):
        assert InputSource([items], star=False).pace is Pace.UNKNOWN
    assert not any(
        thread.name == "parallelize-input"
        for thread in set(threading.enumerate()) - before
    )


# ------------------------------------------------- how it ends


def test_closing_closes_an_input_that_waits(concurrent):
    items = Answered(100)
    results = concurrent.map(tasks.double, items)
    assert next(results) == 0
    items.was_read()
    results.close()
    assert items.closed.wait(PATIENCE)


def test_closing_does_not_wait_for_ever(concurrent, monkeypatch):
    monkeypatch.setattr("parallelize.mapping.feeder.LONGEST_CLOSING", 0.01)
    gate, closed = threading.Event(), threading.Event()

    def items():
        try:
            yield 1
            gate.wait(PATIENCE)
            yield 2
        finally:
            closed.set()

    results = concurrent.map(tasks.double, items())
    assert next(results) == 2
    results.close()
    assert not closed.is_set()
    gate.set()
    assert closed.wait(PATIENCE)


def test_aclose_has_closed_the_input(concurrent):
    async def main():
        items = Answered(100)
        results = concurrent.map(tasks.double, items)
        assert await anext(results) == 0
        items.was_read()
        await results.aclose()
        return items.closed.is_set()

    assert asyncio.run(main())


def test_a_dropped_map_ends_its_feeder(concurrent):
    items = Answered(100)
    results = concurrent.map(tasks.double, items)
    assert next(results) == 0
    del results
    items.read.release(99)
    assert items.closed.wait(PATIENCE)
    wait_until(lambda: not feeders())


def feeders():
    return [each for each in threading.enumerate() if each.name == "parallelize-input"]


def test_a_quick_input_is_closed_whenever_the_map_ends(threads_of_map):
    """Also at the moment at which the feeder leaves it to the reader."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(150):
            closed = threading.Event()
            with pytest.raises(tasks.Refusal):
                next(threads_of_map.map(tasks.refuse, endless(closed)))
            assert closed.wait(PATIENCE)
    finally:
        sys.setswitchinterval(interval)


def endless(closed):
    try:
        yield from itertools.count()
    finally:
        closed.set()


def test_an_error_of_the_input_comes_in_its_turn(concurrent):
    items = Answered(5)

    def failing():
        yield from items
        raise LookupError("no more")

    results = concurrent.map(tasks.double, failing())
    given = []
    with pytest.raises(LookupError, match="no more"):
        for result in results:
            given.append(result)
            items.was_read()
    assert given == [0, 2, 4, 6, 8]


def test_an_error_of_closing_is_logged(concurrent, caplog):
    read = threading.Event()

    def items():
        try:
            yield 1
            read.wait(PATIENCE)
            yield 2
        finally:
            raise LookupError("while closing")

    results = concurrent.map(tasks.double, items())
    next(results)
    read.set()
    results.close()
    wait_until(lambda: not feeders())
    assert "while closing" in caplog.text or not caplog.records


def test_a_map_that_is_not_read_runs_all_the_same(make_concurrent, tmp_path):
    gate = threading.Event()

    def items():
        for number in range(40):
            if number == 1:
                assert gate.wait(PATIENCE)
            yield tmp_path / str(number)

    executor = make_concurrent()
    executor.map(tasks.touch, items())
    gate.set()
    executor.shutdown()
    assert len(list(tmp_path.iterdir())) == 40


def test_a_shutdown_reads_on_though_results_are_ready(make_concurrent):
    """Also where an item has taken longer than others."""

    def items():
        for number in range(200):
            if number % 50 == 49:
                time.sleep(0.003)  # late, but not slow
            yield number

    executor = make_concurrent()
    results = executor.map(tasks.double, items())
    assert next(results) == 0
    executor.shutdown()
    assert list(results) == [2 * n for n in range(1, 200)]


def test_a_shutdown_waits_for_a_buffer_to_be_filled(make_concurrent, tmp_path):
    gate = threading.Event()

    def items():
        for number in range(40):
            if number == 1:
                assert gate.wait(PATIENCE)
            yield tmp_path / str(number)

    executor = make_concurrent()
    results = executor.map(tasks.touch, items(), buffersize=3)
    threading.Timer(0.1, gate.set).start()
    executor.shutdown()
    assert len(list(tmp_path.iterdir())) == 3
    results.close()


def test_an_executor_that_was_shut_down_takes_no_more(make_concurrent):
    executor = make_concurrent()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.map(tasks.double, iter([1, 2, 3]))


# --------------------------------------- inputs that belong to their thread


def test_the_context_of_the_reader(threads_of_map):
    name = contextvars.ContextVar("name")
    name.set("reader")

    def items():
        for _ in range(3):
            yield name.get()

    assert list(threads_of_map.map(str, items())) == ["reader"] * 3


_CONNECTIONS = []


@pytest.fixture(autouse=True)
def _connections_are_closed():
    yield
    while _CONNECTIONS:
        _CONNECTIONS.pop().close()


def cursor():
    connection = sqlite3.connect(":memory:")
    _CONNECTIONS.append(connection)
    return connection.execute(
        "with recursive n(x) as (select 0 union all select x + 1 from n where x < 300) "
        "select x from n"
    )


def rows_of(rows):
    for (row,) in rows:
        yield row


_LOCAL = threading.local()


def of_a_thread():
    for number in range(301):
        _LOCAL.last = number
        yield _LOCAL.last


def under_a_lock():
    lock = threading.RLock()
    with lock:
        yield from range(301)


def with_a_token():
    variable = contextvars.ContextVar("variable")
    token = variable.set(1)
    try:
        yield from range(301)
    finally:
        variable.reset(token)


BOUND = {
    "cursor": lambda: (row for (row,) in cursor()),
    "generator over a cursor": lambda: rows_of(cursor()),
    "zip of one": lambda: (row for ((row,), _) in zip(cursor(), range(301))),
    "C iterators": lambda: itertools.starmap(tasks.identity, cursor()),
    "local": of_a_thread,
    "lock": under_a_lock,
    "token": with_a_token,
}


@pytest.mark.parametrize("make", BOUND.values(), ids=BOUND)
def test_an_input_that_belongs_to_a_thread_is_read_there(threads_of_map, make):
    assert list(threads_of_map.map(tasks.double, make())) == [2 * n for n in range(301)]


def test_also_at_the_end_of_a_pipeline(threads_of_map):
    inner = threads_of_map.map(tasks.double, rows_of(cursor()))
    outer = threads_of_map.map(tasks.double, inner)
    assert list(outer) == [4 * n for n in range(301)]


def test_what_is_not_bound():
    assert not is_bound(iter([1]))
    assert not is_bound(number for number in range(3))
    with open(__file__) as lines:
        assert not is_bound(lines)
    lock = threading.RLock()  # not held
    assert not is_bound(each for each in [lock])


def test_an_input_may_read_its_own_map(threads_of_map):
    """Each item is the result of the last one: only one is ever outstanding."""

    assigned = threading.Event()

    def items():
        yield 1
        assert assigned.wait(PATIENCE)
        for _ in range(5):
            try:
                yield next(results) + 1
            except RuntimeError:  # the reader was quicker, and waits for an item
                return

    with closing(threads_of_map.map(tasks.double, items(), buffersize=2)) as results:
        assigned.set()
        assert all(isinstance(each, int) for each in results)
