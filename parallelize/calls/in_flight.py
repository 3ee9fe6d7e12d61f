"""The gate of an executor without threads of its own: who is in, and when it shuts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from parallelize.runtime import lifecycle, locks

if TYPE_CHECKING:
    from parallelize.calls.open_maps import OpenMaps
    from parallelize.futures.future import Future

_new_lock = locks.reentrant("gate")


class InFlight:
    """Lets futures in until it is closed, and knows which have not come out."""

    def __init__(self, maps: OpenMaps) -> None:
        """Make a gate; at the end of the program ``maps`` are finished first."""
        self._maps = maps
        self._reset()
        self.closed: bool = False
        # At the end of the program nothing can be forked any more.
        with contextlib.suppress(RuntimeError):
            lifecycle.register(self)

    def _reset(self) -> None:
        # The condition's lock guards `closed` and `_inside`; nothing is taken under
        # it. It is reentrant as a signal handler may make a call or shut down.
        self._changed = locks.Condition(_new_lock())
        self._inside: set[Future[Any]] = set()

    def enter(self, future: Future[Any]) -> None:
        """Let a future in; raise RuntimeError when the gate is closed."""
        with self._changed:
            self.refuse_if_closed()
            self._inside.add(future)

    def refuse_if_closed(self) -> None:
        """Raise RuntimeError when the gate is closed."""
        if self.closed:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)

    def leave(self, future: Future[Any]) -> None:
        """Let a future out."""
        with self._changed:
            self._inside.discard(future)
            if not self._inside:
                self._changed.notify_all()

    def inside(self) -> list[Future[Any]]:
        """Who is inside now."""
        with self._changed:
            return list(self._inside)

    def close(self) -> list[Future[Any]]:
        """Let nobody in any more; return who is inside."""
        with self._changed:
            self.closed = True
            return list(self._inside)

    def wait_empty(self) -> None:
        """Return when all are out."""
        with self._changed:
            self._changed.wait_for(lambda: not self._inside)

    def finish(self) -> None:
        """At the end of the program: wait for who is inside."""
        self._maps.finish(unread_only=True)
        self.wait_empty()

    def abandon(self) -> None:
        """At the end by an error: begin nothing more, not even once more."""
        self._maps.cancel()
        for future in self.inside():
            future.cancel()

    def forget(self) -> None:
        """In a forked child: those inside are the parent's."""
        strays = self._inside
        self._reset()
        for future in strays:
            future.fail_in_forked_child()
        self._maps.forget()
