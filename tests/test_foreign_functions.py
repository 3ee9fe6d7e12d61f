"""Decorated functions on executors of others, which pickle as they like."""

import pytest

from support.programs import PROGRAMS, run_script


@pytest.mark.parametrize("executor", ["fork", "spawn", "forkserver", "loky"])
def test_they_find_what_is_decorated(executor):
    if executor == "loky":
        pytest.importorskip("loky")
    path = PROGRAMS / "foreign_functions.py"
    done = run_script(path, executor, options=("-W", "ignore"))
    assert done.stdout.split() == ["done"]
