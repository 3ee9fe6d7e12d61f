"""`trace`: what is noted of each task, what is written of it, and what it costs."""

import gc
import io
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

import parallelize
import tasks
from factories import CONCURRENT, KINDS
from parallelize import (
    ProcessPoolExecutor,
    SerialExecutor,
    ThreadPoolExecutor,
    processed,
    trace,
)
from parallelize.insight import html as page
from parallelize.insight import report, units
from parallelize.process.parent.pool import Pool
from parallelize.process.parent.tasks.call import CallTask
from parallelize.process.wire import messages
from parallelize.tracing import recording


@pytest.fixture(params=[kind for kind in KINDS if kind != "interpreter"])
def kind(request):
    """The kinds that have traces."""
    return request.param


@pytest.fixture(params=[kind for kind in CONCURRENT if kind != "interpreter"])
def concurrent_kind(request):
    return request.param


STEPS = ("submitted", "queued", "sent", "started", "ended", "returned")


def spin(seconds):
    """Be busy for so long."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
    return seconds


def die_once(path):
    if not os.path.exists(path):
        pathlib.Path(path).touch()
        os._exit(3)
    return "lived"


def moments(record):
    return [getattr(record, step) for step in STEPS]


# What is noted.


def test_each_step_of_a_call_in_its_order(executor):
    with trace() as t:
        assert executor.submit(tasks.double, 4).result(30) == 8
        executor.shutdown()
    [record] = t.records
    times = moments(record)
    assert times == sorted(times)
    assert t.span[0] <= times[0] <= times[-1] <= t.span[1]
    assert record.name == "tasks.double"
    assert record.count == 1
    assert record.outcome == "done"
    assert record.lane.kind == executor.kind == record.kind
    assert record.caller == threading.current_thread().name


def test_a_process_call_has_its_pid_its_bytes_and_when_it_was_pickled():
    with ProcessPoolExecutor(1) as executor, trace() as t:
        pid = executor.submit(tasks.pid_of).result(30)
        executor.submit(tasks.length, b"x" * 5000).result(30)
        executor.submit(tasks.identity, b"x" * 7000).result(30)
    first, second, third = t.records
    assert first.lane.number == pid
    assert first.submitted <= first.pickled <= first.queued
    assert 5000 < second.size < 6000
    assert second.answer < 100
    assert 7000 < third.answer < 8000


def test_arrays_in_shared_memory_are_counted():
    numpy = pytest.importorskip("numpy")
    with ProcessPoolExecutor(1) as executor, trace() as t:
        executor.submit(tasks.length, numpy.zeros(500_000)).result(30)
    assert t.records[0].size > 4_000_000


def test_begin_and_end_are_those_in_the_worker():
    with ProcessPoolExecutor(1) as executor:
        executor.submit(spin, 0).result(30)
        before = time.monotonic_ns()
        with trace() as t:
            futures = [executor.submit(spin, 0.02) for _ in range(3)]
            for future in futures:
                future.result(30)
        after = time.monotonic_ns()
    for record in t.records:
        assert record.ended - record.started >= 19_000_000
    a, b, c = t.records
    assert before < a.started < a.ended <= b.started < b.ended <= c.started < after


def clock_at_begin():
    """The clock when it begins, to the microsecond, and then be busy."""
    now = time.monotonic_ns()
    spin(0.002)
    return now


def test_the_begin_is_told_by_the_worker_itself():
    """What the pool could compute from when it heard of the end would be later."""
    with ProcessPoolExecutor(1) as executor:
        executor.submit(clock_at_begin).result(30)
        with trace() as t:
            times = [executor.submit(clock_at_begin).result(30) for _ in range(5)]
    for record, at in zip(t.records, times, strict=True):
        assert record.started <= at <= record.ended


def test_a_moment_survives_the_wire():
    now = 987_654_321_987_654_321
    for age in (0, 5, 10**9, 3600 * 10**9):
        at = now - age
        found = messages.moment_near(messages.moment(at), now)
        assert 0 <= at - found < 1000 or 0 <= found - at < 1000


def test_a_call_waits_for_its_arguments_and_then_for_a_worker(make_latch):
    latch = make_latch()
    with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1) as executor:
        with trace() as t:
            held = threads.submit(tasks.hold, latch.folder, 3)
            latch.wait_begun()
            double = executor.submit(tasks.double, held)
            latch.release()
            assert double.result(30) == 6
    record = next(each for each in t.records if each.name == "tasks.double")
    assert record.queued > record.pickled
    assert record.queued >= next(r for r in t.records if r.name == "tasks.hold").ended


@pytest.mark.parametrize("kind", ["processes", "threads", "serial"])
def test_rows_of_a_map_are_tasks_with_counts(kind):
    make = {
        "processes": lambda: ProcessPoolExecutor(2),
        "threads": lambda: ThreadPoolExecutor(2),
        "serial": SerialExecutor,
    }[kind]
    with make() as executor, trace() as t:
        assert list(executor.map(tasks.double, range(1000), chunksize=100)) == [
            2 * n for n in range(1000)
        ]
    assert t.calls == 1000
    assert 10 <= len(t.records) <= (1000 if kind == "serial" else 100)
    assert {record.name for record in t.records} == {"tasks.double"}
    assert {record.kind for record in t.records} == {kind}
    for record in t.records:
        assert record.submitted <= record.started <= record.ended <= record.returned


@pytest.mark.parametrize("value", [1, 1.5, "text", None])
def test_how_long_rows_ran(value):
    """Results of each kind travel in other frames."""
    with ProcessPoolExecutor(1) as executor:
        list(executor.map(spin_and_give, [0], [value]))
        with trace() as t:
            list(executor.map(spin_and_give, [0.005] * 8, [value] * 8, chunksize=4))
    assert t.calls == 8  # a task that takes long is split: its end can be given back
    records = sorted(t.records, key=lambda record: record.started)
    for record in records:
        assert record.ended - record.started >= record.count * 0.0049e9
    for one, other in zip(records, records[1:], strict=False):
        assert one.ended <= other.started


def spin_and_give(seconds, value):
    spin(seconds)
    return value


def test_threads_share_rows_out_and_count_each_once():
    with ThreadPoolExecutor(2) as executor, trace() as t:
        list(executor.map(spin, [0.01] * 12, chunksize=12))
    assert t.calls == 12
    assert len(t.records) > 1


def test_names_and_options(executor):
    call = parallelize.parallelized(executor, name="the call", retries=1)(tasks.double)
    with trace() as t:
        call(3).result(30)
        list(call.map([1, 2]))
    assert {record.name for record in t.records} == {"the call"}


def test_failures(executor):
    with trace() as t:
        executor.submit(tasks.refuse, 1).exception(30)
    assert t.records[0].outcome == "failed"
    assert t.records[0].ended


def test_a_failure_that_is_not_retrieved_has_its_name(executor, caplog):
    with trace():
        future = executor.submit(tasks.refuse, 1)
        parallelize.wait([future], timeout=30)
        del future
        until = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < until:
            gc.collect()
            time.sleep(0.01)  # another thread logs it
    said = caplog.messages[0].splitlines()[0]
    assert said == "tasks.refuse failed, and its exception was never retrieved"


def test_a_row_that_fails():
    with ProcessPoolExecutor(1) as executor, trace() as t:
        list(
            executor.map(
                tasks.refuse_odd, range(4), chunksize=4, return_exceptions=True
            )
        )
    assert {record.outcome for record in t.records} <= {"failed", "done"}
    assert "failed" in {record.outcome for record in t.records}
    assert t.calls == 4


def test_what_cannot_be_pickled_is_a_failure_in_the_trace():
    with ProcessPoolExecutor(1) as executor, trace() as t:
        executor.submit(tasks.double, threading.Lock()).exception(30)
    [record] = t.records
    assert (record.outcome, record.started) == ("failed", 0)


def test_cancelled_before_it_began(make_concurrent, make_latch):
    executor, latch = make_concurrent(max_workers=1), make_latch()
    with trace() as t:
        first = executor.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        second = executor.submit(tasks.double, 1)
        cancelled = second.cancel()
        latch.release()
        first.result(30)
    if cancelled:  # a process may have been given it ahead
        assert t.records[1].outcome == "cancelled"
        assert not t.records[1].started
    else:
        assert t.records[1].submitted


def test_a_worker_that_dies_and_a_further_attempt(tmp_path):
    with ProcessPoolExecutor(1) as executor, trace() as t:
        again = processed(retries=1, executor=executor)(die_once)
        assert again(str(tmp_path / "file")).result(30) == "lived"
    first, second = t.records
    assert second.attempt == 1
    assert first.outcome == "failed" or not first.ended
    assert second.outcome == "done"
    assert first.submitted == second.submitted
    assert first.lane.number != second.lane.number


def test_a_call_that_is_killed(make_latch):
    latch = make_latch()
    with ProcessPoolExecutor(1) as executor, trace() as t:
        future = executor.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        future.kill()
        future.exception(30)
    [record] = t.records
    assert record.outcome == "failed"
    assert 0 < record.started < record.ended


def test_a_result_is_not_opened_by_it():
    """It would be built in the pool's own thread."""
    with ProcessPoolExecutor(1) as executor, trace():
        future = executor.submit(tasks.identity, [Opened()])
        parallelize.wait([future], timeout=30)
        assert Opened.where == []
        future.result(30)
    assert Opened.where == [threading.get_ident()]


