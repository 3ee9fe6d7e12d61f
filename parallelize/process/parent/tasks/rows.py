"""The parent's side of rows: many calls of one function, for a map, as one task."""

from __future__ import annotations

import _pickle as pickle
from array import array
from functools import partial
from itertools import chain
from types import MethodType

from parallelize.calls.call import Rows, SingleColumn
from parallelize.calls.retrying import admit_again
from parallelize.futures.future import Failure, Future
from parallelize.futures.peek import ForwardedOutcome
from parallelize.process.memory.shared import noting_shared
from parallelize.process.parent.tasks.call import (
    PickledFailure,
    PickledValue,
    Task,
    refusal,
)
from parallelize.process.parent.tasks.queue import ROWS
from parallelize.process.wire import messages
from parallelize.process.wire.frames import ProtocolError, pack
from parallelize.process.wire.journal import PARCELS, RAW, Parcel, parcels_of
from parallelize.runtime import timer
from parallelize.runtime.clock import monotonic
from parallelize.runtime.locks import is_interrupt
from parallelize.runtime.options import name_of
from parallelize.runtime.typed import Any
from parallelize.serialize import PLAIN, pickling
from parallelize.serialize.main.picture import noting
from parallelize.serialize.reducers.placeholders import collect_futures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import ClassVar, Protocol

    from parallelize.process.parent.tasks.call import CallTask, Late, TaskOwner
    from parallelize.process.wire.frames import Frame, Part
    from parallelize.process.wire.journal import Journal

    class RowsOwner(TaskOwner, Protocol):
        """The pool of rows."""

        @property
        def call_task(self) -> type[CallTask]:
            """The class of the task of a row that is sent alone."""
            ...

        @property
        def rows_task(self) -> type[RowsTask] | None:
            """The class of the tasks of other rows and of their parts; None: this."""
            ...


#: Rows are sent together up to `MOST_TOGETHER` bytes, and a row of more than
#: `LEAST_ALONE` bytes as a call of its own: if it is too large, only that call fails.
MOST_TOGETHER = 1 << 20
LEAST_ALONE = 1 << 16


