"""Large buffers: what arrives is what was passed, whoever writes to it afterwards."""

import gc
import os
import sys

import pytest

import tasks
from parallelize import ProcessPoolExecutor, processed
from parallelize.process.parent import buffers
from parallelize.process.parent.tasks import segment_ledger
from support.waiting import wait_until

np = pytest.importorskip("numpy")

MIB = 1 << 20

#: One beside others in a segment, and one alone in it.
SIZES = pytest.mark.parametrize("size", [100_000, 2 * MIB])

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="they go by socket")


@pytest.fixture(params=["forkserver", "spawn", "fork"])
def pool(request):
    with ProcessPoolExecutor(2, mp_context=request.param) as executor:
        yield executor


@pytest.fixture
def one_worker():
    with ProcessPoolExecutor(1) as executor:
        yield executor


def segments_of(executor):
    return list(executor._pool.scheduler.ledger.segments._all.values())


def same(got, expected):
    assert type(got) is type(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if expected.flags.forc:  # else pickle lays it out anew
        assert got.flags.f_contiguous == expected.flags.f_contiguous
    assert np.array_equal(got, expected)


ARRAYS = {
    "empty": np.empty(0),
    "just below": np.arange(MIB - 1, dtype=np.uint8),
    "just there": np.arange(MIB, dtype=np.uint8),
    "fortran": np.asfortranarray(np.arange(1 << 18).reshape(512, 512)),
    "not contiguous": np.arange(1 << 19)[::2],
    "text": np.array(["ä", "bc"] * 100_000),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_go_there_and_back(pool, name):
    array = ARRAYS[name]
    same(pool.submit(tasks.identity, array).result(), array)


def test_arrays_that_are_read_only_arrive_as_they_were(pool):
    array = np.ones(MIB)
    array.flags.writeable = False
    same(pool.submit(tasks.identity, array).result(), array)


@pytest.mark.parametrize("kind", [bytes, bytearray])
@pytest.mark.parametrize("size", [10, MIB - 1, MIB, 5 * MIB])
def test_bytes_keep_their_type(pool, kind, size):
    value = kind(b"x" * size)
    for result in (
        pool.submit(tasks.identity, value).result(),
        pool.submit(tasks.echo, 1, value, key=value).result()[0][1],
    ):
        assert type(result) is kind
        assert result == value


def test_many_buffers_in_one_call(pool):
    arrays = {n: np.full(MIB + n, n, dtype=np.uint8) for n in range(8)}
    result = pool.submit(tasks.identity, arrays).result()
    for n, array in arrays.items():
        same(result[n], array)


def test_rows_of_a_map_have_them_too(pool):
    arrays = [np.full(MIB, n, dtype=np.uint8) for n in range(12)]
    for got, expected in zip(pool.map(tasks.identity, arrays), arrays, strict=True):
        same(got, expected)


@SIZES
def test_what_is_changed_after_the_call_does_not_arrive(pool, size):
    array = np.zeros(size, dtype=np.uint8)
    futures = []
    for n in range(8):
        array[:] = n
        futures.append(pool.submit(tasks.identity, array))
    array[:] = 99
    assert [int(f.result().max()) for f in futures] == list(range(8))
    assert [int(f.result().min()) for f in futures] == list(range(8))


def add_one(array):
    array += 1
    return array


@SIZES
def test_an_argument_may_be_written_to(pool, size):
    array = np.zeros(size, dtype=np.uint8)
    for _ in range(3):
        result = pool.submit(add_one, array).result()
        assert result.min() == result.max() == 1
        assert array.max() == 0


@SIZES
def test_a_result_may_be_written_to_and_outlives_the_pool(pool, size):
    results = [pool.submit(np.full, size, n).result() for n in range(4)]
    pool.shutdown()
    for n, result in enumerate(results):
        assert result.min() == result.max() == n
        result += 1
        assert result.min() == n + 1


def add_one_and_fail_at_first(array, folder):
    array += 1
    if int(array[0]) == 1 and not os.path.exists(f"{folder}/failed"):
        open(f"{folder}/failed", "w").close()
        raise LookupError
    return int(array.max())


def add_one_and_die_at_first(array, folder):
    try:
        return add_one_and_fail_at_first(array, folder)
    except LookupError:
        os._exit(1)


@SIZES
@pytest.mark.parametrize("fn", [add_one_and_fail_at_first, add_one_and_die_at_first])
def test_a_retry_gets_what_was_passed(fn, tmp_path, size):
    retried = processed(retries=1, retry_on=LookupError, max_workers=1)(fn)
    array = np.zeros(size, dtype=np.uint8)
    assert retried(array, str(tmp_path)).result() == 1


kept = []


def keep(array):
    kept.append(array)


def kept_values():
    return [(int(array.min()), int(array.max())) for array in kept]


@SIZES
def test_what_a_worker_keeps_stays_as_it_is(one_worker, size):
    for n in range(5):
        one_worker.submit(keep, np.full(size, n, dtype=np.uint8)).result()
    assert one_worker.submit(kept_values).result() == [(n, n) for n in range(5)]


def test_segments_are_used_again(one_worker):
    for n in range(20):
        assert one_worker.submit(tasks.length, np.full(2 * MIB, n)).result() == 2 * MIB
        # The worker tells that it is done with it a moment after its answer.
        one_worker.submit(abs, 1).result()
    assert len(segments_of(one_worker)) <= 3


def test_results_that_are_dropped_leave_room_for_others(one_worker):
    for n in range(100):  # more than there may be segments
        assert one_worker.submit(np.full, MIB, n).result()[0] == n


def test_results_that_are_kept_beyond_the_last_segment(one_worker):
    results = [one_worker.submit(np.full, MIB // 8, n).result() for n in range(80)]
    assert [int(r.max()) for r in results] == list(range(80))
    assert [int(r.min()) for r in results] == list(range(80))


def test_small_ones_share_a_segment(one_worker):
    for n in range(30):
        futures = [
            one_worker.submit(np.sum, np.full(40_000 + n * k, k, dtype=np.uint8))
            for k in range(30)
        ]
        assert [f.result() for f in futures] == [
            k * (40_000 + n * k) for k in range(30)
        ]
    assert len(segments_of(one_worker)) <= 2


def test_small_results_that_are_kept(one_worker):
    results = [one_worker.submit(np.full, 5_000 + n, n).result() for n in range(300)]
    assert [int(r.max()) for r in results] == list(range(300))
    assert [int(r.min()) for r in results] == list(range(300))
    del results[::2]
    more = [one_worker.submit(np.full, 50_000, -n).result() for n in range(300)]
    assert [int(r.max()) for r in results] == list(range(1, 300, 2))
    assert [int(r.min()) for r in more] == [-n for n in range(300)]


def write_past_the_end(array):
    """Spoil all that follows in the same mapping, as wrong C code might."""
    import ctypes

    end = array.ctypes.data + array.nbytes
    ctypes.memset(end, 255, 1 << 20)
    return int(array.sum())


@pytest.mark.skipif(sys.platform != "linux", reason="pages can't be dropped there")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_writes_past_its_array_harms_no_other(workers, make_latch):
    latches = [make_latch() for _ in range(workers)]
    arrays = [np.full(50_000, n, dtype=np.uint8) for n in range(12)]
    with ProcessPoolExecutor(workers) as executor:
        for latch in latches:
            executor.submit(tasks.hold, latch.folder)
        for latch in latches:
            latch.wait_begun()
        wrong = executor.submit(write_past_the_end, np.ones(50_000, dtype=np.uint8))
        futures = [executor.submit(np.sum, array) for array in arrays]
        for latch in latches:
            latch.release()
        assert wrong.result() == 50_000
        assert [f.result() for f in futures] == [n * 50_000 for n in range(12)]


def fork_once(array):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    array[:] = 1
    return int(array.sum())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # threads and os.fork
def test_what_comes_after_a_fork_arrives(one_worker):
    """The fork made the worker's pages its own; what is put beside them shows."""
    arrays = [np.full(40_000 + n, n % 7, dtype=np.uint8) for n in range(60)]
    for _ in range(3):
        futures = [one_worker.submit(np.sum, array) for array in arrays]
        forked = one_worker.submit(fork_once, arrays[0])
        assert [f.result() for f in futures] == [int(a.sum()) for a in arrays]
        assert forked.result() == 40_000
        assert [one_worker.submit(np.sum, array).result() for array in arrays] == [
            int(a.sum()) for a in arrays
        ]


def test_more_calls_than_segments(one_worker):
    futures = [one_worker.submit(np.sum, np.full(MIB // 8, n)) for n in range(80)]
    assert [f.result() for f in futures] == [n * MIB // 8 for n in range(80)]


def free(executor):
    still_open = executor._pool.scheduler.ledger.segments._open
    return all(each.holders == (each is still_open) for each in segments_of(executor))


def wait_until_free(executor):
    for _ in range(1000):
        gc.collect()
        executor.submit(abs, 1).result()
        if free(executor):
            return True
    return False


def die(_):
    os._exit(3)


def test_a_worker_that_dies_lets_go(one_worker):
    for _ in range(3):
        error = one_worker.submit(die, np.ones(MIB)).exception()
        assert "exit code 3" in str(error)
        del error
    assert wait_until_free(one_worker)


def test_calls_that_never_run_let_go(one_worker, make_latch):
    latch = make_latch()
    held = one_worker.submit(tasks.hold, latch.folder, 1)
    latch.wait_begun()
    futures = [one_worker.submit(tasks.length, np.ones(MIB)) for _ in range(3)]
    assert all(future.cancel() for future in futures)
    latch.release()
    held.result()
    assert wait_until_free(one_worker)


def test_without_segments_they_go_by_socket(one_worker):
    one_worker._pool.scheduler.ledger.segments.most = 0
    array = np.arange(MIB)
    same(one_worker.submit(tasks.identity, array).result(), array)
    assert not segments_of(one_worker)


def test_a_control_socket_that_is_full_does_not_matter(one_worker):
    one_worker.submit(abs, 1).result()
    (worker,) = one_worker._pool.scheduler.workers.values()
    refused = []
    worker.segments.lend = lambda segment: bool(refused.append(segment))
    array = np.arange(MIB)
    same(one_worker.submit(tasks.identity, array).result(), array)
    del worker.segments.lend
    assert refused
    assert wait_until_free(one_worker)


def fork_and_write(array):
    """Write in a child, then look from the parent; the other way round, too."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        array[:5] = 7
        os.read(ours, 1)
        os._exit(0 if array[9] == 0 else 1)
    array[9] = 9
    os.write(theirs, b"!")
    _, status = os.waitpid(pid, 0)
    os.close(ours)
    os.close(theirs)
    return int(array[:5].max()), status


@SIZES
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # threads and os.fork
def test_a_fork_shares_no_result(pool, size):
    array = pool.submit(np.zeros, size, dtype=np.uint8).result()
    assert fork_and_write(array) == (0, 0)


@SIZES
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_in_a_worker_shares_no_argument(pool, size):
    array = np.zeros(size, dtype=np.uint8)
    assert pool.submit(fork_and_write, array).result() == (0, 0)


@SIZES
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_childs_view_stays_as_it_is(one_worker, size):
    array = one_worker.submit(np.zeros, size, dtype=np.uint8).result()
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(ours, 1)
        os._exit(int(array.max()))
    del array
    for _ in range(3):  # it would come to lie where the first one was
        assert one_worker.submit(np.ones, size, dtype=np.uint8).result().max() == 1
    os.write(theirs, b"!")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("size", [50_000, MIB])
def test_memory_that_is_not_used_for_a_while_is_let_go(monkeypatch, size):
    monkeypatch.setattr(buffers, "TRIM_AFTER", 0.05)
    seen = []  # at each trim: the segments, and the worker's in which a result is
    trim = segment_ledger.SegmentLedger.trim_idle_memory

    def looking(ledger, workers):
        results = sum(len(each.segments._results) for each in workers.values())
        seen.append((len(ledger.segments._all), results))
        trim(ledger, workers)

    monkeypatch.setattr(segment_ledger.SegmentLedger, "trim_idle_memory", looking)
    with ProcessPoolExecutor(1) as executor:
        for _ in range(2):
            seen.clear()
            result = executor.submit(tasks.identity, np.ones(size)).result()
            (worker,) = executor._pool.scheduler.workers.values()
            held = result[:5]
            # There was memory in reserve. While the result lives, its memory stays.
            wait_until(lambda: seen and all(map(any, zip(*seen, strict=True))))
            assert (held == 1).all()
            del result, held
            executor.submit(abs, 1).result()
            wait_until(
                lambda: not segments_of(executor) and not len(worker.segments._results)
            )
