"""The program says how long sockets wait, for itself."""

import pytest
from harness import run

from support.programs import program


@pytest.mark.parametrize("when", ["first", "imported", "started"])
@pytest.mark.parametrize("seconds", ["0.2", "0"])
def test_a_default_timeout_of_sockets_does_not_reach_the_pool(method, when, seconds):
    done = run(program("greenlets"), method, env={"PATCH": seconds, "WHEN": when})
    assert done.code == 0, done.err
    assert done.lines[-1] == "end"
    assert "WorkerDied" in done.lines
    assert not done.err
