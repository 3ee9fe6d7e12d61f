"""Service threads, which call the callbacks of the futures that they complete.

```
 turn ▸ callbacks ▸ turn ▸ callbacks ▸ ...          usually a single thread
             │ one of them is about to block
             ▼
 a new thread takes over: ▸ callbacks ▸ turn ▸ ...
 the old one blocks, finishes its callback, and ends
```

The dispatcher of a pool, the timer and the thread that completes an engine's calls are
such threads: many others wait for their work. Callbacks are user code, and may wait for
it as well. So they are called between two turns, when the thread holds nothing, and if
one of them blocks (in a wait of this library), another thread takes over.
"""

from __future__ import annotations

import sys
import threading
from collections import deque

from parallelize.runtime import lifecycle, locks, native
from parallelize.runtime.blocking import NESTED, here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from typing import Any

    from parallelize.runtime.blocking import Action

    Refuse = Callable[[Iterable[Future[Any]]], object]

__all__ = ("Service",)

_new_lock = locks.reentrant("service")

#: The number of threads that may be blocked in callbacks. Above it, user callbacks are
#: left to these threads, which call them when their waits are over.
MOST_WAITING = 32


class Service:
    """The serving thread, and its predecessors that blocked in a callback."""

    def __init__(
        self,
        name: str,
        run: Callable[[Service], object],
        refuse: Refuse | None = None,
    ) -> None:
        """Create a service; `start` starts its thread.

        Args:
            name: The name of its threads.
            run: What each thread runs; it calls `serve`.
            refuse: Called with the futures waited for if the thread is about to block
                within a turn; it raises if that would be a deadlock.
        """
        self._name = name
        self._run = run
        self._refuse = refuse
        self._callbacks: deque[Action] = deque()  # used by the serving thread only
        self._calls_back = False  # likewise: whether between two turns
        # Guards the next three; threads are started under it, no lock is taken.
        # Reentrant for signal handlers that shut down.
        self._lock = _new_lock()
        self._thread = self._new_thread()
        self._waiting: set[threading.Thread] = set()  # these have handed over
        self._put_by: deque[Action] = deque()  # callbacks left to these

    def _new_thread(self) -> threading.Thread:
        # A daemon, if possible: owners that must finish are registered with
        # `lifecycle`.
        return threading.Thread(
            target=self._run, args=(self,), name=self._name, daemon=lifecycle.daemons
        )

    def start(self) -> None:
        """Start the thread; if this raises, `has_started` says whether it runs."""
        native.start(self._thread)

    @property
    def has_started(self) -> bool:
        """Whether a thread was started, also if Ctrl-C interrupted `start`."""
        return self._thread.ident is not None

    def is_here(self) -> bool:
        """Whether this is the thread that serves now."""
        # current_thread() would create an object for a thread that it does not know.
        return self._thread.ident == threading.get_ident()

    def join(self) -> None:
        """Wait for the end of the service and of its callbacks.

        In a callback it does not wait for other callbacks; within a turn it returns at
        once.
        """
        if self.is_here():
            self._make_way(())
        if self.is_here():
            return
        joined = None
        while (thread := self._serving()) is not joined:
            thread.join()
            joined = thread
        with self._lock:
            waiting = list(self._waiting)
        if threading.current_thread() not in waiting:
            for thread in waiting:
                thread.join()

    def _serving(self) -> threading.Thread:
        with self._lock:
            return self._thread

    def serve(self, turn: Callable[[], bool]) -> bool:
        """Call ``turn`` repeatedly, until it returns False.

        Returns:
            True if the service has ended; False if another thread has taken over.
        """
        _leave_sigterm_to_main_thread()
        here.pending = [self._callbacks]
        here.nested = 1  # callbacks are called after the turn
        here.makes_way = self._make_way
        goes_on = True
        while goes_on:
            if self._callbacks and not self.call_back():
                return False
            goes_on = turn()
        return self.call_back()

    def call_back(self) -> bool:
        """Call the pending callbacks; return False if another thread has taken over."""
        here.nested = 1 + NESTED
        self._calls_back = True
        while self._callbacks:
            action, argument = self._callbacks.popleft()
            if not (self._waiting and self._puts_by(action, argument)):
                action(argument)
                if not self.is_here():
                    self._call_what_was_put_by()
                    return False
            del action, argument  # do not keep it alive during the next
        self._calls_back = False
        here.nested = 1
        return True

    def _make_way(self, futures: Iterable[Future[Any]]) -> None:
        """Hand the service over to a new thread, as this one is about to block."""
        if not self.is_here():
            return
        if not self._calls_back:
            if self._refuse is not None:
                self._refuse(futures)
            return
        with self._lock:
            serving, self._thread = self._thread, self._new_thread()
            self._waiting.add(serving)
            self._calls_back = False
            try:
                self._thread.start()
            except BaseException:  # no thread can be started
                self._thread, self._calls_back = serving, True
                self._waiting.discard(serving)
                raise
        here.pending[0] = deque()
        here.makes_way = None

    def _puts_by(self, action: Callable[[Any], object], argument: Any) -> bool:
        """Leave a callback to the blocked threads, if there are too many of them."""
        if getattr(argument, "__module__", "").startswith("parallelize."):
            return False  # internal, and other threads may wait for it
        with self._lock:
            if not self._put_by and len(self._waiting) < MOST_WAITING:
                return False
            self._put_by.append((action, argument))
            return True

    def _call_what_was_put_by(self) -> None:
        while True:
            with self._lock:
                if not self._put_by:
                    self._waiting.discard(threading.current_thread())
                    return
                action, argument = self._put_by.popleft()
            action(argument)
            del action, argument

    def forget(self) -> None:
        """In a forked child: no other thread exists to take over."""
        self._calls_back = False
        self._refuse = None


def _leave_sigterm_to_main_thread() -> None:
    """Block SIGTERM in this thread, where Celery's prefork pool (billiard) is loaded.

    Its workers send their last message under a lock that all of them share, and block
    SIGTERM meanwhile, but only in their main thread. Their pool answers that message by
    SIGTERM. Another thread that took it would end the process while it holds the lock,
    and the tasks of later workers would never be answered.
    """
    if "billiard.pool" in sys.modules and sys.platform != "win32":
        import signal

        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
