"""Tests of users that pytest imports by their paths, in place of `sys.path`."""

import os
import pathlib
import subprocess
import sys

import pytest

import parallelize

PROGRAM = pathlib.Path(__file__).parent.parent / "programs/importlib_mode.py"


@pytest.mark.parametrize("mode", ["importlib", "prepend", "append"])
def test_functions_of_tests_run_in_workers(tmp_path, mode):
    for name in ("test_top.py", "suite/world/test_deep.py", "suite/pack/test_pack.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PROGRAM.read_text())
    (tmp_path / "suite/pack/__init__.py").touch()
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--import-mode={mode}", "-c", os.devnull, "--rootdir", tmp_path, "."),
        ],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": os.path.dirname(os.path.dirname(parallelize.__file__))},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
