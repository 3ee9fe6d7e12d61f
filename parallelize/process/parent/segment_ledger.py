"""The large buffers of one pool, and what its workers have to be told of them.

Views are collected and segments given up at any moment, in any thread, also by one
that holds the pool's lock. So that is only noted then, and told by who holds it next.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from parallelize.process.memory.segments import Segments
from parallelize.process.memory.views import RELEASES_AT_ONCE, Release
from parallelize.process.wire import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallelize.process.memory.segments import Placed
    from parallelize.process.parent.worker_handle import Worker


#: Seconds without a call after which memory is not kept warm any more.
TRIM_AFTER = 10.0


class SegmentLedger:
    """What the workers of one pool can read of it, and it of them.

    Attributes:
        segments: What large arguments travel in.
        warm: Whether there may be memory that is kept for the next calls.
        collected: Views of results that are gone, which workers do not know yet.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        """Begin with nothing.

        Args:
            ring: Has the dispatcher call `tell` soon; called in any thread.
        """
        self._ring = ring
        self.warm: bool = False
        self._given_up: deque[int] = deque()
        self.collected: deque[tuple[int, Release]] = deque()
        self._unshared: deque[tuple[int, int]] = deque()
        self.segments: Segments = Segments(self._given_up.append)

    def place(self, buffers: Sequence[memoryview], *, copied: bool) -> Placed | None:
        """Copy large buffers of a call to where a worker can read them."""
        self.warm = True
        return self.segments.place(buffers, copied=copied)

    def trim_idle_memory(self, workers: Mapping[int, Worker]) -> None:
        """Let go of memory that carries nothing; the caller holds the pool's lock."""
        self.warm = False
        self.segments.trim()
        self.tell(workers)
        for worker in workers.values():
            worker.trim_idle_memory()

    def on_view_released(self, worker_id: int, release: Release) -> None:
        """The last view of a result was collected."""
        self.warm = True
        self.collected.append((worker_id, release))
        # The next call tells of it, too.
        if release.large or len(self.collected) >= RELEASES_AT_ONCE:
            self._ring()

    def on_share_released(self, worker_id: int, id: int) -> None:
        """A handle was collected that a worker has."""
        self._unshared.append((worker_id, id))
        self._ring()

    @property
    def has_news(self) -> bool:
        """Whether workers have to be told of something."""
        return bool(self._given_up or self.collected)

    def tell(self, workers: Mapping[int, Worker]) -> None:
        """Tell the workers; the caller holds the pool's lock."""
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
