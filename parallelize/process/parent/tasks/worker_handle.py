"""The pool's handle on one worker: its sockets, its page, and its tasks."""

from __future__ import annotations

import collections
import contextlib
import enum
import itertools
import os
import pickle
import signal
import socket
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from parallelize.errors import ParallelizeError
from parallelize.process.memory.segments import decode_places
from parallelize.process.memory.views import Received
from parallelize.process.parent.tasks.queue import COROUTINES
from parallelize.process.start.launcher import KILL, RESUME
from parallelize.process.wire import messages
from parallelize.process.wire.frames import (
    FdReader,
    FrameReader,
    FrameWriter,
    NoDescriptorError,
    ProtocolError,
    pack,
)
from parallelize.process.wire.journal import Journal, close_page_file, make_page_file
from parallelize.process.worker.signals import SHOW
from parallelize.runtime import native
from parallelize.runtime.clock import monotonic
from parallelize.serialize.main.picture import Knowledge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from parallelize.process.memory.segments import Segment, Segments
    from parallelize.process.memory.shared import Shared
    from parallelize.process.memory.views import Release
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.start.launcher import Launcher
    from parallelize.process.wire.frames import DoesNotFitError, Frame, Part
    from parallelize.serialize.reducers.replica import Unit

    class Lending(Protocol):
        """The ledger of a pool's large buffers.

        Its callbacks take no lock, so that finalisers may call them.

        Attributes:
            warm: Whether memory may be in reserve for the next calls.
        """

        warm: bool

        @property
        def segments(self) -> Segments:
            """What large arguments travel in."""
            ...

        def on_view_released(self, worker_id: int, release: Release) -> None:
            """The last view of a worker's result was collected."""

        def on_share_released(self, worker_id: int, id: int) -> None:
            """A handle was collected that a worker has."""


class Lent(Protocol):
    """Something that a worker accesses through a descriptor."""

    def _descriptor(self) -> int: ...


#: Seconds of silence after which tasks that a worker has not begun are reclaimed, ...
SILENCE = 0.010
#: ... or this many times the duration of a call of its running task, if that is longer.
SILENT_CALLS = 2

_questions = itertools.count(1)

#: Seconds between two measurements of a worker's memory.
_WEIGHING = 0.005

#: The kinds that replace those of answers whose buffers cannot be reached.
_FAILURES = {
    messages.DONE: messages.FAILED,
    messages.ROW_DONE: messages.ROW_FAILED,
    messages.ITEM: messages.ITEM_FAILED,
}


class WorkerStage(enum.Enum):
    """The life of a worker."""

    STARTING = "started, initializer not finished"
    SERVING = "runs tasks"
    LEAVING = "asked to leave when it has finished"
    GONE = "its process has ended"


class KillRequest(NamedTuple):
    """The reason to kill a worker, once it is suspended.

    Attributes:
        task: The task because of which it is killed.
        due: Returns whether to kill it still, now that it is suspended.
        error: Makes the error of the task.
        again: Called if the worker was resumed instead.
    """

    task: Task
    due: Callable[[], bool]
    error: Callable[[], BaseException]
    again: Callable[[], object]


