"""Executors of others that come as packages: loky's, executorlib's, mpi4py's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import decorated
import parallelize
import tasks
from parallelize import Future, parallel_map, parallelized, processed, using
from support.programs import PROGRAMS


def all_three_ways(theirs):
    """`parallelized(ex)`, `using(ex)` and `parallel_map(executor=ex)`."""
    fn = parallelized(theirs)(tasks.double)
    future = fn(3)
    assert isinstance(future, Future)
    assert future.result(60) == 6
    assert list(fn.map(range(50))) == [2 * n for n in range(50)]
    with using(theirs):
        assert processed(tasks.pid_of)().result(60) != os.getpid()
    assert list(parallel_map(tasks.double, range(50), executor=theirs)) == [
        2 * n for n in range(50)
    ]
    assert isinstance(
        parallelized(theirs)(tasks.refuse)(1).exception(60), tasks.Refusal
    )
    assert theirs.submit(decorated.add, 1, 2).result(60) == 3
    assert theirs.submit(decorated.Shop(10).sell, 2).result(60) == 8


def test_loky():
    loky = pytest.importorskip("loky")
    theirs = loky.ProcessPoolExecutor(2)
    try:
        all_three_ways(theirs)
        assert parallelize.use(None) is not None
    finally:
        theirs.shutdown(wait=True)


def test_lokys_reusable_executor():
    loky = pytest.importorskip("loky")
    theirs = loky.get_reusable_executor(max_workers=2)
    try:
        all_three_ways(theirs)
    finally:
        theirs.shutdown(wait=True)


def test_executorlib(monkeypatch):
    executorlib = pytest.importorskip("executorlib")
    # Its workers are other programs, that it gives no path.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    with executorlib.SingleNodeExecutor(max_workers=2, block_allocation=True) as theirs:
        all_three_ways(theirs)


def run_elsewhere(*command):
    """Run a program in which our modules, and those of tests, are found everywhere."""
    paths = [str(PROGRAMS), *filter(None, sys.path)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.stdout == "done\n", done.stderr


FUNCTIONS = str(PROGRAMS / "foreign_functions.py")


def test_executorlib_finds_what_is_decorated():
    pytest.importorskip("executorlib")
    run_elsewhere(sys.executable, FUNCTIONS, "executorlib")


@pytest.mark.parametrize(
    "line", [(str(PROGRAMS / "others" / "mpi4py_calls.py"),), (FUNCTIONS, "mpi4py")]
)
def test_mpi4py(line):
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("there is no mpiexec")
    run_elsewhere(mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", *line)
