"""The time of a call begins when its worker has loaded its function."""

from __future__ import annotations

import pathlib

import pytest
from harness import run

from support.programs import program


@pytest.mark.parametrize("start", ["forkserver", "spawn"])  # a fork has all modules
def test_time_to_load_a_function_is_not_its_own(
    start: str, tmp_path: pathlib.Path
) -> None:
    """Imports that a worker needs first do not count; what hangs then is killed.

    Loading has a limit of its own, which is long.
    """
    done = run(program("slow_to_load"), start, env={"FOLDER": str(tmp_path)})
    assert done.lines == [
        "[0, 2, 4]",
        "TaskTimeout 2",
        "[0, 2, 4]",
        "[0, 1, 2]",
        "TaskTimeout",
        "TaskTimeout 1",
    ]
