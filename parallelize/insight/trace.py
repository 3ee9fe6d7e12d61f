"""A trace: what happened to every task of a program, or of a part of it, and when.

```
 with trace("run.json") as t:    executors make tasks that record what happens
     ...                            │
                                    ▼
 t.summary()  t.to_html(path)    records ──▶ report.py, chrome.py, html.py
```
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from parallelize.insight import switch
from parallelize.runtime.clock import monotonic_ns
from parallelize.tracing import recording

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self, TextIO

    from parallelize.tracing.recording import TaskRecord

__all__ = ("trace",)


class trace:  # noqa: N801 - reads as a function in a with statement
    """Within the block, record what happens to each task: when, where, how large.

    All executors are traced, for all threads. For each task, the record says when it
    was submitted, pickled, queued, started, ended and returned, with its function,
    its worker and its size in bytes. Calls of a map that are sent together are one
    task with a count. Short single calls, which are otherwise sent in batches, are
    sent one by one while a trace is open, so that each can be timed. A generator is
    one task from its first step to its last; a coroutine counts as running while it
    awaits, too. For Dask, Ray and other engines it is only known when a call was
    submitted and when it was done.

    While no trace is open all of this costs nothing.

    Args:
        path: The file for the events, written when the block ends, for
            https://ui.perfetto.dev or ``chrome://tracing``; None writes no file.

    Raises:
        TypeError: ``path`` is not a path.

    Example:
        >>> from parallelize import thread_map, trace
        >>> with trace() as t:
        ...     squares = list(thread_map(pow, range(4), [2] * 4))
        >>> t.calls
        4
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        if path is not None:
            _check_path(path)
        self._path = path
        self._sink = recording.TraceSink()
        self._began = 0
        self._ended = 0

    def __enter__(self) -> Self:
        """Start recording."""
        if self._began:
            msg = "this trace was used before: make another with trace()"
            raise RuntimeError(msg)
        switch.on(self._sink)
        self._began = monotonic_ns()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Stop recording, and write the file."""
        self._ended = monotonic_ns()
        switch.off(self._sink)
        recording.trim_overlaps(self._sink.records)
        recording.find_places(self._sink.records)
        if self._path is not None:
            self.to_json(self._path)

    @property
    def records(self) -> Sequence[TaskRecord]:
        """The records of the tasks, in the order in which they were submitted."""
        return self._sink.records

    @property
    def calls(self) -> int:
        """The number of calls in all the tasks."""
        return sum(record.count for record in self.records)

    @property
    def span(self) -> tuple[int, int]:
        """When the block began and ended (else now), in nanoseconds."""
        return self._began, self._ended or monotonic_ns()

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the events in the format of Chrome and Perfetto.

        Args:
            path: The file; an existing one is replaced.
        """
        from parallelize.insight.chrome import events

        _check_path(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(events(self.records, self.span))

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write a page that shows the run, as one file that needs no network.

        It has a lane for each worker, which can be zoomed with the wheel and moved by
        dragging; what waited, and for what; and the totals of each function.

        Args:
            path: The file; an existing one is replaced.
        """
        from parallelize.insight.html import page

        _check_path(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(page(self.records, self.span, self._sink.dropped))

    def summary(self, file: TextIO | None = None) -> None:
        """Print where the time was spent, and one line of advice.

        Args:
            file: Where to write; None is standard output.
        """
        from parallelize.insight.report import Report

        report = Report(self.records, self.span, self._sink.dropped)
        out = sys.stdout if file is None else file
        out.write(report.text())


def _check_path(path: object) -> None:
    if not isinstance(path, (str, os.PathLike)):
        msg = f"path must be a path, not {path!r}"
        raise TypeError(msg)
