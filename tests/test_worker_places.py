"""`worker()`: which worker of its pool runs a call."""

import asyncio
import itertools
import os
import random
import signal
import sys
import threading
import time

import pytest

import parallelize
from parallelize import (
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    SerialExecutor,
    ThreadPoolExecutor,
    Worker,
    WorkerDied,
    processed,
    threaded,
    using,
    worker,
)
from support.waiting import wait_until

needs_interpreters = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="there are interpreters from Python 3.14 on"
)
OUTSIDE = Worker(0, 1, "none")


def here(*_):
    return worker()


def slow(*_):
    time.sleep(0.2)
    return worker()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def identity():
    import multiprocessing

    return worker().index, multiprocessing.current_process()._identity


def test_outside_of_calls_there_is_no_worker():
    assert worker() == OUTSIDE
    found = []
    thread = threading.Thread(target=lambda: found.append(worker()))
    thread.start()
    thread.join()
    assert found == [OUTSIDE]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (ThreadPoolExecutor, "threads"),
        (ProcessPoolExecutor, "processes"),
        pytest.param(InterpreterPoolExecutor, "interpreters", marks=needs_interpreters),
    ],
)
def test_each_worker_of_a_pool_has_its_number(make, kind):
    with make(3) as pool:
        found = {future.result(20) for future in [pool.submit(slow) for _ in range(3)]}
        assert found == {Worker(number, 3, kind) for number in range(3)}
        assert set(pool.map(here, range(50))) <= found
    assert worker() == OUTSIDE


@pytest.mark.every_method
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_with_every_start_method(method):
    with ProcessPoolExecutor(2, mp_context=method) as pool:
        found = {future.result(30) for future in [pool.submit(slow) for _ in range(2)]}
    assert found == {Worker(0, 2, "processes"), Worker(1, 2, "processes")}


def test_serial_calls_have_one_worker():
    with SerialExecutor() as pool:
        assert pool.submit(here).result() == Worker(0, 1, "serial")
        assert list(pool.map(here, [1, 2])) == [Worker(0, 1, "serial")] * 2
    with using("serial"):
        assert threaded(here)().result() == Worker(0, 1, "serial")
    assert worker() == OUTSIDE


def test_the_innermost_call_counts():
    with ThreadPoolExecutor(1) as threads, SerialExecutor() as serial:

        def in_thread():
            return threads.submit(here).result()  # this thread runs it itself

        def both():
            return serial.submit(in_thread).result(), here()

        inner, outer = threads.submit(both).result(10)
    assert inner == outer == Worker(0, 1, "threads")


def test_coroutines_are_on_loops_that_are_numbered():
    async def find():
        await asyncio.sleep(0)
        return worker()

    assert threaded(find, max_workers=2)().result(10) == Worker(0, 2, "coroutines")
    found = processed(find, max_workers=2)().result(20)
    assert found.kind == "processes"
    assert found.count == 2


def test_threads_within_a_worker_process_have_their_own_numbers():
    def inner():
        with ThreadPoolExecutor(2) as pool:
            return here(), pool.submit(here).result(10)

    with ProcessPoolExecutor(1) as pool:
        outer, within = pool.submit(inner).result(20)
    assert (outer.kind, within) == ("processes", Worker(0, 2, "threads"))


def test_the_initializer_knows_its_worker():
    seen = []
    with ThreadPoolExecutor(1, initializer=lambda: seen.append(worker())) as pool:
        pool.submit(here).result(10)
    assert seen == [Worker(0, 1, "threads")]


def test_a_replacement_gets_the_number_of_the_worker_that_died():
    with ProcessPoolExecutor(2) as pool:
        for _ in range(3):
            with pytest.raises(WorkerDied):
                pool.submit(die).result(20)
            both = [pool.submit(slow) for _ in range(2)]
            assert {future.result(20).index for future in both} == {0, 1}


def test_workers_that_are_replaced_after_some_calls_keep_the_numbers():
    with ProcessPoolExecutor(2, max_tasks_per_child=1) as pool:
        found = [future.result(30) for future in [pool.submit(slow) for _ in range(6)]]
    assert {each.index for each in found} == {0, 1}


def test_threads_that_were_idle_for_long_give_their_numbers_back():
    with ThreadPoolExecutor(2, idle_timeout=0.05) as pool:
        for _ in range(3):
            both = [pool.submit(slow) for _ in range(2)]
            assert {future.result(10).index for future in both} == {0, 1}
            wait_until(lambda: not pool._threads)


def test_multiprocessing_has_the_number_too():
    with ProcessPoolExecutor(2) as pool:
        for _ in range(2):
            index, found = pool.submit(identity).result(20)
            assert found == (index + 1,)
            with pytest.raises(WorkerDied):
                pool.submit(die).result(20)


def occupy(path):
    """Claim this worker's number in a directory, as long as the call runs."""
    mine = f"{path}/{worker().index}"
    try:
        os.close(os.open(mine, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        owner = int(open(mine).read() or 0)
        if owner and alive(owner):
            return f"{mine} is in use by {owner}, beside {os.getpid()}"
    with open(mine, "w") as file:
        file.write(str(os.getpid()))
    if random.random() < 0.3:
        die()
    return worker().index


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            state = file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX" and pid != os.getpid()


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
@pytest.mark.timeout(120)
def test_numbers_are_unique_while_workers_die_at_random(tmp_path):
    """A worker claims its number by a file that only its process id may reuse."""
    with ProcessPoolExecutor(4, idle_timeout=0.05) as pool:
        found = set()
        for size in itertools.islice(itertools.cycle((1, 4, 12)), 9):
            futures = [pool.submit(occupy, str(tmp_path)) for _ in range(size)]
            for future in futures:
                error = future.exception(60)
                assert error is None or isinstance(error, WorkerDied)
                if error is None:
                    found.add(future.result())
    assert found <= {0, 1, 2, 3}, found


def test_workers_that_a_pool_adds_have_higher_numbers():
    """While its reader pauses, a generator's worker gives its place to another."""

    @processed(max_workers=1)
    def numbers():
        yield worker()
        yield from itertools.count()

    stream = numbers()
    assert next(stream) == Worker(0, 1, "processes")
    stream.close()
    parallelize.shutdown()
