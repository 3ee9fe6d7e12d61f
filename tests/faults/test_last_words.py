"""A worker that ends by an error of its own says why; one whose program died, nothing."""

from __future__ import annotations

import signal

import pytest
from harness import run

from support.programs import program

METHODS = ["forkserver", "spawn", "fork"]


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_says_by_which_error_it_ends(method: str) -> None:
    done = run(program("worker_ends_by_error"), method, timeout=60)
    said = [line for line in done.lines if line.startswith(("another", "WorkerDied"))]
    assert said == [
        "another",
        "WorkerDied LookupError: in the watcher True",
        "WorkerDied True",
    ]
    assert done.lines[-1] == "1"
    assert "ends by an error of its own" in done.err
    assert done.err.count("ZeroDivisionError: between calls") == 1
    assert done.err.count("LookupError: in the watcher") == 1
    # The one that ran no call is in the program's log, with the error.
    assert "WARNING worker" in done.out
    assert "ZeroDivisionError: between calls" in done.out


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_said_when_the_program_was_killed(method: str) -> None:
    done = run(program("dies_with_workers_busy"), method, timeout=60)
    assert done.code == -signal.SIGKILL
    assert done.err == ""


PRELOAD = """
import multiprocessing
multiprocessing.set_forkserver_preload(["ends_the_server"])
sys.path.insert(0, {folder!r})
with executor(1) as ex:
    print(ex.submit(abs, -1).result(20))
"""


def test_a_preloaded_module_does_not_end_the_server(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "ends_the_server.py").write_text("raise SystemExit(3)\n")
    done = run(PRELOAD.format(folder=str(tmp_path)))
    assert done.lines == ["1"], done.err
