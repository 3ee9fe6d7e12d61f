"""The state of a `TaskGroup`: its running and failed calls, and its life cycle."""

from __future__ import annotations

import enum
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from parallelize.futures.future import Future
from parallelize.futures.peek import has_failed, peek_error, stop
from parallelize.futures.unretrieved import is_cancellation
from parallelize.runtime import locks
from parallelize.runtime.blocking import away
from parallelize.runtime.clock import wait_for

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    AnyFuture: TypeAlias = concurrent.futures.Future[Any]

_new_lock = locks.reentrant("members")

__all__ = ("Members",)


class _Life(enum.Enum):
    NEW = "not entered"
    OPEN = "open"
    LEAVING = "waiting"  # also for calls that are started meanwhile
    STOPPING = "stopping"
    ENDED = "ended"


class Members:
    """The calls of a group that are not done, and those that have failed.

    Attributes:
        is_cancelled: Whether the user has cancelled the group.
    """

    def __init__(self) -> None:
        self._when_failed: Callable[[], object] | None = None
        self._life = _Life.NEW
        self.is_cancelled: bool = False
        self._running: dict[AnyFuture, None] = {}  # in order of their starts
        self._starting = 0  # number of calls being submitted
        self._failed: list[AnyFuture] = []
        self._wakers: list[Callable[[], object]] = []
        # Its lock guards all above; no other lock is taken under it. It is reentrant
        # because finalisers and signal handlers may complete a future.
        self._changed = locks.Condition(_new_lock())

    # Entering the block, and submitting calls.

    def enter(self, when_failed: Callable[[], object] | None = None) -> None:
        """Open the group for calls.

        Args:
            when_failed: Called, in any thread, when the first call has failed.
        """
        with self._changed:
            if self._life is not _Life.NEW:
                msg = "a TaskGroup can be entered once"
                raise RuntimeError(msg)
            self._life = _Life.OPEN
            self._when_failed = when_failed

    def reserve(self) -> None:
        """Announce a call that is about to be submitted; raise if not allowed."""
        with self._changed:
            if self._life is _Life.STOPPING:
                msg = "the TaskGroup was stopped and starts no more calls"
                raise CancelledError(msg)
            if self._life is _Life.NEW:
                msg = "the TaskGroup was not entered: use it in a with statement"
                raise RuntimeError(msg)
            if self._life is _Life.ENDED:
                msg = "the TaskGroup has ended"
                raise RuntimeError(msg)
            self._starting += 1

    def give_up_place(self) -> None:
        """Withdraw the announcement: the call was not submitted."""
        with self._changed:
            self._starting -= 1
            wakers = self._tell()
        _call_each(wakers)

    def add(self, future: AnyFuture) -> None:
        """Add the future of the submitted call."""
        with self._changed:
            self._starting -= 1
            self._running[future] = None
            too_late = self._life in (_Life.STOPPING, _Life.ENDED)
        future.add_done_callback(self.ended)
        if too_late:
            stop(future)

    # Completion of calls, in any thread.

    def ended(self, future: AnyFuture) -> None:
        """Record that a call is done; repeated calls have no effect."""
        failed = not future.cancelled() and has_failed(future)
        failed = failed and not _was_stopped(future)
        with self._changed:
            if future not in self._running:
                return
            del self._running[future]
            if failed:
                self._failed.append(future)
            is_first = failed and self._life in (_Life.OPEN, _Life.LEAVING)
            wakers = self._tell()
        if is_first:
            self.stop()
            if self._when_failed is not None:
                self._when_failed()
        _call_each(wakers)

    def cancel(self) -> bool:
        """Stop because the user has asked for it; return False if it had ended."""
        with self._changed:
            if self._life is _Life.NEW:
                msg = "the TaskGroup was not entered: use it in a with statement"
                raise RuntimeError(msg)
            if self._life is _Life.ENDED:
                return False
            self.is_cancelled = True
        self.stop()
        return True

    def is_cancellation(self, error: BaseException | None) -> bool:
        """Whether the block has ended by an error that `cancel` has caused."""
        return self.is_cancelled and error is not None and is_cancellation(error)

    def stop(self) -> None:
        """Cancel or kill all calls, and accept no more."""
        with self._changed:
            if self._life is not _Life.ENDED:
                self._life = _Life.STOPPING
            running = list(self._running)
        for future in running:
            stop(future)

    def _is_idle(self) -> bool:
        return not self._running and not self._starting

    def _tell(self) -> list[Callable[[], object]]:
        self._changed.notify_all()
        if not self._is_idle():
            return []
        wakers, self._wakers = self._wakers, []
        return wakers

    # Leaving the block.

    def leave(self, *, stopping: bool) -> None:
        """Accept only calls started by running ones; if stopping, stop all."""
        with self._changed:
            if self._life is _Life.OPEN:
                self._life = _Life.LEAVING
        if stopping:
            self.stop()

    def wait(self) -> None:
        """Wait until no call is left; run those that are queued behind this thread."""
        while (future := self._next()) is not None:
            if isinstance(future, Future):
                future._await_end(None)
                self.ended(future)  # its callbacks may not have run yet
            else:
                self._wait_for(future)

    def _next(self) -> AnyFuture | None:
        with self._changed:
            self._changed.wait_for(lambda: self._running or not self._starting)
            future = next(iter(self._running), None)
            if future is None:
                self._life = _Life.ENDED  # atomically, so that no call slips in
            return future

    def _wait_for(self, future: AnyFuture) -> None:
        with away(), self._changed:
            self._changed.wait_for(lambda: future not in self._running)

    def wait_idle(self, timeout: float | None) -> None:
        """Wait until no call is left, or for the timeout; run no calls here."""
        with away(), self._changed:
            if timeout is None:
                self._changed.wait_for(self._is_idle)
            else:
                wait_for(self._changed, self._is_idle, timeout)

    def call_when_idle(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` when no call is left, in any thread."""
        with self._changed:
            if not self._is_idle():
                self._wakers.append(waker)
                return
        waker()

    def running(self) -> list[Future[Any]]:
        """Return this library's futures that are not done."""
        with self._changed:
            return [each for each in self._running if isinstance(each, Future)]

    def ended_idle(self) -> bool:
        """Whether no call is left; if so, close the group."""
        with self._changed:
            if self._is_idle():
                self._life = _Life.ENDED
            return self._is_idle()

    def end(self) -> None:
        """Close the group, and release all calls, even running ones."""
        with self._changed:
            self._life = _Life.ENDED
            self._running.clear()

    def take_failed(self) -> list[AnyFuture]:
        """Return the failed calls, and release them."""
        failed, self._failed = self._failed, []
        return failed

    def __str__(self) -> str:
        with self._changed:
            return f"{self._life.value}, {len(self._running)} running"


def _call_each(wakers: Sequence[Callable[[], object]]) -> None:
    for waker in wakers:
        waker()


def _was_stopped(future: AnyFuture) -> bool:
    """Whether a failed future is known to have been stopped."""
    error = peek_error(future)
    return isinstance(error, BaseException) and is_cancellation(error)
