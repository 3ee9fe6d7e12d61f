"""A trace as events of the Trace Event Format, as read by Chrome and Perfetto.

Perfetto keeps the identifiers of rows in 32 bits, and drops an event that begins within
another of its row and ends after it. So rows are numbered here, and what overlaps the
events of its row in that way has a further row: two generators that one thread runs in
turn, or two threads of the same name.

```
 worker        ├── f ────────┤    ├── h ──┤
 worker (2)          ├── g ────────┤
```
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parallelize.tracing.recording import Lane, TaskRecord

Event = dict[str, Any]

#: The steps of a task, in order, by their names in the events.
STEPS = ("submitted", "pickled", "queued", "sent", "started", "ended", "returned")


class Track(NamedTuple):
    """A caller or a worker, in the order in which they are shown.

    Attributes:
        group: 0 for callers, 1 for workers.
        pid: The process whose row it is.
        key: What tells it from others, and sorts it.
        label: Its human-readable name.
        process: The name of the process.
    """

    group: int
    pid: int
    key: tuple[object, ...]
    label: str
    process: str


class Slice(NamedTuple):
    """An event with a duration; moments in nanoseconds since the trace's start."""

    begin: int
    end: int
    track: Track
    event: Event


def events(records: Sequence[TaskRecord], span: tuple[int, int]) -> str:
    """Return the records as JSON; times are microseconds since the trace's start."""
    rows = Rows()
    for record in records:
        rows.of_track(_caller(record))
    slices = [each for record in records for each in _slices(record, span)]
    # A parent comes before the events that it contains.
    slices.sort(key=lambda each: (each.begin, -each.end))
    found = [rows.placed(each) for each in slices]
    for number, record in enumerate(records, 1):
        found += _waiting(number, record, span[0], rows)
    return json.dumps({"traceEvents": [*rows.names(), *found], "displayTimeUnit": "ms"})


class Rows:
    """The rows of the events: each has a small number, unique in the trace."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._rows: dict[Track, list[int]] = defaultdict(list)
        self._open: dict[int, list[int]] = defaultdict(list)  # ends, the outer first

    def of_track(self, track: Track) -> int:
        """Return the number of a track's first row."""
        if not self._rows[track]:
            self._rows[track].append(next(self._numbers))
        return self._rows[track][0]

    def placed(self, each: Slice) -> Event:
        """Return a slice as an event; they are placed in the order of their begins."""
        return {
            **each.event,
            "ph": "X",
            "pid": each.track.pid,
            "tid": self._row_for(each),
            "ts": _micros(each.begin),
            "dur": _micros(each.end - each.begin),
        }

    def _row_for(self, each: Slice) -> int:
        """Return the first row of the track in which it overlaps no other slice."""
        self.of_track(each.track)
        for row in self._rows[each.track]:
            if self._fits(row, each):
                break
        else:
            row = next(self._numbers)
            self._rows[each.track].append(row)
        self._open[row].append(each.end)
        return row

    def _fits(self, row: int, each: Slice) -> bool:
        ends = self._open[row]
        while ends and ends[-1] <= each.begin:
            ends.pop()
        return not ends or each.end <= ends[-1]

    def names(self) -> Iterator[Event]:
        """Yield the labels of the rows, and where they stand."""
        places = count(1)
        for track in sorted(self._rows, key=lambda each: each[:3]):
            yield _label("process_name", track.pid, 0, track.process)
            for n, row in enumerate(self._rows[track], 1):
                label = track.label if n == 1 else f"{track.label} ({n})"
                yield _label("thread_name", track.pid, row, label)
                place = {"sort_index": next(places)}
                yield _metadata("thread_sort_index", track.pid, row, place)


def _label(what: str, pid: int, tid: int, name: str) -> Event:
    return _metadata(what, pid, tid, {"name": name})


def _metadata(what: str, pid: int, tid: int, args: dict[str, Any]) -> Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": args}


def _caller(record: TaskRecord) -> Track:
    return _caller_of(record.caller, os.getpid())


@lru_cache(1024)
def _caller_of(name: str, own: int) -> Track:
    return Track(0, own, (name,), f"caller {name}", "this process")


@lru_cache(1024)
def _worker(lane: Lane, own: int) -> Track:
    if lane.kind == "processes":
        name = f"worker {lane.name}"
        return Track(1, lane.number, lane.order, lane.label, name)
    return Track(1, own, lane.order, lane.label, "this process")


def _slices(record: TaskRecord, span: tuple[int, int]) -> Iterator[Slice]:
    """Yield the events with a duration of one record."""
    begin, now = span
    if record.pickled and not record.attempt:
        event = {
            "name": f"pickle {record.name}",
            "cat": "pickle",
            "args": {"bytes": record.size},
        }
        yield _slice(
            record.submitted - begin, record.pickled - begin, _caller(record), event
        )
    if record.lane is not None and record.started:
        end = record.ended or record.returned or now
        event = {"name": record.name, "cat": "run", "args": details(record, begin)}
        yield _slice(
            record.started - begin,
            end - begin,
            _worker(record.lane, os.getpid()),
            event,
        )


def _slice(begin: int, end: int, track: Track, event: Event) -> Slice:
    begin = max(begin, 0)  # submitted while the trace was being opened
    return Slice(begin, max(end, begin), track, event)


def _waiting(
    number: int, record: TaskRecord, begin: int, rows: Rows
) -> Iterator[Event]:
    """Yield the begin and the end of a task's wait, from submission to start."""
    last = record.started or record.returned
    if not last:
        return
    track = _caller(record)
    common = {"name": record.name, "cat": "task", "id": number}
    common |= {"pid": track.pid, "tid": rows.of_track(track)}
    first = max(record.submitted - begin, 0)
    yield {**common, "ph": "b", "ts": _micros(first)}
    yield {**common, "ph": "e", "ts": _micros(max(last - begin, first))}


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
    """Return microseconds of which a reader gets the same nanoseconds.

    Perfetto cuts off after the multiplication by 1000: 0.57 would become 569.
    """
    micros = nanoseconds / 1000
    if int(micros * 1000) == nanoseconds:
        return micros
    return math.nextafter(micros, math.inf)
