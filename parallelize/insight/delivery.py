"""A thread that hands over what others must not wait for.

What notes an event may hold any lock, so it only puts something into a queue. Code of
the user's, or of another library, then gets it in a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from parallelize.runtime import lifecycle, native

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("parallelize")

T = TypeVar("T")


class Delivery(Generic[T]):
    """A queue, and the thread that calls a function with what is in it."""

    def __init__(self, callback: Callable[[T], object]) -> None:
        self._callback = callback
        self._items: SimpleQueue[tuple[T] | None] = SimpleQueue()
        self._thread = threading.Thread(
            target=self._hand_over,
            name="parallelize-observer",
            daemon=lifecycle.daemons,
        )
        self._has_failed = False

    @property
    def has_started(self) -> bool:
        """Whether the thread was started."""
        return self._thread.ident is not None

    def start(self) -> None:
        """Start the thread."""
        native.start(self._thread)

    def put(self, item: T) -> None:
        """Put something into the queue; in any thread, under any lock."""
        if self._thread.is_alive():  # not so in a forked child
            self._items.put((item,))

    def finish(self) -> None:
        """Return when all has been handed over that is in the queue now."""
        self._items.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _hand_over(self) -> None:
        while (item := self._items.get()) is not None:
            try:
                self._callback(*item)
            except BaseException:  # noqa: BLE001 - also SystemExit: the others follow
                if not self._has_failed:
                    self._has_failed = True
                    _log.exception("%r, which observes calls, failed", self._callback)
            del item
