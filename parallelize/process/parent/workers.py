"""The workers of one pool: how they start, when they are idle, and how they leave.

They come from one server, with settings that each is sent first.

If workers fail to start, this is retried a few times. After that none is started for a
while; if no other worker serves, the waiting calls fail with the reason.
"""

from __future__ import annotations

import _pickle as pickle
import contextlib
import os
import sys
from functools import partial

from parallelize.errors import SerializationError
from parallelize.inside.place import free_index
from parallelize.process.memory.segments import (
    DESCRIPTORS as DESCRIPTORS_OF_SEGMENT,
)
from parallelize.process.memory.segments import MOST_KEPT, MOST_SEGMENTS
from parallelize.process.memory.shared import noting_shared
from parallelize.process.parent import logs
from parallelize.process.parent.deadlines import TICK
from parallelize.process.parent.tasks.queue import FILL
from parallelize.process.parent.tasks.worker_handle import WorkerHandle, WorkerStage
from parallelize.process.start import launcher as launch
from parallelize.process.wire import (
    descriptors,
    interpreter_state,
    messages,
    surroundings,
)
from parallelize.process.wire.frames import pack
from parallelize.process.wire.inheritance import Inheritance
from parallelize.process.worker import bootstrap
from parallelize.runtime import lifecycle
from parallelize.runtime.clock import monotonic
from parallelize.serialize import pickling
from parallelize.serialize.changes import patches as main_patches
from parallelize.serialize.main.picture import world
from parallelize.serialize.reducers import origins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from parallelize.process.memory.shared import Shared
    from parallelize.process.parent.deadlines import Deadlines
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.parent.tasks.segment_ledger import SegmentLedger
    from parallelize.process.start.config import PoolSettings
    from parallelize.process.start.launcher import Launcher
    from parallelize.process.wire.frames import Part
    from parallelize.process.worker.kinship import Names
    from parallelize.runtime.agenda import Deadline
    from parallelize.serialize.main.picture import Holder

#: Number of consecutive failures to start a worker after which waiting calls fail.
MOST_FAILURES = 3

#: Seconds for which no worker is started after that, while others serve.
PAUSE = 10.0

#: Descriptors that a worker takes from the program; while it starts, a few more.
DESCRIPTORS_EACH = 2

#: Seconds for which no worker is started when too few descriptors are left.
ROOM_AGAIN = 1.0

#: Seconds until frames that did not fit into a worker's control socket are retried.
CONTROL_RETRY = 0.005

#: Seconds that a worker has to end when it is released, before it is killed.
LEAVE_GRACE = 3.0

_PROCESS_NAMES = {"forkserver": "ForkServer", "spawn": "Spawn", "fork": "Fork"}

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
        self._full_until = 0.0  # when the number of descriptors is looked at again
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
        if len(self) >= self.slots or (self._full_until and self._is_full()):
            return False
        return self.starter.may_start(others_serve=self.are_serving())

    def _is_full(self) -> bool:
        return not self._needs_one() and monotonic() < self._full_until

    def _needs_one(self) -> bool:
        """Whether there is no worker besides those that wait for their readers."""
        return len(self) <= self.slots - self.settings.max_workers

    def start(self) -> WorkerHandle:
        """Start a worker; any error means that this is not possible now.

        Raises:
            TooFewDescriptorsError: It would take the last descriptors of the program,
                and others serve. Until `ROOM_AGAIN` seconds later none may start.
        """
        if not self._needs_one():
            try:
                descriptors.refuse_the_last(DESCRIPTORS_EACH)
            except descriptors.TooFewDescriptorsError:
                self._full_until = monotonic() + ROOM_AGAIN
                raise
        index = free_index({worker.index for worker in self.values()})
        worker = self.starter.new_worker(index)
        self[worker.id] = worker
        if lifecycle.is_ending():
            self.ask_to_stop(worker, 0)
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
            self.retire(max(self.idle, key=lambda each: each.index))

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
        worker.last_moment = self.kill_after(LEAVE_GRACE, worker)

    def on_cleaning(self, worker: WorkerHandle, *, begins: bool) -> None:
        """Let a worker that leaves take its time for clean-ups, like for its calls."""
        if worker.last_moment is not None:
            worker.last_moment.cancel()
        if not begins:
            worker.last_moment = self.kill_after(LEAVE_GRACE, worker)

    def kill_after(self, seconds: float, worker: WorkerHandle) -> Deadline:
        """Kill a worker if it has not ended by then."""
        return self._deadlines.after(seconds, worker.kill)

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

    def ask_to_stop(self, worker: WorkerHandle, id: int, row: int = 0) -> None:
        """Tell a worker that a task, or a row of it counted from 1, is to stop."""
        worker.channel.notify(messages.STOP, id, row)
        self.flush_control_later(worker)

    def ask_all_to_stop(self) -> None:
        """Tell all workers that the program ends."""
        for worker in self.values():
            if worker.stage is not WorkerStage.GONE:
                self.ask_to_stop(worker, 0)

    def reclaim(self, rows: Task) -> None:
        """Reclaim all tasks that were split off the same rows, and stop what runs."""
        for worker in self.values():
            for each in list(worker.tasks.values()):
                if rows.shares_rows_with(each):
                    self.ask_to_stop(worker, each.id)
                    worker.reclaim()

    def reclaim_from_busiest(self) -> None:
        """Reclaim tasks from the worker with the highest load, if any can give some."""
        busy = [worker for worker in self.values() if worker.reclaim_due() is not None]
        if busy:
            max(busy, key=lambda each: each.load).reclaim()

    def make_room(self) -> None:
        """Reclaim tasks for a call, unless a worker will soon have time for it."""
        if all(worker.load > FILL for worker in self.values()):
            self.reclaim_from_busiest()

    def flush_control_later(self, worker: WorkerHandle) -> None:
        """Schedule a retry if a worker's control socket was full."""
        if worker.channel.backlog and worker.stage is not WorkerStage.GONE:
            self._deadlines.after(CONTROL_RETRY, partial(self._flush_control, worker))

    def _flush_control(self, worker: WorkerHandle) -> None:
        worker.channel.flush_control()
        self.flush_control_later(worker)


