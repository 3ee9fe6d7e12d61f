"""The standard library's own tests of `concurrent.futures`, run against ours.

`standard` makes the classes. What stands in `DIFFERS` is not run: there the two
differ on purpose, or a test is about the inner parts of the standard library. The
guide has a line for all that a program can notice, and `test_differences` a test.
"""

import asyncio
import fnmatch
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import multiprocessing.util
import sys
import unittest

import pytest

try:
    import standard

    CLASSES = standard.load()
except (ImportError, unittest.SkipTest) as missing:
    pytest.skip(f"no tests of the standard library: {missing}", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("default")

ALONE = "what cannot be pickled or unpickled fails its call, not the pool"
WORKER = "a worker that dies fails the call that it ran, not the pool"
BY_VALUE = "functions and classes travel by value where no name finds them"
INNER = "about inner parts of the standard library alone"
NO_SCRIPTS = "calls are of callables; an object that is none is refused at once"
CAUSE = "the cause of an error is a parallelize.RemoteTraceback"
FINISHES = "a pool that nobody holds any more still runs what was submitted to it"
LAZY = "a map reads its input as it is read, and holds its executor until its end"
UNPICKLED = "it counts processes started for calls that cannot be pickled; none is here"

#: Tests that are not run, as patterns of class and name, each with the reason.
DIFFERS = {
    # Which errors a call ends with, and what becomes of the pool.
    "*.test_error_at_task_unpickle": ALONE,
    "*.test_exit_at_task_unpickle": ALONE,
    "*.test_error_during_result_unpickle_in_result_handler": ALONE,
    "*.test_exit_during_result_unpickle_in_result_handler": ALONE,
    "*.test_exit_during_result_pickle_on_worker": ALONE,
    "*.test_killed_child": WORKER,
    "*.test_broken_process_pool_traceback": WORKER,
    "*.test_traceback_when_child_process_terminates_abruptly": "the error says how",
    # When things end.
    "*.test_del_shutdown": LAZY,
    "*.test_shutdown_no_wait_max_tasks_gh119592": FINISHES,
    "*.test_gc_during_max_tasks_worker_exit_gh152967": FINISHES,
    # When processes start, and how.
    "ProcessPool*.test_saturation": UNPICKLED,
    "*.test_processes_terminate": UNPICKLED,
    "*Fork*.test_max_tasks_per_child": "max_tasks_per_child may go with fork",
    "*.test_max_tasks_per_child_defaults_to_spawn_context": "it is no reason to spawn",
    # Interpreters.
    "Interpreter*.test_init_closure": BY_VALUE,
    "Interpreter*.test_init_instance_method": BY_VALUE,
    "Interpreter*.test_submit_closure": BY_VALUE,
    "Interpreter*.test_submit_local_instance": BY_VALUE,
    "Interpreter*.test_submit_instance_method": BY_VALUE,
    "Interpreter*.test_blocking": "there are as many as CPUs; with 2 it takes 20 s",
    "Interpreter*.test_init_exception_in_func": CAUSE,
    "Interpreter*.test_submit_exception_in_func": CAUSE,
    "Interpreter*.test_pickle_errors_propagate": NO_SCRIPTS,
    "*.test_default_executor": "asyncio takes the standard library's own class alone",
    # Inner parts.
    "*.test_force_shutdown_workers": INNER,
    "*.test_force_shutdown_workers_invalid_op": INNER,
    "*.test_force_shutdown_during_max_tasks_worker_exit": INNER,
    "*.test_failed_worker_replacement_breaks_pool": INNER,
    "*.test_gh105829_should_not_deadlock_if_wakeup_pipe_full": INNER,
    "*.test_kill_workers": INNER,
    "*.test_terminate_workers": INNER,
    "*.test_python_finalization_error": INNER,
    "FailingInitializerResourcesTest.*": INNER,
}

#: Those that take long do not run in these classes.
OFTEN = "ProcessPoolSpawn*", "ProcessPoolFork[!s]*", "InterpreterPool*"
ONCE = (
    "*DeadlockTest.*",
    "*.test_duplicate_futures",
    "*.test_map_timeout",
    "*.test_max_tasks_*",
    "*.test_hang_*",
    "*.test_interpreter_shutdown",
    "*.test_submit_after_interpreter_shutdown",
    "*.test_future_times_out",
    "*.test_free_reference",
)


def _one_of(patterns, name):
    return next((each for each in patterns if fnmatch.fnmatchcase(name, each)), None)


def _select(case):
    """Mark what is not run in a class of tests, and drop what runs elsewhere."""
    for name in [each for each in dir(case) if each.startswith("test")]:
        full = f"{case.__name__}.{name}"
        differs = _one_of(DIFFERS, full)
        if differs is not None:
            setattr(case, name, unittest.skip(DIFFERS[differs])(getattr(case, name)))
        elif _one_of(OFTEN, full) and _one_of(ONCE, full):
            setattr(case, name, None)


for each in CLASSES.values():
    _select(each)
globals().update(CLASSES)
del each


@pytest.fixture(scope="module", autouse=True)
def servers_of_multiprocessing():
    """They are there from the first test to the last, so that none leaves them.

    Some of these tests want no event loop policy, which other tests have set.
    """
    if sys.version_info >= (3, 14):
        asyncio.events._set_event_loop_policy(None)
    else:
        asyncio.set_event_loop_policy(None)
    multiprocessing.resource_tracker.ensure_running()
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.forkserver.ensure_running()
    yield
    multiprocessing.util._cleanup_tests()


def test_each_difference_is_one_of_these_tests():
    """A line that no test needs any more is to go; each is of some Python here."""
    every = [
        f"{case.__name__}.{name}" for case in CLASSES.values() for name in dir(case)
    ]
    if sys.version_info >= (3, 15):  # it has all of them
        assert [each for each in DIFFERS if not fnmatch.filter(every, each)] == []
