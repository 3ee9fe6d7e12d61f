"""Tasks of processes that record their progress, as long as there is a sink for that.

```
 submitted ── pickled ── queued ── sent ═══▶ worker: BEGAN, with the time
     │                                          │
 returned ◀──────── finish: how long it ran ◀═══╡ DONE, or rows as they end
```
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, ClassVar

from parallelize.process.parent.tasks.call import CallTask
from parallelize.process.parent.tasks.coroutine import CoroutineTask
from parallelize.process.parent.tasks.rows import RowsTask
from parallelize.process.parent.tasks.stream import StreamTask
from parallelize.process.wire import messages
from parallelize.runtime.clock import monotonic_ns
from parallelize.tracing import recording
from parallelize.tracing.recording import Lane, TaskRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.calls.call import Rows
    from parallelize.futures.future import Future
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.parent.tasks.rows import RowsOwner
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.process.wire.frames import Frame, Part
    from parallelize.runtime.options import Args, CallOptions, Kwargs
    from parallelize.tracing.recording import EventKind


def _new_record(fn: Callable[..., Any], options: CallOptions) -> TaskRecord:
    recorder = recording.active
    if recorder is None:  # the trace has just ended
        recorder = recording.Recorder()
    return recorder.new("processes", fn, options)


def _kept(record: TaskRecord, event: EventKind = "retried") -> TaskRecord:
    recorder = recording.active
    return record if recorder is None else recorder.keep(record, event)


def _carry(task: Task, record: TaskRecord) -> None:
    """Let the worker run a task in the surroundings that a watcher has set."""
    if record.within is not None:
        task.carried = [pickle.dumps(record.within)]


def _sent(record: TaskRecord, worker: WorkerHandle | None) -> None:
    record.sent = monotonic_ns()
    record.lane = _lane(worker)


def _lane(worker: WorkerHandle | None) -> Lane | None:
    """Return the worker's lane, with the process id if the worker has started."""
    if worker is None:
        return None
    return Lane("processes", worker.pid or 0, f"process {worker.id}")


def _size(parts: Sequence[Part]) -> int:
    return sum(memoryview(part).nbytes for part in parts)


class _Noted(CallTask):
    """The recording that calls, coroutines and generators have in common."""

    on_loop: ClassVar[bool] = False  # whether its worker runs others concurrently
    record: TaskRecord
    _on: WorkerHandle | None = None  # the worker to which it was last sent

    def _encode(self, args: Args, kwargs: Kwargs) -> None:
        record = self.record = _new_record(self.fn, self.options)
        record.on_loop = self.on_loop
        _carry(self, record)
        self.future.add_done_callback(self._future_done)
        try:
            super()._encode(args, kwargs)
        except BaseException:
            record.outcome = "failed"  # it cannot be pickled
            raise
        finally:
            record.pickled = record.queued = monotonic_ns()
        if self.simple is None:
            record.size = _size(self._parts) + self._placed_size()

    def _future_done(self, future: Future[Any]) -> None:
        self.record.future_done(future)  # the record of the last attempt

    def _placed_size(self) -> int:
        return 0 if self.placed is None else _size(self.placed.buffers())

    def start(self) -> None:
        self.record.queued = monotonic_ns()
        super().start()

    def buffers(self, *, inline: bool = False) -> list[Part]:
        buffers = super().buffers(inline=inline)
        if self.record.started:  # its worker died, or it is retried
            self.record = _kept(self.record.again())
        self._on = self.worker
        _sent(self.record, self.worker)
        if self.simple is not None:
            self.record.size = _size(buffers)
        return buffers

    def began(self, moment: int) -> None:
        self.record.lane = _lane(self._on)
        self.record.begin(messages.moment_near(moment, monotonic_ns()))

    def finish(self, frame: Frame) -> None:
        record, ran = self.record, frame.micros * 1000
        record.lane = _lane(self._on)
        if not record.started:
            record.begin(monotonic_ns() - ran)
        record.ended = record.started + ran
        record.answer += _size(frame.parts)
        if frame.kind == messages.FAILED:
            record.outcome = "failed"
        super().finish(frame)
        if not self.future.done():  # it is retried
            record.close("failed", is_last=False)

    def abort(self, error: BaseException) -> None:
        record = self.record
        record.outcome = "failed"
        if record.started and not record.ended:
            record.ended = monotonic_ns()
            record.lane = _lane(self._on)
        super().abort(error)


