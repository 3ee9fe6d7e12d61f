"""A trace as one self-contained page of HTML, made of the files in `page/`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from parallelize.insight.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallelize.insight.report import Totals
    from parallelize.tracing.recording import Lane, TaskRecord

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page")

#: The files of the page's script, in the order in which they run.
_SCRIPTS = ("format.js", "timeline.js", "input.js", "tables.js")

#: The moments of a task, in the order in which `format.js` reads them.
_MOMENTS = ("submitted", "pickled", "queued", "sent", "started", "ended", "returned")


def page(records: Sequence[TaskRecord], span: tuple[int, int], dropped: int = 0) -> str:
    """Return the page; moments are microseconds since the start of the trace."""
    text = json.dumps(_data(records, span, dropped), separators=(",", ":"))
    filled = _read("page.html").replace("/*STYLE*/", _read("style.css"))
    filled = filled.replace("/*SCRIPT*/", "".join(map(_read, _SCRIPTS)))
    head, tail = filled.split("/*DATA*/")
    # Within a script element, only "<" could start the tag that ends it.
    return "".join((head, text.replace("<", "\\u003c"), tail))


def _read(name: str) -> str:
    with open(os.path.join(_FOLDER, name), encoding="utf-8") as file:
        return file.read()


def _data(
    records: Sequence[TaskRecord], span: tuple[int, int], dropped: int
) -> dict[str, Any]:
    report = Report(records, span, dropped)
    lanes = sorted(report.lanes, key=lambda each: each.order)
    lane_numbers = {lane: n for n, lane in enumerate(lanes)}
    numbers = {(t.kind, t.name): n for n, t in enumerate(report.functions)}
    tasks = [
        _task(
            record,
            lane_numbers.get(record.lane, -1) if record.lane else -1,
            numbers[record.kind, record.name],
            span[0],
        )
        for record in records
    ]
    more = f"; {dropped} further tasks were not recorded" if dropped else ""
    return {
        "head": report.head() + more,
        "advice": report.advice(),
        "end": (span[1] - span[0]) / 1000,
        "lanes": [_lane(lane, report) for lane in lanes],
        "functions": [_function(each) for each in report.functions],
        "tasks": tasks,
    }


def _task(record: TaskRecord, lane: int, function: int, begin: int) -> list[Any]:
    moments = [
        (moment - begin) / 1000 if (moment := getattr(record, name)) else None
        for name in _MOMENTS
    ]
    sizes = [record.count, record.size, record.answer]
    return [lane, function, *moments, *sizes, record.outcome]


def _lane(lane: Lane, report: Report) -> dict[str, Any]:
    busy = report.lanes[lane]
    pid = f" (pid {lane.number})" if lane.kind == "processes" else ""
    return {
        "label": f"{lane.label}{pid}",
        "busy": busy / 1000,
        "share": min(busy / report.wall, 1.0),
    }


def _function(total: Totals) -> dict[str, Any]:
    return {
        "name": total.name,
        "short": total.name.rpartition(".")[2],
        "calls": total.calls,
        "tasks": total.tasks,
        "failed": total.failed,
        "size": total.size,
        "answer": total.answer,
        "longest": total.longest / 1000,
        **{name: value / 1000 for name, value in total.times._asdict().items()},
    }
