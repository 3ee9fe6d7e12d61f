"""The one thread of a pool that waits: on workers, their ends, and deadlines.

It never polls. It sleeps until a socket has something to say, or until the
nearest moment at which something is due, or until somebody rings the bell.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import pickle
import selectors
import socket
import threading
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from parallelize.futures import Failure
from parallelize.process import messages
from parallelize.process.launch import EXITED, HALTED, REFUSED, STARTED
from parallelize.process.page import BEGUN, NO_ROW, ROW, TASK
from parallelize.process.tasks import CallTask, RowsTask
from parallelize.process.transport import ProtocolError
from parallelize.process.workers import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.process.launch import Event, Launcher
    from parallelize.process.pool import Pool
    from parallelize.process.tasks import Task
    from parallelize.process.transport import Frame
    from parallelize.process.workers import Worker

_log = logging.getLogger("parallelize")

#: A deadline this many seconds ahead counts as reached: timers are no finer.
_TICK = 0.001

#: Seconds in which a worker has usually given back what it was asked for.
_GIVING_BACK = 0.005

_CALL_ENDS = frozenset((messages.DONE, messages.FAILED))
_ROW_ENDS = frozenset((messages.BLOCK, messages.ROW_DONE, messages.ROW_FAILED))


class Dispatcher:
    """Hears the workers of one pool and acts on what they say."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._thread = threading.Thread(
            target=self._run, name="parallelize-dispatcher", daemon=True
        )
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._ring.setblocking(False)
        self._rung = False
        self._due: list[tuple[float, int, Callable[[], object]]] = []  # a heap
        self._count = itertools.count()
        self._known: set[int] = set()  # ids of workers in the selector
        self._writing: set[int] = set()  # ids of those waited for to take more
        self._launcher_fd: int | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ, self._bell_rang)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread to end, unless this is the thread."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def wake(self) -> None:
        """Have the thread look at the pool; the caller holds the pool's lock."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(OSError):  # full: it wakes anyway; or closed
                self._ring.send(b"!")

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something later, in the thread; the caller holds the pool's lock."""
        self._at(monotonic() + seconds, action)

    def forget(self) -> None:
        """In a forked child: close our copies."""
        self._bell.close()
        self._ring.close()
        self._selector.close()

    def _at(self, when: float, action: Callable[[], object]) -> None:
        first = not self._due or when < self._due[0][0]
        heapq.heappush(self._due, (when, next(self._count), action))
        if first and self._thread is not threading.current_thread():
            self.wake()

    # The loop.

    def _run(self) -> None:
        try:
            while not self._pool.may_end():
                for key, mask in self._selector.select(self._patience()):
                    key.data(mask)
                self._do_what_is_due()
        except BaseException:  # noqa: BLE001 - nobody may be left waiting
            _log.exception("the dispatcher of a process pool failed")
            self._fail_everything()
        finally:
            self._close()

    def _patience(self) -> float | None:
        """Seconds until something is due; None if nothing is."""
        with self._pool.lock:
            moments = [at for w in self._pool.workers.values() if (at := w.silent_at())]
            if self._due:
                moments.append(self._due[0][0])
        return max(min(moments) - monotonic(), 0) if moments else None

    def _do_what_is_due(self) -> None:
        now = monotonic() + _TICK
        with self._pool.lock:
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            for worker in self._pool.workers.values():
                silent_at = worker.silent_at()
                if silent_at is not None and silent_at <= now:
                    worker.ask_back()

    def _bell_rang(self, _: int) -> None:
        with self._pool.lock:
            self._rung = False
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(64)
            self._register()

    def _register(self) -> None:
        """Wait on what is new: a server, workers, sockets that took too little."""
        for lost in self._pool.lost_launchers:
            self._server_lost(lost)
        self._pool.lost_launchers.clear()
        launcher = self._pool.launcher
        if launcher is not None and launcher.fileno() != self._launcher_fd:
            self._launcher_fd = launcher.fileno()
            self._selector.register(
                self._launcher_fd,
                selectors.EVENT_READ,
                partial(self._server_spoke, launcher),
            )
        for worker in self._pool.workers.values():
            if worker.id not in self._known:
                self._known.add(worker.id)
                self._selector.register(
                    worker.sock, selectors.EVENT_READ, partial(self._ready, worker)
                )
                self._selector.register(
                    worker.control, selectors.EVENT_READ, partial(self._answer, worker)
                )
            self._wait_for_room(worker)

    def _unregister(self, source: socket.socket | Launcher) -> None:
        with contextlib.suppress(KeyError, ValueError):  # it was before; it is closed
            self._selector.unregister(source)

    def _wait_for_room(self, worker: Worker) -> None:
        if worker.stuck == (worker.id in self._writing):
            return
        events = selectors.EVENT_READ
        if worker.stuck:
            events |= selectors.EVENT_WRITE
            self._writing.add(worker.id)
        else:
            self._writing.discard(worker.id)
        with contextlib.suppress(KeyError):  # the worker closed its end
            self._selector.modify(worker.sock, events, partial(self._ready, worker))

    # What workers say.

    def _ready(self, worker: Worker, mask: int) -> None:
        if worker.stage is Stage.GONE:  # buried by an event that came before
            return
        if mask & selectors.EVENT_WRITE:
            with self._pool.lock:
                worker.flush()
                self._wait_for_room(worker)
        if mask & selectors.EVENT_READ:
            self._hear(worker)

    def _hear(self, worker: Worker) -> None:
        try:
            frames = worker.reader.read(worker.sock)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            frames = None
        if frames is None:
            self._lost(worker)
        elif frames:
            self._absorb(worker, frames)

    def _lost(self, worker: Worker) -> None:
        """A worker's socket is closed: it has ended, or is of no use."""
        self._unregister(worker.sock)
        if not worker.supervised:
            self._bury(worker, None)
        elif worker.stage is not Stage.LEAVING:
            worker.kill()

    def _absorb(self, worker: Worker, frames: list[Frame]) -> None:
        """Take what a worker sent; futures are settled outside the lock."""
        pool = self._pool
        with pool.lock:
            worker.heard()
            ends = self._sort(worker, frames)
            pool.feed(worker)
            self._share(worker)
        rows_ended = False
        for task, frame in ends:
            if isinstance(task, CallTask):
                task.finish(frame)
            elif isinstance(task, RowsTask) and task.advance(frame):
                self._rows_ended(worker, task)
                rows_ended = True
        if rows_ended:
            with pool.lock:
                pool.feed(worker)
                self._share(worker)

    def _sort(self, worker: Worker, frames: list[Frame]) -> list[tuple[Task, Frame]]:
        ends: list[tuple[Task, Frame]] = []
        for frame in frames:
            task = worker.tasks.get(frame.id)
            if task is not None and frame.kind in _CALL_ENDS:
                self._pool.queue.learn(task.key, frame.micros / 1e6, 1)
                worker.release(task)
                ends.append((task, frame))
            elif task is not None and frame.kind in _ROW_ENDS:
                ends.append((task, frame))
            elif frame.kind == messages.READY:
                self._worker_ready(worker)
            elif frame.kind == messages.START_FAILED:
                worker.reason = messages.decode_failure(bytes(frame.parts[0]))
            elif frame.kind != messages.BLOCK or frame.id != worker.last_rows:
                worker.kill()  # it speaks of a task that it does not have
        return ends

    def _worker_ready(self, worker: Worker) -> None:
        if worker.stage is Stage.STARTING:
            worker.stage = Stage.SERVING
            self._pool.start_failures = 0

    def _rows_ended(self, worker: Worker, task: RowsTask) -> None:
        with self._pool.lock:
            if task.id in worker.tasks:
                worker.release(task)
                worker.last_rows = task.id
        task.ended()

    def _share(self, worker: Worker) -> None:
        """If a worker has nothing to do, ask the fullest one to give some back."""
        if worker.tasks or len(self._pool.queue):
            return
        others = [w for w in self._pool.workers.values() if w.silent_at() is not None]
        if others:
            max(others, key=lambda each: each.load).ask_back()

    def _answer(self, worker: Worker, _: int) -> None:
        """A worker gives back what it has not begun."""
        if worker.stage is Stage.GONE:
            return
        try:
            frames = worker.control_reader.read(worker.control)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            frames = None
        if frames is None:
            self._unregister(worker.control)
            return
        for frame in frames:
            self._given_back(worker, *pickle.loads(frame.parts[0]))

    def _given_back(
        self, worker: Worker, ids: list[int], rows: tuple[int, int]
    ) -> None:
        pool = self._pool
        self._hear(worker)  # what it sent before it answered
        with pool.lock:
            returned = [worker.tasks[id] for id in reversed(ids) if id in worker.tasks]
            for task in returned:
                worker.release(task)
                worker.begun -= task.size
            split = worker.tasks.get(rows[0])
            if isinstance(split, RowsTask):
                worker.begun -= rows[1]
                pool.split_off(split, rows[1])
            pool.queue.put_back((t, isinstance(t, RowsTask)) for t in returned)
            pool.feed_idle()
            pool.feed(worker)
        if isinstance(split, RowsTask) and split.done >= split.size:
            self._rows_ended(worker, split)
            with pool.lock:
                pool.feed(worker)

    # What the server says.

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
        worker = self._pool.workers.get(event.id)
        if worker is None:
            return
        if event.kind == STARTED:
            worker.pid = event.value
        elif event.kind == HALTED:
            with self._pool.lock:
                worker.halted()
        elif event.kind == EXITED:
            self._bury(worker, event.value)
        elif event.kind == REFUSED:
            worker.reason = OSError(event.value, os.strerror(event.value))
            self._bury(worker, None)

    def _server_lost(self, launcher: Launcher) -> None:
        """The server was killed: the next worker gets a new one."""
        pool = self._pool
        self._unregister(launcher)
        with pool.lock:
            if pool.launcher is launcher:
                pool.launcher = None
            workers = [w for w in pool.workers.values() if w.is_from(launcher)]
        self._launcher_fd = None
        launcher.close()
        for worker in workers:
            if worker.orphan():
                self._bury(worker, None)

    # The end of a worker.

    def _bury(self, worker: Worker, status: int | None) -> None:
        """A worker has ended: settle what it ran, hand on what it had not begun."""
        pool = self._pool
        for sock in (worker.sock, worker.control):
            self._unregister(sock)
        failed_to_start = worker.stage is Stage.STARTING
        with pool.lock:
            del pool.workers[worker.id]
            self._known.discard(worker.id)
            self._writing.discard(worker.id)
            if worker in pool.idle:
                pool.idle.remove(worker)
            worker.stage = Stage.GONE
        self._absorb(worker, worker.last_frames())
        self._settle(worker, status)
        worker.close()
        with pool.lock:
            if failed_to_start:
                pool.start_failed(_reason(worker, status))
            pool.feed_idle()

    def _settle(self, worker: Worker, status: int | None) -> None:
        rest: list[Task] = []
        running = worker.page.words[TASK]
        for task in list(worker.tasks.values()):
            worker.release(task)
            if isinstance(task, RowsTask):
                if running == task.id:
                    self._settle_rows(worker, task, status)
                if task.done >= task.size:
                    task.ended()
                    continue
            elif isinstance(task, CallTask) and running == task.id:
                self._settle_call(worker, task, status)
                continue
            rest.append(task)
        with self._pool.lock:
            self._pool.queue.put_back((t, isinstance(t, RowsTask)) for t in rest)

    def _settle_call(self, worker: Worker, task: CallTask, status: int | None) -> None:
        error = worker.error_for(task, status)
        if task.may_retry(error):
            self._pool.retry(task)
        else:
            task.abort(error)

    def _settle_rows(self, worker: Worker, task: RowsTask, status: int | None) -> None:
        task.recover(*worker.page.journal())
        row = worker.page.words[ROW]
        if row != NO_ROW:
            task.condemn(row, worker.error_for(task, status))

    # Deadlines; the caller holds the pool's lock.

    def watch(self, worker: Worker, task: Task, timeout: float) -> None:
        """Kill the worker when a call of the task has run for ``timeout`` seconds."""
        check = partial(self._check, worker, task, timeout)
        self._at(monotonic() + timeout, check)

    def _check(self, worker: Worker, task: Task, timeout: float) -> None:
        from parallelize.errors import TaskTimeout

        if worker.tasks.get(task.id) is not task:
            return
        now = monotonic()
        begun = now
        if worker.page.words[TASK] == task.id and worker.page.words[ROW] != NO_ROW:
            begun = worker.page.words[BEGUN] / 1e9
        if begun + timeout > now + _TICK:
            self._at(begun + timeout, partial(self._check, worker, task, timeout))
            return
        worker.kill_for(task, lambda: TaskTimeout(task.name(), timeout))

    def kill_call(self, task: CallTask, error: Callable[[], BaseException]) -> None:
        """Kill the worker if it runs the task; take the task from it otherwise."""
        worker = task.worker
        if worker is None:  # it has ended, or it was given back
            return
        if worker.page.words[TASK] == task.id:
            worker.kill_for(task, error)
            return
        task.future.set_outcome(Failure(error()), failed=True)
        worker.ask_back()
        # It may be on the point of beginning: look again.
        self.after(_GIVING_BACK, partial(self.kill_call, task, error))

    def watch_idleness(self, worker: Worker, timeout: float) -> None:
        """Let the worker go when it has had nothing to do for ``timeout`` seconds."""
        first = not worker.idle_since
        worker.idle_since = monotonic()
        if first:
            self.after(timeout, partial(self._check_idleness, worker, timeout))

    def _check_idleness(self, worker: Worker, timeout: float) -> None:
        if worker not in self._pool.idle:
            worker.idle_since = 0.0
            return
        left = worker.idle_since + timeout - monotonic()
        if left > _TICK:
            self.after(left, partial(self._check_idleness, worker, timeout))
            return
        self._pool.let_go(worker)

    # The end.

    def _fail_everything(self) -> None:
        pool = self._pool
        with pool.lock:
            tasks = pool._take_waiting()
            for worker in pool.workers.values():
                tasks += worker.tasks.values()
                worker.kill()
                worker.close()
            pool.workers.clear()
        for task in tasks:
            task.abort(RuntimeError("the process pool failed; see the log"))

    def _close(self) -> None:
        self._pool.closed()
        self.forget()


def _reason(worker: Worker, status: int | None) -> str:
    if worker.reason is not None:
        return f"{type(worker.reason).__name__}: {messages.text_of(worker.reason)}"
    if status is None:
        return "it was gone at once"
    code = os.waitstatus_to_exitcode(status)
    return f"it ended while it started, with exit code {code}"