class Opened:
    where = []

    def __setstate__(self, state):
        Opened.where.append(threading.get_ident())

    def __getstate__(self):
        return {"some": "state"}


def test_foreign_executors_tell_when_a_call_was_done():
    import concurrent.futures

    from parallelize.executors.foreign import ForeignExecutor

    with concurrent.futures.ThreadPoolExecutor(1) as theirs:
        with ForeignExecutor(theirs) as executor, trace() as t:
            executor.submit(tasks.double, 1).result(30)
    [record] = t.records
    assert (record.kind, record.name, record.outcome) == (
        "foreign",
        "tasks.double",
        "done",
    )
    assert record.submitted < record.returned


def test_short_calls_go_one_by_one_so_that_each_is_timed():
    with ProcessPoolExecutor(2) as executor:
        executor.submit(tasks.double, 1).result(30)
        with trace() as t:
            futures = [executor.submit(tasks.double, n) for n in range(500)]
            assert [f.result(30) for f in futures] == [2 * n for n in range(500)]
    assert len(t.records) == 500
    assert all(record.started and record.lane for record in t.records)


# When it is open, and when not.


def test_closed_traces_leave_nothing_behind(executor):
    with trace() as t:
        executor.submit(tasks.double, 1).result(30)
    assert recording.active is None
    assert (Pool.call_task, Pool.rows_task) == (CallTask, None)
    executor.submit(tasks.double, 1).result(30)
    list(executor.map(tasks.double, range(10)))
    assert len(t.records) == 1


