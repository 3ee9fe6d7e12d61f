"""One line of advice about a traced run: what to change first, if anything.

It concerns the workers of one kind, those that ran longest: threads that wait for
processes are idle, as they should be.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from parallelize.insight.units import duration, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from parallelize.insight.report import Report

#: The text if nothing ran.
NOTHING_RAN = "no task ran while the trace was open"

#: A run in which the workers are busy for this share of the time needs no advice.
BUSY_ENOUGH = 0.7

#: A call that runs for fewer nanoseconds than this may cost more than it gains.
SMALL = 1_000_000

#: A call that moves more bytes than this may spend its time on that.
LARGE = 1 << 18

#: The share of the time from which moving, or missing input, is worth mentioning.
NOTABLE = 0.3

#: The kinds that are also what their workers are called.
_CALLED_SO = ("interpreters", "processes", "threads")

_LEAST_CALLS = 10  # below this number no conclusion is drawn


class Advice:
    """The advice about a run in which something ran."""

    def __init__(self, report: Report) -> None:
        busy: dict[str, int] = defaultdict(int)
        for worker, ran in report.workers.items():
            busy[worker.kind] += ran
        self._kind = max(busy, key=lambda each: busy[each])
        self._workers = self._kind if self._kind in _CALLED_SO else "workers"
        self._count = sum(each.kind == self._kind for each in report.workers)
        self._share = min(busy[self._kind] / (report.wall * self._count), 1.0)
        self._records = [r for r in report.records if r.kind == self._kind]
        self._functions = [t for t in report.functions if t.kind == self._kind]
        self._ran = sum(each.times.ran for each in self._functions)
        self._report = report

    def text(self) -> str:
        """The first advice that applies."""
        rules: Sequence[Callable[[], str]] = (
            self._too_large,
            self._too_small,
            self._starved,
            self._idle,
        )
        for rule in rules:
            if text := rule():
                return text
        return (
            f"the {self._workers} were busy {self._share:.0%} of the time, there is "
            "little to gain"
        )

    def _is_notable(self, nanoseconds: int) -> bool:
        return nanoseconds >= NOTABLE * self._report.wall

    def _too_large(self) -> str:
        for each in self._functions:
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
        calls = sum(each.calls for each in self._functions if each.times.ran)
        wall = self._report.wall
        if calls < _LEAST_CALLS or self._ran >= min(calls * SMALL, wall):
            return ""
        return (
            f"tasks too small: {self._workers} cost more than they gain, as a call "
            f"runs for {duration(self._ran // calls)}. A plain loop takes "
            f"{duration(self._ran)}, this took {duration(wall)}; let each call do more"
        )

    def _starved(self) -> str:
        missing, _ = self._idle_times()
        if self._share >= BUSY_ENOUGH or not self._is_notable(missing):
            return ""
        return (
            f"input the bottleneck: for {duration(missing)} of "
            f"{duration(self._report.wall)} workers were free and nothing waited for "
            "them; what makes the arguments, or reads the results, is slower than the "
            "calls"
        )

    def _idle(self) -> str:
        if self._share >= BUSY_ENOUGH or self._count < 2:
            return ""
        tail = self._report.last - max(record.started for record in self._records)
        _, waiting = self._idle_times()
        text = f"workers idle: they were busy {self._share:.0%} of the time"
        if self._is_notable(tail):
            return (
                f"{text}; for the last {duration(tail)} there was nothing left to "
                "begin: begin long calls first, or make them shorter"
            )
        if self._is_notable(waiting):
            return (
                f"{text}, although tasks waited for {duration(waiting)} of the rest: "
                "other programs have the CPUs, or this one is too busy to hand tasks "
                "over"
            )
        return f"{text}; fewer workers would do as well"

    def _idle_times(self) -> tuple[int, int]:
        """How long workers were free: without input, and while tasks waited."""
        last_submit = max(record.submitted for record in self._records)
        without = waited = running = waiting = 0
        before = self._report.first
        for moment, more_waiting, more_running in sorted(self._changes()):
            until = max(min(moment, last_submit), before)
            if running < self._count:
                if waiting:
                    waited += moment - before
                else:
                    without += until - before
            before = moment
            waiting += more_waiting
            running += more_running
        return without, waited

    def _changes(self) -> Iterable[tuple[int, int, int]]:
        for record in self._records:
            yield record.submitted, 1, 0
            if record.started:
                yield record.started, -1, 1
                yield record.ended or self._report.now, 0, -1
            else:
                yield self._report.end_of(record), -1, 0
