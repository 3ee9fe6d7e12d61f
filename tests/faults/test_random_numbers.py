"""Workers that are copies of a process with numpy draw numbers of their own."""

from __future__ import annotations

import pytest
from harness import run

from support.programs import program

pytest.importorskip("numpy")

PRELOADS = """
import multiprocessing
multiprocessing.set_forkserver_preload(["numpy.random"])
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
@pytest.mark.parametrize("first", ["", PRELOADS], ids=["", "preloaded"])
def test_no_two_workers_draw_the_same(method: str, first: str) -> None:
    done = run(first + program("random_numbers"), method, timeout=60)
    assert done.lines == ["5", "5", "5", "5", "True", "4"], done.err
