"""What a thread that holds a pool's lock leaves for when that is free."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Deferred(deque["Callable[[], object]"]):
    """What is called when the pool's lock is free: the ends of futures.

    A future's callbacks are user code: they may wait for another thread that wants the
    lock.
    """

    def run(self) -> None:
        """Call what was deferred while the lock was held; called without it."""
        while self:
            try:
                ending = self.popleft()
            except IndexError:  # another thread has taken it
                return
            ending()