class RowsTask(Task):
    """Many calls of one function, for a map.

    Attributes:
        done: The number of rows that have ended, in order from the first.
    """

    is_rows: ClassVar[bool] = True
    lane: ClassVar[int] = ROWS
    timed: int = 0
    is_prompt: ClassVar[bool] = False
    pool: RowsOwner  # type: ignore[mutable-override]  # set once, when it is made

    def __init__(
        self,
        pool: RowsOwner,
        source: Rows,
        key: bytes,
        rows: Sequence[Any],
        arity: int,
        first: int = 0,
        stop: list[None] | None = None,
    ) -> None:
        super().__init__(pool, source.fn, source.options)
        self.key: bytes = key
        self.done: int = 0
        self._rows = rows  # the arguments of all rows, or (arity 0) pickled rows
        self._arity = arity
        self._first = first
        self._deliver = source.deliver
        # Not empty if no further row may begin, in this task and those split off it.
        # Any thread may append.
        self._stop: list[None] = [] if stop is None else stop
        self.size: int = len(rows) // (arity or 1)
        if source.options.limit is not None or source.options.retries:
            self.future: Future[Any] = Future[Any]()  # the limit waits for its end

    @property
    def left(self) -> int:
        return self.size - self.done

    def begin(self) -> bool:
        if self.options.retries and not self.since:
            self.since: float = monotonic()
        return not self._stop

    def is_wanted(self) -> bool:
        return not self._stop

    def buffers(self, *, inline: bool = False) -> list[Part]:
        width = self._arity or 1
        rows = self._rows[self.done * width :] if self.done else self._rows
        self._rebase()
        parts = [self.key, pickle.dumps(rows, 5), *self.carried]
        timed = messages.TIMED if self.options.timeout is not None else 0
        if self.carried:
            timed |= messages.CARRIED
        if self.is_prompt:
            timed |= messages.PROMPT
        return pack(messages.ROWS, self.id, parts, self._arity, self.timed | timed)

    def _rebase(self) -> None:
        """Number the rows that are sent, maybe again, from 0."""
        width = self._arity or 1
        self._rows = self._rows[self.done * width :]
        self._first += self.done
        self.size -= self.done
        self.done = 0

    def advance(self, frame: Frame) -> bool:
        seconds = frame.micros / 1e6
        if frame.kind == messages.BLOCK:
            results = _results(frame)
            if len(results) > self.size - frame.extra:
                msg = f"{len(results)} results from row {frame.extra} of {self.size}"
                raise ProtocolError(msg)
            self.recover(frame.extra, results, seconds)
        elif frame.extra == self.done < self.size:
            self._row_ended(frame, seconds)
        else:
            msg = f"row {frame.extra} ends after {self.done} of {self.size}"
            raise ProtocolError(msg)
        return self.done >= self.size

    def _row_ended(self, frame: Frame, seconds: float) -> None:
        if frame.kind == messages.ROW_DONE:
            self._ended([PickledValue(frame.parts, self)], seconds)
        else:
            self._row_failed(PickledFailure(frame.parts[0]), seconds)

    def _row_failed(self, failure: PickledFailure, seconds: float) -> None:
        if self.may_retry_after(failure):
            if self._retry_row(failure.error()):
                return
        elif self.attempts:
            self.note_attempts(failure.error())
        self._ended([failure], seconds)

    def _ended(self, outcomes: Sequence[Any], seconds: float) -> None:
        late = self.late
        if late is not None and 0 <= late.row - self.done < len(outcomes):
            self._ended_late(late, outcomes, seconds)
            return
        first = self._first + self.done
        self.done += len(outcomes)
        self._count(outcomes)
        if seconds:
            self.pool.scheduler.queue.learn(self.key, seconds, len(outcomes))
        self._deliver(first, outcomes, seconds)

    def _count(self, outcomes: Sequence[Any]) -> None:
        """Count rows that have ended, all in the same way."""
        first, tally = outcomes[0], self.pool.scheduler.tally
        if not isinstance(first, (Failure, PickledFailure)):
            tally.together += len(outcomes)
        elif not self._stop:  # otherwise it was dropped, as its map was closed
            tally.failed.add(len(outcomes))

    def _ended_late(self, late: Late, outcomes: Sequence[Any], seconds: float) -> None:
        """Replace the outcome of the row that was late; keep those around it."""
        self.late: Late | None = None
        before = late.row - self.done
        if before:
            self._ended(outcomes[:before], seconds)
        self.fail_running_row(late.row, late.error)
        if outcomes[before + 1 :]:
            self._ended(outcomes[before + 1 :], seconds)
        with self.pool.scheduler.lock:
            late.over()

    def recover(self, first: int, results: Sequence[Any], seconds: float = 0.0) -> None:
        """Process results of rows, some of which may have been processed before.

        Rows in a worker's journal can arrive twice: in a frame and from the page.
        """
        fresh = results[self.done - first :] if self.done > first else results
        if fresh and type(fresh[0]) is Parcel:  # then all of them are
            fresh = [PickledValue((each,), self) for each in fresh]
        if fresh and first <= self.done:
            self._ended(fresh, seconds)

    def fail_running_row(self, row: int, error: BaseException) -> bool:
        """Fail the row that was running when the worker died, if it had not ended.

        A larger number than that of the next row is `NO_ROW`: the worker was still
        unpickling the function, so the next row fails. Or the page was overwritten.
        """
        if row < self.done or self.done >= self.size:
            return False
        if self.may_retry(error):
            if self._retry_row(error):
                return True
        else:
            self.note_attempts(error)
        self._ended([Failure(error)], 0.0)
        return True

    def on_worker_died(
        self, page: Journal, error_for: Callable[[Task], BaseException]
    ) -> bool:
        self.recover(*page.journal())
        row = page.running()
        return self.fail_running_row(row, error_for(self.call_at(row)))

    def _retry_row(self, error: BaseException) -> bool:
        again = self._part(self.done, self.done + 1)
        if not again.retries_after(error):
            return False
        self.done += 1
        return True

    def begin_retry(self) -> bool:
        self.attempts: int = self.attempts + 1
        self.pool.scheduler.tally.retried.step()
        return True

    def rest(self, seconds: float) -> bool:
        """Wait for the next attempt; a closed map drops it."""
        try:
            timer.after(seconds, partial(admit_again, self))
        except RuntimeError:  # no thread can be started
            return False
        return True

    def fail(self, error: BaseException) -> None:
        self.abort(error)

    def shares_rows_with(self, other: Task) -> bool:
        return isinstance(other, RowsTask) and other._stop is self._stop

    def split(self, count: int) -> RowsTask | None:
        count = min(count, self.size - self.done)
        if count <= 0:
            return None
        tail = self._part(self.size - count, self.size)
        tail.cost = self.cost * count / self.size
        self.cost: float = self.cost - tail.cost
        self.size -= count
        self._rows = self._rows[: self.size * (self._arity or 1)]
        return tail

    def _part(self, start: int, stop: int) -> RowsTask:
        width = self._arity or 1
        part = (self.pool.rows_task or RowsTask)(
            self.pool,
            Rows(self.fn, (), self.options, self._deliver),
            self.key,
            self._rows[start * width : stop * width],
            self._arity,
            self._first + start,
            self._stop,
        )
        part.attempts, part.since = self.attempts, self.since
        part.shares = self.shares
        part.needs = self.needs
        return part

    def ended(self) -> None:
        """Notify the limit, if there is one."""
        if self.options.limit is not None or self.options.retries:
            self.future._set_outcome(Failure(RuntimeError("rows ended")), failed=False)

    def cancel(self) -> None:
        """Prevent further rows from starting."""
        self._stop.append(None)
        self.pool.scheduler.reclaim(self)

    def abort(self, error: BaseException) -> None:
        if self.done < self.size:
            self._ended([Failure(error)] * (self.size - self.done), 0.0)
        self.ended()

    def drop(self) -> None:
        from concurrent.futures import CancelledError

        self._stop.append(None)
        self.abort(CancelledError())


