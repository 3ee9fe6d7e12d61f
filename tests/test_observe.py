"""Events of calls and workers, as functions of the user get them."""

import contextlib
import logging
import os
import threading
import time
from collections import Counter

import pytest

from parallelize import (
    ProcessPoolExecutor,
    SerialExecutor,
    TaskKilled,
    ThreadPoolExecutor,
    WorkerDied,
    observe,
    parallelized,
    trace,
    using,
)
from parallelize.tracing import recording

KINDS = {
    "threads": lambda: ThreadPoolExecutor(1),
    "processes": lambda: ProcessPoolExecutor(1),
    "serial": SerialExecutor,
}


def half(n):
    return 1 / n


async def later(n):
    return 1 / n


@contextlib.contextmanager
def observed():
    events = []
    with observe(events.append):
        yield events
        # The end of a call is noted just after its result is there.
        until = time.monotonic() + 10
        while not _are_ended(events) and time.monotonic() < until:
            time.sleep(0.001)


def _are_ended(events):
    noted = kinds(events)
    return noted.count("ended") == noted.count("submitted")


def kinds(events):
    return [event.kind for event in events]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_is_submitted_started_and_ended_in_this_order(kind):
    with KINDS[kind]() as executor:
        with observed() as events:
            executor.submit(half, 1).result()
            executor.submit(half, 0).exception()
        good, bad = events[:3], events[3:]
        assert kinds(good) == kinds(bad) == ["submitted", "started", "ended"]
        assert [event.outcome for event in events] == ["", "", "done", "", "", "failed"]
        assert {event.call for event in good} != {event.call for event in bad}
        for each in good, bad:
            assert len({event.call for event in each}) == 1
            moments = [event.moment for event in each]
            assert moments == sorted(moments)
            assert each[-1].worker
        assert {event.executor for event in events} == {kind}
        assert {event.name for event in events} == {f"{__name__}.half"}
        assert {event.calls for event in events} == {1}
        executor.submit(half, 1).result()
    assert len(events) == 6
    assert recording.active is None


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_rows_of_a_map_and_coroutines_are_observed(kind):
    with KINDS[kind]() as executor:
        with observed() as events:
            assert len(list(executor.map(half, range(1, 301)))) == 300
        ended = [event for event in events if event.kind == "ended"]
        assert sum(event.calls for event in ended) == 300
        assert len(ended) == kinds(events).count("submitted")
        with using(executor), observed() as events:
            parallelized(later)(2).result()
        assert kinds(events) == ["submitted", "started", "ended"]


@pytest.mark.waits
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wait", [0, 0.001])
def test_each_further_attempt_is_an_event_and_the_call_ends_once(kind, wait):
    with KINDS[kind]() as executor, using(executor):
        fails = parallelized(retries=2, retry_wait=wait)(half)
        with observed() as events:
            assert isinstance(fails(0).exception(), ZeroDivisionError)
    assert Counter(kinds(events))["retried"] == 2
    assert (events[0].kind, events[-1].kind) == ("submitted", "ended")
    assert kinds(events).count("ended") == 1
    assert (events[-1].outcome, events[-1].attempt) == ("failed", 2)
    assert len({event.call for event in events}) == 1


def sleep(mark):
    mark.touch()
    time.sleep(60)


def test_workers_that_are_killed_or_die_are_events(tmp_path):
    with ProcessPoolExecutor(1) as executor, observed() as events:
        sleeping = executor.submit(sleep, mark := tmp_path / "mark")
        while not mark.exists():
            time.sleep(0.005)
        sleeping.kill()
        assert isinstance(sleeping.exception(), TaskKilled)
        assert isinstance(executor.submit(os._exit, 3).exception(), WorkerDied)
    about_workers = [event for event in events if event.call == 0]
    assert kinds(about_workers) == ["killed", "died"]
    assert all(event.worker.startswith("process ") for event in about_workers)


def test_an_error_of_the_function_is_logged_once_and_harms_no_call(caplog):
    def callback(event):
        seen.append(event)
        raise SystemExit

    seen = []
    with ThreadPoolExecutor(1) as executor, observe(callback):
        assert executor.submit(half, 1).result() == 1
    assert len(seen) == 3
    logged = [r for r in caplog.records if r.name == "parallelize"]
    assert [r.levelno for r in logged] == [logging.ERROR]


def test_several_observe_at_once_and_beside_a_trace_in_threads_of_their_own():
    threads = set()
    with ThreadPoolExecutor(1) as executor, observed() as outer, trace() as t:
        with observe(lambda _: threads.add(threading.current_thread().name)):
            executor.submit(half, 1).result()
        executor.submit(half, 1).result()
    assert len(outer) == 6
    assert t.calls == 2
    assert threads == {"parallelize-observer"}


def test_a_slow_function_holds_no_call_up():
    go = threading.Event()
    with ThreadPoolExecutor(1) as executor, observe(lambda _: go.wait(20)):
        assert executor.submit(half, 1).result(10) == 1
        go.set()


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="callback must be a callable"):
        observe(3)
    once = observe(print)
    with once:
        pass
    with pytest.raises(RuntimeError, match="make another"), once:
        pass
