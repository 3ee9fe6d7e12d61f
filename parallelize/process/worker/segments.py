"""The worker's part in passing large buffers, as their receiver and their sender.

The watcher thread reads the control socket; the main thread waits for segments that
have not arrived there yet, and notifies the pool of released ones. While coroutines
run, the thread of their loop does so, too.
"""

from __future__ import annotations

import contextlib
from collections import deque

from parallelize.process.memory import shared
from parallelize.process.memory.segments import Segments, decode_places
from parallelize.process.memory.views import Received, Release, Releases
from parallelize.process.wire import messages
from parallelize.process.wire.frames import NoDescriptorError, pack, send_all
from parallelize.runtime import locks, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallelize.process.memory.segments import Placed
    from parallelize.process.wire.frames import FdReader, Frame, Part


class Exchange:
    """Large buffers between this worker and its pool."""

    def __init__(self, control: native.Socket) -> None:
        self._control = control
        # Held while writing to the control socket. Nothing is locked under it.
        self._sending = locks.reentrant("control", native.RLock)()
        # Views may be collected, and segments given up, at any time: these are only
        # recorded then, and sent later.
        self._released = Releases()
        self._closed: deque[int] = deque()
        self._received = Received(self._released.add, with_others=True)
        self._segments = Segments(self._closed.append)
        self._failed: dict[int, Exception] = {}  # segments that could not be mapped
        self._sent: set[int] = set()  # ids of segments that the pool has
        # Its lock guards what was received; nothing is locked under it.
        self._news = native.Condition(locks.reentrant("received", native.RLock)())
        shared.expect()

    def send(
        self, kind: int, id: int, parts: Sequence[Part] = (), extra: int = 0
    ) -> None:
        """Write a frame to the control socket."""
        with self._sending:
            send_all(self._control, b"".join(pack(kind, id, parts, extra)))

    # Called by the main thread.

    def views(self, encoded: Part) -> list[memoryview | bytearray]:
        """Return the buffers of a message; wait until their segment has arrived."""
        id, places, copied = decode_places(encoded)
        with self._news:
            self._news.wait_for(lambda: id in self._received or id in self._failed)
            if id in self._failed:
                # Release it as not reusable, so that the pool gives the segment up.
                self._released.add(Release(id, reusable=False, large=True))
                raise self._failed.pop(id)
            return self._received.views(id, places, copied=copied)

    def place(self, buffers: Sequence[memoryview]) -> Placed | None:
        """Put buffers of a result into a segment; return None if there is none."""
        placed = self._segments.place(buffers)
        if placed is None:
            return None
        try:
            self._introduce(placed)
        except OSError:  # the descriptor cannot be sent now
            self._segments.let_go(placed.segment)
            return None
        return placed

    def _send_closed(self) -> None:
        with contextlib.suppress(IndexError):  # another thread may take some, too
            while self._closed:
                id = self._closed.popleft()
                self._sent.discard(id)
                self.send(messages.FORGET, id)

    def _introduce(self, placed: Placed) -> None:
        self._send_closed()
        segment = placed.segment
        if segment.id in self._sent:
            return
        frame = b"".join(pack(messages.ADOPT, segment.id))
        with self._sending:
            native.send_fds(self._control, frame, [segment.fd])
        self._sent.add(segment.id)

    def send_released(self) -> None:
        """Notify the pool of the messages whose views are gone."""
        frames = [
            b"".join(pack(messages.RELEASED, each.id, extra=int(each.reusable)))
            for each in self._released.take()
        ]
        if frames:
            with self._sending:
                send_all(self._control, b"".join(frames))

    def send_released_if_urgent(self) -> None:
        """Notify the pool before the next call if it may need the memory."""
        if self._released.are_urgent:
            self.send_released()

    # Called by the watcher.

    def on_frame(self, frame: Frame, reader: FdReader) -> None:
        """Apply a frame of the pool about segments or shared objects."""
        if frame.kind == messages.RELEASED:
            segment = self._segments.find(frame.id)
            if segment is not None:
                self._segments.let_go(segment, reusable=bool(frame.extra))
            return
        if frame.extra:
            _take_shared(frame, reader)
            return
        if frame.id == messages.UNUSED:
            self._segments.trim()
            self._send_closed()
            return
        with self._news:
            if frame.kind == messages.ADOPT:
                self._adopt(frame.id, reader)
            elif frame.kind == messages.FORGET:
                self._received.drop(frame.id)

    def _adopt(self, id: int, reader: FdReader) -> None:
        try:
            self._received.add(id, reader.fd())
        except (MemoryError, NoDescriptorError) as error:  # the main thread gets it
            self._failed[id] = error
        self._news.notify_all()

    def at_most(self, segments: int, kept: int) -> None:
        """Limit the number of segments, and the bytes kept in unused ones."""
        self._segments.most = segments
        self._segments.most_kept = kept


def _take_shared(frame: Frame, reader: FdReader) -> None:
    if frame.kind != messages.ADOPT:
        shared.forget(frame.id)
        return
    try:
        shared.adopt(frame.id, reader.fd())
    except (OSError, ValueError, NoDescriptorError) as error:  # `Shared.get` raises it
        shared.adopt_none(frame.id, error)
