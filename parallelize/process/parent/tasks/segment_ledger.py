"""The large buffers of one pool: what its workers have of it, and it of them.

Views may be collected and segments given up at any time, in any thread, even in one
that holds the pool's lock. The ledger only records this then; the next holder of the
lock sends the workers the notices.
"""

from __future__ import annotations

import collections
from collections import deque
from functools import partial

from parallelize.process.memory.segments import Segments, decode_places
from parallelize.process.memory.views import RELEASES_AT_ONCE, Received, Release
from parallelize.process.wire import messages
from parallelize.process.wire.frames import NoDescriptorError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Protocol

    from parallelize.process.memory.segments import Placed, Segment
    from parallelize.process.memory.shared import Shared
    from parallelize.process.parent.tasks.worker_channel import WorkerChannel
    from parallelize.process.wire.frames import Frame

    class Borrower(Protocol):
        """A worker of the pool."""

        @property
        def segments(self) -> WorkerSegments:
            """What it has of the pool's memory, and the pool of its memory."""
            ...


#: The kinds that replace those of answers whose buffers cannot be reached.
_FAILURES = {
    messages.DONE: messages.FAILED,
    messages.ROW_DONE: messages.ROW_FAILED,
    messages.ITEM: messages.ITEM_FAILED,
}


class SegmentLedger:
    """The memory that one pool shares with its workers, in both directions.

    Attributes:
        segments: The segments for large arguments.
        warm: Whether there may be memory that is kept for the next calls.
        collected: Releases of results' views that workers are not notified of yet.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        """Start without any memory.

        Args:
            ring: Makes the dispatcher call `send_notices` soon; called in any thread.
        """
        self._ring = ring
        self.warm: bool = False
        self._given_up: deque[int] = deque()
        self.collected: deque[tuple[int, Release]] = deque()
        self._unshared: deque[tuple[int, int]] = deque()
        self.segments: Segments = Segments(self._given_up.append)

    def place(self, buffers: Sequence[memoryview], *, copied: bool) -> Placed | None:
        """Copy large buffers of a call into a segment, for a worker to read."""
        self.warm = True
        return self.segments.place(buffers, copied=copied)

    def trim_idle_memory(self, workers: Mapping[int, Borrower]) -> None:
        """Release memory that carries nothing; the caller holds the pool's lock."""
        self.warm = False
        self.segments.trim()
        self.send_notices(workers)
        for worker in workers.values():
            worker.segments.trim()

    def on_view_released(self, worker_id: int, release: Release) -> None:
        """Record that the last view of a result was collected."""
        self.warm = True
        self.collected.append((worker_id, release))
        # Otherwise the next call sends the notice.
        if release.large or len(self.collected) >= RELEASES_AT_ONCE:
            self._ring()

    def on_share_released(self, worker_id: int, id: int) -> None:
        """Record that a handle was collected whose memory a worker has."""
        self._unshared.append((worker_id, id))
        self._ring()

    @property
    def has_news(self) -> bool:
        """Whether there are notices about segments to send."""
        return bool(self._given_up or self.collected)

    def send_notices(self, workers: Mapping[int, Borrower]) -> None:
        """Send the notices to the workers; the caller holds the pool's lock."""
        while self._given_up:
            id = self._given_up.popleft()
            for worker in workers.values():
                worker.segments.forget(id)
        while self.collected:
            worker_id, release = self.collected.popleft()
            owner = workers.get(worker_id)
            if owner is not None:
                owner.segments.view_released(release)
        while self._unshared:
            worker_id, id = self._unshared.popleft()
            owner = workers.get(worker_id)
            if owner is not None:
                owner.segments.forget_share(id)


class WorkerSegments:
    """The memory that a pool and one worker share; the pool's lock guards it."""

    def __init__(
        self, worker_id: int, channel: WorkerChannel, ledger: SegmentLedger
    ) -> None:
        self._worker_id = worker_id
        self._channel = channel
        self._ledger = ledger
        self._known: set[int] = set()  # ids of the pool's segments that it has
        self._lent: collections.Counter[int] = collections.Counter()  # messages in each
        self._shares: set[int] = set()  # ids of handles whose memory it has
        self._results = Received(partial(ledger.on_view_released, worker_id))
        self._unmapped: dict[int, Exception] = {}

    # The pool's memory.

    def lend(self, segment: Segment) -> bool:
        """Let it read a message in a segment; return False if that cannot be sent."""
        if segment.id not in self._known:
            if not self._channel.notify_now(messages.ADOPT, segment.id, segment.fd):
                return False
            self._known.add(segment.id)
        self._ledger.segments.hold(segment)
        self._lent[segment.id] += 1
        return True

    def released(self, id: int, *, reusable: bool) -> None:
        """Record that it has no views of a message in a segment any more."""
        segment = self._ledger.segments.find(id)
        if segment is not None and self._lent[id] > 0:
            self._lent[id] -= 1
            self._ledger.warm = True
            self._ledger.segments.let_go(segment, reusable=reusable)

    def forget(self, id: int) -> None:
        """Notify it of a segment that was given up."""
        if id in self._known:
            self._known.discard(id)
            del self._lent[id]
            self._channel.notify(messages.FORGET, id)

    def share(self, shares: Iterable[Shared[Any]]) -> None:
        """Send it the memory of shared objects."""
        for shared in shares:
            if shared._id not in self._shares and shared._descriptor() >= 0:
                self._shares.add(shared._id)
                gone = partial(self._ledger.on_share_released, self._worker_id)
                shared._when_gone(gone)
                self._channel.notify(messages.ADOPT, shared._id, 1, shared)

    def forget_share(self, id: int) -> None:
        """Notify it that the parent process no longer has this handle."""
        self._shares.discard(id)
        self._channel.notify(messages.FORGET, id, 1)

    # Its memory.

    def adopt(self, frame: Frame) -> None:
        """Apply its frame about a segment, its own or one of the pool."""
        if frame.kind == messages.ADOPT:
            self._ledger.warm = True
            try:
                self._results.add(frame.id, self._channel.control_reader.fd())
            except (MemoryError, NoDescriptorError) as error:
                self._unmapped[frame.id] = error  # the result in this segment fails
        elif frame.kind == messages.FORGET:
            self._results.drop(frame.id)
        else:
            self.released(frame.id, reusable=bool(frame.extra))

    def with_views(self, frame: Frame) -> Frame:
        """Replace the places of a frame's buffers by views of them."""
        if len(frame.parts) < 2:
            msg = "a frame without the places of its buffers"
            raise ProtocolError(msg)
        *parts, encoded = frame.parts
        kind = frame.kind - messages.BIG
        id, places, copied = decode_places(encoded)
        if id in self._unmapped and kind in _FAILURES:
            # Not reusable: it is given up.
            self._channel.notify(messages.RELEASED, id, extra=0)
            failure = messages.encode_failure(self._unmapped.pop(id))
            return frame.changed(_FAILURES[kind], [failure])
        views = self._results.views(id, places, copied=copied)
        return frame.changed(kind, [*parts, *views])

    def view_released(self, release: Release) -> None:
        """Notify it that the last view of a result was collected."""
        self._channel.notify(messages.RELEASED, release.id, int(release.reusable))

    def trim(self) -> None:
        """Request that it gives up segments that carry nothing."""
        if len(self._results):
            self._channel.notify(messages.FORGET, messages.UNUSED)

    # Its end.

    def close(self) -> None:
        """Release what it had, and what the pool has of it."""
        for id in [*self._lent.elements()]:
            self.released(id, reusable=False)  # its child processes may have views
        self._results.close()