class WorkerHandle:
    """One worker process, as the pool sees it; the pool's lock guards it.

    Attributes:
        tasks: The tasks that it was given and has not answered, in order.
        coroutines: How many of these are coroutines: all, or none.
        load: The seconds that these are expected to take.
        begun: The number of calls that it was given in its life.
        stuck: Whether part of a frame waits until its socket accepts more.
        reason: Why it could not start, if it reported that.
        fault: The traceback of the error that ended it, if it was one of its own.
        answers: What it gave back and the dispatcher has not processed yet.
        main: What it has of the parent's `__main__`.
        writer: The stream of frames to its task socket.
    """

    def __init__(
        self,
        id: int,
        launcher: Launcher,
        more_fds: Sequence[int],
        lending: Lending,
        copied: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        self.id: int = id
        self.pid: int | None = None
        self.stage: WorkerStage = WorkerStage.STARTING
        self.tasks: dict[int, Task] = {}
        self.coroutines: int = 0
        self.load: float = 0.0
        self.begun: int = 0
        self.stuck: bool = False
        self.reason: BaseException | None = None
        self.fault: str | None = None
        self.idle_since: float = 0.0
        self.main: Knowledge = Knowledge(copied)
        self._launcher: Launcher | None = launcher
        self._verdict: KillRequest | None = None
        self._killed_by_pool = False
        self._asked = False
        self._last_news = 0.0
        self._weighed_at = 0.0
        self._heavy = False
        self._lending = lending
        self._segments = lending.segments
        self._told: set[int] = set()  # ids of the pool's segments that it has
        self._lent: collections.Counter[int] = collections.Counter()  # messages in each
        self._results = Received(partial(lending.on_view_released, id))
        self._unmapped: dict[int, Exception] = {}
        # Frames that did not fit into the control socket, some with a descriptor.
        self._control_backlog: deque[tuple[bytes, Lent | None]] = deque()
        self._shares: set[int] = set()  # ids of handles whose memory it has
        self.answers: deque[tuple[int, int, Sequence[int]]] = deque()
        self._questions: dict[int, Callable[[str], object]] = {}
        self._open(launcher, more_fds)

    def _open(self, launcher: Launcher, more_fds: Sequence[int]) -> None:
        """Make the sockets and the page, and request the start of the process."""
        self.sock: socket.socket
        self.control: socket.socket
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self.sock, sock = _pair(ours, theirs)
            self.control, control = _pair(ours, theirs)
            page_file = make_page_file()
            theirs.callback(close_page_file, page_file)
            self.page: Journal = Journal(page_file)
            ours.callback(self.page.close)
            launcher.start(self.id, sock, control, page_file, more_fds)
            self._close_ours = ours.pop_all()
        self.reader: FrameReader = FrameReader()
        self.control_reader: FdReader = FdReader()
        self.writer: FrameWriter = FrameWriter(self.sock)

    # Giving it tasks.

    def give(self, task: Task) -> list[Part]:
        """Record that it has the task; return the frames to send."""
        if not self.tasks:
            self._last_news = monotonic()
            self._asked = False
        self.tasks[task.id] = task
        self.load += task.cost
        self.begun += task.size
        if task.lane == COROUTINES:
            self.coroutines += 1
        task.worker = self
        if task.shares:
            self.hand(task.shares)
        placed = task.placed
        if placed is None:
            buffers = task.buffers()
        else:
            buffers = task.buffers(inline=not self._lend(placed.segment))
        if task.needs is None:
            return buffers
        if task.needs.handles:
            self.hand(task.needs.handles)
        units = self.main.lacks(task.needs)
        return [*_defining(units), *buffers] if units else buffers

    def release(self, task: Task) -> None:
        """Record that it no longer has the task."""
        del self.tasks[task.id]
        if task.lane == COROUTINES:
            self.coroutines -= 1
            task.came_back()
        task.worker = None
        self.load = self.load - task.cost if self.tasks else 0.0

    # Large buffers.

    def _lend(self, segment: Segment) -> bool:
        """Let it read a message in a segment; return False if that cannot be sent."""
        if segment.id not in self._told:
            frame = b"".join(pack(messages.ADOPT, segment.id))
            try:
                self._flush_control()
                socket.send_fds(self.control, [frame], [segment.fd])
            except OSError:  # its control socket is full, or it has died
                return False
            self._told.add(segment.id)
        self._segments.hold(segment)
        self._lent[segment.id] += 1
        return True

    def note_reclaimed(self, task: Task) -> None:
        """Record that it has not begun a task, so it has no views of its buffers."""
        if task.placed is not None:
            self.released(task.placed.segment.id, reusable=True)

    def released(self, id: int, *, reusable: bool) -> None:
        """Record that it has no views of a message in a segment any more."""
        segment = self._segments.find(id)
        if segment is not None and self._lent[id] > 0:
            self._lent[id] -= 1
            self._lending.warm = True
            self._segments.let_go(segment, reusable=reusable)

    def forget_segment(self, id: int) -> None:
        """Notify it of a segment that was given up."""
        if id in self._told:
            self._told.discard(id)
            del self._lent[id]
            self.tell(messages.FORGET, id)

    def adopt(self, frame: Frame) -> None:
        """Apply its frame about a segment, its own or one of the pool."""
        if frame.kind == messages.ADOPT:
            self._lending.warm = True
            try:
                self._results.add(frame.id, self.control_reader.fd())
            except (MemoryError, NoDescriptorError) as error:
                self._unmapped[frame.id] = error  # the result in this segment fails
        elif frame.kind == messages.FORGET:
            self._results.drop(frame.id)
        else:
            self.released(frame.id, reusable=bool(frame.extra))

    def trim_idle_memory(self) -> None:
        """Request that it gives up segments that carry nothing."""
        if len(self._results):
            self.tell(messages.FORGET, messages.UNUSED)

    def with_views(self, frame: Frame) -> Frame:
        """Replace the places of a frame's buffers by views of them."""
        if len(frame.parts) < 2:
            msg = "a frame without the places of its buffers"
            raise ProtocolError(msg)
        *parts, encoded = frame.parts
        kind = frame.kind - messages.BIG
        id, places, copied = decode_places(encoded)
        if id in self._unmapped and kind in _FAILURES:
            self.tell(messages.RELEASED, id, extra=0)  # not reusable: it is given up
            failure = messages.encode_failure(self._unmapped.pop(id))
            return frame.changed(_FAILURES[kind], [failure])
        views = self._results.views(id, places, copied=copied)
        return frame.changed(kind, [*parts, *views])

    def hand(self, shares: Iterable[Shared[Any]]) -> None:
        """Send it the memory of shared objects."""
        for shared in shares:
            if shared._id not in self._shares and shared._descriptor() >= 0:
                self._shares.add(shared._id)
                shared._when_gone(partial(self._lending.on_share_released, self.id))
                self.tell(messages.ADOPT, shared._id, 1, shared)

    def forget_share(self, id: int) -> None:
        """Notify it that the parent process no longer has this handle."""
        self._shares.discard(id)
        self.tell(messages.FORGET, id, 1)

    def tell(
        self,
        kind: int,
        id: int,
        extra: int = 0,
        lent: Lent | None = None,
        parts: Sequence[Part] = (),
    ) -> None:
        """Send a frame over the control socket, a little later if it is full.

        Args:
            kind: The kind, from `messages`.
            id: The id of the task, segment or request.
            extra: Its meaning depends on the kind.
            lent: The object whose descriptor is sent along; kept until then.
            parts: Short parts.
        """
        self._control_backlog.append((b"".join(pack(kind, id, parts, extra)), lent))
        self.flush_control()

    def flush_control(self) -> None:
        """Send the queued control frames, as far as they fit into the socket."""
        with contextlib.suppress(OSError):  # it is full, or the worker has died
            self._flush_control()

    def _flush_control(self) -> None:
        while self._control_backlog:
            frame, lent = self._control_backlog[0]
            if lent is None:
                self.control.send(frame)  # short enough to be sent as a whole or not
            else:
                socket.send_fds(self.control, [frame], [lent._descriptor()])
            self._control_backlog.popleft()

    @property
    def has_control_backlog(self) -> bool:
        """Whether control frames are still queued."""
        return bool(self._control_backlog)

    # Writing.

    def write(self, buffers: Sequence[Part]) -> None:
        """Send frames, as far as they fit into the socket now."""
        self.writer.add(buffers)
        self.flush()

    def has_written(self, before: int) -> bool:
        """Return whether `write` has queued frames since ``writer.queued`` was this."""
        return self.writer.has_grown(before)

    def flush(self) -> None:
        """Send more of the queued frames."""
        try:
            self.stuck = not self.writer.flush()
        except OSError:
            self.writer.drop()
            self.stuck = False

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
        self._last_news = monotonic()
        self._asked = False

    def reclaim_due(self) -> float | None:
        """Return when to reclaim the tasks that it has not begun; None for never."""
        if (
            self._asked
            or self.stage is not WorkerStage.SERVING
            or not self._divisible()
        ):
            return None
        return self._last_news + max(SILENCE, SILENT_CALLS * self._seconds_of_a_call())

    def _seconds_of_a_call(self) -> float:
        """Return the expected duration of a call of its first task."""
        for task in self.tasks.values():
            return 0.0 if task.is_stream else task.cost / max(task.size, 1)
        return 0.0

    def _divisible(self) -> bool:
        if self.coroutines:
            return False
        if len(self.tasks) > 1:
            return True
        return any(task.left > 1 for task in self.tasks.values())

    def ask_again(self) -> None:
        """Allow the next `reclaim`, after a further period of silence."""
        self._last_news = monotonic()
        self._asked = False

    def reclaim(self) -> None:
        """Request the tasks that it has not begun, and the results that it has."""
        if self._asked:
            return
        self._asked = True
        self.tell(messages.RECLAIM, 0)

    # Its stacks.

    def show(self, then: Callable[[str], object]) -> None:
        """Request its stacks; ``then`` is called with the text, if it answers.

        This happens in the dispatcher's thread, under the pool's lock.
        """
        question = next(_questions)
        self._questions[question] = then
        self.tell(messages.SHOW, question)

    def shown(self, frame: Frame) -> None:
        """Deliver the answer to a `show`."""
        then = self._questions.pop(frame.id, None)
        if then is not None and frame.parts:
            then(bytes(frame.parts[0]).decode(errors="replace"))

    def show_by_signal(self) -> bool:
        """Make it print its stacks on standard error; return False if it cannot."""
        if SHOW is None or self.stage is WorkerStage.STARTING:
            return False
        self.signal(SHOW)
        return True

    # Its end.

    def leave(self) -> None:
        """Ask it to end when it has finished its tasks."""
        self.stage = WorkerStage.LEAVING
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def kill(self, number: int = KILL) -> None:
        """Kill it with a signal; nothing happens if it has ended."""
        self._killed_by_pool = True
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
                self.control.shutdown(socket.SHUT_RDWR)
            return
        try:
            if not _is_hung_up(self.control):
                signal.pidfd_send_signal(opened, number)
        finally:
            os.close(opened)

    def kill_running(self, verdict: KillRequest) -> bool:
        """Kill it because of its running task, which fails with the request's error.

        It is suspended first: it may be about to start another task, which must not be
        hit. `halted` then decides.

        Returns:
            False if another request is in progress: try again a little later.
        """
        if self._verdict is not None:
            return self._verdict.task is verdict.task
        self._verdict = verdict
        if self._launcher is None:
            self.kill()
            return True
        with contextlib.suppress(OSError):  # the server is gone
            self._launcher.halt(self.id)
        return True

    def halted(self) -> None:
        """Now that it is suspended, kill it if that is still due, or resume it."""
        verdict = self._verdict
        if verdict is None:
            return  # it was suspended by other code
        if verdict.due():
            self.kill()
            return
        self._verdict = None
        self.signal(RESUME)
        verdict.again()

    def fail_oversized(self, task: Task | None, error: DoesNotFitError) -> None:
        """Kill it because there is not enough memory for the result of this task."""
        if task is not None:
            text = f"the result of {task.name()} does not fit into memory: {error}"
            self._verdict = KillRequest(task, bool, lambda: MemoryError(text), bool)
        self.kill()

    @property
    def was_killed(self) -> bool:
        """Whether its pool killed it."""
        return self._killed_by_pool

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
        if self._verdict is not None and self._verdict.task is task:
            return self._verdict.error()
        try:
            from parallelize.errors import WorkerDied
        except (ImportError, OSError) as error:  # no descriptor is left for the import
            name = f"worker {self.pid} died while it ran {task.name()}"
            return ParallelizeError(f"{name} ({error})")
        code = exit_code(status)
        return WorkerDied(task.name(), self.pid, code, self._killed_by_pool, self.fault)

    def last_frames(self) -> list[Frame]:
        """After its end: read the frames that are left in its socket and its page."""
        frames: list[Frame] = []
        with contextlib.suppress(OSError, ProtocolError):
            while (more := self.reader.read(self.sock)) is not None:
                frames += more
        with contextlib.suppress(ProtocolError):
            frames += self.reader.feed(self.page.remainder(self.reader.received))
        return frames

    def close(self) -> None:
        """Close the pool's ends, and drop everything that was still to be sent."""
        self.stage = WorkerStage.GONE
        self.writer.drop()
        self._control_backlog.clear()
        self._verdict = None
        self._questions.clear()
        for id in [*self._lent.elements()]:
            self.released(id, reusable=False)  # its child processes may have views
        self._results.close()
        self.control_reader.close()
        self._close_ours.close()


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


def _is_hung_up(sock: socket.socket) -> bool:
    """Return whether the other end is closed, even if there is data left to read."""
    poll = native.poll()
    poll.register(sock, 0)  # a hang-up is always reported
    return bool(poll.poll(0))


def _pair(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    here, there = native.socket_pair()
    here.setblocking(False)
    return ours.enter_context(here), theirs.enter_context(there)


def _resident(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if that is unknown."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