class Starter:
    """Starts the workers of one pool; the pool's lock guards it.

    Attributes:
        launcher: Starts the next worker; None before the first one, unless its server
            was started early.
        lost_launchers: The unusable ones; the dispatcher closes them.
    """

    def __init__(self, settings: PoolSettings, ledger: SegmentLedger) -> None:
        self.launcher: launch.Launcher | None = None
        self.lost_launchers: list[launch.Launcher] = []
        self._settings = settings
        self._ledger = ledger
        self._failures = 0
        self._none_before = 0.0
        self._inheritance = Inheritance()
        self._is_prepared = False
        self._initializer: list[Part] = []  # the initializer and its arguments, pickled
        self._shares: Sequence[Shared[Any]] = ()  # the handles among the arguments
        self._threads_each = 1  # of numeric libraries: a worker's share of the CPUs
        self._last_worker = 0
        self._decimal_context: object = None  # of the thread of the first call
        self._patches: list[tuple[str, str, list[Part]]] = []
        self._copied: dict[str, Holder] | None = None  # the names that forks inherit
        origins.workers_have(sys.path)  # before the first call is pickled

    def prepare(self) -> None:
        """Collect what workers are sent, before the first one is started.

        This is called by one thread at a time, without the pool's lock, because it
        runs the user's code. Later calls do nothing.

        Raises:
            SerializationError: The initializer or its arguments cannot be pickled.
        """
        if self._is_prepared:
            return
        from parallelize.runtime.cpus import cpu_count

        if self._settings.method != "fork":  # a fork inherits all of that
            self._decimal_context = interpreter_state.own_decimal_context()
            self._patches = list(_encoded_patches())
        self._initializer = self._encoded_initializer()
        self._threads_each = max(1, cpu_count() // self._settings.max_workers)
        self._is_prepared = True

    def _encoded_initializer(self) -> list[Part]:
        initializer, initargs = self._settings.initializer, self._settings.initargs
        if initializer is None or self._settings.method == "fork":
            return []
        try:
            with noting_shared() as self._shares:
                encoded = pickling.encode_function(initializer)
                return [encoded, *self._inheritance.dumps(initargs)]
        except Exception as error:
            from parallelize.serialize import diagnose

            found = diagnose.in_call(initializer, initargs, {})[1].text()
            msg = f"initializer and initargs cannot be pickled: {error}: {found}"
            raise SerializationError(msg) from error

    # Starting a worker.

    def new_worker(self, index: int) -> WorkerHandle:
        """Start a worker and send it its settings.

        Args:
            index: Its number in the pool, which no other worker has.
        """
        worker = self._bare_worker()
        worker.index = index
        worker.segments.share(self._shares)
        worker.channel.write(self._start_frame(worker))
        return worker

    def _bare_worker(self) -> WorkerHandle:
        self._last_worker += 1
        if self.launcher is not None:
            try:
                return self._worker_from(self.launcher)
            except ConnectionError:  # the server is gone; the dispatcher closes it
                self.lost_launchers.append(self.launcher)
        return self._worker_from(self.start_server())

    def _worker_from(self, launcher: launch.Launcher) -> WorkerHandle:
        fds, copied = self._inheritance.fds, self._copied
        return WorkerHandle(self._last_worker, launcher, fds, self._ledger, copied)

    def start_server(self) -> launch.Launcher:
        """Start the server that starts the next workers."""
        settings = self._settings
        if settings.method == "fork":
            self._copied = world.copied()
        if settings.method == "fork" and settings.initializer is not None:
            inherited = settings.initializer, settings.initargs
            self.launcher = launch.launcher(settings.method, inherited)
        else:
            self.launcher = launch.launcher(settings.method)
        return self.launcher

    def _start_frame(self, worker: WorkerHandle) -> list[Part]:
        origins.workers_have(sys.path)
        is_copy = self._settings.method == "fork"
        settings = {
            "path": sys.path,
            "argv": getattr(sys, "argv", []),  # missing in some embedded Pythons
            "script": world.file(),
            "bootstrap": bootstrap.replaced(),
            "copy": is_copy,
            "folder": (os.getpid(), _folder()),
            "place": (worker.index, self._settings.max_workers, "processes"),
            "names": self._process_names(worker),
            "state": None if is_copy else self._state(),
            "patches": self._patches,
            "surroundings": {} if is_copy else surroundings.take(),
            "initializer": self._initializer or None,
            "threads": self._threads_each,
            "segments": _segments_each(self._settings.max_workers),
            "kept": MOST_KEPT // self._settings.max_workers,
            "reports": logs.settings(self._name_of(worker)),
        }
        return pack(messages.START, 0, [pickle.dumps(settings, 5)])

    def _state(self) -> interpreter_state.State:
        return interpreter_state.take(self._decimal_context)

    def _process_names(self, worker: WorkerHandle) -> Names:
        """Return what multiprocessing in the worker says about it and its parent."""
        name, pid = self._name_of(worker), os.getpid()
        process = interpreter_state.loaded("multiprocessing.process")
        if process is None:
            return name, (worker.index + 1,), None, "MainProcess", pid
        parent = process.current_process()
        identity = *parent._identity, worker.index + 1
        return name, identity, bytes(parent.authkey), parent.name, pid

    def _name_of(self, worker: WorkerHandle) -> str:
        """Return the name of a worker, in the form that multiprocessing uses."""
        return f"{_PROCESS_NAMES[self._settings.method]}Process-{worker.id}"

    # Failures to start.

    def may_start(self, *, others_serve: bool) -> bool:
        """Return whether to start a worker now, or to leave the work to the others."""
        return monotonic() >= self._none_before or not others_serve

    def succeeded(self) -> None:
        """Reset the number of failures: a worker has served."""
        self._failures = 0

    def gives_up(self, *, others_serve: bool) -> bool:
        """Record a failure; return True if it has to fail the waiting calls."""
        self._failures += 1
        if self._failures < MOST_FAILURES:
            return False
        self._failures = 0
        if others_serve:
            self._none_before = monotonic() + PAUSE
        return not others_serve

    def drop_server(self) -> None:
        """Start the next worker from a new server.

        This one may have been started under limits that have changed since.
        """
        if self.launcher is not None:
            self.lost_launchers.append(self.launcher)
            self.launcher = None

    # The end.

    def close_servers(self) -> None:
        """Close all servers; their workers end, if there are any."""
        for each in self._servers():
            each.close()
        self.launcher = None
        self.lost_launchers.clear()

    def close(self) -> None:
        """Close the servers and the inherited descriptors."""
        self.close_servers()
        self._inheritance.close()

    def forget(self) -> None:
        """In a forked child: the servers are the parent's."""
        for each in self._servers():
            each.forget()
        self._inheritance.close()

    def _servers(self) -> list[launch.Launcher]:
        every = (self.launcher, *self.lost_launchers)
        return [each for each in every if each is not None]


def _segments_each(workers: int) -> int:
    """Return how many segments each worker may send: the pool has them all open."""
    most = descriptors.limit()
    wanted = max(2, MOST_SEGMENTS // workers)
    if most is None:
        return wanted
    for_sockets = descriptors.margin(most) + workers * DESCRIPTORS_EACH
    segments = max(0, most - for_sockets) // DESCRIPTORS_OF_SEGMENT
    return min(wanted, max(0, segments - MOST_SEGMENTS) // workers)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _encoded_patches() -> Iterator[tuple[str, str, list[Part]]]:
    """Yield what the script has set in other modules, as far as it can be pickled."""
    patches = main_patches.take(world.space())
    with contextlib.suppress(Exception):  # raised by the user's own containers
        for module, name, value in patches:
            with contextlib.suppress(Exception):
                yield module, name, pickling.dumps(value)
