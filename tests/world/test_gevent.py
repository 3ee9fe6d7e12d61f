"""Programs whose standard library gevent has patched."""

import os
import pathlib

import pytest
from greenlets import check
from harness import run

from support.programs import program

PACKAGE = "gevent"
METHODS = ("forkserver", "spawn", "fork")


@pytest.mark.parametrize("when", ["first", "imported"])
@pytest.mark.parametrize("method", METHODS)
def test_calls_maps_and_streams_end_under_gevent(package, method, when):
    check(method, PACKAGE, when)


@pytest.mark.parametrize("when", ["first", "imported", "started"])
@pytest.mark.parametrize("method", METHODS)
def test_sockets_alone_are_patched(package, method, when):
    check(method, "sockets", when)


@pytest.mark.parametrize("method", METHODS)
def test_a_task_may_patch_its_worker(package, method):
    done = run(program("task_patches"), method, env={"PYTHONPATH": path()})
    assert done.out == "[0, 1, 2, 3, 4]\n6000000\n[0, 1, 2, 3]\n[0, 1, 2]\nend\n"
    assert not done.err


def path():
    """With this folder, for the module that the task imports."""
    given = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join([str(pathlib.Path(__file__).parent), given])
