"""Rows of a map in threads.

Each row runs in a copy of the map's context, and must not see changes that another row
made there. Where that context is empty, as it mostly is, rows share one copy: if a row
has set a variable the context is no longer empty, and the next row gets a new copy.
Otherwise each row has its own, which costs about half as much again as an empty call.

Rows that take longer than the map expected are redistributed, so that no thread has
many long ones left while others are idle:

* A timer stops a thread that has run rows for `SHARE_AFTER`, at its next row.
* A row that waits for a future first returns the rows behind it: what it waits for may
  depend on them.

A row that is tried again rests as a task of its own, and those behind it go on.
"""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from operator import length_hint

from parallelize.calls.call import Rows, SingleColumn, SubmittedRows
from parallelize.calls.retrying import is_retried, note_attempts, wait_after
from parallelize.futures.future import Failure
from parallelize.runtime import locks, timer
from parallelize.runtime.blocking import here
from parallelize.runtime.clock import monotonic, perf_counter
from parallelize.runtime.typed import NamedTuple
from parallelize.threads.tasks import ThreadTask, fail
from parallelize.tracing import recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextvars import Context
    from typing import Any, Protocol

    from parallelize.futures.future import Future
    from parallelize.runtime.options import CallOptions
    from parallelize.threads.tasks import TaskPool

    class RowsPool(TaskPool, Protocol):
        """The pool whose threads run the rows."""

        @property
        def max_workers(self) -> int:
            """The number of parts into which it is worth splitting rows."""
            ...

        @property
        def watch(self) -> RowsWatch:
            """Stops tasks that have run rows for long."""
            ...

        def enqueue(self, task: ThreadTask) -> None:
            """Queue new rows; raise RuntimeError if the pool accepts none."""

        def keep(self, task: ThreadTask) -> None:
            """Keep the pool open for a task that rests, even while it is closing."""

        def enqueue_held(self, task: ThreadTask) -> None:
            """Queue a task that was kept, or fail it."""

        def enqueue_first(self, tasks: Sequence[ThreadTask]) -> None:
            """Queue parts of running rows first, even while the pool is closing."""

    #: Runs rows until there are no more, or it is stopped.
    Loop = Callable[
        [Callable[..., Any], Iterator[Any], list[Any], list[None], Context], None
    ]

_new_lock = locks.reentrant("rows")

#: Seconds after which a thread returns the rest of its rows to the queue.
SHARE_AFTER = 0.02


