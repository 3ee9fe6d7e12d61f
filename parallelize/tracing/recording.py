"""What is recorded of each task while a trace is open, or something observes them.

Executors only check whether `active` is None, which it is unless there is a sink: a
`parallelize.trace`, or a `parallelize.observe`. (They read it once: another thread may
remove the last sink at any time.) Moments are nanoseconds of the monotonic clock, which
all processes of a machine share; 0 stands for what has not happened.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
from abc import ABC, abstractmethod
from collections import defaultdict

from parallelize.futures.peek import has_failed
from parallelize.runtime import locks
from parallelize.runtime.clock import monotonic_ns
from parallelize.runtime.options import DEFAULTS
from parallelize.runtime.typed import NamedTuple
from parallelize.tracing.labels import label_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Sequence
    from typing import Any, Literal, Protocol

    from parallelize.runtime.options import CallOptions

    EventKind = Literal["submitted", "started", "ended", "retried", "killed", "died"]

    class Sink(Protocol):
        """What new records are sent to, before anything else happens to them."""

        def take(self, record: TaskRecord) -> None:
            """Take a new record; the recorder's lock is held."""

    class Within(Protocol):
        """What surroundings a call has, in this process and, pickled, in workers."""

        def wrap(self, fn: Callable[..., Any]) -> Callable[..., Any]:
            """Return a function that runs in them."""
            ...

        def enter(self) -> None:
            """Enter them for the rest of the running task, which is a coroutine's."""


#: A recorder keeps this many tasks, and counts the others.
MOST_RECORDS = 200_000


_numbers = itertools.count(1)


class Watcher(ABC):
    """A sink that is told what becomes of the tasks, too."""

    def take(self, record: TaskRecord) -> None:  # noqa: B027 - `note` is what counts
        """Do nothing: `note` follows, without the recorder's lock."""

    @abstractmethod
    def note(self, event: EventKind, record: TaskRecord) -> None:
        """Note an event.

        "submitted" comes in the thread that submits, under no lock. The others may come
        in any thread and under any lock, so what is done about them must not wait.
        """


class Lane(NamedTuple):
    """A worker, shown as one row of the timeline.

    Attributes:
        kind: The executor's: "processes", "threads", "serial" or another.
        number: The process id, or the thread's identifier.
        name: Its human-readable name.
        place: The number, from 1 on, of a coroutine among those that the worker runs
            at once; 0 if it runs one task at a time.
    """

    kind: str
    number: int
    name: str
    place: int = 0

    @property
    def label(self) -> str:
        """The human-readable name, with the place."""
        return f"{self.name}, coroutine {self.place}" if self.place else self.name

    @property
    def order(self) -> tuple[object, ...]:
        """A key to sort lanes by: "thread 2" comes before "thread 10"."""
        words = re.split(r"(\d+)", self.name)
        words[1::2] = [number.zfill(9) for number in words[1::2]]
        return self.kind, tuple(words), self.number, self.place

    @property
    def worker(self) -> Lane:
        """The lane of the worker, without the place."""
        return self._replace(place=0) if self.place else self


class TaskRecord:
    """What happened to one task.

    Attributes:
        kind: The kind of the executor.
        name: The function.
        count: The number of calls: more than one for rows of a map.
        caller: The thread that submitted it.
        submitted: When it was submitted.
        pickled: When its arguments were pickled.
        queued: When it entered the queue, after all that it had to wait for.
        sent: When it left the queue for a worker.
        started: When the worker started it.
        ended: When the worker had its result.
        returned: When its future was done.
        size: The bytes of its pickled arguments.
        answer: The bytes of its pickled result.
        lane: The worker.
        outcome: "done", "failed", "cancelled"; empty while it is open.
        attempt: The number of previous attempts.
        on_loop: Whether its worker runs other tasks at the same time.
        number: Which task it is; the attempts at one have the same number.
        watchers: What is told of it.
        origin: What a watcher knows of its caller.
        within: The surroundings in which it is to run, if a watcher has set any.
    """

    __slots__ = (
        "answer",
        "attempt",
        "caller",
        "count",
        "ended",
        "kind",
        "lane",
        "name",
        "number",
        "on_loop",
        "origin",
        "outcome",
        "pickled",
        "queued",
        "returned",
        "sent",
        "size",
        "started",
        "submitted",
        "watchers",
        "within",
    )

    def __init__(self, kind: str, name: str, count: int) -> None:
        self.kind: str = kind
        self.name: str = name
        self.count: int = count
        self.caller: str = threading.current_thread().name
        self.submitted: int = monotonic_ns()
        self.pickled: int = 0
        self.queued: int = self.submitted
        self.sent: int = 0
        self.started: int = 0
        self.ended: int = 0
        self.returned: int = 0
        self.size: int = 0
        self.answer: int = 0
        self.lane: Lane | None = None
        self.outcome: str = ""
        self.attempt: int = 0
        self.on_loop: bool = False
        self.number: int = next(_numbers)
        self.watchers: Sequence[Watcher] = ()
        self.origin: object = None
        self.within: Within | None = None

    def note(self, event: EventKind) -> None:
        """Tell what watches it of an event."""
        for watcher in self.watchers:
            watcher.note(event, self)

    def begin(self, moment: int) -> None:
        """Record when the worker started it."""
        self.started = moment
        self.note("started")

    def close(self, outcome: str, *, is_last: bool = True) -> None:
        """Record that the future is done, unless this was recorded before.

        Args:
            outcome: The outcome, unless one is known already.
            is_last: Whether no further attempt follows.
        """
        if not self.returned:
            self.returned = monotonic_ns()
            self.outcome = self.outcome or outcome
            if is_last:
                self.note("ended")

    def future_done(self, future: concurrent.futures.Future[Any]) -> None:
        """Call `close`, as a callback of the future. It does not open the result."""
        self.close("cancelled" if future.cancelled() else "done")

    def again(self) -> TaskRecord:
        """Return a record of a further attempt at the task."""
        record = TaskRecord(self.kind, self.name, self.count)
        record.submitted, record.size = self.submitted, self.size
        record.pickled, record.attempt = self.pickled, self.attempt + 1
        record.on_loop, record.number = self.on_loop, self.number
        record.origin, record.within = self.origin, self.within
        return record

    def part(self) -> TaskRecord:
        """Return a record of rows that were split off, a task of their own."""
        record = self.again()
        record.attempt, record.number = self.attempt, next(_numbers)
        return record


