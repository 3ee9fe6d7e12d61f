"""Workers and callers that stay awake where calls are short."""

import threading

import pytest

from parallelize import Future, ThreadPoolExecutor
from parallelize.runtime import native
from parallelize.runtime.spin import AdaptiveSpin
from parallelize.threads.awake import can_stay_awake, leave_gil
from parallelize.threads.workers import ThreadWorker

pytestmark = pytest.mark.skipif(not can_stay_awake(), reason="no thread stays awake")

#: Seconds after which a thread that stays awake blocks: more than any call here takes.
LONG = 5


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_a_caller_that_sees_the_result_does_not_block(executor, monkeypatch):
    executor._engine.awake.callers = AdaptiveSpin(leave_gil, LONG)
    monkeypatch.setattr(Future, "_sleep", lambda *_: pytest.fail("it blocked"))
    assert [executor.submit(abs, -n).result() for n in range(9)] == list(range(9))


def test_nor_does_an_idle_worker_that_sees_a_call(executor, monkeypatch):
    blocked = []
    monkeypatch.setattr(ThreadWorker, "_sleeps", lambda *_: blocked.append(1))
    executor._engine.awake.idle = AdaptiveSpin(leave_gil, LONG)
    results = [executor.submit(abs, -n).result(LONG) for n in range(9)]
    assert (results, blocked) == (list(range(9)), [])


def test_a_timeout_too_short_for_it_is_kept(executor):
    executor._engine.awake.callers = AdaptiveSpin(leave_gil, LONG)
    ends = threading.Event()
    call = executor.submit(ends.wait, LONG)
    with pytest.raises(TimeoutError):
        call.result(0.0001)
    ends.set()


def test_among_greenlets_none_stays_awake(monkeypatch):
    monkeypatch.setattr(native, "is_patched", lambda: True)
    assert not can_stay_awake()