def test_traces_within_each_other(executor):
    with trace() as outer:
        executor.submit(tasks.double, 1).result(30)
        with trace() as inner:
            executor.submit(tasks.double, 1).result(30)
        executor.submit(tasks.double, 1).result(30)
    assert (len(outer.records), len(inner.records)) == (3, 1)
    assert recording.active is None


def test_an_error_in_the_block_closes_it(tmp_path):
    with pytest.raises(LookupError):
        with trace(tmp_path / "run.json"):
            raise LookupError
    assert recording.active is None
    assert json.loads((tmp_path / "run.json").read_text())


def test_it_is_used_once():
    t = trace()
    with t:
        pass
    with pytest.raises(RuntimeError, match="make another with trace"):
        t.__enter__()


@pytest.mark.parametrize("path", [3, b"x", ["a"]])
def test_a_path_that_is_none(path):
    with pytest.raises(TypeError, match="path must be a path, not"):
        trace(path)
    with trace() as t:
        pass
    with pytest.raises(TypeError, match="path must be a path"):
        t.to_html(path)


def test_a_task_that_goes_on_when_it_closes(make_concurrent, make_latch):
    executor, latch = make_concurrent(), make_latch()
    with trace() as t:
        future = executor.submit(tasks.hold, latch.folder)
        latch.wait_begun()
    t.summary(io.StringIO())
    t.to_html(latch.folder + "/run.html")
    t.to_json(latch.folder + "/run.json")
    latch.release()
    future.result(30)
    assert len(t.records) == 1


def test_there_is_a_bound(monkeypatch):
    monkeypatch.setattr(recording, "MOST_RECORDS", 5)
    with ThreadPoolExecutor(1) as executor, trace() as t:
        for future in [executor.submit(tasks.double, n) for n in range(8)]:
            future.result(30)
    assert len(t.records) == 5
    out = io.StringIO()
    t.summary(out)
    assert "3 further tasks were not recorded" in out.getvalue()


