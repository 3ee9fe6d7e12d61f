"""Where the time of a traced run went, in a table, and what to do about it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from parallelize.insight.recording import Lane, Record

#: A run in which the workers are busy for so much of the time needs no advice.
BUSY_ENOUGH = 0.7

#: A call that runs for less nanoseconds than this may cost more than it gains.
SMALL = 1_000_000

#: A call that moves more bytes than this may spend its time with that.
LARGE = 1 << 18

#: The share of the time from which on moving or missing input is worth a word.
NOTABLE = 0.3

_LEAST_CALLS = 10  # of fewer nothing can be said


class Times(NamedTuple):
    """Where the time of one task went, in nanoseconds.

    Attributes:
        pickling: Its arguments were pickled.
        held: It waited for its arguments or for a place in its limit.
        waited: It waited for a worker.
        moved: It, and its result, were on their way.
        ran: It ran.
    """

    pickling: int
    held: int
    waited: int
    moved: int
    ran: int


class Totals:
    """The tasks of one function together; durations in nanoseconds."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind: str = kind
        self.name: str = name
        self.tasks: int = 0
        self.calls: int = 0
        self.failed: int = 0
        self.size: int = 0
        self.answer: int = 0
        self.times: Times = Times(0, 0, 0, 0, 0)
        self.longest: int = 0

    def add(self, record: Record, times: Times) -> None:
        """Add one task."""
        self.tasks += 1
        self.calls += record.count
        self.failed += record.outcome == "failed"
        self.size += record.size
        self.answer += record.answer
        self.times = Times(*map(sum, zip(self.times, times, strict=True)))
        self.longest = max(self.longest, times.ran)


