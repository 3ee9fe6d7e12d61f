"""Fixtures for every test: executors of each kind, latches, and a look for leaks."""

import contextlib
import gc
import os
import sys
import threading
import time
import traceback

import pytest

from factories import CONCURRENT, KINDS, Factory, Latch
from support import turns
from watching import CleanUp, Reporter, Watcher

# What helpers assert holds under -O, too.
pytest.register_assert_rewrite("fenced", "support.futures")

# A failure that nobody looked at is logged when it is collected, maybe while hypothesis
# or pytest parse some source. Until 3.11.8 Python's parser does not bear that the
# traceback module parses source within (gh-106905), for the carets under a line.
if (3, 11) <= sys.version_info < (3, 11, 8):
    traceback._extract_caret_anchors_from_line_segment = lambda segment: None


@pytest.hookimpl(trylast=True)  # when there is a terminal to write to
def pytest_configure(config):
    config.pluginmanager.register(CleanUp())
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or hasattr(config, "workerinput"):
        return
    config.pluginmanager.register(Reporter(terminal))
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(Watcher())


def pytest_addoption(parser):
    parser.addoption(
        "--whole",
        action="store_true",
        help="run each test with every start method, and the long ones on any Python",
    )


@pytest.hookimpl(trylast=True)  # of what was asked for by -k or -m
def pytest_collection_modifyitems(config, items):
    if config.getoption("whole"):
        return
    items[:], others = turns.split(items)
    config.hook.pytest_deselected(items=others)


def pytest_collection_finish():
    """Leave the tests themselves out of the many collections of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def make_executor(kind):
    """A factory of executors of each kind."""
    factory = Factory(kind)
    yield factory
    factory.close()


@pytest.fixture
def executor(make_executor):
    return make_executor()


@pytest.fixture(params=CONCURRENT)
def concurrent_kind(request):
    return request.param


@pytest.fixture
def make_concurrent(concurrent_kind):
    """A factory of executors whose calls run beside the test."""
    factory = Factory(concurrent_kind)
    yield factory
    factory.close()


@pytest.fixture
def concurrent(make_concurrent):
    return make_concurrent()


@pytest.fixture
def latch(make_latch):
    return make_latch()


# It ends before the executors' fixtures do, that wait for the calls.
@pytest.fixture
def make_latch(request, tmp_path):
    latches = []

    def make_one():
        folder = tmp_path / f"latch{len(latches)}"
        folder.mkdir()
        latches.append(Latch(folder))
        return latches[-1]

    for name in ("make_executor", "make_concurrent"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    yield make_one
    for latch in latches:
        latch.force()


# ---------------------------------------------------------------- what is left

#: Threads of which there is one in a process, made by the first who needs it.
LASTING_THREADS = ("parallelize-deadlines",)

#: Processes of which there is one, likewise.
LASTING_PROCESSES = (b"resource_tracker", b"multiprocessing.forkserver")


def children():
    found = set()
    for task in os.listdir("/proc/self/task"):
        with (
            contextlib.suppress(OSError),
            open(f"/proc/self/task/{task}/children") as file,
        ):
            found.update(map(int, file.read().split()))
    return {pid for pid in found if not _lasts(pid)}


def _lasts(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
    except OSError:
        return True  # it has just ended
    return any(name in command for name in LASTING_PROCESSES)


def threads():
    return {
        thread
        for thread in threading.enumerate()
        if not thread.name.startswith(LASTING_THREADS)
        and type(thread).__module__ != "tqdm._monitor"
    }


def descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return {(name, target) for name, target in found.items() if not _is_own(target)}


def _is_own(target):
    # libffi keeps its own file open from the first callback of ctypes on.
    lasting = "anon_inode:[pidfd]" in target or "/libffi.so" in target
    return lasting or target.startswith(("/proc/", "/dev/"))


@pytest.fixture(autouse=True)
def retries_at_once(request):
    """Only the tests of waits wait."""
    from parallelize.calls import retrying

    retrying.waits = request.node.get_closest_marker("waits") is not None
    yield
    retrying.waits = True


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """Fail a test that leaves processes, threads, descriptors or locks behind."""
    if not os.path.isdir("/proc/self/task"):
        yield
        return
    looks = {"processes": children, "threads": threads, "descriptors": descriptors}
    ranked = sys.modules.get("parallelize.runtime.ranked")
    if ranked is not None:  # locks are debugged
        looks["locks"] = ranked.left
    before = {what: look() for what, look in looks.items()}
    yield
    left = _left(looks, before)
    until = time.monotonic() + 20  # on a machine whose CPUs are all busy
    while left and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)  # nothing tells when a process or thread is gone for good
        left = _left(looks, before)
    assert not left, "\n".join(map(_stack, left.get("threads", ())))


def _stack(thread):
    frame = sys._current_frames().get(thread.ident)
    return "\n".join([f"{thread.name}:", *traceback.format_stack(frame)])


def _left(looks, before):
    return {
        what: more for what, look in looks.items() if (more := look() - before[what])
    }
