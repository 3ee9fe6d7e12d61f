"""The large buffers of a pool: what copies them, and when workers hear of that."""

from __future__ import annotations

from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from parallelize.process.memory.segments import Placed
    from parallelize.process.parent.deadlines import Deadlines
    from parallelize.process.parent.tasks.segment_ledger import SegmentLedger
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle

    class BufferUsers(Protocol):
        """The pool's scheduler, as its large buffers see it."""

        @property
        def lock(self) -> threading.RLock:
            """The pool's lock."""
            ...

        @property
        def ledger(self) -> SegmentLedger:
            """The ledger of the large buffers."""
            ...

        @property
        def workers(self) -> Mapping[int, WorkerHandle]:
            """The workers that may have some of them."""
            ...

        @property
        def last_id(self) -> int:
            """The id of the last task: if it stays, there was no call."""
            ...


#: Seconds without a call after which memory is not kept for reuse any more.
TRIM_AFTER = 10.0


class Buffers:
    """Copies large buffers for workers; releases what nothing has used for a while."""

    def __init__(self, users: BufferUsers, deadlines: Deadlines) -> None:
        self._users = users
        self._deadlines = deadlines
        self._is_trim_scheduled = False

    def place(self, buffers: Sequence[memoryview], *, copied: bool) -> Placed | None:
        """Copy large buffers of a call into a segment; called without the lock."""
        ledger = self._users.ledger
        placed = ledger.place(buffers, copied=copied)
        if ledger.has_news:
            with self._users.lock:
                self.send_notices()
        return placed

    def send_notices(self) -> None:
        """Send workers the notices about segments; the caller holds the lock."""
        self._users.ledger.send_notices(self._users.workers)
        if self._users.ledger.warm:
            self.trim_later()

    def trim_later(self) -> None:
        """Schedule the release of memory kept for reuse, unless calls follow."""
        if self._is_trim_scheduled:
            return
        self._is_trim_scheduled = True
        trim = partial(self._trim, self._users.last_id)
        self._deadlines.after(TRIM_AFTER, trim)

    def _trim(self, last_id: int) -> None:
        self._is_trim_scheduled = False
        if self._users.last_id == last_id:
            self._users.ledger.trim_idle_memory(self._users.workers)
        else:
            self.trim_later()
