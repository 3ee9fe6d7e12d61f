"""The fixtures for pytest, as a project of somebody else uses them."""

import pathlib
import subprocess
import sys
import tomllib

import pytest

from support.programs import program

pytest_plugins = ["pytester"]

HEAD = program("testing/head")


@pytest.fixture
def outcomes(pytester):
    def run(source):
        pytester.makepyfile(HEAD + source)
        result = pytester.runpytest_subprocess("-p", "parallelize.testing")
        outcomes = result.parseoutcomes()
        return outcomes, result.stdout.str()

    return run


def test_every_decorated_call_runs_in_the_caller(outcomes):
    found, text = outcomes(program("testing/every_decorated_call_runs_in_the_caller"))
    assert found == {"passed": 12}, text


def test_what_is_left_is_named(outcomes):
    found, text = outcomes(program("testing/what_is_left_is_named"))
    assert found["passed"] == 4, text  # the test itself, each
    assert found["errors"] == 2, text
    assert "has left threads: mine_0" in text
    assert "processes: process" in text
    assert "shared memory" in text


def test_the_plugin_loads_nothing_of_parallelize():
    code = (
        "import sys, parallelize.testing\n"
        "print(*[m for m in sys.modules if m.startswith('parallelize')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["parallelize", "parallelize.testing"]


def test_pytest_is_told_of_it():
    project = pathlib.Path(__file__).parent.parent / "pyproject.toml"
    points = tomllib.loads(project.read_text())["project"]["entry-points"]
    # Under the module's own name, so that `-p parallelize.testing` finds it there.
    assert points == {"pytest11": {"parallelize.testing": "parallelize.testing"}}
