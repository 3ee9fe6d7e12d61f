"""The workers of one pool: when one is started, when it is idle, and when it leaves."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from parallelize.process.parent.deadlines import TICK
from parallelize.process.parent.tasks.worker_handle import WorkerHandle, WorkerStage
from parallelize.runtime.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallelize.process.parent.deadlines import Deadlines
    from parallelize.process.parent.starter import Starter
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.start.config import PoolSettings
    from parallelize.process.start.launcher import Launcher
    from parallelize.runtime.agenda import Deadline

#: Seconds until frames that did not fit into a worker's control socket are retried.
CONTROL_RETRY = 0.005

#: Seconds that a worker has to end when it is released, before it is killed.
LEAVE_GRACE = 3.0

_ENDING = (WorkerStage.LEAVING, WorkerStage.GONE)


class Workers(dict[int, WorkerHandle]):
    """The workers that have been started and have not ended, by id.

    The pool's lock guards it; the caller of each method holds it.

    Attributes:
        idle: Those without tasks.
        slots: How many there may be: one more for each that waits for its reader.
        are_bounded: Whether a worker is replaced after some calls, or by its memory.
        starter: What starts them.
        settings: The settings of the pool.
    """

    def __init__(
        self, settings: PoolSettings, starter: Starter, deadlines: Deadlines
    ) -> None:
        super().__init__()
        self.settings: PoolSettings = settings
        self.starter: Starter = starter
        self.idle: list[WorkerHandle] = []
        self.slots: int = settings.max_workers
        bounds = settings.max_tasks_per_child, settings.max_memory_per_child
        self.are_bounded: bool = bounds != (None, None)
        self._deadlines = deadlines
        # When to check for how long a worker has been idle.
        self._idle_checks: dict[WorkerHandle, Deadline] = {}

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks that workers have."""
        for worker in self.values():
            yield from worker.tasks.values()

    def are_serving(self) -> bool:
        """Whether any worker runs tasks."""
        return any(w.stage is WorkerStage.SERVING for w in self.values())

    # Starting.

    def may_start(self) -> bool:
        """Whether there may be one more now."""
        return len(self) < self.slots and self.starter.may_start(
            others_serve=self.are_serving()
        )

    def start(self) -> WorkerHandle:
        """Start a worker; any error means that this is not possible now."""
        worker = self.starter.new_worker()
        self[worker.id] = worker
        return worker

    def room(self, worker: WorkerHandle) -> int:
        """Return how many more calls a worker may be given before it is replaced."""
        if worker.heavier_than(self.settings.max_memory_per_child):
            return 0
        most = self.settings.max_tasks_per_child
        return sys.maxsize if most is None else most - worker.begun

    # Being idle, and the end.

    def on_idle(self, worker: WorkerHandle) -> None:
        """Release or keep a worker that has no tasks."""
        if self.room(worker) <= 0 or self._are_too_many():
            self.retire(worker)
        elif worker not in self.idle:
            self.idle.append(worker)
            timeout = self.settings.idle_timeout
            if timeout is not None:
                worker.idle_since = monotonic()
                if worker not in self._idle_checks:
                    self._check_idleness_after(timeout, worker)

    def _check_idleness_after(self, seconds: float, worker: WorkerHandle) -> None:
        check = partial(self._check_idleness, worker)
        self._idle_checks[worker] = self._deadlines.after(seconds, check)

    def _check_idleness(self, worker: WorkerHandle) -> None:
        """Release a worker that has been idle for too long, or check again later."""
        del self._idle_checks[worker]
        timeout = self.settings.idle_timeout
        if worker not in self.idle or timeout is None:
            return
        left = worker.idle_since + timeout - monotonic()
        if left > TICK:
            self._check_idleness_after(left, worker)
        else:
            self.retire(worker)

    def add_slots(self, count: int) -> None:
        """Allow more workers, or fewer if ``count`` is negative."""
        self.slots += count

    def retire_surplus(self) -> None:
        """Release idle workers beyond the maximum."""
        while self.idle and self._are_too_many():
            self.retire(self.idle[0])

    def _are_too_many(self) -> bool:
        if len(self) <= self.slots:
            return False
        staying = [w for w in self.values() if w.stage is not WorkerStage.LEAVING]
        return len(staying) > self.slots

    def retire(self, worker: WorkerHandle) -> None:
        """Ask a worker to end; kill it if it does not within `LEAVE_GRACE`."""
        if worker.stage in _ENDING:
            return
        if worker in self.idle:
            self.idle.remove(worker)
        worker.leave()
        self.kill_after(LEAVE_GRACE, worker)

    def kill_after(self, seconds: float, worker: WorkerHandle) -> None:
        """Kill a worker if it has not ended by then."""
        self._deadlines.after(seconds, worker.kill)

    def remove(self, worker: WorkerHandle) -> None:
        """Forget a worker that has ended."""
        del self[worker.id]
        self._deadlines.forget(worker)
        check = self._idle_checks.pop(worker, None)
        if check is not None:
            check.cancel()
        if worker in self.idle:
            self.idle.remove(worker)

    def orphaned_by(self, launcher: Launcher) -> list[WorkerHandle]:
        """Record that a server has ended; return the workers that it has started."""
        if self.starter.launcher is launcher:
            self.starter.launcher = None
        return [worker for worker in self.values() if worker.is_from(launcher)]

    # What they are sent over their control sockets.

    def reclaim_from_busiest(self) -> None:
        """Reclaim tasks from the worker with the highest load, if any can give some."""
        busy = [worker for worker in self.values() if worker.reclaim_due() is not None]
        if busy:
            max(busy, key=lambda each: each.load).reclaim()

    def flush_control_later(self, worker: WorkerHandle) -> None:
        """Schedule a retry if a worker's control socket was full."""
        if worker.channel.backlog and worker.stage is not WorkerStage.GONE:
            self._deadlines.after(CONTROL_RETRY, partial(self._flush_control, worker))

    def _flush_control(self, worker: WorkerHandle) -> None:
        worker.channel.flush_control()
        self.flush_control_later(worker)
