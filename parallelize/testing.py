"""Fixtures for pytest, which finds them when parallelize is installed.

| fixture                | effect on the test that uses it                         |
|------------------------|---------------------------------------------------------|
| `parallelize_serial`   | every decorated call runs in the test's own thread      |
| `parallelize_no_leaks` | the test fails if it leaves resources behind            |
| `parallelize_no_waits` | calls that failed are retried at once                   |

pytest loads this in every run, so nothing else of parallelize is loaded here
before a test uses a fixture.
"""

from __future__ import annotations

import gc
import os
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

#: Seconds that resources have to disappear after the shutdown.
PATIENCE = 5.0

#: The thread that a program has once, until it ends.
_LASTING = "parallelize-deadlines"


@pytest.fixture
def parallelize_serial() -> Iterator[None]:
    """Run every decorated call of the test in the calling thread.

    Breakpoints, mocks and coverage see plain calls. This includes functions with a
    private pool or an executor of their own, the helpers, and calls in any thread of
    the test. Calls that are submitted to an executor directly, by its ``submit`` or
    ``map``, run there.

    Example:
        ```
        def test_report(parallelize_serial):
            assert report() == "..."
        ```
    """
    with _serially():
        yield


@contextmanager
def _serially() -> Generator[None]:
    """Let every source of executors return a serial one."""
    from parallelize.api import use as choice
    from parallelize.executors.serial import SerialExecutor
    from parallelize.registry import shared_pools

    serial = SerialExecutor()

    def executor(_: object) -> SerialExecutor:
        return serial

    kinds = (
        shared_pools.Global,
        shared_pools.FixedSource,
        shared_pools.PrivatePool,
        choice.DefaultSource,
    )
    names = [(each, "executor") for each in kinds] + [(choice.Placement, "make")]
    with ExitStack() as undo:
        for owner, name in names:
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, executor)
        yield


@pytest.fixture
def parallelize_no_waits() -> Iterator[None]:
    """Retry calls at once in the test, whatever their ``retry_wait`` is.

    Its function is called all the same, and a None from it still ends the retries.
    For all tests of a project, request it in a fixture with ``autouse=True``.

    Example:
        ```
        def test_report_in_spite_of_errors(parallelize_no_waits):
            assert report() == "..."
        ```
    """
    from parallelize.calls import retrying

    before, retrying.waits = retrying.waits, False
    yield
    retrying.waits = before


@pytest.fixture
def parallelize_no_leaks() -> Iterator[None]:
    """Fail the test if it leaves threads, processes or memory of parallelize.

    The shared pools are shut down when the test has ended, as they are meant to
    persist; an executor made by the test that is not shut down is a leak. Processes,
    descriptors and shared memory are only checked where there is a ``/proc``.

    Example:
        ```
        def test_service(parallelize_no_leaks):
            with Service() as service:
                ...
        ```
    """
    with _no_leaks():
        yield


@contextmanager
def _no_leaks() -> Generator[None]:
    import parallelize
    from parallelize.runtime.clock import monotonic, sleep

    parallelize.shutdown()
    before = {what: look() for what, look in _LOOKS.items()}
    yield
    parallelize.shutdown()
    until = monotonic() + PATIENCE
    while (left := _left(before)) and monotonic() < until:
        gc.collect()
        sleep(0.01)  # the end of a process or thread cannot be waited for here
    if left:
        text = "; ".join(f"{what}: {', '.join(each)}" for what, each in left.items())
        pytest.fail(f"parallelize has left {text}", pytrace=False)


def _left(before: Mapping[str, Mapping[object, str]]) -> dict[str, list[str]]:
    left: dict[str, list[str]] = {}
    for what, look in _LOOKS.items():
        now = look()
        more = sorted(now[each] for each in now.keys() - before[what].keys())
        if more:
            left[what] = more
    # Sockets and pipes have no names: they are ours if one of our pools remains.
    if left.keys() == {"descriptors"}:
        return {}
    return left


# The existing resources, by what identifies each of them, with their descriptions.


def _threads() -> dict[object, str]:
    return {
        thread: thread.name
        for thread in threading.enumerate()
        if type(thread).__module__.startswith("parallelize.")
        or (thread.name.startswith("parallelize-") and thread.name != _LASTING)
    }


def _processes() -> dict[object, str]:
    found: dict[object, str] = {}
    for pid in _children():
        with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
            if b"parallelize.process" in command:
                found[pid] = f"process {pid}"
    return found


def _children() -> set[int]:
    found: set[int] = set()
    with suppress(OSError):
        for task in os.listdir("/proc/self/task"):
            with (
                suppress(OSError),  # the thread has ended in the meantime
                open(f"/proc/self/task/{task}/children") as file,
            ):
                found.update(map(int, file.read().split()))
    return found


def _descriptors() -> dict[object, str]:
    return {
        (fd, target): f"{fd} ({target})"
        for fd, target in _open_files()
        if target.startswith(("socket:", "pipe:"))
    }


def _memory() -> dict[object, str]:
    # From 3.13 on a mapping keeps no descriptor: only the mapping itself tells.
    found: dict[object, str] = {}
    with suppress(OSError), open("/proc/self/maps") as file:
        for line in file:
            if "/memfd:parallelize" in line:
                _, _, _, _, inode, name = line.split(maxsplit=5)
                found[inode] = f"{name.strip()} (inode {inode})"
    return found


def _open_files() -> Iterator[tuple[str, str]]:
    if not os.path.isdir("/proc/self/fd"):
        return
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the descriptor that listdir itself used
            yield fd, os.readlink(f"/proc/self/fd/{fd}")


_LOOKS: dict[str, Callable[[], dict[object, str]]] = {
    "threads": _threads,
    "processes": _processes,
    "shared memory": _memory,
    "descriptors": _descriptors,
}

__all__ = ("parallelize_no_leaks", "parallelize_no_waits", "parallelize_serial")