def test_from_many_threads():
    with ThreadPoolExecutor(4) as threads, ProcessPoolExecutor(2) as executor:
        with trace() as t:

            def some():
                return [executor.submit(tasks.double, n).result(30) for n in range(50)]

            for future in [threads.submit(some) for _ in range(4)]:
                future.result(60)
    by_kind = [record.kind for record in t.records]
    assert (by_kind.count("processes"), by_kind.count("threads")) == (200, 4)
    assert len({r.caller for r in t.records if r.kind == "processes"}) >= 1


# What is written.


@pytest.fixture
def ran(tmp_path):
    with ProcessPoolExecutor(2) as executor, ThreadPoolExecutor(1) as threads:
        with trace(tmp_path / "run.json") as t:
            futures = [executor.submit(spin, 0.01) for _ in range(4)]
            futures += [threads.submit(spin, 0.005), executor.submit(tasks.refuse, 1)]
            parallelize.wait(futures, timeout=30)
            list(executor.map(tasks.double, range(100), chunksize=50))
    return t


def test_the_events_are_those_of_the_trace_event_format(ran, tmp_path):
    whole = json.loads((tmp_path / "run.json").read_text())
    events = whole["traceEvents"]
    runs = [each for each in events if each["ph"] == "X" and each["cat"] == "run"]
    assert sum(each["args"]["calls"] for each in runs) == 106
    for each in runs:
        assert each["ts"] >= 0
        assert each["dur"] >= 0
        for key in (*STEPS, "worker", "function", "bytes", "calls", "outcome"):
            assert key in each["args"]
    of_processes = [e for e in runs if e["pid"] != os.getpid()]
    assert len({e["pid"] for e in of_processes}) <= 2
    assert all("pickled" in e["args"] and e["args"]["bytes"] > 0 for e in of_processes)
    assert len([e for e in events if e["ph"] == "b"]) == len(
        [e for e in events if e["ph"] == "e"]
    )
    assert [e for e in events if e["ph"] == "X" and e["cat"] == "pickle"]
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] != "M"} <= named


