"""Where the time of a traced run was spent, as a table, and what to improve."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from parallelize.insight.advice import NOTHING_RAN, Advice
from parallelize.insight.units import duration, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from parallelize.tracing.recording import Lane, TaskRecord


class Times(NamedTuple):
    """Where the time of one task was spent, in nanoseconds.

    Attributes:
        pickling: Pickling its arguments.
        held: Waiting for its arguments or for its limit.
        waited: Waiting for a worker.
        moved: Sending it, and receiving its result.
        ran: Running.
    """

    pickling: int
    held: int
    waited: int
    moved: int
    ran: int


class Totals:
    """The sums over the tasks of one function; durations in nanoseconds."""

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

    def add(self, record: TaskRecord, times: Times) -> None:
        """Add one task."""
        self.tasks += 1
        self.calls += record.count
        self.failed += record.outcome == "failed"
        self.size += record.size
        self.answer += record.answer
        self.times = Times(*map(sum, zip(self.times, times, strict=True)))
        self.longest = max(self.longest, times.ran)


class Report:
    """The evaluation of a run.

    Attributes:
        records: The records of the run.
        now: When the trace ended, in nanoseconds like all moments.
        functions: The totals of each function, the longest first.
        lanes: How long each worker ran, per place of a loop, in nanoseconds.
        workers: How long each worker was running anything, in nanoseconds.
        first: When the first task was submitted.
        last: When the last one returned.
        wall: The time between these two, in nanoseconds.
    """

    def __init__(
        self, records: Sequence[TaskRecord], span: tuple[int, int], dropped: int = 0
    ) -> None:
        self.records: Sequence[TaskRecord] = records
        self._dropped = dropped
        self.now: int = span[1]
        self.lanes: dict[Lane, int] = defaultdict(int)
        self.workers: dict[Lane, int] = defaultdict(int)
        self.functions: list[Totals] = self._totals()
        self.first: int = min((r.submitted for r in records), default=span[0])
        self.last: int = max((self.end_of(r) for r in records), default=span[1])
        self.wall: int = max(self.last - self.first, 1)

    def end_of(self, record: TaskRecord) -> int:
        """When a task returned, or the best approximation of that."""
        return record.returned or record.ended or self.now

    def _totals(self) -> list[Totals]:
        found: dict[tuple[str, str], Totals] = {}
        free_at: dict[Lane, int] = defaultdict(int)
        reached: dict[Lane, int] = defaultdict(int)
        for record in sorted(self.records, key=lambda each: each.started):
            key = record.kind, record.name
            total = found.setdefault(key, Totals(*key))
            times = self._times(record, free_at)
            total.add(record, times)
            if record.lane is not None and record.started:
                self.lanes[record.lane] += times.ran
                self._add_busy(record.lane.worker, record, reached)
                free_at[record.lane] = max(record.ended, free_at[record.lane])
        return sorted(found.values(), key=lambda each: -each.times.ran)

    def _add_busy(
        self, worker: Lane, record: TaskRecord, reached: dict[Lane, int]
    ) -> None:
        """Add to the worker's busy time what this task adds to it."""
        ended = record.ended or self.now
        self.workers[worker] += max(ended - max(record.started, reached[worker]), 0)
        reached[worker] = max(ended, reached[worker])

    def _times(self, record: TaskRecord, free_at: dict[Lane, int]) -> Times:
        pickling = max(record.pickled - record.submitted, 0)
        ready = record.pickled or record.submitted
        held = max(record.queued - ready, 0)
        if not record.started:
            waited = (record.returned or self.now) - record.queued
            return Times(pickling, held, max(waited, 0), 0, 0)
        # A task that was sent ahead waits in the worker until that is free.
        sent = record.sent or record.started
        begins = max(sent, free_at[record.lane] if record.lane else 0)
        begins = min(begins, record.started)
        ended = record.ended or self.now
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
        """The sum of the busy times of all workers, in nanoseconds."""
        return sum(self.workers.values())

    @property
    def utilisation(self) -> float:
        """The share of the time for which the workers ran something."""
        return min(self.busy / (self.wall * max(len(self.workers), 1)), 1.0)

    # As text.

    def text(self) -> str:
        """The tables and the advice."""
        parts = [self.head(), _table(_HEADS, map(_row, self.functions))]
        parts.append(_table(_LANE_HEADS, self._lane_rows()))
        if self._dropped:
            parts.append(f"{self._dropped} further tasks were not recorded.")
        return "\n\n".join([*parts, f"Advice: {self.advice()}"]) + "\n"

    def head(self) -> str:
        """A summary in one sentence."""
        calls = sum(each.calls for each in self.functions)
        return (
            f"{calls} calls in {duration(self.wall)} on {len(self.workers)} workers, "
            f"which were busy {self.utilisation:.0%} of the time"
        )

    def _lane_rows(self) -> Iterable[tuple[str, ...]]:
        for lane in sorted(self.workers, key=lambda each: each.order):
            busy = self.workers[lane]
            share = min(busy / self.wall, 1.0)
            name = (
                f"{lane.name} (pid {lane.number})" if lane.kind == "processes" else ""
            )
            yield name or lane.name, duration(busy), f"{share:.0%}"

    def advice(self) -> str:
        """One line: what to change first, if anything."""
        return Advice(self).text() if self.lanes else NOTHING_RAN


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
