"""Workers are children of the program for multiprocessing, too."""

import pytest
from harness import run

from support.programs import program


@pytest.mark.parametrize("when", ["before", "after"])
def test_named_resources_outlive_the_workers_that_have_used_them(method, when):
    done = run(program("shared_resources"), method, env={"WHEN": when})
    assert done.lines == [
        "[0, 1, 2]",
        "trackers 0",
        "2",
        "5",
        "3",
        "4 1",
        "7 1",
        "trackers 1",
        "end",
    ], done.err
    assert not done.err


@pytest.mark.parametrize("loaded", ["loaded", "not"])
def test_workers_have_the_customary_numbers(method, loaded):
    done = run(program("identities"), method, env={"LOADED": loaded})
    numbers, *lines = done.lines
    assert set(eval(numbers)) <= {(1,), (2,), (3,)}, done
    assert lines == ["{True}", "{True}", "WorkerDied", "3 True", "(1,)", "False"], done
    assert not done.err


@pytest.mark.parametrize("own", ["forkserver", "spawn"])
def test_processes_that_a_task_starts_have_the_script(own):
    """Pools of the standard library hung there: its children had an empty `__main__`."""
    done = run(program("children_of_workers"), own)
    assert done.lines == ["begins", "20", "20", "20 True", "ends"], done.err
    assert not done.err
