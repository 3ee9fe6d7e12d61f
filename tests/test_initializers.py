"""What an initializer may do: all that a call may. It waits for nothing that comes later."""

import array
import asyncio
import io
import logging
import os
import threading
import warnings

import pytest

import parallelize
from parallelize import ProcessPoolExecutor, processed, share, threaded

METHODS = ["forkserver", "spawn", "fork"]

#: Seconds for what takes a moment.
LONG = 40

state = {}


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def of_initialized(method, initializer, *initargs):
    """Return what an initializer has put into the state of its worker."""
    with ProcessPoolExecutor(1, method, initializer, initargs) as pool:
        return pool.submit(get_state).result(LONG)


def get_state():
    return dict(state)


def note_shared(*handles):
    state["sums"] = [sum(handle.get()) for handle in handles]


def note_nested(table):
    state["sum"] = sum(table["handles"][0].get())


def test_it_reads_what_is_shared(method):
    handles = [share(array.array("q", range(n))) for n in (10, 100_000)]
    sums = [sum(range(10)), sum(range(100_000))]
    assert of_initialized(method, note_shared, *handles) == {"sums": sums}
    assert of_initialized(method, note_shared, *handles[:1] * 2) == {
        "sums": sums[:1] * 2
    }


def test_it_reads_what_is_shared_wherever_it_stands(method):
    handle = share([1, 2, 3])
    assert of_initialized(method, note_nested, {"handles": [handle]}) == {"sum": 6}


def keep_shared(handle):
    handle.get()
    state["handle"] = handle


def sum_of_kept():
    return sum(state["handle"].get())


def test_every_worker_reads_it_and_calls_do(method):
    handle = share(list(range(100)))
    with ProcessPoolExecutor(2, method, keep_shared, (handle,)) as pool:
        calls = [pool.submit(sum_of_kept) for _ in range(20)]
        assert {call.result(LONG) for call in calls} == {sum(range(100))}


class Lazy:
    """Reads what is shared as it is unpickled."""

    def __init__(self, handle):
        self.handle = handle

    def __reduce__(self):
        return read, (self.handle,)


def read(handle):
    return handle.get()


def note_value(value):
    state["value"] = value


@pytest.mark.parametrize("method", METHODS[:2])
def test_its_arguments_read_what_is_shared_as_they_are_unpickled(method):
    assert of_initialized(method, note_value, Lazy(share("x"))) == {"value": "x"}


def log_and_warn():
    logging.getLogger("ours").error("from the initializer")
    warnings.warn("beware", stacklevel=1)
    state["done"] = True


@pytest.mark.parametrize("method", METHODS[:2])  # a fork of this program warns, too
def test_it_logs_and_warns(method, caplog):
    with pytest.warns(UserWarning, match="beware"):
        assert of_initialized(method, log_and_warn) == {"done": True}
    assert "from the initializer" in caplog.messages


@processed
def double(x):
    return 2 * x


@processed
async def double_later(x):
    await asyncio.sleep(0)
    return 2 * x


@processed
def numbers(n):
    yield from range(n)


@threaded
def thread_id():
    return threading.get_ident()


def call_others():
    state["call"] = double(1).result()
    state["later"] = double_later(2).result()
    state["map"] = list(double.map(range(50)))
    state["stream"] = list(numbers(5))
    state["thread"] = thread_id().result() != threading.get_ident()
    parallelize.shutdown()


def test_it_makes_calls(method):
    assert of_initialized(method, call_others) == {
        "call": 2,
        "later": 4,
        "map": list(range(0, 100, 2)),
        "stream": [0, 1, 2, 3, 4],
        "thread": True,
    }


def note_dump():
    out = io.StringIO()
    parallelize.dump(out)
    state["shown"] = "note_dump" in out.getvalue()


def test_it_dumps(method):
    assert of_initialized(method, note_dump) == {"shown": True}


def note_size(data, other):
    state["sizes"] = len(data), len(other)


def test_its_arguments_are_large(method):
    data, other = bytearray(20 << 20), array.array("d", [0.5]) * (1 << 20)
    assert of_initialized(method, note_size, data, other) == {
        "sizes": (20 << 20, 1 << 20)
    }


def _wait(path):
    while not os.path.exists(path):
        threading.Event().wait(0.01)


def test_a_worker_shows_where_its_initializer_is(tmp_path):
    path = str(tmp_path / "go")
    with ProcessPoolExecutor(1, initializer=_wait, initargs=(path,)) as pool:
        call = pool.submit(abs, -1)
        try:
            while True:
                out = io.StringIO()
                parallelize.dump(out)
                if "in _wait" in out.getvalue():
                    break
        finally:
            with open(path, "w"):
                pass
        assert call.result(LONG) == 1
