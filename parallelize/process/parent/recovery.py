"""What a pool does when a worker or its server has ended.

The server reports the exit of a worker. What the worker had sent, or left in its page,
is processed first. Then the call that it was running fails or is retried, and all
others are queued again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
from functools import partial

from parallelize.process.parent.tasks.worker_handle import WorkerStage, exit_code
from parallelize.process.start.launcher import EXITED, HALTED, KILL, REFUSED, STARTED
from parallelize.process.wire import command
from parallelize.process.wire.journal import TASK
from parallelize.runtime import raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parallelize.process.parent.life import PoolLife
    from parallelize.process.parent.receiver import Receiver
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.process.start.launcher import Event, Launcher
    from parallelize.runtime import native

_log = logging.getLogger("parallelize")


class Recovery:
    """Handles the ends of one pool's workers and servers, in the dispatcher's thread.

    The caller of each method does not hold the pool's lock, except for `watch_servers`.
    """

    def __init__(
        self, pool: PoolLife, receiver: Receiver, selector: selectors.BaseSelector
    ) -> None:
        self._pool = pool
        self._scheduler = pool.scheduler
        self._receiver = receiver
        self._selector = selector
        self._launcher: Launcher | None = None  # the one in the selector

    # Servers.

    def watch_servers(self) -> None:
        """Add a new server to the selector, and close unusable ones."""
        starter = self._scheduler.workers.starter
        for lost in starter.lost_launchers:
            self._on_server_end(lost)
        starter.lost_launchers.clear()
        launcher = starter.launcher
        if launcher is not None and launcher is not self._launcher:
            self._launcher = launcher
            on_events = partial(self._on_events, launcher)
            self._selector.register(launcher, selectors.EVENT_READ, on_events)

    def _on_events(self, launcher: Launcher, _: int) -> None:
        try:
            events = launcher.events()
        except BlockingIOError:
            return
        except OSError:
            events = None
        if events is None:
            self._on_server_end(launcher)
            return
        for event in events:
            self._on_event(event)

    def _on_event(self, event: Event) -> None:
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
            self._on_exit(worker, event.value)
        elif event.kind == REFUSED:
            worker.reason = OSError(event.value, os.strerror(event.value))
            self._on_exit(worker, None)

    def _on_server_end(self, launcher: Launcher) -> None:
        """Handle the end of a server, which was killed: the next worker gets a new one.

        Its workers are orphans from now on.
        """
        if launcher is self._launcher:
            unregister(self._selector, launcher)
            self._launcher = None
        with self._scheduler.lock:
            workers = self._scheduler.workers.orphaned_by(launcher)
        launcher.close()
        for worker in workers:
            if worker.orphan():
                worker.reason = _without_server(self._pool.settings.method)
                self._on_exit(worker, None)
            elif worker.has_hung_up:  # its server would have reported the exit
                self._on_exit(worker, None)

    # Workers.

    def on_hang_up(self, worker: WorkerHandle) -> None:
        """Handle the end of a worker's socket: it has ended, or is unusable."""
        unregister(self._selector, worker.channel.sock)
        worker.has_hung_up = True
        if not worker.supervised:
            self._on_exit(worker, None)
        elif worker.stage is not WorkerStage.LEAVING:
            worker.signal(KILL)

    def _on_exit(self, worker: WorkerHandle, status: int | None) -> None:
        """Handle a worker's exit: settle its running task, requeue the others."""
        scheduler, receiver = self._scheduler, self._receiver
        for sock in (worker.channel.sock, worker.channel.control):
            unregister(self._selector, sock)
        receiver.read_control(worker)
        frames = receiver.last_frames(worker)
        with scheduler.lock:
            ends = receiver.sort(worker, frames)
            last_stage, worker.stage = worker.stage, WorkerStage.GONE
            scheduler.workers.remove(worker)
            if last_stage is not WorkerStage.LEAVING:
                tally = scheduler.tally
                (tally.killed if worker.was_killed else tally.died).step()
                _note_end(worker)
        receiver.finish(worker, ends)
        blamed = self._settle_tasks(worker, status)
        # A worker that began no call counts as a failed start, even after READY.
        has_run = worker.channel.page.words[TASK]
        useless = last_stage is WorkerStage.STARTING or not has_run
        worker.close()
        if last_stage is WorkerStage.SERVING and not blamed and not worker.was_killed:
            _log_death(worker, status)
        with scheduler.lock:
            if useless and last_stage is not WorkerStage.LEAVING:
                starting = last_stage is WorkerStage.STARTING
                initializing = starting and self._initializes(worker)
                reason = _reason(worker, status)
                self._pool.start_failed(reason, initializing=initializing)
            scheduler.assign_idle()
        scheduler.deferred.run()

    def _initializes(self, worker: WorkerHandle) -> bool:
        """Return whether a worker that has not served may have run the initializer."""
        return self._pool.settings.initializer is not None and worker.pid is not None

    def _settle_tasks(self, worker: WorkerHandle, status: int | None) -> bool:
        """Fail the running call, requeue the rest; return True if one was running."""
        scheduler, page = self._scheduler, worker.channel.page
        running = page.words[TASK]
        if running > scheduler.last_id:  # the task has overwritten the page
            running = next(iter(worker.tasks), 0)
        blamed = False
        rest: list[Task] = []
        for id, task in list(worker.tasks.items()):
            with scheduler.lock:
                worker.release(task)
            if id == running or task.has_begun:
                error_for = partial(worker.error_for, status=status)
                blamed = task.on_worker_died(page, error_for)
                if not task.is_rows:
                    continue
            if task.left:
                rest.append(task)
            else:
                task.ended()
        with scheduler.lock:
            scheduler.requeue(rest)
        return blamed


def _note_end(worker: WorkerHandle) -> None:
    """Tell what observes the program that a worker was killed, or has died."""
    from parallelize.tracing import recording

    recorder = recording.active
    if recorder is not None:
        lane = recording.Lane("processes", worker.pid or 0, f"process {worker.id}")
        recorder.note_worker("killed" if worker.was_killed else "died", lane)


def unregister(
    selector: selectors.BaseSelector, source: native.Socket | Launcher
) -> None:
    """Remove a socket or a server from a selector, if it is there."""
    with contextlib.suppress(KeyError, ValueError):  # not registered, or closed
        selector.unregister(source)


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
