"""What the workers of a pool send: results, reports, and tasks that they give back.

The dispatcher's thread calls all of this, without the pool's lock.
"""

from __future__ import annotations

import contextlib
import logging

from parallelize.process.parent import logs
from parallelize.process.parent.tasks.coroutine import CoroutineTask
from parallelize.process.parent.tasks.queue import FILL
from parallelize.process.parent.tasks.worker_handle import WorkerStage
from parallelize.process.parent.workers import LEAVE_GRACE
from parallelize.process.wire import messages
from parallelize.process.wire.frames import MOST_PARTS, DoesNotFitError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.process.parent.scheduler import Scheduler
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.process.wire.frames import Frame
    from parallelize.runtime import native

_log = logging.getLogger("parallelize")

_ABOUT_SEGMENTS = frozenset((messages.ADOPT, messages.FORGET, messages.RELEASED))
_CALL_ENDS = frozenset((messages.DONE, messages.FAILED))
_ABOUT_COROUTINES = frozenset(
    (messages.ASYNC_BEGUN, messages.ASYNC_CANCELLED, messages.CANCEL_HEARD)
)
_ROW_ENDS = frozenset((messages.BLOCK, messages.ROW_DONE, messages.ROW_FAILED))

_STREAMED = frozenset((messages.ITEMS, messages.ITEM, messages.ITEM_FAILED))

#: Minimum and maximum number of parts in a frame of each kind.
_PARTS = {
    messages.READY: (0, 0),
    messages.BEGAN: (0, 0),
    messages.START_FAILED: (1, 1),
    messages.DONE: (1, MOST_PARTS),
    messages.FAILED: (1, 1),
    messages.BLOCK: (1, 1),
    messages.ROW_DONE: (1, MOST_PARTS),
    messages.ROW_FAILED: (1, 1),
    **dict.fromkeys(_ABOUT_COROUTINES, (1, 1)),
    messages.ITEMS: (1, MOST_PARTS),
    messages.ITEM: (1, MOST_PARTS),
    messages.ITEM_FAILED: (1, 1),
}