class RowsRun:
    """The rows that a map submits together."""

    __slots__ = ("_cancelled", "_engine", "_rows", "_tasks")

    def __init__(self, engine: RowsPool, rows: Rows) -> None:
        self._engine = engine
        self._rows = rows
        self._cancelled = False  # set once, by any thread
        # Appended to by threads that run parts of it; copied by threads that wait.
        self._tasks: list[ThreadRowsTask] = []

    def start(self) -> SubmittedRows:
        """Put the rows into the queue."""
        self._engine.enqueue(self._task(0, len(self._rows.rows)))
        return SubmittedRows(self.cancel, self.tasks)

    def cancel(self) -> None:
        """Start no more rows."""
        self._cancelled = True
        for task in self._tasks.copy():
            task.stop.append(None)
            if task.before is not None:
                task.cancel()  # it rests, or has just begun again

    def is_cancelled(self) -> bool:
        """Whether no more rows start."""
        return self._cancelled

    def tasks(self) -> Sequence[ThreadRowsTask]:
        """Return the tasks into which the rows have been split so far."""
        return self._tasks.copy()

    def _task(self, first: int, end: int) -> ThreadRowsTask:
        task = ThreadRowsTask(self._engine, self, first, end)
        self._tasks.append(task)
        task.add_done_callback(lambda done: self._ended(task, done, first, end))
        if self._cancelled:
            task.stop.append(None)
        return task

    def _ended(
        self, task: ThreadRowsTask, done: Future[Any], first: int, end: int
    ) -> None:
        self._tasks.remove(task)  # as the task refers to this object
        # Running rows raises nothing: the pool was broken, or this is a forked child.
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._engine.tally.failed.add(end - first)
            self._rows.fail(error, first, end)

    def run(self, task: ThreadRowsTask) -> None:
        """Run the rows of a task, or those that it keeps; deliver their outcomes."""
        begun = perf_counter()
        outcomes: list[Any] = []
        watch = self._engine.watch if task.count > 1 else None
        if watch is not None:
            watch.begun(task)
        try:
            failed = self._run_into(outcomes, task)
        finally:
            if watch is not None:
                watch.ended(task)
        reached = task.first + len(outcomes)
        left = task.count - len(outcomes)
        if left and not self._cancelled:
            self.share(reached, reached + left)
        if outcomes:
            self._count(outcomes, failed)
        try:
            if outcomes and self._rows.options.retries:
                self._deliver_ended(task.first, outcomes, perf_counter() - begun)
            elif outcomes:
                self._rows.deliver(task.first, outcomes, perf_counter() - begun)
        finally:
            del outcomes  # the tracebacks of errors in it refer to this frame

    def _count(self, outcomes: Sequence[Any], failed: int) -> None:
        """Count rows that have ended; ``failed`` is what their loop knows of errors."""
        ended = len(outcomes)
        if self._rows.options.retries:  # errors are among the outcomes
            ended -= sum(type(each) is Resting for each in outcomes)
            failed = sum(type(each) is Failure for each in outcomes)
        worker: Any = here.worker  # a thread worker, as no others run rows
        worker.done += ended - failed
        self._engine.tally.failed.add(failed)

    def _deliver_ended(self, first: int, outcomes: list[Any], seconds: float) -> None:
        """Deliver the outcomes between the rows that rest."""
        start = 0
        try:
            for at, outcome in enumerate(outcomes):
                if type(outcome) is Resting:
                    if start < at:
                        self._rows.deliver(first + start, outcomes[start:at], 0.0)
                    self._rest(first + at, outcome)
                    start = at + 1
            if start < len(outcomes):
                self._rows.deliver(first + start, outcomes[start:], seconds)
        finally:
            del outcomes

    def _rest(self, index: int, resting: Resting) -> None:
        """Let one row rest before its next attempt."""
        task = self._task(index, index + 1)
        task.before = resting
        self._engine.keep(task)
        if self._cancelled:
            task.cancel()
            return
        try:
            timer.after(resting.seconds, partial(self._engine.enqueue_held, task))
        except RuntimeError as error:  # no thread can be started
            fail(task, error)

    def _run_into(self, outcomes: list[Any], task: ThreadRowsTask) -> int:
        """Run rows, and append their outcomes; return how many raised errors."""
        failed = 0
        here = copy_context()
        fn, loop = self._how(here, task.before)
        task.rest = rest = iter(self._values(task.first, task.first + task.count))
        try:
            while len(outcomes) < task.count and not task.stop:
                try:
                    own = here.copy()
                    own.run(loop, fn, rest, outcomes, task.stop, own)
                except BaseException as error:  # noqa: BLE001 - it belongs to the row
                    outcomes.append(Failure(error))
                    failed += 1
            return failed
        finally:
            task.rest = None
            del outcomes  # the tracebacks of errors in it refer to this frame

    def _how(
        self, here: Context, before: Resting | None
    ) -> tuple[Callable[..., Any], Loop]:
        fn, options = self._rows.fn, self._rows.options
        one = isinstance(self._rows.rows, SingleColumn)
        if options.retries:
            again = self._engine.tally.retried.step
            tried = partial(_tried, fn, options, (self._goes_on, again), before)
            return tried, _values_apart if one else _tuples_apart
        if len(here):
            return fn, _values_apart if one else _tuples_apart
        return fn, _values_together if one else _tuples_together

    def _goes_on(self) -> bool:
        return not self._cancelled

    def _values(self, first: int, end: int) -> Sequence[Any]:
        rows = self._rows.rows
        return (
            rows.values[first:end]
            if isinstance(rows, SingleColumn)
            else rows[first:end]
        )

    def share(self, first: int, end: int) -> None:
        """Queue rows again, split by the number of threads."""
        step = -(-(end - first) // self._engine.max_workers)
        tasks = [
            self._task(start, min(start + step, end))
            for start in range(first, end, step)
        ]
        self._engine.enqueue_first(tasks)


class Resting(NamedTuple):
    """What stands for the outcome of a row that is to be tried again.

    Attributes:
        seconds: How long it rests.
        failed: The number of its attempts that have failed.
        since: When the first one began.
    """

    seconds: float
    failed: int
    since: float


class ThreadRowsTask(ThreadTask):
    """A range of rows, for one thread to run.

    Attributes:
        first: The index of the first row.
        count: The number of rows, not counting those that were returned.
        stop: No further row runs if this is not empty. Any thread may append at any
            time. It is tested after each row, and testing a list is the fastest way.
        rest: The rows that have not started, while others run; only the thread that
            runs them uses it.
        before: What is known of the one row, if it has failed before.
    """

    before: Resting | None = None
    rest: Iterator[Any] | None = None
    calls: int = 0  # the rows are counted by themselves

    def __init__(self, engine: RowsPool, run: RowsRun, first: int, end: int) -> None:
        super().__init__(engine, run.run, (self,), {})
        self._run = run
        self.first: int = first
        self.count: int = end - first
        self.stop: list[None] = []

    def sizes(self) -> tuple[int, int]:
        """Return how many rows have begun and not been delivered, and wait."""
        if self.done():
            return 0, 0
        if not self.running():
            return 0, self.count
        waiting = 0 if self.rest is None else length_hint(self.rest)
        return self.count - waiting, waiting

    def is_asked(self) -> bool:
        """Whether the map was closed."""
        return self._run.is_cancelled() or super().is_asked()

    def _fail_in_forked_child(self) -> None:
        """In a forked child: run no further row, as they belong to the parent."""
        self._run.cancel()
        super()._fail_in_forked_child()

    def in_queue(self) -> Iterator[ThreadTask]:
        """The queued tasks among all those that were submitted together."""
        for task in self._run.tasks():
            if task.waits_in_queue:
                yield task

    def gives_back(self) -> None:
        """Return rows that have not started, as the running one is about to wait."""
        if self.rest is None or self.stop:
            return
        given = len(list(self.rest))
        if given:
            end = self.first + self.count
            self.count -= given
            self._run.share(end - given, end)


class RowsWatch:
    """Stops tasks that have run rows for long, so that the rest is redistributed.

    It checks them every `SHARE_AFTER` seconds while there are any, no more often.
    """

    def __init__(self) -> None:
        # Accessed by single operations only, which need no lock: a lock might stay held
        # in a forked child, and the thread that forked uses this again.
        self._running: dict[ThreadRowsTask, float] = {}
        self._lock = _new_lock()  # guards _armed; a leaf lock
        self._armed = False  # whether a timer is set

    def begun(self, task: ThreadRowsTask) -> None:
        """Record that a thread starts these rows."""
        self._running[task] = perf_counter()
        with self._lock:
            arms, self._armed = not self._armed, True
        if arms:
            self._arm()

    def ended(self, task: ThreadRowsTask) -> None:
        """Record that the rows have ended."""
        self._running.pop(task, None)

    def _arm(self) -> None:
        try:
            timer.after(SHARE_AFTER, self._look)
        except RuntimeError:  # at the end of the program no timer can be started
            with self._lock:
                self._armed = False

    def _look(self) -> None:
        late = perf_counter() - SHARE_AFTER / 2
        with self._lock:  # rows that begin later see whether a timer is set
            running = self._running.copy()
            self._armed = again = bool(running)
        for task, begun in running.items():
            if begun < late:
                task.stop.append(None)
        if again:
            self._arm()


# The loops over rows, one for each case, without unneeded steps.


def _values_together(
    fn: Callable[..., Any],
    rows: Iterator[Any],
    outcomes: list[Any],
    stop: list[None],
    context: Context,
) -> None:
    append = outcomes.append
    try:
        for value in rows:
            append(fn(value))
            if stop or context:
                return
    finally:
        del append, outcomes  # an error's traceback refers to this frame


def _tuples_together(
    fn: Callable[..., Any],
    rows: Iterator[Any],
    outcomes: list[Any],
    stop: list[None],
    context: Context,
) -> None:
    append = outcomes.append
    try:
        for row in rows:
            append(fn(*row))
            if stop or context:
                return
    finally:
        del append, outcomes


def _values_apart(
    fn: Callable[..., Any],
    rows: Iterator[Any],
    outcomes: list[Any],
    stop: list[None],
    context: Context,
) -> None:
    append, copy = outcomes.append, context.copy
    try:
        for value in rows:
            append(copy().run(fn, value))
            if stop:
                return
    finally:
        del append, outcomes


def _tuples_apart(
    fn: Callable[..., Any],
    rows: Iterator[Any],
    outcomes: list[Any],
    stop: list[None],
    context: Context,
) -> None:
    append, copy = outcomes.append, context.copy
    try:
        for row in rows:
            append(copy().run(fn, *row))
            if stop:
                return
    finally:
        del append, outcomes


def _tried(
    fn: Callable[..., Any],
    options: CallOptions,
    hooks: tuple[Callable[[], bool], Callable[[], object]],
    before: Resting | None,
    *row: Any,
) -> Any:
    """Make attempts of a row; return its outcome, or `Resting`.

    Of the hooks, one says whether another attempt is wanted, one counts it.
    """
    goes_on, count = hooks
    failed = 0 if before is None else before.failed
    since = monotonic() if before is None else before.since
    while True:
        try:
            return fn(*row)
        except BaseException as error:  # noqa: BLE001 - it belongs to the row
            failed, wait = failed + 1, None
            if failed <= options.retries and is_retried(error, options) and goes_on():
                wait = wait_after(options, failed, error)
            if wait is None:
                note_attempts(error, failed, since)
                return Failure(error)
            count()
            if wait:
                return Resting(wait, failed, since)
            if recording.active is not None:
                from parallelize.tracing import timed

                timed.retried()
