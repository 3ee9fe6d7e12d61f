"""The large buffers of one pool, and the notices about them that its workers need.

Views may be collected and segments given up at any time, in any thread, even in one
that holds the pool's lock. This is only recorded then; the next holder of the lock
sends the notices.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from parallelize.process.memory.segments import Segments
from parallelize.process.memory.views import RELEASES_AT_ONCE, Release
from parallelize.process.wire import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from parallelize.process.memory.segments import Placed

    class Borrower(Protocol):
        """A worker that has segments. No method raises if it has ended."""

        def tell(self, kind: int, id: int, extra: int = 0) -> None:
            """Send it a frame over its control socket."""

        def forget_segment(self, id: int) -> None:
            """Tell it that a segment was released, if it has it."""

        def forget_share(self, id: int) -> None:
            """Tell it that the program has no such handle any more."""

        def trim_idle_memory(self) -> None:
            """Have it release its own segments that are not in use."""


#: Seconds without a call after which memory is not kept for reuse any more.
TRIM_AFTER = 10.0


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
            ring: Makes the dispatcher call `tell` soon; called in any thread.
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
        self.tell(workers)
        for worker in workers.values():
            worker.trim_idle_memory()

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

    def tell(self, workers: Mapping[int, Borrower]) -> None:
        """Send the notices to the workers; the caller holds the pool's lock."""
        while self._given_up:
            id = self._given_up.popleft()
            for worker in workers.values():
                worker.forget_segment(id)
        while self.collected:
            worker_id, release = self.collected.popleft()
            owner = workers.get(worker_id)
            if owner is not None:
                owner.tell(messages.RELEASED, release.id, int(release.reusable))
        while self._unshared:
            worker_id, id = self._unshared.popleft()
            owner = workers.get(worker_id)
            if owner is not None:
                owner.forget_share(id)
