"""This process's deadlines: one thread that sleeps until the nearest one.

```
 after(2.5, action) ──▶ heap of (time, action) ──▶ timer thread: sleep until the
 deadline.cancel()  ──▶ marks it as cancelled       nearest, call its action
```

The thread starts with the first deadline. Without deadlines it sleeps indefinitely, as
it never polls; where threads cannot be daemons, it ends.
"""

from __future__ import annotations

from parallelize.runtime import lifecycle, locks
from parallelize.runtime.agenda import Agenda, Deadline
from parallelize.runtime.clock import bounded, monotonic
from parallelize.runtime.services import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("after",)

_new_lock = locks.reentrant("timer start")
_new_timer_lock = locks.reentrant("timer")


class _Timer(Agenda):
    """The heap of deadlines and the thread that meets them."""

    def __init__(self) -> None:
        super().__init__()
        # Guards everything here; nothing is taken under it. Reentrant because
        # finalisers may cancel deadlines.
        self._lock = _new_timer_lock()
        self._changed = locks.Condition(self._lock)
        self._service: Service | None = None  # the running one

    def after(self, seconds: float, action: Callable[[], object]) -> Deadline:
        locked, deadline = locks.depth(self._lock), None
        try:
            with self._changed:
                deadline = self.at(monotonic() + seconds, action)
                if self._service is None:
                    self._start()
                elif self._heap[0][2] is deadline:
                    self._changed.notify()
        except BaseException:  # no thread can be started, or Ctrl-C
            locks.release_to(self._lock, locked)
            self._give_up(deadline)
            raise
        return deadline

    def _give_up(self, deadline: Deadline | None) -> None:
        """Cancel the deadline; the thread looks again, as it may not know of it."""
        with self._changed:
            if deadline is not None:
                deadline.cancel()
            self._changed.notify()

    def one_is_void(self) -> None:
        with self._changed:
            super().one_is_void()
            if not lifecycle.daemons:
                self._changed.notify()

    def _start(self) -> None:
        try:
            self._service = Service("parallelize-deadlines", self._run)
            self._service.start()
        except BaseException:  # no thread can be started, or Ctrl-C
            if self._service is not None and not self._service.has_started:
                self._service = None
            raise

    def _run(self, service: Service) -> None:
        try:
            service.serve(self._turn)
        finally:  # SystemExit in an action: the next deadline starts another
            with self._changed:
                if self._service is service and service.is_here():
                    self._service = None

    def _turn(self) -> bool:
        due = self._next()
        if due is None:
            return False
        due.meet()
        return True

    def _next(self) -> Deadline | None:
        """Wait for the next deadline; return None if the thread has to end."""
        with self._changed:
            while True:
                due = self.take_due(monotonic())
                if due is not None:
                    return due
                when = self.nearest()
                if when is None and not lifecycle.daemons:
                    self._service = None  # the next deadline starts another
                    return None
                self._changed.wait(
                    None if when is None else bounded(when - monotonic())
                )


_timer: _Timer | None = None
_lock = _new_lock()  # guards _timer; a timer's own lock may be taken under it


def after(seconds: float, action: Callable[[], object]) -> Deadline:
    """Call ``action()`` in the timer's thread after this many seconds.

    The action should be short: other deadlines wait for it.

    Raises:
        RuntimeError: The timer's thread does not run and could not be started. The next
            call tries again.
    """
    return (_timer or _make()).after(seconds, action)


def _make() -> _Timer:
    global _timer
    with _lock:
        if _timer is None:
            _timer = _Timer()
        return _timer


def _forget() -> None:
    # The child has no timer thread, and the deadlines belong to the parent's calls.
    global _timer, _lock
    _timer, _lock = None, _new_lock()


locks.at_fork(after_in_child=_forget)
