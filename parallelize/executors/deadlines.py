"""Deadlines in this process: one thread that sleeps until the nearest one.

```
 after(2.5, action) ──▶ heap of (time, action) ──▶ timer thread: sleep until the
 deadline.cancel()  ──▶ marks it as void            nearest, call its action
```

The thread starts with the first deadline. Without deadlines it sleeps without
end: it never wakes up just to look.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import threading
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("parallelize")

#: Void deadlines are swept out of the heap when they are more than this many
#: and more than half of it.
_SWEEP_ABOVE = 64


class Deadline:
    """A moment at which an action is called, unless it is cancelled before."""

    __slots__ = ("_action", "_timer")

    def __init__(self, timer: _Timer, action: Callable[[], object]) -> None:
        self._timer = timer
        self._action: Callable[[], object] | None = action

    def cancel(self) -> None:
        """Call nothing; no effect when it is too late."""
        if self._action is not None:
            self._action = None  # lets go of what the action holds
            self._timer.one_is_void()

    def meet(self) -> None:
        """Call the action; its errors are logged."""
        action, self._action = self._action, None
        if action is None:
            return
        try:
            action()
        except Exception:  # noqa: BLE001 - the other deadlines must be met
            _log.exception("an action at a deadline failed")

    @property
    def void(self) -> bool:
        """Whether there is nothing left to call."""
        return self._action is None


class _Timer:
    """The heap of deadlines and the thread that meets them."""

    def __init__(self) -> None:
        # The condition's lock guards everything here; nothing is taken under it.
        # It is reentrant as finalisers may cancel deadlines.
        self._changed = threading.Condition(threading.RLock())
        self._heap: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()  # deadlines of equal time stay in order
        self._void = 0
        self._thread: threading.Thread | None = None

    def after(self, seconds: float, action: Callable[[], object]) -> Deadline:
        deadline = Deadline(self, action)
        entry = (monotonic() + seconds, next(self._numbers), deadline)
        with self._changed:
            heapq.heappush(self._heap, entry)
            if self._thread is None:
                self._start()
            elif self._heap[0] is entry:
                self._changed.notify()
        return deadline

    def one_is_void(self) -> None:
        with self._changed:
            self._void += 1
            if self._void > _SWEEP_ABOVE and self._void * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if not entry[2].void]
                heapq.heapify(self._heap)
                self._void = 0

    def _start(self) -> None:
        # A daemon, for it never ends by itself and holds nothing to be saved.
        self._thread = threading.Thread(
            target=self._run, name="parallelize-deadlines", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._next().meet()

    def _next(self) -> Deadline:
        with self._changed:
            while True:
                wait = self._heap[0][0] - monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(wait and min(wait, threading.TIMEOUT_MAX))


_timer: _Timer | None = None
_lock = threading.Lock()  # guards _timer; a timer's own lock may be taken under it


def after(seconds: float, action: Callable[[], object]) -> Deadline:
    """Call ``action()`` in the timer's thread when the seconds are over.

    The action should be short: other deadlines wait for it.
    """
    return (_timer or _make()).after(seconds, action)


def _make() -> _Timer:
    global _timer
    with _lock:
        if _timer is None:
            _timer = _Timer()
            _watch_forks()
        return _timer


_watching = False


def _watch_forks() -> None:
    global _watching
    if not _watching and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)
        _watching = True


def _forget() -> None:
    # The child has no timer thread, and the deadlines are of the parent's calls.
    global _timer, _lock
    _timer, _lock = None, threading.Lock()
