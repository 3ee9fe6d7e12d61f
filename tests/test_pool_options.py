"""What the decorators take for a private pool, and for maps."""

import multiprocessing
import os
import sys
import threading
import time

import pytest

import parallelize
import tasks
from parallelize import (
    ThreadPoolExecutor,
    interpreted,
    parallelized,
    process_map,
    processed,
    thread_map,
    threaded,
)
from tasks import identity


@pytest.fixture(autouse=True)
def ends_private_pools():
    yield
    parallelize.shutdown()


def pid(_=None):
    return os.getpid()


def test_a_worker_is_replaced_after_that_number_of_calls():
    f = processed(max_workers=1, max_tasks_per_child=2)(pid)
    pids = [f().result(60) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_chunk_is_split_where_its_worker_is_replaced():
    f = processed(max_workers=1, max_tasks_per_child=5)(tasks.double)
    assert list(f.map(range(20), chunksize=8)) == list(range(0, 40, 2))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_worker_is_replaced_if_it_has_more_memory():
    f = processed(max_workers=1, max_memory_per_child=1)(pid)
    assert f().result(60) != f().result(60)


@pytest.mark.parametrize("context", ["spawn", multiprocessing.get_context("spawn")])
def test_the_start_method_is_that_of_the_context(context):
    f = processed(max_workers=1, mp_context=context)(pid)
    assert f().result(60) != os.getpid()
    assert f._source.executor()._settings.method == "spawn"


@pytest.mark.parametrize("decorate", [threaded, processed])
def test_an_idle_worker_ends_after_its_time(decorate):
    f = decorate(max_workers=1, idle_timeout=0.01)(threading.get_ident)
    pool = f._source.executor()
    f().result(60)
    until = time.monotonic() + 60
    while _workers(pool):
        assert time.monotonic() < until
        time.sleep(0.01)  # nothing tells when a worker is gone
    f().result(60)


def _workers(pool):
    if isinstance(pool, ThreadPoolExecutor):
        return [each for each in pool._threads if each.is_alive()]
    return pool._pool.scheduler.workers.values()


def test_each_of_them_gives_a_private_pool():
    f = threaded(idle_timeout=5)(threading.current_thread)
    assert f._source.executor() is not threaded(pid)._source.executor()
    assert f._source.executor()._idle_timeout == 5


def test_none_as_idle_timeout_is_never():
    f = threaded(idle_timeout=None)(threading.current_thread)
    assert f._source.executor()._idle_timeout is None


def test_options_are_kept_changed_and_taken_away():
    f = processed(max_workers=1, max_tasks_per_child=5, mp_context="spawn")(pid)
    assert dict(f._where.pool) == {"max_tasks_per_child": 5, "mp_context": "spawn"}
    more = f.options(max_tasks_per_child=7)
    assert dict(more._where.pool) == {"max_tasks_per_child": 7, "mp_context": "spawn"}
    less = f.options(max_tasks_per_child=None, mp_context=None)
    assert not less._where.pool


def test_parallelized_takes_them_for_the_name_of_a_kind():
    f = parallelized("processes", max_workers=1, max_tasks_per_child=1)(pid)
    assert f().result(60) != f().result(60)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="needs interpreters")
def test_interpreters_have_an_idle_timeout():
    f = interpreted(max_workers=1, idle_timeout=30)(identity)
    assert f(1).result(60) == 1


@pytest.mark.parametrize(
    ("decorate", "options", "error", "text"),
    [
        (
            threaded,
            {"max_tasks_per_child": 1},
            ValueError,
            "max_tasks_per_child is for",
        ),
        (
            threaded,
            {"mp_context": "spawn"},
            ValueError,
            "must not be given for 'threads'",
        ),
        (interpreted, {"max_memory_per_child": 1}, ValueError, "is for 'processes'"),
        (processed, {"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must"),
        (processed, {"max_memory_per_child": "1"}, TypeError, "max_memory_per_child"),
        (
            processed,
            {"idle_timeout": 0},
            ValueError,
            "idle_timeout must be more than 0",
        ),
        (processed, {"mp_context": "thread"}, ValueError, "mp_context must be one of"),
        (processed, {"mp_context": 5}, TypeError, "mp_context must be a context"),
        (processed, {"executor": "dask", "idle_timeout": 5}, ValueError, "for 'dask'"),
        (
            threaded,
            {"executor": "serial", "idle_timeout": 5},
            ValueError,
            "idle_timeout must not be given for 'serial'",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_the_decorator(decorate, options, error, text):
    with pytest.raises(error, match=text):
        decorate(**options)


def test_they_are_refused_beside_an_executor():
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="idle_timeout must not be given together"):
            threaded(executor=pool, idle_timeout=5)
        f = threaded(idle_timeout=5)(identity).options(executor=pool)  # replaces it
        assert f(1).result(10) == 1


# ------------------------------------------------------------------------- buffersize


def ahead(make):
    """How many rows a map has read before its reader has read anything."""
    read = []

    def rows():
        for n in range(1000):
            read.append(n)
            yield n

    results = make(rows())
    assert next(results) == 0
    count = len(read)
    results.close()
    return count


@pytest.mark.parametrize("decorate", [threaded, processed])
def test_buffersize_is_the_default_of_each_map(decorate):
    f = decorate(max_workers=1, buffersize=3)(identity)
    assert ahead(f.map) <= 5
    assert ahead(lambda rows: f.starmap((n,) for n in rows)) <= 5
    assert ahead(lambda rows: f.map(rows, buffersize=50)) > 20
    assert ahead(f.options(buffersize=None).map) > 5


def test_so_it_is_where_others_map_the_function():
    f = threaded(buffersize=3)(identity)
    with ThreadPoolExecutor(1) as pool:
        assert ahead(lambda rows: pool.map(f, rows)) <= 5
    assert ahead(lambda rows: thread_map(f, rows)) <= 5
    assert ahead(lambda rows: process_map(f, rows)) <= 5


@pytest.mark.parametrize("value", ["kill", None, 1])
def test_kill_on_cancel_is_true_or_false(value):
    with pytest.raises(TypeError, match="kill_on_cancel must be True or False"):
        processed(kill_on_cancel=value)
