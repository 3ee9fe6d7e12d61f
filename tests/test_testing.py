"""The fixtures for pytest, as a project of somebody else uses them."""

import pathlib
import subprocess
import sys
import tomllib

import pytest

pytest_plugins = ["pytester"]

HEAD = """
import threading

import pytest

import parallelize
from parallelize import (
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    interpreted,
    parallelized,
    process_map,
    processed,
    threaded,
)

pool = ThreadPoolExecutor(1)
DECORATORS = [
    threaded,
    processed,
    interpreted,
    processed(max_workers=2),
    threaded(initializer=print),
    parallelized("processes"),
    parallelized(pool),
    threaded(executor="processes"),
]

def here():
    return threading.get_ident()
"""


@pytest.fixture
def outcomes(pytester):
    def run(source):
        pytester.makepyfile(HEAD + source)
        result = pytester.runpytest_subprocess("-p", "parallelize.testing")
        outcomes = result.parseoutcomes()
        return outcomes, result.stdout.str()

    return run


def test_every_decorated_call_runs_in_the_caller(outcomes):
    found, text = outcomes(
        """
@pytest.mark.parametrize("decorate", DECORATORS)
def test_here(parallelize_serial, decorate):
    seen = []
    function = decorate(lambda: seen.append(here()))
    function().result()
    list(decorate(lambda _: seen.append(here())).map([1]))
    assert seen == [here()] * 2

def test_helpers(parallelize_serial):
    assert list(process_map(lambda _: here(), [1], max_workers=2)) == [here()]

def test_other_threads(parallelize_serial):
    seen = []
    def call():
        seen.append(threaded(here)().result() == here())
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert seen == [True]

@threaded
async def coroutine():
    return here()

def test_coroutines(parallelize_serial):
    assert coroutine().result() == here()

def test_without_it_nothing_is_changed():
    for decorate in DECORATORS:
        if decorate is not interpreted:
            assert decorate(here)().result() != here() or "process" in str(decorate)
    assert threaded(here)().result() != here()
    assert parallelized(pool)(here)().result() != here()
"""
    )
    assert found == {"passed": 12}, text


def test_what_is_left_is_named(outcomes):
    found, text = outcomes(
        """
left = []

def test_clean(parallelize_no_leaks):
    with ProcessPoolExecutor(1) as executor, ThreadPoolExecutor(1) as threads:
        assert executor.submit(abs, -1).result() == 1
        assert threads.submit(abs, -1).result() == 1
    assert processed(abs)(-1).result() == 1  # the shared pool may stay

def test_without_use_of_it(parallelize_no_leaks):
    pass

def test_threads(parallelize_no_leaks):
    left.append(ThreadPoolExecutor(1, "mine"))
    left[-1].submit(abs, -1).result()

def test_processes(parallelize_no_leaks):
    left.append(ProcessPoolExecutor(1))
    left[-1].submit(abs, -1).result()
"""
    )
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