def _results(frame: Frame) -> Sequence[Any]:
    """Decode the results that `Journal.packed` has encoded."""
    packed = memoryview(frame.parts[0])
    letter = bytes(packed[:1])
    try:
        if letter == PARCELS:
            return parcels_of(packed[1:])
        results = _raw(letter, packed[1:]) if letter in RAW else pickle.loads(packed)
    except Exception as error:
        msg = "a block that is no pickle"
        raise ProtocolError(msg) from error
    if not isinstance(results, (list, array)):
        msg = f"a block that is a {type(results).__qualname__}"
        raise ProtocolError(msg)
    return results


def _raw(letter: bytes, data: memoryview) -> array[Any]:
    # An array creates its values when they are read, in the reader's thread, and takes
    # a quarter of a list's memory until then.
    results: array[Any] = array(letter.decode())
    results.frombytes(data)
    return results


def encode_rows(pool: RowsOwner, source: Rows) -> list[Task]:
    """Turn rows into tasks: one, or more if there are large rows."""
    with noting_shared() as shares, noting() as noted:
        tasks = _encoded(pool, source)
    needs = noted.needs()
    for task in tasks:
        task.shares = shares or task.shares
        task.needs = task.needs or needs  # a single row has its own needs
    return tasks


def _encoded(pool: RowsOwner, source: Rows) -> list[Task]:
    fn = source.fn
    if isinstance(fn, MethodType):
        fn = pickling.bound(fn)
    try:
        with collect_futures() as futures:
            key = pickling.encode_function(fn)
    except Exception as error:
        name = name_of(source.fn, source.options)
        raise refusal(fn, name, (), {}, error) from error
    if futures:  # the function holds these, so each call waits for them
        return [_single(pool, source, row, at) for at, row in enumerate(source.rows)]
    flat, kinds, arity = _flattened(source.rows)
    if arity and _all_plain(flat, kinds):
        return [(pool.rows_task or RowsTask)(pool, source, key, flat, arity)]
    return _pickled_rows(pool, source, key)


def _flattened(
    rows: Sequence[tuple[Any, ...]],
) -> tuple[Sequence[Any], set[type], int]:
    """Return the arguments of all rows, their types, and the number for each row."""
    if isinstance(rows, SingleColumn):
        return rows.values, rows.kinds(), 1
    flat = list(chain.from_iterable(rows))
    return flat, set(map(type, flat)), len(rows[0])


def _all_plain(values: Sequence[Any], kinds: set[type]) -> bool:
    """Return whether values can be sent together, in one pickle."""
    if not kinds <= PLAIN:
        return False
    if kinds.isdisjoint((bytes, str)):
        return True
    return sum(len(v) for v in values if type(v) in (bytes, str)) <= MOST_TOGETHER


def _pickled_rows(pool: RowsOwner, source: Rows, key: bytes) -> list[Task]:
    tasks: list[Task] = []
    run: list[bytes] = []  # small rows that follow each other
    size, make = 0, pool.rows_task or RowsTask

    def end_run(end: int) -> None:
        nonlocal run, size
        if run:
            tasks.append(make(pool, source, key, run, 0, end - len(run)))
        run, size = [], 0

    for index, row in enumerate(source.rows):
        pickled = _small(row)
        size += MOST_TOGETHER if pickled is None else len(pickled)
        if size > MOST_TOGETHER:
            end_run(index)
        if pickled is None:
            tasks.append(_single(pool, source, row, index))
        else:
            run.append(pickled)
    end_run(len(source.rows))
    return tasks


def _small(row: tuple[Any, ...]) -> bytes | None:
    """Pickle a row; return None if that fails, or if it is large or has futures."""
    try:
        with collect_futures() as futures:
            parts = pickling.dumps(row)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return None
    if len(parts) > 1 or len(parts[0]) > LEAST_ALONE or futures:
        return None
    return bytes(parts[0])


def _single(
    pool: RowsOwner, source: Rows, row: tuple[Any, ...], index: int
) -> CallTask:
    task = pool.call_task(pool, source.fn, row, {}, source.options)

    def deliver(future: Future[Any]) -> None:
        source.deliver(index, [ForwardedOutcome(future)], 0.0)

    task.future.add_done_callback(deliver)
    return task
