"""The pool's hold on one worker: its sockets, its page, and what it was given."""

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

    from parallelize.process.memory.segments import Segment
    from parallelize.process.memory.shared import Shared
    from parallelize.process.parent.segment_ledger import SegmentLedger
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.start.launcher import Launcher
    from parallelize.process.wire.frames import DoesNotFitError, Frame, Part
    from parallelize.serialize.reducers.replica import Unit


class Lent(Protocol):
    """Something that a worker reaches by a descriptor."""

    def descriptor(self) -> int: ...


#: Seconds of silence after which a worker that holds more than it runs is asked
#: to give the rest back, ...
SILENCE = 0.010
#: ... or so many times what a call of the kind that it runs takes, if that is longer.
SILENT_CALLS = 2

_questions = itertools.count(1)

#: Seconds between two looks at the memory of a worker.
_WEIGHING = 0.005

#: What an answer becomes whose buffers are out of reach.
_FAILURES = {
    messages.DONE: messages.FAILED,
    messages.ROW_DONE: messages.ROW_FAILED,
    messages.ITEM: messages.ITEM_FAILED,
}


class Stage(enum.Enum):
    """The life of a worker."""

    STARTING = "started, initializer not finished"
    SERVING = "runs tasks"
    LEAVING = "asked to leave when it has finished"
    GONE = "its process has ended"


class KillRequest(NamedTuple):
    """Why a worker is to be killed, once it stands still.

    Attributes:
        task: What it is killed for.
        due: Whether it is still to be, now that it stands still.
        error: Makes the error of the task.
        again: Called if it was let go on instead.
    """

    task: Task
    due: Callable[[], bool]
    error: Callable[[], BaseException]
    again: Callable[[], object]


