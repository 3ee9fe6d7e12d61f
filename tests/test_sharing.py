"""What is shared is in memory once, read-only, and gone when its handle is."""

import copy
import gc
import os
import pickle

import pytest

import tasks
from factories import CONCURRENT, KINDS
from parallelize import (
    ProcessPoolExecutor,
    SerializationError,
    Shared,
    parallelized,
    share,
)

np = pytest.importorskip("numpy")


@pytest.fixture(params=[kind for kind in KINDS if kind != "interpreter"])
def kind(request):
    """The kinds that can load numpy."""
    return request.param


@pytest.fixture(params=[kind for kind in CONCURRENT if kind != "interpreter"])
def concurrent_kind(request):
    return request.param


def item(handle, index):
    return handle.get()[index]


def write(handle):
    handle.get()[0] = 1


def identity_of(handle):
    return os.getpid(), id(handle.get())


def test_every_kind_of_executor_reads_it(executor):
    handle = share(np.arange(1 << 18))
    assert [executor.submit(item, handle, n).result() for n in (0, 7)] == [0, 7]
    assert list(executor.map(item, [handle] * 20, range(20))) == list(range(20))


def test_any_value_can_be_shared(executor):
    for value in ({"a": [1, 2]}, "text", None, b"x" * (1 << 20), tasks.Refusal):
        assert share(value).get() == value
        assert executor.submit(Shared.get, share(value)).result() == value


def test_arrays_are_read_only_and_say_so(executor, kind):
    array = np.zeros(1 << 18)
    handle = share(array)
    array[0] = 5  # what was given is not kept
    error = executor.submit(write, handle).exception()
    assert "read-only" in str(error)
    assert handle.get()[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        handle.get()[0] = 1


def test_each_worker_makes_the_object_once(make_executor, kind):
    if not kind.startswith("process"):
        pytest.skip("there is one process")
    executor = make_executor(max_workers=1)
    handle = share({"a": np.ones(10)})
    assert len({executor.submit(identity_of, handle).result() for _ in range(5)}) == 1


def test_a_handle_inside_other_arguments(executor):
    handle = share([1, 2, 3])
    first = executor.submit(tasks.echo, {"x": [handle]}, k=(handle,)).result()
    assert first == (({"x": [handle]},), {"k": (handle,)})


def test_a_handle_comes_back_as_itself(executor):
    handle = share([1, 2, 3])
    assert executor.submit(tasks.identity, handle).result() is handle


def look_at_global(index):
    return _given.get()[index]


def give(handle):
    global _given
    _given = handle
    return handle


def test_a_handle_for_the_initializer(make_concurrent):
    executor = make_concurrent(initializer=give, initargs=(share([4, 5]),))
    assert [executor.submit(look_at_global, n).result() for n in (0, 1)] == [4, 5]
    give(None)  # a thread has set it here


def test_a_handle_in_a_closure(make_concurrent):
    executor = make_concurrent()
    handle = share([4, 5])
    on_pool = parallelized(executor)(lambda n: handle.get()[n])
    assert on_pool(1).result() == 5
    assert list(on_pool.map([0, 1])) == [4, 5]


def test_workers_that_come_later_get_it_too(make_executor, kind):
    if not kind.startswith("process"):
        pytest.skip("threads are no memory of their own")
    executor = make_executor(max_workers=1, max_tasks_per_child=1)
    handle = share([4, 5])
    assert [executor.submit(item, handle, 1).result() for _ in range(4)] == [5] * 4


def mapped():
    with open("/proc/self/maps") as maps:
        return sum("memfd:parallelize" in line for line in maps)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="has no /proc")
def test_the_memory_goes_with_the_handle():
    with ProcessPoolExecutor(1) as executor:
        at_first = executor.submit(mapped).result()
        handle = share(np.ones(1 << 20))
        assert executor.submit(item, handle, 3).result() == 1
        assert executor.submit(mapped).result() == at_first + 1
        fds = len(os.listdir("/proc/self/fd"))
        del handle
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) < fds
        # The worker is told over a socket of its own: a call may overtake it.
        while executor.submit(mapped).result() > at_first:
            pass


def test_what_was_got_outlives_the_handle():
    array = share(np.arange(1 << 18)).get()
    gc.collect()
    assert array[77] == 77


def test_a_handle_cannot_be_pickled_elsewhere():
    handle = share([1])
    with pytest.raises(TypeError, match="except as an argument of a call"):
        pickle.dumps(handle)


def test_a_copy_is_the_handle():
    handle = share([1])
    assert copy.copy(handle) is copy.deepcopy(handle) is handle


def test_what_cannot_be_pickled_cannot_be_shared():
    with pytest.raises(SerializationError, match="obj cannot be shared"):
        share(x for x in ())


def test_it_tells_its_size():
    handle = share(np.ones(1 << 17))
    assert 1 << 20 <= handle.nbytes < (1 << 20) + 1000
    assert str(handle.nbytes) in repr(handle)
