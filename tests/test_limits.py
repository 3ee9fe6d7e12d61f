"""A worker's share of the machine, and what it has from its start."""

import os
import subprocess
import sys
import textwrap

import pytest

from fenced import run_script
from parallelize import ProcessPoolExecutor, cpu_count
from support.programs import program

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@pytest.fixture(params=["forkserver", "spawn", "fork"])
def method(request):
    return request.param


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for variable in (*VARIABLES, "MKL_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)


def seen(executor):
    return [executor.submit(os.getenv, name).result() for name in VARIABLES]


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_threads_times_workers_fit_the_cpus(workers, method):
    each = str(max(1, cpu_count() // workers))
    with ProcessPoolExecutor(workers, mp_context=method) as executor:
        assert seen(executor) == [each] * 3
    assert "OMP_NUM_THREADS" not in os.environ


def test_what_the_user_has_set_stands(method, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    with ProcessPoolExecutor(64, mp_context=method) as executor:
        assert seen(executor) == ["1", "7", "1"]


def test_who_sets_the_general_one_means_all(method, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with ProcessPoolExecutor(2, mp_context=method) as executor:
        assert seen(executor) == ["7", None, None]


def test_modules_that_multiprocessing_was_told_to_preload(tmp_path):
    (tmp_path / "heavy.py").write_text("import os\nPID = os.getpid()\n")
    text = program(
        "limits/modules_that_multiprocessing_was_told_to_preload",
        FOLDER=repr(str(tmp_path)),
    )
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    assert run_script(script, cwd=tmp_path).stdout.split() == ["True"]


def test_threads_of_preloaded_modules_are_no_reason_to_warn(tmp_path):
    """From Python 3.15 on `os.fork` raises its warning where those are errors."""
    (tmp_path / "busy.py").write_text(
        "import threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    text = f"""
    import multiprocessing.forkserver, sys
    sys.path.insert(0, {str(tmp_path)!r})
    multiprocessing.set_forkserver_preload(["busy"])
    from parallelize import ProcessPoolExecutor
    with ProcessPoolExecutor(2, mp_context="forkserver") as executor:
        print(*executor.map(abs, [-1, -2]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["1", "2"], "")
