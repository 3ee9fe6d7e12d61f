"""The pending futures of an executor that has no threads of its own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from parallelize.calls.tally import Tally
from parallelize.futures.peek import has_failed
from parallelize.runtime import lifecycle, locks

if TYPE_CHECKING:
    from parallelize.calls.open_maps import OpenMaps
    from parallelize.calls.stats import Stats
    from parallelize.futures.future import Future

_new_lock = locks.reentrant("in flight")


class InFlight:
    """Accepts futures until it is closed, and tracks the ones that are not done."""

    def __init__(self, maps: OpenMaps) -> None:
        """Create it; at exit ``maps`` are finished before the futures."""
        self._maps = maps
        self._reset()
        self.closed: bool = False
        # At interpreter exit registration fails, and no fork can follow.
        with contextlib.suppress(RuntimeError):
            lifecycle.register(self)

    def _reset(self) -> None:
        # Its lock guards `closed` and `_futures`; nothing is taken under it. It is
        # reentrant because a signal handler may submit a call or shut down.
        self._changed = locks.Condition(_new_lock())
        self._futures: set[Future[Any]] = set()
        self.tally: Tally = Tally()

    def add(self, future: Future[Any]) -> None:
        """Add a future; raise RuntimeError if closed."""
        with self._changed:
            self.refuse_if_closed()
            self._futures.add(future)

    def refuse_if_closed(self) -> None:
        """Raise RuntimeError if closed."""
        if self.closed:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)

    def discard(self, future: Future[Any]) -> None:
        """Remove and count a future that is done."""
        with self._changed:
            if future in self._futures and not future.cancelled():
                failed = has_failed(future)
                (self.tally.failed if failed else self.tally.done).step()
            self._futures.discard(future)
            if not self._futures:
                self._changed.notify_all()

    def stats(self, *, runs_here: bool = False) -> Stats:
        """Return how many calls there are, and how the others have ended.

        Args:
            runs_here: Whether this process runs them, and so knows which have begun.
        """
        with self._changed:
            for future in [each for each in self._futures if each.done()]:
                self.discard(future)  # it is about to be
            left = len(self._futures)
            running = sum(each.running() for each in self._futures) * runs_here
            return self.tally.stats(
                workers=int(runs_here),
                busy=min(running, 1),
                queued=left - running,
                running=running,
            )

    def snapshot(self) -> list[Future[Any]]:
        """Return the futures that are not done."""
        with self._changed:
            return list(self._futures)

    def close(self) -> list[Future[Any]]:
        """Accept no more futures; return those that are not done."""
        with self._changed:
            self.closed = True
            return list(self._futures)

    def wait_empty(self) -> None:
        """Block until all futures are done."""
        with self._changed:
            self._changed.wait_for(lambda: not self._futures)

    def stop_taking(self, *, drop: bool) -> None:
        """Before the exit: accept no more futures; cancel the pending ones if so."""
        for future in self.close():
            if drop:
                future.cancel()

    def finish(self) -> None:
        """At a normal exit: wait for the pending futures."""
        self._maps.finish(unread_only=True)
        self.wait_empty()

    def abandon(self) -> None:
        """At exit by an error: cancel pending futures, and start no retries."""
        self._maps.cancel()
        for future in self.snapshot():
            future.cancel()

    def forget(self) -> None:
        """In a forked child: fail the pending futures, which are the parent's."""
        futures = self._futures
        self._reset()
        for future in futures:
            future._fail_in_forked_child()
        self._maps.forget()
