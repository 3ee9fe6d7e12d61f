"""Applications that PyInstaller has packed, in a folder and in one file."""

import os
import pathlib
import subprocess
import sys

import pytest

from support.programs import PROGRAMS

PACKAGE = "PyInstaller"
METHODS = ("forkserver", "spawn", "fork")


@pytest.fixture(scope="module", params=["onedir", "onefile"])
def application(request, tmp_path_factory):
    """The path of the program."""
    pytest.importorskip(PACKAGE)
    import parallelize

    folder = tmp_path_factory.mktemp(request.param)
    options = ["--noconfirm", "--log-level=WARN", f"--{request.param}"]
    options += [f"--paths={path}" for path in (PROGRAMS, home_of(parallelize))]
    options += ["--exclude-module=numpy", "--exclude-module=pandas"]
    subprocess.run(
        [sys.executable, "-m", PACKAGE, *options, PROGRAMS / "frozen_app.py"],
        cwd=folder,
        check=True,
    )
    found = folder / "dist" / "frozen_app"
    return found / "frozen_app" if found.is_dir() else found


def home_of(module):
    return pathlib.Path(module.__file__).parents[1]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", METHODS)
def test_the_application_has_workers_and_runs_once(application, tmp_path, method):
    runs = tmp_path / "runs"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [application, method],
        env={**environment, "RUNS": str(runs)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout.splitlines() == [
        "9 8",
        "True 45",
        "[0, 2, 4, 6, 8] 25",
        "6",
        "9 [0, 1, 4]",
        "end",
    ], done.stderr
    assert done.returncode == 0
    assert not done.stderr
    assert runs.read_text() == "run\n"
