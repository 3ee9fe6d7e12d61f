"""The pool's handle on one worker: its life and its tasks."""

from __future__ import annotations

import _pickle as pickle
import _signal as signal
import contextlib
import enum
import itertools
import os
from collections import deque

from parallelize.errors import ParallelizeError
from parallelize.process.parent.tasks.queue import COROUTINES
from parallelize.process.parent.tasks.segment_ledger import WorkerSegments
from parallelize.process.parent.tasks.worker_channel import WorkerChannel
from parallelize.process.start.launcher import KILL, RESUME
from parallelize.process.wire import messages
from parallelize.process.wire.frames import pack
from parallelize.process.wire.journal import ASKED
from parallelize.runtime.clock import monotonic
from parallelize.serialize.main.picture import Knowledge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.parent.tasks.segment_ledger import SegmentLedger
    from parallelize.process.start.launcher import Launcher
    from parallelize.process.wire.frames import DoesNotFitError, Frame, Part
    from parallelize.runtime.agenda import Deadline
    from parallelize.serialize.reducers.replica import Unit

#: Seconds of silence after which tasks that a worker has not begun are reclaimed, ...
SILENCE = 0.010
#: ... or this many times the duration of a call of its running task, if that is longer;
#: if it runs rows, `messages.HELD` in addition.
SILENT_CALLS = 2

_questions = itertools.count(1)

#: Seconds between two measurements of a worker's memory.
_WEIGHING = 0.005


class WorkerStage(enum.Enum):
    """The life of a worker."""

    STARTING = "started, initializer not finished"
    SERVING = "runs tasks"
    LEAVING = "asked to leave when it has finished"
    GONE = "its process has ended"


class KillRequest:
    """The reason to kill a worker, once it is suspended.

    Attributes:
        task: The task because of which it is killed.
        due: Returns whether to kill it still, now that it is suspended.
        error: Makes the error of the task.
        again: Called if the worker was resumed instead.
    """

    __slots__ = (
        "again",
        "due",
        "error",
        "task",
    )

    def __init__(
        self,
        task: Task,
        due: Callable[[], bool],
        error: Callable[[], BaseException],
        again: Callable[[], object],
    ) -> None:
        self.task: Task = task
        self.due: Callable[[], bool] = due
        self.error: Callable[[], BaseException] = error
        self.again: Callable[[], object] = again


