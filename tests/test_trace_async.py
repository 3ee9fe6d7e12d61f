"""Coroutines and generators in a trace: what runs beside others, what has many answers."""

import io
import json

import pytest

import async_tasks
import generators
import tasks
from factories import CONCURRENT, KINDS, make
from parallelize import SerialExecutor, parallelized, trace

STEPS = ("submitted", "queued", "sent", "started", "ended")


@pytest.fixture(params=[kind for kind in KINDS if kind != "interpreter"])
def kind(request):
    """The kinds that have traces."""
    return request.param


@pytest.fixture(params=[kind for kind in CONCURRENT if kind != "interpreter"])
def concurrent_kind(request):
    return request.param


@pytest.fixture
def one(concurrent_kind):
    """An executor of one worker."""
    with make(concurrent_kind, 1) as executor:
        yield executor


def are_in_order(record):
    times = [getattr(record, step) for step in STEPS]
    return times == sorted(times) and times[0] > 0


# Coroutines.


def test_a_coroutine_is_one_task(executor):
    with trace() as t:
        assert parallelized(executor)(async_tasks.double)(4).result(30) == 8
    [record] = t.records
    assert record.name == "async_tasks.double"
    assert record.outcome == "done"
    assert record.lane.kind == executor.kind
    assert are_in_order(record)


def test_coroutines_that_run_at_once_have_a_place_each(one):
    meet = parallelized(one)(async_tasks.meet)
    with trace() as t:
        for future in [meet(3, n) for n in range(3)]:
            future.result(30)
        meet(1).result(30)  # alone: it takes the first place again
    places = [record.lane.place for record in t.records]
    assert sorted(places[:3]) == [1, 2, 3]
    assert places[3] == 1
    assert len({record.lane.worker for record in t.records}) == 1


def test_the_events_of_coroutines_lie_in_lanes_of_their_own(one, tmp_path):
    meet = parallelized(one)(async_tasks.meet)
    with trace(tmp_path / "run.json") as t:
        for future in [meet(3, n) for n in range(3)]:
            future.result(30)
    t.to_html(tmp_path / "run.html")
    events = json.loads((tmp_path / "run.json").read_text())["traceEvents"]
    lanes = {(e["pid"], e["tid"]) for e in events if e.get("cat") == "run"}
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert len(lanes) == 3
    assert lanes <= named
    assert ", coroutine 3" in (tmp_path / "run.html").read_text()


def test_a_worker_is_busy_once_whatever_runs_on_its_loop(one):
    meet = parallelized(one)(async_tasks.meet)
    with trace() as t:
        for future in [meet(3, n) for n in range(3)]:
            future.result(30)
    out = io.StringIO()
    t.summary(out)
    assert "3 calls in" in out.getvalue()
    assert "on 1 workers" in out.getvalue()


def test_coroutines_that_fail_or_are_cancelled(one, latch):
    hold, refuse = map(parallelized(one), (async_tasks.hold, async_tasks.refuse))
    with trace() as t:
        failing = refuse(1)
        assert isinstance(failing.exception(30), tasks.Refusal)
        held = hold(latch.folder)
        latch.wait_begun()
        held.cancel()
        latch.release()
    failed, cancelled = t.records
    assert failed.outcome == "failed"
    assert are_in_order(failed)
    assert cancelled.outcome == "cancelled"


# Generators.


@pytest.mark.parametrize("fn", [generators.numbers, generators.async_numbers])
def test_a_generator_is_one_task(executor, fn):
    with trace() as t:
        assert list(parallelized(executor)(fn)(300)) == list(range(300))
    [record] = t.records
    assert record.name == f"generators.{fn.__name__}"
    assert record.count == 1
    assert record.outcome == "done"
    assert record.lane.kind == executor.kind
    assert are_in_order(record)


@pytest.mark.parametrize("fn", [generators.refusing, generators.async_refusing])
def test_a_generator_that_fails(executor, fn):
    with trace() as t, pytest.raises(tasks.Refusal):
        list(parallelized(executor)(fn)(3))
    [record] = t.records
    assert record.outcome == "failed"


def test_the_bytes_of_items_are_counted():
    with make("process-default", 1) as executor, trace() as t:
        assert len(list(parallelized(executor)(generators.numbers)(10_000))) == 10_000
    assert 10_000 < t.records[0].answer < 100_000


@pytest.mark.parametrize("fn", [generators.numbers, generators.async_numbers])
def test_a_reader_that_runs_a_generator_and_has_enough(fn):
    with SerialExecutor() as executor, trace() as t:
        with parallelized(executor)(fn)(300) as stream:
            assert next(stream) == 0
    [record] = t.records
    assert record.outcome == "done"
    assert are_in_order(record)


# What is left.


def test_when_it_has_closed_nothing_is_noted(executor):
    with trace() as t:
        pass
    assert parallelized(executor)(async_tasks.double)(4).result(30) == 8
    assert list(parallelized(executor)(generators.numbers)(3)) == [0, 1, 2]
    assert not t.records