class Receiver:
    """Reads the frames of one pool's workers and acts on them."""

    def __init__(
        self,
        scheduler: Scheduler,
        unregister: Callable[[native.Socket], object],
        on_hang_up: Callable[[WorkerHandle], object],
    ) -> None:
        """Start without any worker.

        Args:
            scheduler: The queue and the workers.
            unregister: Called with a control socket that will bring nothing more.
            on_hang_up: Called with a worker that sends no more valid frames.
        """
        self._scheduler = scheduler
        self._unregister = unregister
        self._on_hang_up = on_hang_up

    # The task socket.

    def receive(self, worker: WorkerHandle) -> None:
        """Read a worker's task socket once, and process what it sent."""
        frames = self._read(worker)
        if frames is None:
            self._on_hang_up(worker)
        elif frames:
            self._complete(worker, self._process(worker, frames))
            self._take_back(worker)

    def _read(self, worker: WorkerHandle) -> list[Frame] | None:
        """Read once; return None if the worker sends no more valid frames."""
        channel = worker.channel
        try:
            frames = channel.reader.read(channel.sock)
            if frames and any(frame.kind >= messages.BIG for frame in frames):
                frames = self._opened(worker, frames)
        except BlockingIOError:
            return []
        except DoesNotFitError as error:
            worker.fail_oversized(worker.tasks.get(error.id), error)
            return None
        except ProtocolError as error:
            _kill_for(worker, error)
            return None
        except OSError:
            return None
        return frames

    def _opened(self, worker: WorkerHandle, frames: list[Frame]) -> list[Frame]:
        """Deliver reports, and attach the buffers that are in segments."""
        frames = _without_reports(worker, frames)
        if not any(frame.kind & messages.BIG for frame in frames):
            return frames
        self.read_control(worker)  # the segments were sent ahead, over that socket
        return self._with_views(worker, frames)

    def _with_views(self, worker: WorkerHandle, frames: list[Frame]) -> list[Frame]:
        with_views = worker.segments.with_views
        with self._scheduler.lock:
            return [with_views(f) if f.kind & messages.BIG else f for f in frames]

    def last_frames(self, worker: WorkerHandle) -> list[Frame]:
        """After a worker's end: return the frames that were not read yet."""
        frames = _without_reports(worker, worker.channel.last_frames())
        with contextlib.suppress(ProtocolError):
            return self._with_views(worker, frames)
        return frames

    def _process(
        self, worker: WorkerHandle, frames: list[Frame]
    ) -> list[tuple[Task, Frame]]:
        """Process a worker's frames and give it more; return the tasks that ended."""
        scheduler = self._scheduler
        with scheduler.lock:
            worker.note_activity()
            ends = self.sort(worker, frames)
            if ends:
                scheduler.workers.starter.succeeded()
            scheduler.assign(worker)
            self._rebalance(worker)
            if scheduler.queue.coroutines:
                scheduler.coroutines.spread()
        return ends

    def _rebalance(self, worker: WorkerHandle) -> None:
        """If this worker or another has nothing to do, reclaim tasks for it."""
        workers = self._scheduler.workers
        if len(self._scheduler.queue):
            return
        if not worker.tasks or (workers.idle and worker.load > FILL):
            workers.reclaim_from_busiest()

    def _complete(self, worker: WorkerHandle, ends: list[tuple[Task, Frame]]) -> None:
        """Complete the tasks that have ended, without the lock."""
        scheduler = self._scheduler
        if self.finish(worker, ends):
            with scheduler.lock:
                scheduler.assign(worker)
                self._rebalance(worker)
        scheduler.deferred.run()

    def finish(self, worker: WorkerHandle, ends: list[tuple[Task, Frame]]) -> bool:
        """Complete futures; return True if rows have ended."""
        rows_ended = False
        for task, frame in ends:
            try:
                if not task.is_rows:
                    task.finish(frame)
                    continue
                rows_ended = True
                if task.advance(frame):
                    self._rows_ended(worker, task)
            except ProtocolError as error:
                _kill_for(worker, error)
            except Exception as error:  # noqa: BLE001 - it must not affect the others
                with contextlib.suppress(Exception):
                    _log.exception("the end of %s failed", task.name())
                task.abort(error)
                if task.is_rows:  # its worker waits for no further frame of it
                    self._rows_ended(worker, task)
                    rows_ended = True
        return rows_ended

    def _rows_ended(self, worker: WorkerHandle, task: Task) -> None:
        with self._scheduler.lock:
            if task.id in worker.tasks:
                worker.release(task)
        task.ended()

    def sort(
        self, worker: WorkerHandle, frames: list[Frame]
    ) -> list[tuple[Task, Frame]]:
        """Return the outcomes of tasks among frames, after acting on the others.

        The caller holds the lock.
        """
        ends: list[tuple[Task, Frame]] = []
        for frame in frames:
            try:
                task = self._task_of(worker, frame)
            except ProtocolError as error:
                _kill_for(worker, error)
                break
            if task is not None:
                ends.append((task, frame))
        return ends

    def _task_of(self, worker: WorkerHandle, frame: Frame) -> Task | None:
        """Return the task whose outcome a frame brings; None if there is none."""
        kind, task = frame.kind, worker.tasks.get(frame.id)
        if task is None or not frame.parts:
            self._on_status_frame(worker, frame)
            return None
        if kind in _CALL_ENDS and not task.is_rows:
            self._scheduler.queue.learn(task.key, frame.micros / 1e6, 1)
            worker.release(task)
            return task
        if kind in _ROW_ENDS and task.is_rows:
            return task
        if kind in _ABOUT_COROUTINES and isinstance(task, CoroutineTask):
            return self._scheduler.coroutines.on_frame(worker, task, frame)
        if kind in _STREAMED and task.is_stream:
            return task
        self._on_status_frame(worker, frame)
        return None

    def _on_status_frame(self, worker: WorkerHandle, frame: Frame) -> None:
        least, most = _PARTS.get(frame.kind, (1, 0))
        if not least <= len(frame.parts) <= most:
            msg = f"a frame of kind {frame.kind} with {len(frame.parts)} parts"
            raise ProtocolError(msg)
        is_starting = worker.stage is WorkerStage.STARTING
        task = worker.tasks.get(frame.id)
        if task is not None and frame.kind == messages.BEGAN:
            task.began(frame.extra)
        elif is_starting and frame.kind == messages.READY:
            worker.stage = WorkerStage.SERVING
        elif is_starting and frame.kind == messages.START_FAILED:
            worker.reason = messages.decode_failure(bytes(frame.parts[0]))
            self._scheduler.workers.kill_after(LEAVE_GRACE, worker)
        elif not 0 < frame.id <= self._scheduler.last_id:  # else it has ended before
            msg = f"a frame of kind {frame.kind} of a task that it does not have"
            raise ProtocolError(msg)

    # The control socket.

    def on_control(self, worker: WorkerHandle, _: int) -> None:
        """Read a worker's control socket and process what it gives back."""
        if worker.stage is not WorkerStage.GONE:
            self.read_control(worker)
            self._take_back(worker)

    def read_control(self, worker: WorkerHandle) -> None:
        """Read a worker's control socket; collect what it gives back."""
        channel = worker.channel
        try:
            while (frames := channel.control_reader.read(channel.control)) is not None:
                for frame in frames:
                    self._on_control_frame(worker, frame)
        except BlockingIOError:
            return
        except ProtocolError as error:
            _kill_for(worker, error)
        except OSError:  # it has ended
            pass
        self._unregister(channel.control)

    def _on_control_frame(self, worker: WorkerHandle, frame: Frame) -> None:
        if frame.kind == messages.SHOWN:
            with self._scheduler.lock:
                worker.shown(frame)
            return
        if frame.kind == messages.ASK:
            self._answer_question(worker, frame.id)
            return
        if frame.kind == messages.FAULT and len(frame.parts) == 1:
            worker.fault = bytes(frame.parts[0]).decode(errors="replace")
            return
        if frame.kind == messages.CLEANING:
            with self._scheduler.lock:
                self._scheduler.workers.on_cleaning(worker, begins=bool(frame.id))
            return
        if frame.kind not in _ABOUT_SEGMENTS:
            worker.answers.append(_reclaimed_in(frame))
            return
        with self._scheduler.lock:
            worker.segments.adopt(frame)
            self._scheduler.buffers.send_notices()

    def _answer_question(self, worker: WorkerHandle, question: int) -> None:
        """Send a worker what multiprocessing needs there, see `kinship`."""
        from parallelize.process.worker import kinship

        parts: list[bytes] = []
        tracker: kinship.Tracker | None = None
        try:  # without the lock: imports and starting the tracker take a while
            if question == kinship.KEY:
                parts = [kinship.key()]
            else:
                tracker = kinship.Tracker()
                tracker._descriptor()
        except Exception:  # noqa: BLE001 - no error here concerns the pool
            tracker = None  # the worker goes on without it
            _log.exception("a worker cannot have what multiprocessing needs")
        with self._scheduler.lock:
            worker.channel.notify(messages.ANSWER, question, lent=tracker, parts=parts)
            self._scheduler.workers.flush_control_later(worker)

    def _take_back(self, worker: WorkerHandle) -> None:
        """Queue again what a worker has given back."""
        scheduler = self._scheduler
        while worker.answers:
            rows_id, rows, ids = worker.answers.popleft()
            for task in list(worker.tasks.values()):  # other threads add some
                task.was_flushed()
            self.receive(worker)  # read what it sent before this answer
            with scheduler.lock:
                scheduler.take_back(worker, rows_id, rows, ids)
            scheduler.deferred.run()
            split = worker.tasks.get(rows_id)
            if split is not None and not split.left:
                self._rows_ended(worker, split)
                with scheduler.lock:
                    scheduler.assign(worker)


def _kill_for(worker: WorkerHandle, error: ProtocolError) -> None:
    """Kill a worker that sent an invalid frame: a task wrote to its socket."""
    with contextlib.suppress(Exception):
        _log.info("worker %s is killed, it sent nonsense: %s", worker.pid, error)
    worker.fault = f"what it sent is no message of a worker: {error}"
    worker.kill()


def _without_reports(worker: WorkerHandle, frames: list[Frame]) -> list[Frame]:
    """Deliver the reports, ahead of the calls' outcomes; return the other frames."""
    reports = [frame for frame in frames if frame.kind == messages.REPORT]
    if not reports:
        return frames
    logs.deliver(reports, worker.pid)
    return [frame for frame in frames if frame.kind != messages.REPORT]


def _reclaimed_in(frame: Frame) -> tuple[int, int, Sequence[int]]:
    if frame.kind != messages.RECLAIMED or len(frame.parts) != 1:
        msg = f"a frame of kind {frame.kind} over the control socket"
        raise ProtocolError(msg)
    return messages.decode_reclaimed(frame.parts[0])
