"""Events of calls, handed to functions of the user while they observe the program.

```
 threads that submit, run and end calls ── note ──▶ queue ──▶ one thread ──▶ callback
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from parallelize.insight import switch
from parallelize.insight.delivery import Delivery
from parallelize.runtime.clock import monotonic_ns
from parallelize.runtime.options import check_callable
from parallelize.tracing.recording import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from parallelize.tracing.recording import EventKind, TaskRecord

__all__ = ("Event", "observe")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a call or a worker.

    Attributes:
        kind: ``"submitted"``, ``"started"``, ``"retried"`` (a further attempt follows)
            and ``"ended"`` are about a call, ``"killed"`` and ``"died"`` about a worker
            process.
        call: A number that all events of a call have; 0 for a worker. Rows of a map
            that are sent together have one, as a call does; rows that are handed on to
            another worker are submitted once more, with a number of their own.
        name: The function.
        executor: The kind of the executor, ``"threads"`` for instance.
        calls: The number of calls: more than one for rows of a map.
        worker: The thread or process; empty if it has none yet.
        outcome: Of a call that has ended: ``"done"``, ``"failed"`` or ``"cancelled"``;
            otherwise empty.
        attempt: The number of attempts that have failed before.
        moment: When it happened, by `time.monotonic_ns`.
    """

    kind: EventKind
    call: int
    name: str
    executor: str
    calls: int
    worker: str
    outcome: str
    attempt: int
    moment: int


class observe:  # noqa: N801 - reads as a function in a with statement
    """Within the block, hand events of calls and workers to a function.

    All executors are observed, for all threads; but not what calls in worker processes
    submit there. Of calls on engines of others only the submission and the end are
    known. The start of a generator in a process is known at its end. Several blocks may
    be open at a time. While none is, this costs nothing; while one is, calls cost as
    much as in a `trace`, and short calls are sent one by one.

    Args:
        callback: Called with each `Event`, in a thread of its own, one after the other,
            in the order in which they were noted. It may take its time: calls do not
            wait for it, only the end of the block does, until all events have been
            handed over. An error that it raises is logged, the first time.

    Raises:
        TypeError: ``callback`` is not callable.

    Example:
        >>> from parallelize import observe, threaded
        >>> @threaded
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> seen = []
        >>> with observe(lambda event: seen.append(event.kind)):
        ...     double(21).result()
        42
        >>> seen
        ['submitted', 'started', 'ended']
    """

    def __init__(self, callback: Callable[[Event], object]) -> None:
        check_callable(callback, "callback")
        self._delivery = Delivery(callback)
        self._watch = _Watch(self._delivery)

    def __enter__(self) -> Self:
        """Start observing."""
        if self._delivery.has_started:
            msg = "this was used before: make another with observe()"
            raise RuntimeError(msg)
        self._delivery.start()
        switch.on(self._watch)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Stop observing, when all events until now have been handed over."""
        switch.off(self._watch)
        self._delivery.finish()


class _Watch(Watcher):
    def __init__(self, delivery: Delivery[Event]) -> None:
        self._delivery = delivery

    def note(self, event: EventKind, record: TaskRecord) -> None:
        self._delivery.put(_event(event, record))


def _event(kind: EventKind, record: TaskRecord) -> Event:
    moments = {
        "submitted": record.submitted,
        "started": record.started,
        "ended": record.returned,
    }
    return Event(
        kind,
        record.number,
        record.name,
        record.kind,
        record.count,
        "" if record.lane is None else record.lane.label,
        record.outcome if kind == "ended" else "",
        record.attempt,
        moments.get(kind) or monotonic_ns(),
    )