def test_the_page_holds_all_that_it_needs(ran, tmp_path):
    ran.to_html(tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src 'none'" in text
    assert "src=" not in text.replace("default-src", "").replace("-src ", "")
    assert text.count("</script>") == 2


def test_what_a_function_is_called_cannot_break_the_page():
    record = recording.TaskRecord("threads", "</script><b>&", 1)
    text = page.page([record], (0, 10))
    assert "</script><b>" not in text
    assert text.count("</script>") == 2


# The summary.


def summary(t):
    out = io.StringIO()
    t.summary(out)
    return out.getvalue()


def test_the_table(ran):
    text = summary(ran)
    assert "on 3 workers" in text
    assert "test_trace.spin" in text
    for word in ("calls", "failed", "ran", "waited", "pickling", "moving", "bytes in"):
        assert word in text
    assert text.count("\nAdvice: ") == 1


def test_it_is_printed(capsys):
    with trace() as t:
        pass
    t.summary()
    assert "Advice: no task ran while the trace was open" in capsys.readouterr().out


MS = 1_000_000


def made(*, count=1, size=0, answer=0, kind="processes", lane=1, **times):
    """A record with these moments, in milliseconds."""
    record = recording.TaskRecord(kind, "f", count)
    record.size, record.answer, record.outcome = size, answer, "done"
    record.lane = recording.Lane(kind, lane, f"{kind} {lane}")
    record.submitted = int(times["submitted"] * MS) + 1
    for name in ("pickled", "queued", "sent", "started", "ended", "returned"):
        default = times.get("started" if name == "sent" else "submitted", 0)
        default = times["ended"] if name == "returned" else default
        setattr(record, name, int(times.get(name, default) * MS) + 1)
    return record


def advice(records):
    return report.Report(records, (0, 10**10)).advice()


def test_advice_tasks_too_small():
    records = [
        made(submitted=0, started=n / 10, ended=n / 10 + 0.01, lane=n % 2)
        for n in range(100)
    ]
    assert advice(records).startswith(
        "tasks too small: processes cost more than they gain"
    )
    assert "A plain loop takes 1 ms" in advice(records)


def test_advice_arguments_and_results_too_large():
    large = {"submitted": 0, "pickled": 50, "queued": 50, "started": 90, "ended": 100}
    assert advice([made(size=10**8, **large)]).startswith(
        "arguments too large: f moves"
    )
    assert advice([made(answer=10**8, **large)]).startswith(
        "results too large: f moves"
    )


def test_advice_input_the_bottleneck():
    records = [
        made(submitted=100 * n, started=100 * n + 1, ended=100 * n + 21, lane=n % 2)
        for n in range(20)
    ]
    assert advice(records).startswith("input the bottleneck: for ")


def test_advice_workers_idle():
    records = [made(submitted=0, started=0, ended=10, lane=2)] * 2
    records.append(made(submitted=0, started=5, ended=300, lane=1))
    text = advice(records)
    assert text.startswith("workers idle: they were busy")
    assert "begin long calls first" in text


def test_advice_is_about_the_workers_that_matter():
    """Threads that wait for what processes do are idle, and that is right."""
    records = [made(submitted=0, started=20 * n, ended=20 * n + 19) for n in range(10)]
    records.append(made(submitted=0, started=0, ended=5, kind="threads", lane=2))
    assert "there is little to gain" in advice(records)


def test_advice_workers_idle_while_tasks_waited():
    records = [
        made(submitted=0, started=20 * n + 12, ended=20 * n + 20, lane=lane)
        for n in range(10)
        for lane in (1, 2)
    ]
    text = advice(records)
    assert text.startswith("workers idle: they were busy 40% of the time, although")
    assert "other programs have the CPUs" in text


def test_advice_fewer_workers():
    """One after the other, each as soon as the last has ended, on two."""
    records = [
        made(submitted=20 * n, started=20 * n, ended=20 * n + 20, lane=n % 2)
        for n in range(20)
    ]
    assert "fewer workers would do as well" in advice(records) or (
        "input the bottleneck" in advice(records)
    )


def test_advice_none():
    records = [
        made(submitted=0, started=20 * n, ended=20 * n + 19, lane=lane)
        for n in range(10)
        for lane in (1, 2)
    ]
    assert "there is little to gain" in advice(records)


def test_where_the_time_of_a_task_went():
    """What was sent ahead waits for the worker until that is free."""
    first = made(submitted=0, started=2, ended=10, returned=11)
    second = made(
        submitted=0, pickled=1, queued=3, sent=4, started=12, ended=20, returned=25
    )
    [total] = report.Report([first, second], (0, 10**10)).functions
    pickling, held, waited, moved, ran = (time / MS for time in total.times)
    assert (pickling, held, ran) == (1, 2, 16)
    assert waited == 2 + 7  # until the first ended, at 10
    assert moved == 1 + 2 + 5


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0"),
        (5, "5 ns"),
        (1500, "1.5 µs"),
        (2_500_000, "2.5 ms"),
        (3e9, "3 s"),
        (119.4e9, "119 s"),
        (119.6e9, "2 min"),
        (125.2e9, "2 min 5 s"),
        (7199.8e9, "2 h"),
        (47_000e9, "13 h 3 min"),
        (48 * 3600e9, "2 d"),
        (1e15, "11 d 14 h"),
    ],
)
def test_durations_as_people_read_them(nanoseconds, text):
    assert units.duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (2048, "2 KiB"),
        (1020 << 10, "1020 KiB"),
        (3 << 20, "3 MiB"),
        (5 << 30, "5 GiB"),
        (5000 << 30, "4.88 TiB"),
        (5000 << 40, "5000 TiB"),
    ],
)
def test_sizes_as_people_read_them(count, text):
    assert units.size(count) == text


def test_without_a_trace_nothing_of_it_is_loaded():
    code = (
        "import sys\nfrom parallelize import processed, threaded\n"
        "assert threaded(abs)(-1).result() == processed(abs)(-1).result() == 1\n"
        "print(*[m for m in sys.modules if m.startswith(('parallelize.insight', 'parallelize.tracing.'))])"
    )
    root = os.path.dirname(os.path.dirname(parallelize.__file__))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([root, *sys.path[1:]])},
    )
    assert sorted(done.stdout.split()) == [
        "parallelize.tracing.labels",
        "parallelize.tracing.recording",
    ]


def test_traces_come_and_go_while_calls_are_made():
    """A call that is made in the very moment in which a trace closes loses nothing."""
    stop = threading.Event()

    def come_and_go():
        while not stop.is_set():
            with trace():
                pass

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(1) as processes:
            for executor in (threads, processes, SerialExecutor()):
                futures = [executor.submit(tasks.double, n) for n in range(500)]
                assert [f.result(30) for f in futures] == [2 * n for n in range(500)]
                assert list(executor.map(tasks.double, range(500)))[-1] == 998
    finally:
        stop.set()
        other.join()
        sys.setswitchinterval(before)
    assert recording.active is None
