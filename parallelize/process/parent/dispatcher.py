"""The one thread of a pool that waits for workers, their exits, and deadlines.

It never polls. It blocks until a socket is ready, the nearest deadline is reached, or
another thread wakes it up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.futures.future import unended
from parallelize.process.parent import logs
from parallelize.process.parent.deadlines import TICK
from parallelize.process.parent.tasks.call import CallTask
from parallelize.process.parent.tasks.coroutine import CoroutineTask
from parallelize.process.parent.tasks.rows import RowsTask
from parallelize.process.parent.tasks.worker_handle import WorkerStage, exit_code
from parallelize.process.parent.workers import LEAVE_GRACE
from parallelize.process.start.launcher import EXITED, HALTED, KILL, REFUSED, STARTED
from parallelize.process.wire import messages
from parallelize.process.wire.frames import MOST_PARTS, DoesNotFitError, ProtocolError
from parallelize.process.wire.journal import TASK
from parallelize.process.wire.spin import SPIN_LIMIT, AdaptiveSpin
from parallelize.process.worker import kinship
from parallelize.runtime import command, native, raised
from parallelize.runtime.clock import bounded, monotonic
from parallelize.runtime.services import Service

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future as AnyFuture

    from parallelize.futures.future import Future
    from parallelize.process.parent.pool import Pool
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.process.start.launcher import Event, Launcher
    from parallelize.process.wire.frames import Frame

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


class Dispatcher:
    """Reads the frames of one pool's workers and acts on them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._scheduler = pool.scheduler
        self._service = Service("parallelize-dispatcher", self._run, self._refuse_wait)
        self._has_failed = False
        self._selector = selectors.DefaultSelector()
        try:
            self._bell, self._ring = native.socket_pair()
        except BaseException:  # no descriptor is left
            self._selector.close()
            raise
        self._bell.setblocking(False)
        self._ring.setblocking(False)
        self._rung = False
        self._wait = AdaptiveSpin()
        self._known: set[int] = set()  # ids of workers in the selector
        self._writing: set[int] = set()  # ids of workers whose sockets are full
        self._launcher: Launcher | None = None  # the one in the selector
        self._selector.register(self._bell, selectors.EVENT_READ, self._bell_rang)

    def start(self) -> None:
        """Start the thread."""
        self._service.start()

    def join(self) -> None:
        """Wait for the thread to end, unless this is the thread."""
        self._service.join()

    def is_here(self) -> bool:
        """Whether this is the dispatcher's thread."""
        return self._service.is_here()

    def wake(self) -> None:
        """Make the thread check the pool; the caller holds the pool's lock."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(OSError):  # full, so it wakes up anyway; or closed
                self._ring.send(b"!")

    def ring(self) -> None:
        """Make the thread check the pool. Needs no lock; callable from finalizers."""
        with contextlib.suppress(OSError):
            self._ring.send(b"!")

    def forget(self) -> None:
        """In a forked child: close its descriptors."""
        self._service.forget()
        self._bell.close()
        self._ring.close()
        self._selector.close()

    # The loop.

    def _run(self, service: Service) -> None:
        try:
            is_end = service.serve(self._turn)
        except BaseException:  # noqa: BLE001 - no caller may be left waiting
            with contextlib.suppress(Exception):
                _log.exception("the dispatcher of a process pool failed")
            self._has_failed = True
            self._fail_everything()
            is_end = service.call_back()
        if is_end:
            self._close()

    def _turn(self) -> bool:
        """Wait for events and handle them; return False at the end of the pool."""
        if self._has_failed or self._pool.try_finish():
            return False
        for key, mask in self._events():
            key.data(mask)
        self._do_what_is_due()
        return True

    def _refuse_wait(self, futures: Iterable[AnyFuture[Any]]) -> None:
        """Raise RuntimeError if this thread would complete these futures itself."""
        sought = unended(futures)
        if any(map(self._brings, sought)) or self._has_any(sought):
            msg = (
                "the thread that brings the results of a process pool cannot wait for "
                "a call of that pool, it would wait for ever. Log handlers, "
                "showwarning, __del__ and what unpickles an error may run in it: let "
                "them hand over to another thread. (Done-callbacks may wait.)"
            )
            raise RuntimeError(msg)

    def _brings(self, future: Future[Any]) -> bool:
        call = future._call
        return isinstance(call, CallTask) and call.pool is self._pool

    def _has_any(self, futures: Iterable[Future[Any]]) -> bool:
        """Return whether any of these futures belongs to a call of this pool."""
        sought = {id(each) for each in futures}
        if not sought:
            return False
        scheduler = self._scheduler
        with scheduler.lock:
            tasks = [*scheduler.held, *scheduler.queue, *scheduler.workers.tasks()]
        return any(id(each) in sought for task in tasks for each in task.futures())

    def _events(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, spinning at first if that is likely to help."""
        seconds = self._seconds_left()
        events = None
        if seconds is None or seconds > SPIN_LIMIT:
            events = self._wait.spin(lambda: self._selector.select(0))
        if events is None:
            events = self._selector.select(seconds)
        self._wait.done()
        return events

    def _seconds_left(self) -> float | None:
        """Return the seconds until something is due; None if nothing is."""
        scheduler = self._scheduler
        with scheduler.lock:
            moments = [
                at for w in scheduler.workers.values() if (at := w.reclaim_due())
            ]
            if (nearest := scheduler.deadlines.nearest()) is not None:
                moments.append(nearest)
        return bounded(min(moments) - monotonic()) if moments else None

    def _do_what_is_due(self) -> None:
        now = monotonic() + TICK
        with self._scheduler.lock:
            self._scheduler.deadlines.do_what_is_due(now)
            for worker in self._scheduler.workers.values():
                reclaim_due = worker.reclaim_due()
                if reclaim_due is not None and reclaim_due <= now:
                    worker.reclaim()
        self._scheduler.run_deferred()

    def _bell_rang(self, _: int) -> None:
        with self._scheduler.lock:
            self._rung = False
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(64)
            self._scheduler.flush_segment_notices()
            self._scheduler.streams.flush_credit()
            self._register()
            self._scheduler.assign_idle()  # Ctrl-C may have kept a caller from doing it

    def _register(self) -> None:
        """Add to the selector what is new: a server, workers, full sockets."""
        starter = self._scheduler.workers.starter
        for lost in starter.lost_launchers:
            self._server_lost(lost)
        starter.lost_launchers.clear()
        launcher = starter.launcher
        if launcher is not None and launcher is not self._launcher:
            self._launcher = launcher
            self._selector.register(
                launcher,
                selectors.EVENT_READ,
                partial(self._server_spoke, launcher),
            )
        for worker in self._scheduler.workers.values():
            if worker.id not in self._known:
                self._known.add(worker.id)
                ready, answer = (
                    partial(self._ready, worker),
                    partial(self._answer, worker),
                )
                channel = worker.channel
                self._selector.register(channel.sock, selectors.EVENT_READ, ready)
                self._selector.register(channel.control, selectors.EVENT_READ, answer)
            self._wait_for_room(worker)

    def _unregister(self, source: socket.socket | Launcher) -> None:
        with contextlib.suppress(KeyError, ValueError):  # not registered, or closed
            self._selector.unregister(source)

    def _wait_for_room(self, worker: WorkerHandle) -> None:
        channel = worker.channel
        if channel.stuck == (worker.id in self._writing):
            return
        events = selectors.EVENT_READ
        if channel.stuck:
            events |= selectors.EVENT_WRITE
            self._writing.add(worker.id)
        else:
            self._writing.discard(worker.id)
        with contextlib.suppress(KeyError):  # the worker has closed its end
            self._selector.modify(channel.sock, events, partial(self._ready, worker))

    # Frames from workers.

    def _ready(self, worker: WorkerHandle, mask: int) -> None:
        if (
            worker.stage is WorkerStage.GONE
        ):  # its exit was an earlier event of this turn
            return
        if mask & selectors.EVENT_WRITE:
            with self._scheduler.lock:
                worker.channel.flush()
                self._wait_for_room(worker)
        if mask & selectors.EVENT_READ:
            self._hear(worker)

    def _hear(self, worker: WorkerHandle) -> None:
        frames = self._frames_of(worker)
        if frames is None:
            self._lost(worker)
        elif frames:
            self._absorb(worker, self._taken(worker, frames))
            self._take_answers(worker)

    def _frames_of(self, worker: WorkerHandle) -> list[Frame] | None:
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
            self._on_protocol_error(worker, error)
            return None
        except OSError:
            return None
        return frames

    def _opened(self, worker: WorkerHandle, frames: list[Frame]) -> list[Frame]:
        """Deliver reports, and attach the buffers that are in segments."""
        frames = _without_reports(worker, frames)
        if not any(frame.kind & messages.BIG for frame in frames):
            return frames
        self._read_control(worker)  # the segments were sent ahead, over that socket
        return self._with_views(worker, frames)

    def _with_views(self, worker: WorkerHandle, frames: list[Frame]) -> list[Frame]:
        with_views = worker.segments.with_views
        with self._scheduler.lock:
            return [with_views(f) if f.kind & messages.BIG else f for f in frames]

    def _lost(self, worker: WorkerHandle) -> None:
        """Handle the end of a worker's socket: it has ended, or is unusable."""
        self._unregister(worker.channel.sock)
        if not worker.supervised:
            self._on_worker_exit(worker, None)
        elif worker.stage is not WorkerStage.LEAVING:
            worker.signal(KILL)

    def _absorb(self, worker: WorkerHandle, ends: list[tuple[Task, Frame]]) -> None:
        """Complete the tasks that have ended, without the lock."""
        scheduler = self._scheduler
        if self._end(worker, ends):
            with scheduler.lock:
                scheduler.assign(worker)
                self._share(worker)
        scheduler.run_deferred()

    def _taken(
        self, worker: WorkerHandle, frames: list[Frame]
    ) -> list[tuple[Task, Frame]]:
        """Process a worker's frames and give it more; return the tasks that ended."""
        scheduler = self._scheduler
        with scheduler.lock:
            worker.note_activity()
            ends = self._sort(worker, frames)
            if ends:
                scheduler.workers.starter.succeeded()
            scheduler.assign(worker)
            self._share(worker)
            if scheduler.queue.coroutines:
                scheduler.coroutines.spread()
        return ends

    def _end(self, worker: WorkerHandle, ends: list[tuple[Task, Frame]]) -> bool:
        """Complete futures; return True if a task of rows has ended."""
        rows_ended = False
        for task, frame in ends:
            try:
                if not task.is_rows:
                    task.finish(frame)
                elif isinstance(task, RowsTask) and task.advance(frame):
                    self._rows_ended(worker, task)
                    rows_ended = True
            except ProtocolError as error:
                self._on_protocol_error(worker, error)
            except Exception as error:  # noqa: BLE001 - it must not affect the others
                with contextlib.suppress(Exception):
                    _log.exception("the end of %s failed", task.name())
                task.abort(error)
        return rows_ended

    def _on_protocol_error(self, worker: WorkerHandle, error: ProtocolError) -> None:
        """Kill a worker that sent an invalid frame: a task wrote to its socket."""
        with contextlib.suppress(Exception):
            _log.info("worker %s is killed, it sent nonsense: %s", worker.pid, error)
        worker.fault = f"what it sent is no message of a worker: {error}"
        worker.kill()

    def _sort(
        self, worker: WorkerHandle, frames: list[Frame]
    ) -> list[tuple[Task, Frame]]:
        ends: list[tuple[Task, Frame]] = []
        for frame in frames:
            try:
                task = self._task_of(worker, frame)
            except ProtocolError as error:
                self._on_protocol_error(worker, error)
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
        task = worker.tasks.get(frame.id)
        if task is not None and frame.kind == messages.BEGAN:
            task.began(frame.extra)
        elif worker.stage is WorkerStage.STARTING and frame.kind == messages.READY:
            worker.stage = WorkerStage.SERVING
        elif (
            worker.stage is WorkerStage.STARTING and frame.kind == messages.START_FAILED
        ):
            worker.reason = messages.decode_failure(bytes(frame.parts[0]))
            self._scheduler.workers.kill_after(LEAVE_GRACE, worker)
        elif not 0 < frame.id <= self._scheduler.last_id:  # else it has ended before
            msg = f"a frame of kind {frame.kind} of a task that it does not have"
            raise ProtocolError(msg)

    def _rows_ended(self, worker: WorkerHandle, task: Task) -> None:
        with self._scheduler.lock:
            if task.id in worker.tasks:
                worker.release(task)
        task.ended()

    def _share(self, worker: WorkerHandle) -> None:
        """If a worker has nothing to do, reclaim tasks from another one."""
        if not worker.tasks and not len(self._scheduler.queue):
            self._scheduler.workers.reclaim_from_busiest()

    def _answer(self, worker: WorkerHandle, _: int) -> None:
        """Read a worker's control socket and process what it gives back."""
        if worker.stage is WorkerStage.GONE:
            return
        self._read_control(worker)
        self._take_answers(worker)

    def _read_control(self, worker: WorkerHandle) -> None:
        channel = worker.channel
        try:
            while (frames := channel.control_reader.read(channel.control)) is not None:
                for frame in frames:
                    self._told(worker, frame)
        except BlockingIOError:
            return
        except ProtocolError as error:
            self._on_protocol_error(worker, error)
        except OSError:  # it has ended
            pass
        self._unregister(channel.control)

    def _told(self, worker: WorkerHandle, frame: Frame) -> None:
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
        if frame.kind not in _ABOUT_SEGMENTS:
            worker.answers.append(_given_back_in(frame))
            return
        with self._scheduler.lock:
            worker.segments.adopt(frame)
            self._scheduler.flush_segment_notices()

    def _answer_question(self, worker: WorkerHandle, question: int) -> None:
        """Send a worker what multiprocessing needs there, see `kinship`."""
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

    def _take_answers(self, worker: WorkerHandle) -> None:
        while worker.answers:
            self._given_back(worker, *worker.answers.popleft())

    def _given_back(
        self, worker: WorkerHandle, rows_id: int, rows: int, ids: Sequence[int]
    ) -> None:
        scheduler = self._scheduler
        for task in worker.tasks.values():
            task.was_flushed()
        self._hear(worker)  # read what it sent before this answer
        with scheduler.lock:
            scheduler.take_back(worker, rows_id, rows, ids)
        scheduler.run_deferred()
        split = worker.tasks.get(rows_id)
        if split is not None and not split.left:
            self._rows_ended(worker, split)
            with scheduler.lock:
                scheduler.assign(worker)

    # Events from the server.

    def _server_spoke(self, launcher: Launcher, _: int) -> None:
        try:
            events = launcher.events()
        except BlockingIOError:
            return
        except OSError:
            events = None
        if events is None:
            self._server_lost(launcher)
            return
        for event in events:
            self._happened(event)

    def _happened(self, event: Event) -> None:
        with self._scheduler.lock:  # it may just be being added to the table
            worker = self._scheduler.workers.get(event.id)
        if worker is None:
            return
        if event.kind == STARTED:
            worker.pid = event.value
        elif event.kind == HALTED:
            with self._scheduler.lock:
                worker.halted()
        elif event.kind == EXITED:
            self._on_worker_exit(worker, event.value)
        elif event.kind == REFUSED:
            worker.reason = OSError(event.value, os.strerror(event.value))
            self._on_worker_exit(worker, None)

    def _server_lost(self, launcher: Launcher) -> None:
        """Handle the end of a server, which was killed: the next worker gets a new one.

        Its workers are orphans from now on.
        """
        scheduler = self._scheduler
        if launcher is self._launcher:
            self._unregister(launcher)
            self._launcher = None
        with scheduler.lock:
            workers = scheduler.workers.orphaned_by(launcher)
        launcher.close()
        for worker in workers:
            if worker.orphan():
                worker.reason = _without_server(self._pool.settings.method)
                self._on_worker_exit(worker, None)

    # The end of a worker.

    def _on_worker_exit(self, worker: WorkerHandle, status: int | None) -> None:
        """Handle a worker's exit: settle its running task, requeue the others."""
        scheduler = self._scheduler
        for sock in (worker.channel.sock, worker.channel.control):
            self._unregister(sock)
        self._read_control(worker)
        frames = self._last_frames(worker)
        with scheduler.lock:
            ends = self._sort(worker, frames)
            last_stage, worker.stage = worker.stage, WorkerStage.GONE
            scheduler.workers.remove(worker)
            self._known.discard(worker.id)
            self._writing.discard(worker.id)
        self._end(worker, ends)
        blamed = self._settle(worker, status)
        has_run = worker.channel.page.words[TASK]
        useless = last_stage is WorkerStage.STARTING or not has_run
        worker.close()
        if last_stage is WorkerStage.SERVING and not blamed and not worker.was_killed:
            _log_death(worker, status)
        with scheduler.lock:
            # A worker that began no call counts as a failed start, even after READY.
            if useless and last_stage is not WorkerStage.LEAVING:
                starting = last_stage is WorkerStage.STARTING
                initializing = starting and self._initializes(worker)
                reason = _reason(worker, status)
                self._pool.start_failed(reason, initializing=initializing)
            scheduler.assign_idle()
        scheduler.run_deferred()

    def _initializes(self, worker: WorkerHandle) -> bool:
        """Return whether a worker that has not served may have run the initializer."""
        return self._pool.settings.initializer is not None and worker.pid is not None

    def _last_frames(self, worker: WorkerHandle) -> list[Frame]:
        frames = _without_reports(worker, worker.channel.last_frames())
        with contextlib.suppress(ProtocolError):
            return self._with_views(worker, frames)
        return frames

    def _settle(self, worker: WorkerHandle, status: int | None) -> bool:
        """Fail the running call, requeue the rest; return True if one was running."""
        running = worker.channel.page.words[TASK]
        if running > self._scheduler.last_id:  # the task has overwritten the page
            running = next(iter(worker.tasks), 0)
        blamed = False
        rest: list[Task] = []
        for id, task in list(worker.tasks.items()):
            with self._scheduler.lock:
                worker.release(task)
            if id == running or task.has_begun:
                blamed = self._settle_running(worker, task, status)
                if isinstance(task, CallTask):
                    continue
            if isinstance(task, RowsTask) and task.done >= task.size:
                task.ended()
            else:
                rest.append(task)
        with self._scheduler.lock:
            self._scheduler.requeue(rest)
        return blamed

    def _settle_running(
        self, worker: WorkerHandle, task: Task, status: int | None
    ) -> bool:
        if isinstance(task, RowsTask):
            page = worker.channel.page
            task.recover(*page.journal())
            row = page.running()
            return task.fail_running_row(
                row, worker.error_for(task.call_at(row), status)
            )
        error = worker.error_for(task, status)
        if task.may_retry(error):
            self._scheduler.retry(task)
        else:
            task.abort(error)
        return True

    # The end.

    def _fail_everything(self) -> None:
        scheduler = self._scheduler
        with scheduler.lock:
            tasks = [*scheduler.take_waiting(), *scheduler.workers.tasks()]
            for worker in scheduler.workers.values():
                worker.kill()
                worker.close()
            scheduler.workers.clear()
        for task in tasks:
            task.abort(RuntimeError("the process pool failed; see the log"))

    def _close(self) -> None:
        self._pool.closed()
        self.forget()


