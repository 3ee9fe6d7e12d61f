"""A map of very many rows and single calls share a pool: neither waits for the other."""

import os
from itertools import count

import pytest

import tasks
from parallelize import ProcessPoolExecutor


@pytest.fixture
def lingering(tmp_path):
    """Two workers, and rows of 3 ms each, which is known of them."""
    rows = [tmp_path / str(number) for number in range(200)]
    with ProcessPoolExecutor(2) as pool:
        pool.warm()
        list(pool.map(tasks.linger, rows[:4]))
        yield pool, rows


def test_a_call_does_not_wait_for_the_chunks_that_workers_have(lingering, tmp_path):
    pool, rows = lingering
    results = pool.map(tasks.linger, rows, chunksize=100)
    next(results)
    assert len(pool.submit(os.listdir, tmp_path).result()) < 150


def test_a_chunk_is_shared_out_to_workers_that_have_nothing(lingering):
    pool, rows = lingering
    assert len(set(pool.map(tasks.linger, rows, chunksize=200))) == 2


def test_a_single_call_does_not_wait_for_a_map(make_concurrent):
    executor = make_concurrent(max_workers=1)
    with executor.map(tasks.double, count()) as results:  # it would never end
        for _ in range(3):
            next(results)
            assert executor.submit(tasks.double, 4).result(20) == 8


def test_a_map_does_not_wait_for_single_calls(make_concurrent):
    executor = make_concurrent(max_workers=1)
    futures = [executor.submit(tasks.double, n) for n in range(2000)]
    assert list(executor.map(tasks.double, range(10))) == list(range(0, 20, 2))
    assert [future.result() for future in futures] == list(range(0, 4000, 2))


def test_maps_share_the_workers(make_concurrent):
    executor = make_concurrent(max_workers=1)
    with executor.map(tasks.double, count()) as first:
        next(first)
        with executor.map(tasks.double, count()) as second:
            assert [next(second) for _ in range(3)] == [0, 2, 4]
            assert next(first) == 2
