"""The pool's connection to one worker: two sockets and a page of shared memory."""

from __future__ import annotations

import _socket
import contextlib
from collections import deque

from parallelize.process.wire.frames import (
    FdReader,
    FrameReader,
    FrameWriter,
    ProtocolError,
    pack,
)
from parallelize.process.wire.journal import Journal, close_page_file, make_page_file
from parallelize.runtime import native
from parallelize.runtime.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.process.wire.frames import Frame, Part

    Start = Callable[[native.Socket, native.Socket, int | str], object]


class Lent(Protocol):
    """Something that a worker accesses through a descriptor."""

    def _descriptor(self) -> int: ...


class WorkerChannel:
    """The pool's ends of a worker's sockets, and its page; the pool's lock guards it.

    Attributes:
        sock: The task socket: tasks, and what they result in.
        control: The control socket: short frames, which the worker reads at once.
        page: The page in which the worker records what it runs.
        reader: The stream of frames from the task socket.
        control_reader: The stream of frames from the control socket.
        writer: The stream of frames to the task socket.
        stuck: Whether part of a frame waits until the task socket accepts more.
        backlog: Frames that did not fit into the control socket, some with a
            descriptor.
    """

    def __init__(self, start: Start) -> None:
        """Make the sockets and the page.

        Args:
            start: Starts the worker with copies of its ends.
        """
        self.sock: native.Socket
        self.control: native.Socket
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self.sock, sock = _pair(ours, theirs)
            self.control, control = _pair(ours, theirs)
            page_file = make_page_file()
            theirs.callback(close_page_file, page_file)
            self.page: Journal = Journal(page_file)
            ours.callback(self.page.close)
            start(sock, control, page_file)
            self._close_ours = ours.pop_all()
        self.reader: FrameReader = FrameReader()
        self.control_reader: FdReader = FdReader()
        self.writer: FrameWriter = FrameWriter(self.sock)
        self.stuck: bool = False
        self.backlog: deque[tuple[bytes, Lent | None]] = deque()

    # The task socket.

    def write(self, buffers: Sequence[Part]) -> None:
        """Send frames, as far as they fit into the socket now."""
        self.writer.add(buffers)
        self.flush()

    def flush(self) -> None:
        """Send more of the queued frames."""
        try:
            self.stuck = not self.writer.flush()
        except OSError:
            self.writer.drop()
            self.stuck = False

    def end_writing(self) -> None:
        """Have the worker read the end of the stream after the frames sent so far."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(_socket.SHUT_WR)

    # The control socket.

    def notify(
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
        self.backlog.append((b"".join(pack(kind, id, parts, extra)), lent))
        self.flush_control()

    def notify_now(self, kind: int, id: int, fd: int) -> bool:
        """Send a frame with a descriptor at once; return False if that fails."""
        try:
            self._flush_control()
            native.send_fds(self.control, b"".join(pack(kind, id)), [fd])
        except OSError:  # the socket is full, or the worker has died
            return False
        return True

    def flush_control(self) -> None:
        """Send the queued control frames, as far as they fit into the socket."""
        with contextlib.suppress(OSError):  # it is full, or the worker has died
            self._flush_control()

    def _flush_control(self) -> None:
        while self.backlog:
            frame, lent = self.backlog[0]
            if lent is None:
                self.control.send(frame)  # short enough to be sent as a whole or not
            else:
                native.send_fds(self.control, frame, [lent._descriptor()])
            self.backlog.popleft()

    # Its end.

    def is_hung_up(self) -> bool:
        """Return whether the worker has ended, even if there is data left to read."""
        poll = native.poll()
        poll.register(self.control, 0)  # a hang-up is always reported
        return bool(poll.poll(0))

    def hang_up(self) -> None:
        """End the control socket: the watcher thread of a live worker then ends it."""
        self.control.shutdown(_socket.SHUT_RDWR)

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
        self.writer.drop()
        self.backlog.clear()
        self.control_reader.close()
        self._close_ours.close()


def _pair(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> tuple[native.Socket, native.Socket]:
    here, there = native.socket_pair()
    here.setblocking(False)
    return ours.enter_context(here), theirs.enter_context(there)