class TracedCall(_Noted):
    """A call that records its progress."""

    timed: int = messages.TRACED

    @property
    def is_batched(self) -> bool:
        """False: it is timed separately, so it is sent separately."""
        return False


class TracedCoroutine(_Noted, CoroutineTask):
    """A coroutine that records its progress; its loop always reports the start."""

    on_loop: ClassVar[bool] = True


class TracedStream(_Noted, StreamTask):
    """A generator that records its progress, as one task with many answers.

    Its start is known only at its end, from the duration.
    """

    def finish(self, frame: Frame) -> None:
        if frame.kind in (messages.DONE, messages.FAILED):
            super().finish(frame)
            return
        self.record.answer += _size(frame.parts)
        StreamTask.finish(self, frame)  # items, not the end


class TracedRows(RowsTask):
    """Rows of calls that record their progress."""

    timed: int = messages.TRACED
    record: TaskRecord
    _on: WorkerHandle | None = None
    _is_again: bool = False  # whether the part that is split off is tried again
    _blocks: dict[int, int] | None = None  # first row -> microseconds of its block

    def __init__(self, pool: RowsOwner, source: Rows, *rows: Any) -> None:
        super().__init__(pool, source, *rows)
        if source.rows:
            record = self.record = _new_record(source.fn, source.options)
            record.pickled = record.queued = record.submitted  # before, in one pickle
            _carry(self, record)

    def _part(self, start: int, stop: int) -> RowsTask:
        part = super()._part(start, stop)
        if isinstance(part, TracedRows):  # else recording has just ended
            part.record = self.record.part()
            part.record.count = part.size
            _kept(part.record, "retried" if self._is_again else "submitted")
        part.carried = self.carried
        return part

    def _retry_row(self, error: BaseException) -> bool:
        self._is_again = True
        try:
            return super()._retry_row(error)
        finally:
            self._is_again = False

    def buffers(self, *, inline: bool = False) -> list[Part]:
        if self.record.started:  # their worker died
            self._end("failed", is_last=False)
            self.record = _kept(self.record.again())
        self._on, self._blocks = self.worker, {}
        buffers = super().buffers(inline=inline)
        record = self.record
        record.count, record.size = self.size, _size(buffers)
        _sent(record, self.worker)
        return buffers

    def began(self, moment: int) -> None:
        self.record.lane = _lane(self._on)
        self.record.begin(messages.moment_near(moment, monotonic_ns()))

    def advance(self, frame: Frame) -> bool:
        record = self.record
        if self._blocks is not None and frame.kind == messages.BLOCK:
            self._blocks[frame.extra] = frame.micros  # it may arrive again, longer
        else:
            self._blocks = None  # a row sent alone does not say when it ended
        record.answer += _size(frame.parts)
        if frame.kind == messages.ROW_FAILED:
            record.outcome = "failed"
        all_ended = super().advance(frame)
        if all_ended:
            self._end("done")
        return all_ended

    def _end(self, outcome: str, *, is_last: bool = True) -> None:
        """Record that none of its rows will run any more in the same worker."""
        record, now = self.record, monotonic_ns()
        record.count = self.done or self.size
        if record.started:
            ran = sum((self._blocks or {}).values()) * 1000
            record.ended = min(now, record.started + ran) if ran else now
            record.lane = _lane(self._on)
        record.close(outcome, is_last=is_last)

    def fail_running_row(self, row: int, error: BaseException) -> bool:
        self.record.outcome = "failed"
        return super().fail_running_row(row, error)

    def abort(self, error: BaseException) -> None:
        self._end("failed")
        super().abort(error)

    def drop(self) -> None:
        self.record.outcome = "cancelled"
        super().drop()

    def ended(self) -> None:
        self._end("cancelled" if self._stop else "done")
        super().ended()
