"""The JSON of a trace: what Perfetto would show of it is what has happened."""

import contextlib
import json
import threading
from operator import attrgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import async_tasks
import generators
import parallelize
import tasks
from factories import KINDS
from parallelize import ProcessPoolExecutor, SerialExecutor, ThreadPoolExecutor, trace
from parallelize.insight import chrome
from parallelize.tracing.recording import Lane, TaskRecord, find_places
from support import perfetto
from support.properties import steady
from test_trace import die_once, spin


@pytest.fixture(params=[kind for kind in KINDS if kind != "interpreter"])
def kind(request):
    """The kinds that have traces."""
    return request.param


@pytest.fixture
def checked(tmp_path):
    """Trace what is run; return the events, after a look at all of the file."""

    def check(run):
        path = tmp_path / "run.json"
        with trace(path) as traced:
            run()
        text = path.read_text()
        assert perfetto.faults(text) == []
        events = json.loads(text)["traceEvents"]
        runs = [each for each in events if each.get("cat") == "run"]
        assert len(runs) == sum(bool(each.started) for each in traced.records)
        return runs

    return check


def rows_of(runs):
    return {(each["pid"], each["tid"]) for each in runs}


def test_calls_maps_and_failures(executor, checked):
    call = parallelize.parallelized(executor)

    def run():
        futures = [call(spin)(0.002) for _ in range(8)]
        futures += [call(tasks.refuse)(n) for n in range(3)]
        parallelize.wait(futures, timeout=30)
        assert len(list(executor.map(tasks.double, range(40), chunksize=5))) == 40

    checked(run)


def test_coroutines_and_generators(executor, checked):
    call = parallelize.parallelized(executor)

    def run():
        futures = [call(async_tasks.double)(n) for n in range(12)]
        assert sum(f.result(30) for f in futures) == 2 * sum(range(12))
        assert len(list(call(generators.numbers)(20))) == 20
        assert len(list(call(generators.async_numbers)(20))) == 20

    checked(run)


def test_generators_that_one_thread_runs_in_turn(checked):
    """They overlap, and neither lies within the other."""

    def run():
        with SerialExecutor() as executor:
            call = parallelize.parallelized(executor)
            first, second = call(generators.numbers)(3), call(generators.numbers)(5)
            assert next(first) == next(second) == 0
            assert [*first, *second] == [1, 2, 1, 2, 3, 4]

    assert len(rows_of(checked(run))) == 2


def test_calls_within_calls_lie_within_them(checked):
    def run():
        with SerialExecutor() as executor:
            executor.submit(lambda: executor.submit(spin, 0.001).result()).result()

    assert len(rows_of(checked(run))) == 1


def test_threads_at_work_at_once_have_a_row_each(checked):
    """The identifiers of threads have 64 bits, all of which Perfetto reads as 0."""
    ready = threading.Barrier(8)

    def run():
        with ThreadPoolExecutor(8) as executor:
            for future in [executor.submit(ready.wait, 30) for _ in range(24)]:
                future.result(30)

    assert len(rows_of(checked(run))) == 8


def test_callers_of_one_name_that_pickle_at_once(checked):
    def run():
        with ProcessPoolExecutor(2) as executor:
            executor.submit(abs, 0).result(30)
            ready = threading.Barrier(4)

            def call():
                ready.wait(30)
                for n in range(30):
                    executor.submit(tasks.double, [n] * 2000).result(30)

            callers = [threading.Thread(target=call, name="same") for _ in range(4)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()

    checked(run)


def test_workers_that_die_or_are_killed(checked, tmp_path):
    def run():
        with ProcessPoolExecutor(2) as executor:
            call = parallelize.parallelized(executor)
            retried = call(die_once).options(retries=1)(tmp_path / "died")
            late = call(spin).options(timeout=0.05)(20)
            parallelize.wait([retried, late], timeout=30)

    checked(run)


def test_a_trace_that_ends_before_its_tasks(checked, make_latch):
    latch = make_latch()
    with contextlib.ExitStack() as later:

        def run():
            executor = later.enter_context(ThreadPoolExecutor(2))
            later.callback(latch.release)
            executor.submit(tasks.hold, latch.folder)
            latch.wait_begun()

        [event] = checked(run)
    assert event["dur"] > 0


# Records of all sorts.


@st.composite
def records(draw):
    """Some tasks of few workers and callers, at moments that often coincide."""
    names = st.sampled_from(["worker 2", "worker 10"])
    idents = st.sampled_from([7, 140_213_375_997_632])
    kinds = st.sampled_from(["threads", "serial"])
    lane = st.builds(Lane, kinds, idents, names)
    lane |= st.builds(Lane, st.just("processes"), st.sampled_from([7, 8]), names)
    made = []
    for _ in range(draw(st.integers(0, 12))):
        record = TaskRecord("threads", draw(st.sampled_from("fg")), 1)
        record.caller = draw(st.sampled_from(["A", "B"]))
        moments = st.integers(0, 30) | st.integers(0, 10**12)
        submitted, pickled, started, ended = sorted(draw(moments) for _ in range(4))
        record.submitted, record.pickled = submitted, pickled
        record.started = draw(st.sampled_from([0, started]))
        record.ended = record.returned = draw(st.sampled_from([0, ended]))
        record.lane = draw(lane) if record.started else None
        record.on_loop = draw(st.booleans())
        record.attempt = draw(st.integers(0, 1))
        made.append(record)
    find_places(made)
    return made


@settings(steady, max_examples=150)
@given(records())
def test_whatever_overlaps_every_task_is_shown(made):
    text = chrome.events(made, (3, 2 * 10**12))
    assert perfetto.faults(text) == []
    events = json.loads(text)["traceEvents"]
    runs = [each for each in events if each.get("cat") == "run"]
    assert len(runs) == sum(bool(each.started) for each in made)


@given(st.integers(0, 10**15))
def test_no_nanosecond_is_cut_off(moment):
    assert perfetto.nanoseconds(chrome._micros(moment)) == moment


def test_lanes_are_in_the_order_of_their_numbers():
    lanes = [Lane("threads", n, name) for n, name in enumerate(["t 10", "t 9", "u"])]
    assert [each.name for each in sorted(lanes, key=attrgetter("order"))] == [
        "t 9",
        "t 10",
        "u",
    ]


def event(ph, tid, ts, **more):
    common = {"ph": ph, "pid": 1, "tid": tid, "ts": ts, "cat": "run", "name": "f"}
    return common | more


NAMED = event("M", 1, 0, name="thread_name")


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([event("M", 1 << 40, 0, name="thread_name")], "an identifier in"),
        ([NAMED, event("X", 1, -1.0, dur=1)], "a moment in"),
        ([NAMED, event("X", 1, 0, dur=2), event("X", 1, 1, dur=2)], "ends after what"),
        ([NAMED, event("X", 1, 0.57, dur=0.001), event("X", 1, 0, dur=0.57)], ""),
        ([event("X", 1, 0, dur=2)], "has no name"),
        ([NAMED, NAMED], "has 2 names"),
        ([NAMED, event("M", 1, 0, name="thread_name", pid=2)], "two rows are 1"),
        ([NAMED, event("b", 1, 0, id=1)], "does not end"),
        ([NAMED, event("e", 1, 0, id=1)], "ends before it begins"),
    ],
)
def test_what_the_check_finds(events, words):
    faults = perfetto.faults(json.dumps({"traceEvents": events}))
    assert [words in each for each in faults] == ([True] if words else [])
