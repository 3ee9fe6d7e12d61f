"""Single calls that are queued one behind the other, sent to a worker as rows.

A thousand short calls of one function cost the same as a map of a thousand rows, if
they can be sent in the same way: they have only plain arguments, the same number each,
and no timeout, retries or limit of their own. Each call keeps its own future and can be
killed separately.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from itertools import chain

from parallelize.futures.future import Failure, Outcome
from parallelize.process.parent.tasks.call import CallTask, PickledFailure, Task
from parallelize.process.parent.tasks.rows import RowsTask
from parallelize.runtime.raised import is_a

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, ClassVar

    from parallelize.futures.future import Future
    from parallelize.serialize.main.picture import Needs


class CallBatch(RowsTask):
    """Calls as rows: row 0 is the first call."""

    is_prompt: ClassVar[bool] = True
    key: bytes
    size: int
    done: int
    needs: Needs | None

    def __init__(self, calls: list[CallTask]) -> None:
        first = calls[0]
        Task.__init__(self, first.pool, first.fn, first.options)
        self.key = first.key
        self.needs = first.needs
        self._arity: int = len(first.simple or ())
        self._calls = calls
        self._stop = []
        self._renumber()

    def _renumber(self) -> None:
        rows = [call.simple or () for call in self._calls]
        self._rows = list(chain.from_iterable(rows))
        self._first = self.done = 0
        self.size = len(self._calls)
        for call in self._calls:
            call.batch = self

    def begin(self) -> bool:
        left = self._calls[self._first + self.done : self._first + self.size]
        self._calls = [call for call in left if call.begin()]
        self._renumber()
        return bool(self._calls)

    def _part(self, start: int, stop: int) -> RowsTask:
        return CallBatch(self._calls[self._first + start : self._first + stop])

    def _deliver(self, first: int, outcomes: Sequence[Any], seconds: float) -> None:
        calls = self._calls[first : first + len(outcomes)]
        for call, outcome in zip(calls, outcomes, strict=True):
            call.batch = None
            _end(call.future, outcome)

    def _count(self, outcomes: Sequence[Any]) -> None:
        if not isinstance(outcomes[0], (Failure, PickledFailure)):
            super()._count(outcomes)  # each future counts that it has failed

    def call_at(self, row: int) -> Task:
        row += self._first
        return self._calls[row] if row < len(self._calls) else self

    def is_of(self, calls: Sequence[Task]) -> bool:
        return bool(self._calls) and self._calls[0] in calls

    def row_of(self, call: CallTask) -> int:
        """Return the row of a call."""
        return self._calls.index(call) - self._first

    def ended(self) -> None:
        """Do nothing: each call notifies its own limit, if it has one."""

    def futures(self) -> Sequence[Future[Any]]:
        return [call.future for call in self._calls]

    def fail_in_forked_child(self) -> None:
        for call in self._calls:
            call.future._fail_in_forked_child()


def _end(future: Future[Any], outcome: Any) -> None:
    if not isinstance(outcome, Outcome):
        future._set_value(outcome)
    elif isinstance(outcome, Failure) and is_a(outcome.error, CancelledError):
        future._force_cancel()
    else:
        failed = isinstance(outcome, (Failure, PickledFailure))
        future._set_outcome(outcome, failed=failed)


__all__ = ("CallBatch",)
