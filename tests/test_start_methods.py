"""How a process pool starts its workers when it is not told.

What multiprocessing was told is global to a program, so each test is one.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

BY_ITSELF = "fork" if sys.version_info < (3, 14) else "forkserver"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the methods are others there"
)


def output_of(*parts):
    """Run a program that may import the helper modules of the tests."""
    program = "\n".join(map(textwrap.dedent, parts))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parent,  # which Python searches for modules then
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.split()


METHOD = """
    import tasks
    from parallelize import ProcessPoolExecutor
    with ProcessPoolExecutor(1, initializer=tasks.initialize, initargs=(1,)) as pool:
        print(pool._settings.method, *pool.submit(tasks.initialized).result())
"""


def test_by_default_from_a_clean_server():
    assert output_of(METHOD) == ["forkserver", "1", "1"]


def test_multiprocessing_is_not_loaded_to_ask_it():
    program = """
        import sys
        from parallelize import ProcessPoolExecutor
        ProcessPoolExecutor(1).shutdown()
        print("multiprocessing" in sys.modules)
    """
    assert output_of(program) == ["False"]


@pytest.mark.every_method
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_the_program_told_multiprocessing_is_taken(method):
    program = f"""
        import multiprocessing
        multiprocessing.set_start_method({method!r}, force=True)
    """
    told_nothing = method == BY_ITSELF
    expected = "forkserver" if told_nothing else method
    assert output_of(program, METHOD) == [expected, "1", "1"]


def test_who_asks_for_a_method_gets_it():
    program = """
        import multiprocessing
        from parallelize import ProcessPoolExecutor
        multiprocessing.set_start_method("spawn")
        for wanted in ("fork", multiprocessing.get_context("forkserver")):
            with ProcessPoolExecutor(1, wanted) as pool:
                print(pool._settings.method)
    """
    assert output_of(program) == ["fork", "forkserver"]


def test_what_libraries_use_of_multiprocessing_tells_nothing():
    program = """
        import multiprocessing
        lock = multiprocessing.Lock()
    """
    assert output_of(program, METHOD) == ["forkserver", "1", "1"]


SHARED = {
    "lock": "multiprocessing.Lock()",
    "value": "multiprocessing.Value('i', 1)",
    "queue in a list": "[multiprocessing.Queue()]",
    "event": "multiprocessing.Event()",
    "lock of a fork": "multiprocessing.get_context('fork').Lock()",
}


@pytest.mark.parametrize("shared", SHARED.values(), ids=SHARED)
@pytest.mark.skipif(BY_ITSELF != "fork", reason="these cannot be inherited there")
def test_what_only_a_fork_can_inherit_is_inherited(shared):
    program = f"""
        import multiprocessing, tasks
        from parallelize import ProcessPoolExecutor
        args = ({shared},)
        with ProcessPoolExecutor(1, None, tasks.initialize, args) as pool:
            print(pool._settings.method, pool.submit(tasks.was_initialized).result())
    """
    assert output_of(program) == ["fork", "True"]


def test_locks_for_other_methods_need_no_fork():
    program = """
        import multiprocessing, tasks
        from parallelize import ProcessPoolExecutor
        args = (multiprocessing.get_context("forkserver").Lock(),)
        with ProcessPoolExecutor(1, None, tasks.initialize, args) as pool:
            print(pool._settings.method, pool.submit(tasks.was_initialized).result())
    """
    assert output_of(program) == ["forkserver", "True"]
