"""dask's own scheduler, scipy, pandas and tqdm as clients of executors."""

import os

import interop_tasks
import pytest


def test_dask_computes_on_an_executor(client_executor):
    dask = pytest.importorskip("dask")
    squares = [dask.delayed(interop_tasks.pid_and_square)(x) for x in range(20)]
    (results,) = dask.compute(squares, scheduler=client_executor)
    assert [square for _, square in results] == [x * x for x in range(20)]
    elsewhere = {pid for pid, _ in results} != {os.getpid()}
    assert elsewhere == (client_executor.kind == "processes")


def test_dask_hands_an_error_on(client_executor):
    dask = pytest.importorskip("dask")
    with pytest.raises(LookupError, match="3"):
        dask.compute(dask.delayed(interop_tasks.refuse)(3), scheduler=client_executor)


def test_scipy_maps_over_workers(client_executor):
    optimize = pytest.importorskip("scipy.optimize")
    here, there = (
        optimize.differential_evolution(
            interop_tasks.rosenbrock,
            [(-2, 2)] * 3,
            rng=1,
            maxiter=5,
            polish=False,
            updating="deferred",
            workers=workers,
        )
        for workers in (1, client_executor.map)
    )
    assert (here.x == there.x).all()
    assert here.nfev == there.nfev


def test_scipy_integrates_over_workers(client_executor):
    integrate = pytest.importorskip("scipy.integrate")
    value, _ = integrate.quad_vec(
        interop_tasks.square, 0, 3, workers=client_executor.map
    )
    assert value == pytest.approx(9)


def test_pandas_pieces(client_executor):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"k": [0, 1] * 50_000, "a": 1.5, "b": range(100_000)})
    pieces = [group for _, group in frame.groupby("k")]
    results = pandas.concat(
        client_executor.map(interop_tasks.total, pieces)
    ).sort_index()
    pandas.testing.assert_frame_equal(results, interop_tasks.total(frame))


def test_tqdm_takes_a_map_of_ours(client_executor, capsys):
    tqdm = pytest.importorskip("tqdm")
    mapped = client_executor.map(interop_tasks.square, range(50))
    assert list(tqdm.tqdm(mapped, total=50)) == [x * x for x in range(50)]
    assert "50/50" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
def test_tqdm_maps_by_executors_of_ours(name, capsys):
    concurrent = pytest.importorskip("tqdm.contrib.concurrent")
    import parallelize

    # Its thread_map and process_map make their own; they say which in here.
    results = concurrent._executor_map(
        getattr(parallelize, name),
        interop_tasks.square,
        range(30),
        max_workers=2,
        lock_name="mp_lock" if name == "ProcessPoolExecutor" else "",
    )
    assert results == [x * x for x in range(30)]
    assert "30/30" in capsys.readouterr().err
