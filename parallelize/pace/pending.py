"""`max_pending`: how many calls of a function may be under way at once.

```
 f(...) ──▶ fewer than that? ──yes──▶ the call is made
                └─no─▶ a loop runs here? ──yes──▶ QueueFull
                              └─no─▶ the caller waits for its turn ◀── a call is done
```
"""

from __future__ import annotations

import sys
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from parallelize.runtime import lifecycle
from parallelize.runtime.blocking import away
from parallelize.runtime.locks import Latch
from parallelize.runtime.options import check_count

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")

__all__ = ("Pending", "check_max_pending")

#: The functions inside whose calls this context is. What a call makes itself does not
#: wait, as the call would not end meanwhile.
_inside: ContextVar[tuple[Pending, ...]] = ContextVar("parallelize.pending", default=())


class Pending:
    """The calls of one function that have been made and are not done.

    It has no lock: any thread or signal handler may make a call at any moment, so each
    step is a single operation that is atomic.

    Args:
        count: The largest number of them.

    Attributes:
        count: The largest number of them.
    """

    def __init__(self, count: int) -> None:
        self.count: int = count
        self._reset()

    def _reset(self) -> None:
        self._taken: deque[None] = deque()
        self._waiting: deque[Latch] = deque()
        self._watches_forks = False

    def for_function(self) -> Pending:
        """Return the same for one more function."""
        return Pending(self.count)

    def __reduce__(self) -> tuple[type[Pending], tuple[int]]:
        return Pending, (self.count,)

    def applies(self) -> bool:
        """Whether a call made here counts, as it is not made by one that does."""
        return self not in _inside.get()

    def start(
        self,
        make: Callable[[], T],
        future_of: Callable[[T], Future[Any] | None],
        full: Callable[[], Exception],
    ) -> T:
        """Make a call, at once or when others are done.

        Args:
            make: Makes it.
            future_of: Returns the future of what was made, or None if it is done.
            full: Returns the error for callers that must not wait.
        """
        outer = _inside.get()
        self._enter(full)
        future: Future[Any] | None = None
        token = _inside.set((*outer, self))  # for the context that the call copies
        try:
            made = make()
            future = future_of(made)
        finally:
            _inside.reset(token)
            if future is None:
                self._leave()
            else:
                future.add_done_callback(self._leave)
        return made

    def _enter(self, full: Callable[[], Exception]) -> None:
        if not self._watches_forks:
            self._watches_forks = True
            lifecycle.watch_forks(self)
        if not self._waiting and self._take():
            return
        if _loop_runs_here():
            raise full()
        turn = Latch()
        self._waiting.append(turn)
        self._hand_on()  # a call may have ended since
        try:
            with away():
                turn.wait()
        except BaseException:  # Ctrl-C
            try:
                self._waiting.remove(turn)
            except ValueError:  # it was its turn
                self._leave()
            raise

    def _take(self) -> bool:
        self._taken.append(None)
        if len(self._taken) <= self.count:
            return True
        self._taken.pop()
        return False

    def _leave(self, _: object = None) -> None:
        self._taken.pop()
        self._hand_on()

    def _hand_on(self) -> None:
        """Let the first of those that wait go on, while there is room."""
        while self._waiting and len(self._taken) < self.count:
            if not self._take():
                continue
            try:
                turn = self._waiting.popleft()
            except IndexError:  # another thread has taken it
                self._taken.pop()
                continue
            turn.set()

    def __repr__(self) -> str:
        return f"<at most {self.count} pending: {len(self._taken)}>"


def _loop_runs_here() -> bool:
    asyncio = sys.modules.get("asyncio")
    running = getattr(asyncio, "_get_running_loop", None)  # it may be half imported
    return running is not None and running() is not None


def check_max_pending(count: int) -> Pending:
    """Return what counts the calls, or raise naming the argument."""
    return Pending(check_count(count, "max_pending", least=1))
