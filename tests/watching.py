"""Shows failures as they come, and ends a run in which nothing happens any more.

A run that hangs, or is ended from outside, would else take with it what had failed.
"""

import faulthandler
import os
import signal
import sys
import threading
import time

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

#: Seconds that a test has to clean up.
CLEAN_UP = 50.0

#: Tests of a run that may need a second try. One that fails at times is a defect, of the
#: test or of what it tests, and is listed at the end of the run; but a machine that is
#: shared stops a process for seconds, and no run should be lost for that.
SECOND_TRIES = 5

#: Seconds without news of any test after which the run is ended. Each test is ended
#: long before that, so it is no test that hangs then.
SILENCE = 400.0


class Reporter:
    """Shows failures as they come."""

    def __init__(self, terminal):
        self._terminal = terminal

    def pytest_runtest_logreport(self, report):
        if report.failed or report.outcome == "rerun":
            self._terminal.write(f"\n{report.nodeid}, {report.when}:\n")
            self._terminal.write(f"{report.longreprtext}\n{report.capstderr}\n")
            self._terminal.flush()

    def pytest_sessionfinish(self, session):
        tries = len(self._terminal.stats.get("rerun", ()))
        if tries > SECOND_TRIES:
            self._terminal.write_line(
                f"\n{tries} tests failed at first, of at most {SECOND_TRIES}", red=True
            )
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


class CleanUp:
    """Ends a run in which a test hangs as it cleans up after it has failed.

    pytest-timeout watches a test no longer when it has failed, for it may be in the
    hands of a debugger.
    """

    def __init__(self):
        self._out = os.dup(2)  # what is now captured is seen by nobody then

    def pytest_configure(self, config):
        ranked = sys.modules.get("parallelize.runtime.ranked")
        if ranked is not None:  # locks are debugged, which may end the run
            ranked.out = config.stash[fault_handler_stderr_fd_key]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self):
        faulthandler.dump_traceback_later(CLEAN_UP, exit=True, file=self._out)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()


class Watcher:
    """Hears of every test that pytest-xdist's workers run, in the process above them.

    It has a thread, which would be in the way of tests that fork; they run elsewhere.
    """

    def __init__(self):
        self._running = set()
        self._heard = time.monotonic()
        threading.Thread(target=self._watch, name="watcher", daemon=True).start()

    def pytest_runtest_logstart(self, nodeid):
        self._heard = time.monotonic()
        self._running.add(nodeid)

    def pytest_runtest_logfinish(self, nodeid):
        self._heard = time.monotonic()
        self._running.discard(nodeid)

    def pytest_sessionfinish(self):
        self._heard = float("inf")

    def _watch(self):
        while time.monotonic() - self._heard < SILENCE:
            time.sleep(1)
        running = ", ".join(self._running) or "no test"
        print(
            f"\nnothing was heard for {SILENCE:.0f} s; running: {running}", flush=True
        )
        for pid in _children():
            os.kill(pid, signal.SIGABRT)  # faulthandler shows the stacks
        time.sleep(5)
        for pid in _children():
            os.kill(pid, signal.SIGKILL)
        sys.stdout.flush()
        os._exit(1)


def _children():
    found = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            found += map(int, file.read().split())
    return found