def _without_reports(worker: WorkerHandle, frames: list[Frame]) -> list[Frame]:
    """Deliver the reports, ahead of the calls' outcomes; return the other frames."""
    reports = [frame for frame in frames if frame.kind == messages.REPORT]
    if not reports:
        return frames
    logs.deliver(reports, worker.pid)
    return [frame for frame in frames if frame.kind != messages.REPORT]


def _given_back_in(frame: Frame) -> tuple[int, int, Sequence[int]]:
    if frame.kind != messages.RECLAIMED or len(frame.parts) != 1:
        msg = f"a frame of kind {frame.kind} over the control socket"
        raise ProtocolError(msg)
    return messages.decode_given_back(frame.parts[0])


def _log_death(worker: WorkerHandle, status: int | None) -> None:
    from parallelize.errors.worker import end_text

    text = "worker %s died while it ran no call, another takes its place: %s"
    with contextlib.suppress(Exception):  # of a log handler, or a test's clock
        _log.warning(text, worker.pid, end_text(exit_code(status), worker.fault))


def _without_server(method: str) -> ChildProcessError:
    program = "a fork of the program" if method == "fork" else command.executable()
    return ChildProcessError(f"the process that was to start it, {program}, has ended")


def _reason(worker: WorkerHandle, status: int | None) -> str:
    if worker.reason is not None:
        return raised.summary_of(worker.reason)
    if worker.fault is not None:
        return f"it ended by an error of its own:\n{worker.fault}"
    code = exit_code(status)
    if code is None:
        return "it was gone at once"
    return f"it ended while it started, with exit code {code}"
