"""The standard library's own tests of `concurrent.futures`, made to test ours.

The modules of `test.test_concurrent_futures` are loaded under their own names (a
worker imports functions from them), and here, in this process, what they call
executors, `Future`, `wait` and `as_completed` is replaced by ours.

Some of the tests look at inner parts only to wait for something, or to count: the
processes of a pool, the thread that manages it. For these the executors have stand-ins
here, so that what the tests are about is tested all the same.
"""

import concurrent.futures
import functools
import importlib
import logging
import os
import signal
import sys
import time
import unittest
from types import SimpleNamespace

import parallelize
import parallelize.futures.future

PACKAGE = "test.test_concurrent_futures"

MODULES = (
    "test_as_completed",
    "test_deadlock",
    "test_future",
    "test_init",
    "test_interpreter_pool",
    "test_process_pool",
    "test_shutdown",
    "test_thread_pool",
    "test_wait",
)

#: What these modules take from `concurrent.futures`, and is ours instead.
OURS = (
    "Future",
    "InterpreterPoolExecutor",
    "ThreadPoolExecutor",
    "as_completed",
    "wait",
)

#: Seconds that a process or thread has to come or to go.
PATIENCE = 30.0


class Process:
    """A worker as `multiprocessing.Process` shows it."""

    def __init__(self, pool, worker):
        self._pool, self._worker = pool, worker
        _await(lambda: worker.pid is not None)
        self.pid = worker.pid

    def is_alive(self):
        return self._worker.id in self._pool.scheduler.workers

    def join(self, timeout=PATIENCE):
        _await(lambda: not self.is_alive(), timeout)

    def terminate(self):
        os.kill(self.pid, signal.SIGTERM)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


class ProcessPoolExecutor(parallelize.ProcessPoolExecutor):
    """Ours, with what the tests look at to wait or to count."""

    _call_queue = SimpleNamespace(join_thread=lambda: None)

    @property
    def _processes(self):
        pool = self._made
        if pool is None:
            return {}
        processes = [
            Process(pool, each) for each in list(pool.scheduler.workers.values())
        ]
        return {each.pid: each for each in processes}

    @property
    def _executor_manager_thread(self):
        return self._made._dispatcher


class Futures:
    """`concurrent.futures`, but with what is ours."""

    ProcessPoolExecutor = ProcessPoolExecutor
    process = SimpleNamespace(_RemoteTraceback=parallelize.RemoteTraceback)

    def __getattr__(self, name):
        return getattr(parallelize if name in OURS else concurrent.futures, name)


def _await(condition, timeout=PATIENCE):
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.005)  # nothing tells of it


def load():
    """Return the test classes by name; raise ImportError where there are none."""
    util = importlib.import_module(f"{PACKAGE}.util")
    _replace(util)
    util.BaseTestCase.setUp = functools.partialmethod(_prepare, util.BaseTestCase.setUp)
    util.ExecutorMixin.setUp = _set_up
    util.ExecutorMixin.tearDown = _tear_down
    util.ExecutorMixin.manager = functools.cached_property(_manager)
    util.ExecutorMixin.manager.__set_name__(util.ExecutorMixin, "manager")
    again = {
        name: util.create_future(value._state, value._exception, value._result)
        for name, value in vars(util).items()
        if name.endswith("_FUTURE")
    }
    classes = {}
    for name in MODULES:
        if name == "test_interpreter_pool" and sys.version_info < (3, 14):
            continue
        module = importlib.import_module(f"{PACKAGE}.{name}")
        _replace(module)
        for each in again.keys() & vars(module).keys():
            setattr(module, each, again[each])
        classes |= _classes_of(module)
    return classes


def _prepare(self, set_up):
    # Logging writes to the standard error, as in a program that has set up none.
    root = logging.getLogger()
    self.addCleanup(setattr, root, "handlers", root.handlers)
    root.handlers = []
    set_up(self)


def _set_up(self):
    # As there, but a manager process only for the tests that ask for it.
    super(sys.modules[f"{PACKAGE}.util"].ExecutorMixin, self).setUp()
    context = {"mp_context": self.get_context()} if hasattr(self, "ctx") else {}
    self.executor = self.executor_type(
        max_workers=self.worker_count, **context, **self.executor_kwargs
    )


def _tear_down(self):
    self.executor.shutdown(wait=True)
    self.executor = None
    manager = vars(self).pop("manager", None)
    if manager is not None:
        manager.shutdown()
    self.executor_kwargs = None
    queue = vars(self).pop("log_queue", None)
    if queue is not None:
        queue.close()
    while not _is_torn_down(self):
        pass


def _is_torn_down(self):
    # It lists the threads that are alive; one may be made meanwhile, by a timer of the
    # test run for one, and Python 3.13 does not bear that.
    try:
        super(sys.modules[f"{PACKAGE}.util"].ExecutorMixin, self).tearDown()
    except RuntimeError as error:
        if "changed size during iteration" not in str(error):
            raise
        return False
    return True


def _manager(self):
    return self.get_context().Manager()


def _replace(module):
    for name, value in list(vars(module).items()):
        if value is concurrent.futures:
            setattr(module, name, Futures())
        elif value is concurrent.futures.Future:
            setattr(module, name, parallelize.Future)
        elif name.endswith("Mixin") and "executor_type" in vars(value):
            value.executor_type = getattr(Futures(), value.executor_type.__name__)
        elif name == "assert_python_ok":
            module.assert_python_ok = functools.partial(_in_a_program, value)


def _in_a_program(assert_python_ok, *args, **env):
    text = args[-1].replace("from concurrent.futures import", "from parallelize import")
    # Not isolated: where the tests find our package, the program is to find it.
    return assert_python_ok(*args[:-1], text, __isolated=False, **env)


def _classes_of(module):
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, unittest.TestCase)
        and value.__module__ == module.__name__
        and any(each.startswith("test") for each in dir(value))
    }
