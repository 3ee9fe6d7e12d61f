"""Decorated functions on executors of others, which pickle as they like."""

import os
import pathlib
import subprocess
import sys

import pytest

import parallelize

PROGRAM = pathlib.Path(__file__).parent / "programs/foreign_functions.py"


@pytest.mark.parametrize("executor", ["fork", "spawn", "forkserver", "loky"])
def test_they_find_what_is_decorated(executor):
    if executor == "loky":
        pytest.importorskip("loky")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", PROGRAM, executor],
        env=os.environ
        | {"PYTHONPATH": os.path.dirname(os.path.dirname(parallelize.__file__))},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["done"]