class Recorder:
    """Distributes records to all sinks: open traces, and watchers."""

    def __init__(self) -> None:
        # Guards `_sinks` and their contents; a leaf lock. A plain list would do if
        # the number of records had no bound.
        self._lock = locks.reentrant("records")()
        self._sinks: list[Sink] = []

    def add(self, sink: Sink) -> None:
        """Send new records to this sink, too."""
        with self._lock:
            self._sinks.append(sink)

    def remove(self, sink: Sink) -> bool:
        """Send no more records to this sink; True if no other is left."""
        with self._lock:
            self._sinks.remove(sink)
            return not self._sinks

    def new(
        self, kind: str, fn: Callable[..., Any], options: CallOptions = DEFAULTS
    ) -> TaskRecord:
        """Start the record of a task that is being submitted."""
        name, count = label_of(fn, options)
        return self.keep(TaskRecord(kind, name, count))

    def keep(self, record: TaskRecord, event: EventKind = "submitted") -> TaskRecord:
        """Send a record to all sinks."""
        with self._lock:
            for sink in self._sinks:
                sink.take(record)
            record.watchers = self._watchers()
        record.note(event)
        return record

    def note_worker(self, event: EventKind, lane: Lane) -> None:
        """Tell all watchers that a worker was "killed", or has "died"."""
        record = TaskRecord(lane.kind, "", 0)
        record.lane, record.number = lane, 0
        with self._lock:
            record.watchers = self._watchers()
        record.note(event)

    def _watchers(self) -> Sequence[Watcher]:
        return [sink for sink in self._sinks if isinstance(sink, Watcher)]

    def elsewhere(
        self,
        kind: str,
        fn: Callable[..., Any],
        future: concurrent.futures.Future[Any],
        options: CallOptions,
    ) -> None:
        """Record when a call was submitted and done, where no more can be known."""
        record = self.new(kind, fn, options)
        future.add_done_callback(lambda done: _note_end(record, done))


def _note_end(record: TaskRecord, future: concurrent.futures.Future[Any]) -> None:
    if not future.cancelled() and has_failed(future):
        record.outcome = "failed"
    record.future_done(future)


class TraceSink:
    """The records of one trace.

    Attributes:
        records: The first `MOST_RECORDS`.
        dropped: The number of records after these.
    """

    def __init__(self) -> None:
        self.records: list[TaskRecord] = []
        self.dropped: int = 0

    def take(self, record: TaskRecord) -> None:
        """Keep a record, unless the sink is full."""
        if len(self.records) < MOST_RECORDS:
            self.records.append(record)
        else:
            self.dropped += 1


def trim_overlaps(records: Sequence[TaskRecord]) -> None:
    """Let no task of a process end after the start of the next one.

    The end of rows is taken from the arrival of their last message, which is later.
    """
    last: dict[Lane, TaskRecord] = {}
    for record in sorted(records, key=lambda each: each.started):
        lane = record.lane
        if lane is None or not record.started or lane.kind != "processes":
            continue
        if record.on_loop:  # other tasks may start before it ends
            continue
        before = last.get(lane)
        if before is not None and before.ended > record.started:
            before.ended = record.started
        last[lane] = record


def find_places(records: Sequence[TaskRecord]) -> None:
    """Number coroutines that ran on one worker at once, by the first free place."""
    free_at: dict[Lane, list[float]] = defaultdict(list)
    for record in sorted(records, key=lambda each: each.started):
        if not record.on_loop or record.lane is None or not record.started:
            continue
        places = free_at[record.lane.worker]
        started = record.started
        place = next((n for n, at in enumerate(places) if at <= started), len(places))
        places[place : place + 1] = [record.ended or math.inf]
        record.lane = record.lane._replace(place=place + 1)


#: The recorder of the open traces; None almost always.
active: Recorder | None = None

# Guards `active`, and what the first and the last trace change elsewhere; the
# recorder's own lock is acquired under it.
lock: threading.RLock = locks.reentrant("tracing")()