class Worker:
    """One worker process, as the pool sees it; the pool's lock guards it.

    Attributes:
        tasks: What it was given and has not answered, in order.
        coroutines: How many of these are coroutines: all, or none.
        load: The seconds these are expected to take.
        begun: How many calls it was given in its life.
        stuck: Whether part of a frame waits until its socket takes more.
        reason: Why it could not start, if it said so.
        fault: The traceback of the error by which it ended, if it was its own.
        answers: What it gave back and nobody has taken yet.
        main: What it has of the program's `__main__`.
    """

    def __init__(
        self,
        id: int,
        launcher: Launcher,
        more_fds: Sequence[int],
        lending: SegmentLedger,
        copied: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        self.id: int = id
        self.pid: int | None = None
        self.stage: Stage = Stage.STARTING
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
        self._told: set[int] = set()  # ids of segments of ours that it has
        self._lent: collections.Counter[int] = collections.Counter()  # and may read
        self._results = Received(partial(lending.on_view_released, id))
        self._unmapped: dict[int, Exception] = {}
        # What the control socket did not take: frames, some with a descriptor.
        self._control_backlog: deque[tuple[bytes, Lent | None]] = deque()
        self._shares: set[int] = set()  # ids of handles whose memory it has
        self.answers: deque[tuple[int, int, Sequence[int]]] = deque()
        self._questions: dict[int, Callable[[str], object]] = {}
        self._open(launcher, more_fds)

    def _open(self, launcher: Launcher, more_fds: Sequence[int]) -> None:
        """Make the sockets and the page, and have the process started."""
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
        self._writer = FrameWriter(self.sock)

    # Giving it work.

    def give(self, task: Task) -> list[Part]:
        """Note that it has the task; return the frame to be sent."""
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
        """Note that it no longer has the task."""
        del self.tasks[task.id]
        if task.lane == COROUTINES:
            self.coroutines -= 1
            task.came_back()
        task.worker = None
        self.load = self.load - task.cost if self.tasks else 0.0

    # Large buffers.

    def _lend(self, segment: Segment) -> bool:
        """Let it read what is in a segment; False if it cannot be told of it."""
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
        """Note that it has not begun a task, and so not looked at its buffers."""
        if task.placed is not None:
            self.released(task.placed.segment.id, reusable=True)

    def released(self, id: int, *, reusable: bool) -> None:
        """Note that it has no views of a segment's message any more."""
        segment = self._segments.find(id)
        if segment is not None and self._lent[id] > 0:
            self._lent[id] -= 1
            self._lending.warm = True
            self._segments.let_go(segment, reusable=reusable)

    def forget_segment(self, id: int) -> None:
        """Tell it of a segment that was given up."""
        if id in self._told:
            self._told.discard(id)
            del self._lent[id]
            self.tell(messages.FORGET, id)

    def adopt(self, frame: Frame) -> None:
        """Take what it says of its own segments, or of ours."""
        if frame.kind == messages.ADOPT:
            self._lending.warm = True
            try:
                self._results.add(frame.id, self.control_reader.fd())
            except (MemoryError, NoDescriptorError) as error:
                self._unmapped[frame.id] = error  # the result that comes in it fails
        elif frame.kind == messages.FORGET:
            self._results.drop(frame.id)
        else:
            self.released(frame.id, reusable=bool(frame.extra))

    def trim_idle_memory(self) -> None:
        """Have it give up segments that carry nothing."""
        if len(self._results):
            self.tell(messages.FORGET, messages.UNUSED)

    def with_views(self, frame: Frame) -> Frame:
        """Put views of the buffers in place of what says where they are."""
        if len(frame.parts) < 2:
            msg = "a frame without the places of its buffers"
            raise ProtocolError(msg)
        *parts, encoded = frame.parts
        kind = frame.kind - messages.BIG
        id, places, copied = decode_places(encoded)
        if id in self._unmapped and kind in _FAILURES:
            self.tell(messages.RELEASED, id, extra=0)  # may another have more luck
            failure = messages.encode_failure(self._unmapped.pop(id))
            return frame.changed(_FAILURES[kind], [failure])
        views = self._results.views(id, places, copied=copied)
        return frame.changed(kind, [*parts, *views])

    def hand(self, shares: Iterable[Shared[Any]]) -> None:
        """Give it the memory of what was shared."""
        for shared in shares:
            if shared.id not in self._shares and shared.descriptor() >= 0:
                self._shares.add(shared.id)
                shared.when_gone(partial(self._lending.on_share_released, self.id))
                self.tell(messages.ADOPT, shared.id, 1, shared)

    def forget_share(self, id: int) -> None:
        """Tell it that the program has no such handle any more."""
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
            kind: One of `messages`.
            id: Whose it is.
            extra: As the kind wants it.
            lent: What the descriptor is of that goes with it; kept until then.
            parts: Short ones.
        """
        self._control_backlog.append((b"".join(pack(kind, id, parts, extra)), lent))
        self.flush_control()

    def flush_control(self) -> None:
        """Send what is owed, as far as the control socket takes it."""
        with contextlib.suppress(OSError):  # it is full; or the worker has died
            self._flush_control()

    def _flush_control(self) -> None:
        while self._control_backlog:
            frame, lent = self._control_backlog[0]
            if lent is None:
                self.control.send(frame)  # so short that it goes whole or not at all
            else:
                socket.send_fds(self.control, [frame], [lent.descriptor()])
            self._control_backlog.popleft()

    @property
    def has_control_backlog(self) -> bool:
        """Whether there is something that its control socket did not take."""
        return bool(self._control_backlog)

    # Writing.

    def write(self, buffers: Sequence[Part]) -> None:
        """Send frames, as far as the socket takes them now."""
        self._writer.add(buffers)
        self.flush()

    def was_written(self) -> bool:
        """Whether a `write` that was cut short had taken the frames."""
        return self._writer.has_last()

    def flush(self) -> None:
        """Send on, now that the socket takes more."""
        try:
            self.stuck = not self._writer.flush()
        except OSError:
            self._writer.drop()
            self.stuck = False

    def heavier_than(self, most: int | None) -> bool:
        """Whether its resident memory has been seen above ``most`` bytes."""
        if most is None or self._heavy or self.pid is None:
            return self._heavy
        now = monotonic()
        if now - self._weighed_at > _WEIGHING:
            self._weighed_at = now
            self._heavy = _resident(self.pid) > most
        return self._heavy

    # Getting work back.

    def note_activity(self) -> None:
        """Note that it sent something."""
        self._last_news = monotonic()
        self._asked = False

    def reclaim_due(self) -> float | None:
        """When to ask it to give back what it has not begun; None: not at all."""
        if self._asked or self.stage is not Stage.SERVING or not self._divisible():
            return None
        return self._last_news + max(SILENCE, SILENT_CALLS * self._seconds_of_a_call())

    def _seconds_of_a_call(self) -> float:
        """What a call of the kind that it runs is expected to take."""
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
        """Let it be asked once more when it stays silent and still has too much."""
        self._last_news = monotonic()
        self._asked = False

    def reclaim(self) -> None:
        """Ask it to give back what it has not begun, and to send what it has."""
        if self._asked:
            return
        self._asked = True
        self.tell(messages.RECLAIM, 0)

    # Where it is.

    def show(self, then: Callable[[str], object]) -> None:
        """Ask it where it is; ``then`` is called with the text, if it answers.

        It is called in the dispatcher's thread, under the pool's lock.
        """
        question = next(_questions)
        self._questions[question] = then
        self.tell(messages.SHOW, question)

    def shown(self, frame: Frame) -> None:
        """Take an answer to that."""
        then = self._questions.pop(frame.id, None)
        if then is not None and frame.parts:
            then(bytes(frame.parts[0]).decode(errors="replace"))

    def show_by_signal(self) -> bool:
        """Have it write where it is to its standard error; False if it cannot."""
        if SHOW is None or self.stage is Stage.STARTING:
            return False
        self.signal(SHOW)
        return True

    # Its end.

    def leave(self) -> None:
        """Let it end when it has finished what it was given."""
        self.stage = Stage.LEAVING
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def kill(self, number: int = KILL) -> None:
        """End it by a signal; nothing happens if it has ended."""
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
        """Send it a signal though its server is gone, which knew its process id.

        If it has ended the id may be another's. It has not while it holds its end of
        the control socket; so what was opened before that was seen is its own.
        """
        opened = _opened(pid)
        if opened is None:
            if number == KILL:  # its watcher ends it
                self.control.shutdown(socket.SHUT_RDWR)
            return
        try:
            if not _is_hung_up(self.control):
                signal.pidfd_send_signal(opened, number)
        finally:
            os.close(opened)

    def kill_running(self, verdict: KillRequest) -> bool:
        """Kill it because of the task that it runs, which gets the verdict's error.

        It is halted first: it may go on to another task at this very moment, and
        that one must not pay for it. `halted` decides.

        Returns:
            False if another verdict is being carried out: try again a little later.
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
        """It stands still: kill it if that is still due, else let it go on."""
        verdict = self._verdict
        if verdict is None:
            return  # somebody else has stopped it
        if verdict.due():
            self.kill()
            return
        self._verdict = None
        self.signal(RESUME)
        verdict.again()

    def fail_oversized(self, task: Task | None, error: DoesNotFitError) -> None:
        """Kill it: it sends what there is no memory for, the result of this task."""
        if task is not None:
            text = f"the result of {task.name()} does not fit into memory: {error}"
            self._verdict = KillRequest(task, bool, lambda: MemoryError(text), bool)
        self.kill()

    @property
    def was_killed(self) -> bool:
        """Whether its pool killed it."""
        return self._killed_by_pool

    def orphan(self) -> bool:
        """Note that its server is gone; True if so already its end was missed."""
        self._launcher = None
        return self.pid is None

    def is_from(self, launcher: Launcher) -> bool:
        """Whether this server watches over it."""
        return self._launcher is launcher

    @property
    def supervised(self) -> bool:
        """Whether the server will tell of its end."""
        return self._launcher is not None

    def error_for(self, task: Task, status: int | None) -> BaseException:
        """The error of the task that it ran when it died."""
        if self._verdict is not None and self._verdict.task is task:
            return self._verdict.error()
        try:
            from parallelize.errors import WorkerDied
        except (ImportError, OSError) as error:  # no descriptor is left to load it by
            name = f"worker {self.pid} died while it ran {task.name()}"
            return ParallelizeError(f"{name} ({error})")
        code = exit_code(status)
        return WorkerDied(task.name(), self.pid, code, self._killed_by_pool, self.fault)

    def last_frames(self) -> list[Frame]:
        """After its end: the frames that are still in its socket and its page."""
        frames: list[Frame] = []
        with contextlib.suppress(OSError, ProtocolError):
            while (more := self.reader.read(self.sock)) is not None:
                frames += more
        with contextlib.suppress(ProtocolError):
            frames += self.reader.feed(self.page.remainder(self.reader.received))
        return frames

    def close(self) -> None:
        """Close our ends, and keep nothing that it was to be sent."""
        self.stage = Stage.GONE
        self._writer.drop()
        self._control_backlog.clear()
        self._verdict = None
        self._questions.clear()
        for id in [*self._lent.elements()]:
            self.released(id, reusable=False)  # a child of it may have views, too
        self._results.close()
        self.control_reader.close()
        self._close_ours.close()


def exit_code(status: int | None) -> int | None:
    """The exit code in a wait status, or minus the signal's number."""
    return None if status is None else os.waitstatus_to_exitcode(status)


def _defining(units: Sequence[Unit]) -> list[Part]:
    """The frame that brings a worker units of `__main__`."""
    return pack(messages.DEFINE, 0, [pickle.dumps(units, 5)])


def _opened(pid: int) -> int | None:
    """A descriptor of a process; None if there is no such process, or no such thing."""
    if not hasattr(os, "pidfd_open"):  # Linux alone has it
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _is_hung_up(sock: socket.socket) -> bool:
    """Whether nobody has the other end any more, whatever is still to be read."""
    poll = native.poll()
    poll.register(sock, 0)  # that much is always told
    return bool(poll.poll(0))


def _pair(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    here, there = native.socket_pair()
    here.setblocking(False)
    return ours.enter_context(here), theirs.enter_context(there)


def _resident(pid: int) -> int:
    """The resident memory of a process in bytes; 0 where it cannot be told."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