class Report:
    """What there is to say of a run.

    Attributes:
        functions: The totals of each function, the longest first.
        lanes: How long each worker ran, in nanoseconds.
        wall: From the first submit to the last result, in nanoseconds.
    """

    def __init__(
        self, records: Sequence[Record], span: tuple[int, int], dropped: int = 0
    ) -> None:
        self._records = records
        self._dropped = dropped
        self._now = span[1]
        self.lanes: dict[Lane, int] = defaultdict(int)
        self.functions: list[Totals] = self._totals()
        self._first = min((r.submitted for r in records), default=span[0])
        self._last = max((self._end(r) for r in records), default=span[1])
        self.wall: int = max(self._last - self._first, 1)

    def _end(self, record: Record) -> int:
        return record.returned or record.ended or self._now

    def _totals(self) -> list[Totals]:
        found: dict[tuple[str, str], Totals] = {}
        free_at: dict[Lane, int] = defaultdict(int)
        for record in sorted(self._records, key=lambda each: each.started):
            key = record.kind, record.name
            total = found.setdefault(key, Totals(*key))
            times = self._times(record, free_at)
            total.add(record, times)
            if record.lane is not None and record.started:
                self.lanes[record.lane] += times.ran
                free_at[record.lane] = max(record.ended, free_at[record.lane])
        return sorted(found.values(), key=lambda each: -each.times.ran)

    def _times(self, record: Record, free_at: dict[Lane, int]) -> Times:
        pickling = max(record.pickled - record.submitted, 0)
        ready = record.pickled or record.submitted
        held = max(record.queued - ready, 0)
        if not record.started:
            waited = (record.returned or self._now) - record.queued
            return Times(pickling, held, max(waited, 0), 0, 0)
        # What is sent ahead waits in the worker until that is free.
        sent = record.sent or record.started
        begins = max(sent, free_at[record.lane] if record.lane else 0)
        begins = min(begins, record.started)
        ended = record.ended or self._now
        back = max(record.returned - ended, 0) if record.returned else 0
        return Times(
            pickling,
            held,
            max(begins - record.queued, 0),
            record.started - begins + back,
            max(ended - record.started, 0),
        )

    @property
    def busy(self) -> int:
        """How long all workers ran, together, in nanoseconds."""
        return sum(self.lanes.values())

    @property
    def utilisation(self) -> float:
        """The share of the time in which the workers ran something."""
        return min(self.busy / (self.wall * max(len(self.lanes), 1)), 1.0)

    def _busy_share(self) -> float:
        """The same of the workers that matter: those of the kind that ran longest."""
        busy: dict[str, int] = defaultdict(int)
        for lane, ran in self.lanes.items():
            busy[lane.kind] += ran
        kind = max(busy, key=lambda each: busy[each])
        count = sum(lane.kind == kind for lane in self.lanes)
        return min(busy[kind] / (self.wall * count), 1.0)

    # As text.

    def text(self) -> str:
        """The tables and the advice."""
        parts = [self.head(), _table(_HEADS, map(_row, self.functions))]
        parts.append(_table(_LANE_HEADS, self._lane_rows()))
        if self._dropped:
            parts.append(f"{self._dropped} further tasks were not recorded.")
        return "\n\n".join([*parts, f"Advice: {self.advice()}"]) + "\n"

    def head(self) -> str:
        """All of it in one sentence."""
        calls = sum(each.calls for each in self.functions)
        return (
            f"{calls} calls in {duration(self.wall)} on {len(self.lanes)} workers, "
            f"which were busy {self.utilisation:.0%} of the time"
        )

    def _lane_rows(self) -> Iterable[tuple[str, ...]]:
        for lane, busy in sorted(self.lanes.items()):
            share = min(busy / self.wall, 1.0)
            name = f"{lane.name} (pid {lane.number})" if lane.kind == "process" else ""
            yield name or lane.name, duration(busy), f"{share:.0%}"

    # Advice.

    def advice(self) -> str:
        """One line: what to change first, if anything."""
        if not self.lanes:
            return "no task ran while the trace was open"
        rules: Sequence[Callable[[], str]] = (
            self._too_large,
            self._too_small,
            self._starved,
            self._idle,
        )
        for rule in rules:
            if text := rule():
                return text
        share = f"{self._busy_share():.0%}"
        return f"the workers were busy {share} of the time, there is little to gain"

    def _too_large(self) -> str:
        for each in self.functions:
            bytes_each = (each.size + each.answer) // max(each.calls, 1)
            moving = each.times.pickling + each.times.moved
            if bytes_each < LARGE or moving < NOTABLE * each.times.ran:
                continue
            what, way = "arguments", "share() what is the same in all, or pass a path"
            if each.answer > each.size:
                what, way = (
                    "results",
                    "return less, or write a file and return its path",
                )
            return (
                f"{what} too large: {each.name} moves {size(bytes_each)} a call, "
                f"which took {duration(moving)} beside {duration(each.times.ran)} of "
                f"running; {way}"
            )
        return ""

    def _too_small(self) -> str:
        calls = sum(each.calls for each in self.functions if each.times.ran)
        if calls < _LEAST_CALLS or self.busy >= min(calls * SMALL, self.wall):
            return ""
        workers = "processes" if self._has("process") else "threads"
        return (
            f"tasks too small: {workers} cost more than they gain, as a call runs "
            f"for {duration(self.busy // calls)}. A plain loop takes "
            f"{duration(self.busy)}, this took {duration(self.wall)}; let each "
            "call do more"
        )

    def _has(self, kind: str) -> bool:
        return any(lane.kind == kind for lane in self.lanes)

    def _starved(self) -> str:
        missing = self._without_input()
        if self._busy_share() >= BUSY_ENOUGH or missing < NOTABLE * self.wall:
            return ""
        return (
            f"input the bottleneck: for {duration(missing)} of {duration(self.wall)} "
            "workers were free and nothing waited for them; what makes the arguments, "
            "or reads the results, is slower than the calls"
        )

    def _without_input(self) -> int:
        """How long workers were free, nothing waited, and there was more to come."""
        last_submit = max(record.submitted for record in self._records)
        missing, running, waiting, before = 0, 0, 0, self._first
        for moment, more_waiting, more_running in sorted(self._changes()):
            until = min(moment, last_submit)
            if not waiting and running < len(self.lanes) and until > before:
                missing += until - before
            before = max(until, before)
            waiting += more_waiting
            running += more_running
        return missing

    def _changes(self) -> Iterable[tuple[int, int, int]]:
        for record in self._records:
            yield record.submitted, 1, 0
            if record.started:
                yield record.started, -1, 1
                yield record.ended or self._now, 0, -1
            else:
                yield self._end(record), -1, 0

    def _idle(self) -> str:
        if self._busy_share() >= BUSY_ENOUGH or len(self.lanes) < 2:
            return ""
        last_begun = max(record.started for record in self._records)
        tail = self._last - last_begun
        text = f"workers idle: they were busy {self._busy_share():.0%} of the time"
        if tail > NOTABLE * self.wall:
            return (
                f"{text}; for the last {duration(tail)} there was nothing left to "
                "begin: begin long calls first, or make them shorter"
            )
        return f"{text}; fewer workers would do as well"


_HEADS = (
    "function",
    "calls",
    "tasks",
    "failed",
    "ran",
    "a call",
    "longest",
    "waited",
    "held",
    "pickling",
    "moving",
    "bytes in",
    "bytes out",
)
_LANE_HEADS = ("worker", "ran", "busy")


def _row(total: Totals) -> tuple[str, ...]:
    times = total.times
    return (
        total.name,
        str(total.calls),
        str(total.tasks),
        str(total.failed),
        duration(times.ran),
        duration(times.ran // max(total.calls, 1)),
        duration(total.longest),
        duration(times.waited),
        duration(times.held),
        duration(times.pickling),
        duration(times.moved),
        size(total.size),
        size(total.answer),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


_ROUNDED_UP = 0.9995  # of a unit is shown as one, with three digits


def duration(nanoseconds: float) -> str:
    """A duration as people read it."""
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if nanoseconds >= unit * _ROUNDED_UP:
            return f"{nanoseconds / unit:.3g} {name}"
    return f"{nanoseconds:.0f} ns" if nanoseconds else "0"


def size(count: float) -> str:
    """A number of bytes as people read it."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit * _ROUNDED_UP:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} B"