class WorkerHandle:
    """One worker process, as the pool sees it; the pool's lock guards it.

    Attributes:
        index: Its number among the live workers of the pool.
        tasks: The tasks that it was given and has not answered, in order.
        coroutines: How many of these are coroutines: all, or none.
        begun: The number of calls that it was given in its life.
        reason: Why it could not start, if it reported that.
        fault: The traceback of the error that ended it, if it was one of its own.
        was_killed: Whether its pool killed it.
        has_hung_up: Whether the end of its socket was seen.
        looks: Whether the task that it runs looks at `stopping`, as it has said last.
        last_moment: When it is killed, if it was asked to leave.
        answers: What it gave back and the dispatcher has not processed yet.
        main: What it has of the parent's `__main__`.
        channel: The pool's ends of its sockets, and its page.
        segments: The memory that it shares with the pool.
    """

    def __init__(
        self,
        id: int,
        launcher: Launcher,
        more_fds: Sequence[int],
        ledger: SegmentLedger,
        copied: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        self.id: int = id
        self.index: int = 0
        self.pid: int | None = None
        self.stage: WorkerStage = WorkerStage.STARTING
        self.tasks: dict[int, Task] = {}
        self.coroutines: int = 0
        self._cost = 0.0  # of its tasks, with the rows of the first that have ended
        self.begun: int = 0
        self.reason: BaseException | None = None
        self.fault: str | None = None
        self.was_killed: bool = False
        self.looks: bool = False
        self.has_hung_up: bool = False
        self.last_moment: Deadline | None = None
        self.idle_since: float = 0.0
        self.main: Knowledge = Knowledge(copied)
        self._launcher: Launcher | None = launcher
        self._kill_request: KillRequest | None = None
        self._reclaim_sent = False
        self._reclaims = 0  # how often its tasks were reclaimed
        self._last_activity = 0.0
        self._weighed_at = 0.0
        self._heavy = False
        self.answers: deque[tuple[int, int, Sequence[int]]] = deque()
        self._questions: dict[int, Callable[[str], object]] = {}
        self.channel: WorkerChannel = WorkerChannel(
            lambda sock, control, page: launcher.start(
                id, sock, control, page, more_fds
            )
        )
        self.segments: WorkerSegments = WorkerSegments(id, self.channel, ledger)

    # Giving it tasks.

    def give(self, task: Task) -> list[Part]:
        """Record that it has the task; return the frames to send."""
        if not self.tasks:
            self._last_activity = monotonic()
            self._reclaim_sent = False
        self.tasks[task.id] = task
        self._cost += task.cost
        self.begun += task.size
        if task.lane == COROUTINES:
            self.coroutines += 1
        task.worker = self
        if task.late is not None:
            task.late = None
        if task.shares:
            self.segments.share(task.shares)
        placed = task.placed
        if placed is None:
            buffers = task.buffers()
        else:
            buffers = task.buffers(inline=not self.segments.lend(placed.segment))
        if task.needs is None:
            return buffers
        if task.needs.handles:
            self.segments.share(task.needs.handles)
        units = self.main.lacks(task.needs)
        return [*_defining(units), *buffers] if units else buffers

    def release(self, task: Task) -> None:
        """Record that it no longer has the task."""
        del self.tasks[task.id]
        if task.lane == COROUTINES:
            self.coroutines -= 1
            task.came_back()
        task.worker = None
        self._cost = self._cost - task.cost if self.tasks else 0.0

    @property
    def load(self) -> float:
        """The seconds that its tasks are expected to take from now on."""
        for first in self.tasks.values():
            return self._cost - first.cost * (1 - first.left / max(first.size, 1))
        return 0.0

    def split_off(self, task: Task, count: int) -> Task | None:
        """Record that it has given back the last rows of a task; return them."""
        cost = task.cost
        tail = task.split(count)
        self._cost -= cost - task.cost
        if tail is not None:
            self.begun -= tail.size
        return tail

    def take_back(self, task: Task) -> None:
        """Record that it has given back a task that it had not begun."""
        self.release(task)
        self.begun -= task.size
        if task.placed is not None:  # it has no views of the buffers
            self.segments.released(task.placed.segment.id, reusable=True)

    def heavier_than(self, most: int | None) -> bool:
        """Return whether its resident memory was measured above ``most`` bytes."""
        if most is None or self._heavy or self.pid is None:
            return self._heavy
        now = monotonic()
        if now - self._weighed_at > _WEIGHING:
            self._weighed_at = now
            self._heavy = _resident(self.pid) > most
        return self._heavy

    # Reclaiming tasks.

    def note_activity(self) -> None:
        """Record that it sent something."""
        self._last_activity = monotonic()
        self._reclaim_sent = False

    def reclaim_due(self) -> float | None:
        """Return when to reclaim the tasks that it has not begun; None for never."""
        if (
            self._reclaim_sent
            or self.stage is not WorkerStage.SERVING
            or not self._divisible()
        ):
            return None
        return self._last_activity + self._silence()

    def _silence(self) -> float:
        """Return how long it is silent in the ordinary course of its first task."""
        for task in self.tasks.values():
            if task.is_stream:
                break
            silence = max(SILENCE, SILENT_CALLS * task.cost / max(task.size, 1))
            return silence + messages.HELD if task.is_rows else silence
        return SILENCE

    def _divisible(self) -> bool:
        if self.coroutines:
            return False
        return len(self.tasks) > 1 or any(t.left > 1 for t in self.tasks.values())

    def reclaim(self) -> None:
        """Request the tasks that it has not begun, and the results that it has."""
        if self._reclaim_sent:
            return
        self._reclaim_sent = True
        self._reclaims += 1
        self.channel.page.words[ASKED] = self._reclaims
        self.channel.notify(messages.RECLAIM, self._reclaims)

    # Its stacks.

    def show(self, then: Callable[[str], object]) -> None:
        """Request its stacks; ``then`` is called with the text, if it answers.

        This happens in the dispatcher's thread, under the pool's lock.
        """
        question = next(_questions)
        self._questions[question] = then
        self.channel.notify(messages.SHOW, question)

    def shown(self, frame: Frame) -> None:
        """Deliver the answer to a `show`."""
        self.looks = bool(frame.extra)
        then = self._questions.pop(frame.id, None)
        if then is not None and frame.parts:
            then(bytes(frame.parts[0]).decode(errors="replace"))

    def show_by_signal(self) -> bool:
        """Make it print its stacks on standard error; return False if it cannot."""
        if messages.SHOW_SIGNAL is None or self.stage is WorkerStage.STARTING:
            return False
        self.signal(messages.SHOW_SIGNAL)
        return True

    # Its end.

    def leave(self) -> None:
        """Ask it to end when it has finished its tasks."""
        self.stage = WorkerStage.LEAVING
        self.channel.end_writing()

    def kill(self, number: int = KILL) -> None:
        """Kill it with a signal; nothing happens if it has ended."""
        self.was_killed = True
        self.signal(number)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(OSError):
            if self._launcher is not None:
                self._launcher.kill(self.id, number)
            elif self.pid is not None:
                self._signal_orphan(self.pid, number)

    def _signal_orphan(self, pid: int, number: int) -> None:
        """Send it a signal without its server, which knew whether the pid is valid.

        If it has ended, another process may have its pid. As long as its end of the
        control socket is open it has not ended, so a descriptor of the process that was
        opened before checking that refers to the worker.
        """
        opened = _opened(pid)
        if opened is None:
            if number == KILL:  # its watcher thread then ends it
                self.channel.hang_up()
            return
        try:
            if not self.channel.is_hung_up():
                signal.pidfd_send_signal(opened, number)
        finally:
            os.close(opened)

    def kill_running(self, request: KillRequest) -> bool:
        """Kill it because of its running task, which fails with the request's error.

        It is suspended first: it may be about to start another task, which must not be
        hit. `halted` then decides.

        Returns:
            False if another request is in progress: try again a little later.
        """
        if self._kill_request is not None:
            return self._kill_request.task is request.task
        self._kill_request = request
        if self._launcher is None:
            self.kill()
            return True
        with contextlib.suppress(OSError):  # the server is gone
            self._launcher.halt(self.id)
        return True

    def halted(self) -> None:
        """Now that it is suspended, kill it if that is still due, or resume it."""
        request = self._kill_request
        if request is None:
            return  # it was suspended by other code
        if request.due():
            self.kill()
            return
        self._kill_request = None
        self.signal(RESUME)
        request.again()

    def fail_oversized(self, task: Task | None, error: DoesNotFitError) -> None:
        """Kill it because there is not enough memory for the result of this task."""
        if task is not None:
            text = f"the result of {task.name()} does not fit into memory: {error}"
            self._kill_request = KillRequest(
                task, bool, lambda: MemoryError(text), bool
            )
        self.kill()

    def orphan(self) -> bool:
        """Record that its server is gone; return True if its start is not confirmed."""
        self._launcher = None
        return self.pid is None

    def is_from(self, launcher: Launcher) -> bool:
        """Return whether this launcher's server supervises it."""
        return self._launcher is launcher

    @property
    def supervised(self) -> bool:
        """Whether the server will report its exit."""
        return self._launcher is not None

    def error_for(self, task: Task, status: int | None) -> BaseException:
        """Return the error of the task that it was running when it died."""
        if self._kill_request is not None and self._kill_request.task is task:
            return self._kill_request.error()
        try:
            from parallelize.errors import WorkerDied
        except (ImportError, OSError) as error:  # no descriptor is left for the import
            name = f"worker {self.pid} died while it ran {task.name()}"
            return ParallelizeError(f"{name} ({error})")
        code = exit_code(status)
        return WorkerDied(task.name(), self.pid, code, self.was_killed, self.fault)

    def close(self) -> None:
        """Close the pool's ends, and release the memory that it had."""
        self.stage = WorkerStage.GONE
        self._kill_request = None
        self._questions.clear()
        self.segments.close()
        self.channel.close()


def exit_code(status: int | None) -> int | None:
    """Return the exit code of a wait status, or the negated signal number."""
    return None if status is None else os.waitstatus_to_exitcode(status)


def _defining(units: Sequence[Unit]) -> list[Part]:
    """Return the frame that sends a worker units of `__main__`."""
    return pack(messages.DEFINE, 0, [pickle.dumps(units, 5)])


def _opened(pid: int) -> int | None:
    """Return a descriptor of a process; None if it has ended, or without support."""
    if not hasattr(os, "pidfd_open"):  # only Linux has it
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _resident(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if that is unknown."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
