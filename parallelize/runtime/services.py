"""Threads that serve others, and call the callbacks of the futures that they end.

```
 turn ▸ callbacks ▸ turn ▸ callbacks ▸ ...          one thread, as a rule
             │ one of them is about to wait
             ▼
 a new thread serves from here on: ▸ callbacks ▸ turn ▸ ...
 the old one waits, goes on with its callback, and ends
```

The dispatcher of a pool, the timer, the thread in which the calls of an engine end:
many wait for what such a thread does. Callbacks are the user's, and may wait for it as
well. So they are called between two turns, when the thread is at nothing else, and
where one of them waits (by a wait of this library), another thread takes over.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from parallelize.runtime import lifecycle, locks
from parallelize.runtime.blocking import NESTED, here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from parallelize.runtime.blocking import Action

    Refuse = Callable[[Iterable[Future[Any]]], object]

__all__ = ("Service",)

_new_lock = locks.reentrant("service")

#: How many threads may stand in callbacks that wait. Further callbacks of users are
#: called by these, when they have waited.
MOST_WAITING = 32


class Service:
    """One thread that serves, and those that did until a callback had to wait."""

    def __init__(
        self,
        name: str,
        run: Callable[[Service], object],
        refuse: Refuse | None = None,
    ) -> None:
        """Make a service; its thread is started by `start`.

        Args:
            name: The name of its threads.
            run: What each thread runs; it calls `serve`.
            refuse: Called with what is waited for, where the thread is about to wait
                within a turn; it raises if that would be for ever.
        """
        self._name = name
        self._run = run
        self._refuse = refuse
        self._callbacks: deque[Action] = deque()  # the serving thread's alone
        self._calls_back = False  # likewise: whether it is between two turns
        # Guards the next three; threads are started under it, and nothing is taken.
        # Reentrant for signal handlers that shut down.
        self._lock = _new_lock()
        self._thread = self._new_thread()
        self._waiting: set[threading.Thread] = set()  # that have handed over
        self._put_by: deque[Action] = deque()  # callbacks for these

    def _new_thread(self) -> threading.Thread:
        # A daemon, if it may be: what is to be waited for at the end of the program
        # knows of it.
        return threading.Thread(
            target=self._run, args=(self,), name=self._name, daemon=lifecycle.daemons
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def is_here(self) -> bool:
        """Whether this is the thread that serves now."""
        # current_thread() would make an object for a thread that it does not know.
        return self._thread.ident == threading.get_ident()

    def join(self) -> None:
        """Wait for the end of the service, and of the callbacks.

        A callback does not wait for others, and within a turn nothing is waited for.
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
        """Do turn after turn, until one returns False.

        Returns:
            Whether that is the end; False if another thread has taken over.
        """
        here.pending = [self._callbacks]
        here.nested = 1  # what is to be called is called after the turn
        here.makes_way = self._make_way
        goes_on = True
        while goes_on:
            if self._callbacks and not self.call_back():
                return False
            goes_on = turn()
        return self.call_back()

    def call_back(self) -> bool:
        """Call what is to be called; return False if another thread has taken over."""
        here.nested = 1 + NESTED
        self._calls_back = True
        while self._callbacks:
            action, argument = self._callbacks.popleft()
            if not (self._waiting and self._puts_by(action, argument)):
                action(argument)
                if not self.is_here():
                    self._call_what_was_put_by()
                    return False
            del action, argument  # what has ended is not held by what has not
        self._calls_back = False
        here.nested = 1
        return True

    def _make_way(self, futures: Iterable[Future[Any]]) -> None:
        """Have another thread serve, as this one is about to wait."""
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
            except BaseException:  # the system has no thread left
                self._thread, self._calls_back = serving, True
                self._waiting.discard(serving)
                raise
        here.pending[0] = deque()
        here.makes_way = None

    def _puts_by(self, action: Callable[[Any], object], argument: Any) -> bool:
        """Leave a callback to the threads that wait, if these are too many."""
        if getattr(argument, "__module__", "").startswith("parallelize."):
            return False  # it is ours, and others may wait for it
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
        """In a forked child: there is no thread to take over."""
        self._calls_back = False
        self._refuse = None
