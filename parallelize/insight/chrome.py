"""A trace as events of the Trace Event Format, as read by Chrome and Perfetto."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parallelize.tracing.recording import Lane, TaskRecord

Event = dict[str, Any]

#: The steps of a task, in order, by their names in the events.
STEPS = ("submitted", "pickled", "queued", "sent", "started", "ended", "returned")


def events(records: Sequence[TaskRecord], span: tuple[int, int]) -> str:
    """Return the records as JSON; times are microseconds since the trace's start."""
    begin, _ = span
    lanes = {record.lane for record in records if record.lane is not None}
    callers = {name: n for n, name in enumerate(sorted({r.caller for r in records}))}
    found = [*_names(lanes, callers)]
    for number, record in enumerate(records, 1):
        found += _of_record(number, record, begin, callers[record.caller])
    return json.dumps({"traceEvents": found, "displayTimeUnit": "ms"})


def _names(lanes: set[Lane], callers: dict[str, int]) -> Iterator[Event]:
    """The labels of the rows. Callers are rows of this process, too."""
    own = os.getpid()
    yield _name("process_name", own, 0, "this process")
    for caller, number in callers.items():
        yield _name("thread_name", own, number, f"caller {caller}")
    for lane in lanes:
        pid, tid = _place(lane)
        if lane.kind == "processes":
            yield _name("process_name", pid, tid, f"worker {lane.name}")
        yield _name("thread_name", pid, tid, lane.label)


def _name(what: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _place(lane: Lane) -> tuple[int, int]:
    if lane.kind == "processes":
        return lane.number, lane.number + lane.place
    return os.getpid(), lane.number + lane.place


def _of_record(
    number: int, record: TaskRecord, begin: int, caller: int
) -> Iterator[Event]:
    own = os.getpid()
    args = details(record, begin)
    if record.pickled:
        yield {
            "ph": "X",
            "name": f"pickle {record.name}",
            "cat": "pickle",
            "pid": own,
            "tid": caller,
            "ts": _micros(record.submitted - begin),
            "dur": _micros(record.pickled - record.submitted),
            "args": {"bytes": record.size},
        }
    common = {"name": record.name, "cat": "task", "id": number, "pid": own}
    last = record.started or record.returned
    if last:  # from its submission until its start it is waiting
        yield {
            **common,
            "ph": "b",
            "tid": caller,
            "ts": _micros(record.submitted - begin),
        }
        yield {**common, "ph": "e", "tid": caller, "ts": _micros(last - begin)}
    if record.lane is None or not record.started:
        return
    pid, tid = _place(record.lane)
    yield {
        "ph": "X",
        "name": record.name,
        "cat": "run",
        "pid": pid,
        "tid": tid,
        "ts": _micros(record.started - begin),
        "dur": _micros(max(record.ended - record.started, 0)),
        "args": args,
    }


def details(record: TaskRecord, begin: int) -> dict[str, Any]:
    """All that is known of a task; moments in microseconds since the trace's start."""
    found: dict[str, Any] = {
        step: _micros(moment - begin)
        for step in STEPS
        if (moment := getattr(record, step))
    }
    found["function"] = record.name
    found["worker"] = None if record.lane is None else record.lane.label
    found["calls"] = record.count
    found["bytes"] = record.size
    found["answer_bytes"] = record.answer
    found["outcome"] = record.outcome or "open"
    if record.attempt:
        found["attempt"] = record.attempt + 1
    return found


def _micros(nanoseconds: int) -> float:
    return nanoseconds / 1000
