"""What cannot be started now is tried anew by the next call."""

import asyncio
import io
import os
import resource
import signal
import sys
import threading

import pytest

import parallelize
from parallelize import (
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    WorkerStartError,
    parallelized,
)
from parallelize.runtime import timer

REFUSAL = "can't start new thread"


def give(x=1):
    return x


async def give_later(x=1):
    await asyncio.sleep(0)
    return x


def give_both():
    yield 1
    yield 2


def call(executor):
    assert parallelized(executor)(give)().result(20) == 1


def timed(executor):
    assert parallelized(executor, timeout=50)(give)().result(20) == 1


def retried(executor):
    assert parallelized(executor, timeout=50, retries=2)(give)().result(20) == 1


def coroutine(executor):
    assert parallelized(executor)(give_later)().result(20) == 1


def retried_coroutine(executor):
    decorated = parallelized(executor, timeout=50, retries=2)(give_later)
    assert decorated().result(20) == 1


def stream(executor):
    assert list(parallelized(executor)(give_both)()) == [1, 2]


def rows(executor):
    assert list(executor.map(give, range(9), timeout=20)) == [*range(9)]


def rows_on_a_loop(executor):
    results = parallelized(executor)(give).map(range(9), timeout=20)

    async def read():
        return [x async for x in results]

    assert asyncio.run(read()) == [*range(9)]


POOLS = {
    "thread": ThreadPoolExecutor,
    "process-default": ProcessPoolExecutor,
    "process-fork": lambda size: ProcessPoolExecutor(size, mp_context="fork"),
}
STEPS = [call, timed, retried, coroutine, retried_coroutine, stream, rows]
CASES = [(kind, step) for kind in POOLS for step in [*STEPS, rows_on_a_loop]]
if sys.version_info >= (3, 14):
    POOLS["interpreter"] = InterpreterPoolExecutor
    CASES += [("interpreter", step) for step in (call, timed, retried, rows)]


class Refusing:
    """Refuses one start of a thread."""

    def __init__(self, monkeypatch):
        self.at = 0  # which; 0 refuses none
        self.count = 0
        for name in ("_start_new_thread", "_start_joinable_thread"):
            if hasattr(threading, name):
                monkeypatch.setattr(threading, name, self._counted(name))

    def _counted(self, name):
        start = getattr(threading, name)

        def counted(*args, **kwargs):
            self.count += 1
            if self.count == self.at:
                raise RuntimeError(REFUSAL)
            return start(*args, **kwargs)

        return counted


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("kind", "step"), CASES)
def test_a_thread_that_cannot_be_started(kind, step, number, monkeypatch):
    monkeypatch.setattr(timer, "_timer", None)
    starts = Refusing(monkeypatch)
    with POOLS[kind](2) as executor:
        starts.at = number
        try:
            step(executor)
        except RuntimeError as error:
            assert REFUSAL in str(error)
        starts.at = 0
        step(executor)


@pytest.fixture
def few_descriptors():
    """Leave as many descriptors as it is told; none of those in between are free."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def leave(count):
        taken = max(map(int, os.listdir("/proc/self/fd")))
        spare = [os.open(os.devnull, os.O_RDONLY)]
        while spare[-1] < taken:
            spare.append(os.dup(spare[0]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1] + 1 + count, hard))
        held.extend(spare)

    def back():
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        while held:
            os.close(held.pop())

    held = []
    leave.back = back
    yield leave
    back()


@pytest.mark.parametrize("left", [0, 1, 2])
@pytest.mark.parametrize("step", [coroutine, retried_coroutine])
def test_a_loop_for_which_there_is_no_descriptor(step, left, few_descriptors):
    with ThreadPoolExecutor(2) as executor:
        call(executor)  # all is loaded
        few_descriptors(left)
        try:
            step(executor)
        except OSError as error:
            assert "Too many open files" in str(error)
        few_descriptors.back()
        step(executor)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="there are no interpreters")
@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_an_interpreter_for_which_there_is_no_descriptor(left, few_descriptors):
    with InterpreterPoolExecutor(1) as executor:
        call(executor)  # all is loaded
    with InterpreterPoolExecutor(1) as executor:
        few_descriptors(left)
        with pytest.raises((OSError, RuntimeError)):
            call(executor)
        few_descriptors.back()
        call(executor)


def lower_limit(count):
    taken = max(map(int, os.listdir("/proc/self/fd")))
    while os.open(os.devnull, os.O_RDONLY) <= taken:
        pass  # none of those in between are free
    taken += 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 1 + count, hard))


@pytest.mark.parametrize("left", [0, 1])
def test_a_worker_that_has_no_descriptor_for_a_loop(left):
    with ProcessPoolExecutor(1, initializer=lower_limit, initargs=(left,)) as executor:
        failed = parallelized(executor)(give_later)()
        assert isinstance(failed.exception(20), (WorkerStartError, OSError))


def test_a_dump_by_a_signal_without_a_thread(monkeypatch):
    before = signal.getsignal(signal.SIGUSR2)
    text = io.StringIO()
    try:
        parallelize.dump_on_signal(signal.SIGUSR2, text)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            signal.raise_signal(signal.SIGUSR2)
            assert "MainThread" in text.getvalue()
    finally:
        signal.signal(signal.SIGUSR2, before)


def refuse(thread):
    raise RuntimeError(REFUSAL)
