"""Reports of when the calls on Ray start, for those that have a timeout.

```
 a worker of Ray                     an actor                the program's executors
 Started() ── note(key, number) ──▶ Starts ◀── news(key) ── Watch.listen
     ▲                                 │ └──── numbers ───▶ _begun(number)
     └──────── returns once the program has the number ◀── the next news(key)
```

Ray does not report that a call has started, so the worker does, to an actor that the
program asks. There is one actor for all executors of a program on one cluster, found by
its name. If it dies, Ray restarts it, or an executor makes another of that name; what
it had not delivered is reported again, as a report ends only with its delivery.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from parallelize.runtime import lifecycle, locks, timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.clusters.executor import EngineExecutor

__all__ = ("Started", "Watch", "call_ended")

#: Seconds until a lost actor is looked for again; each time twice as long.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


# ----------------------------------------------------------------------- the actor


class _Mailbox:
    """The reports for one executor."""

    def __init__(self) -> None:
        import asyncio

        self.some = asyncio.Event()
        self.waiting: list[tuple[int, asyncio.Event]] = []
        self.sent: list[asyncio.Event] = []

    def confirm(self) -> None:
        """Let the reports return that the program has by now."""
        for delivered in self.sent:
            delivered.set()
        self.sent = []


class Starts:
    """The actor: forwards which calls have started."""

    def __init__(self) -> None:
        self._mailboxes: dict[int, _Mailbox] = {}

    def _mailbox(self, key: int) -> _Mailbox:
        return self._mailboxes.get(key) or self._mailboxes.setdefault(key, _Mailbox())

    async def note(self, key: int, number: int) -> None:
        """Report that a call has started; returns when the program has the report."""
        import asyncio

        mailbox, delivered = self._mailbox(key), asyncio.Event()
        mailbox.waiting.append((number, delivered))
        mailbox.some.set()
        await delivered.wait()

    async def news(self, key: int) -> list[int]:
        """Wait for calls that have started, and return their numbers.

        The next request confirms that they have arrived.
        """
        mailbox = self._mailbox(key)
        mailbox.confirm()
        await mailbox.some.wait()
        mailbox.some.clear()
        reports, mailbox.waiting = mailbox.waiting, []
        mailbox.sent += [delivered for _, delivered in reports]
        return [number for number, _ in reports]

    async def forget(self, key: int) -> None:
        """Drop the reports for an executor that has been shut down."""
        mailbox = self._mailboxes.pop(key, None)
        if mailbox is not None:
            mailbox.sent += [delivered for _, delivered in mailbox.waiting]
            mailbox.confirm()


# ------------------------------------------------------------------- in the program


class _Actor:
    """The actor of a cluster, as the executors of this program share it."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self.name: str = f"parallelize-starts-{uuid4().hex}"
        self.users: int = 0
        self._handle: Any = None
        self._was_made = False

    def handle(self) -> Any:
        """Return a handle of the actor; make the actor if there is none."""
        handle = self._handle
        if handle is None:
            self._was_made = True
            # Of several threads that do this at once one makes it: names are unique.
            starts = self._ray.remote(Starts).options(
                name=self.name,
                get_if_exists=True,
                num_cpus=0,
                max_restarts=-1,
                max_concurrency=1_000_000,  # of coroutines, which only wait
            )
            handle = self._handle = starts.remote()
        return handle

    def lose(self, handle: Any) -> None:
        """Note that the actor of this handle is dead."""
        if self._handle is handle:
            self._handle = None

    def end(self) -> None:
        """End the actor, if there is one."""
        if self._was_made:
            with contextlib.suppress(Exception):  # it is dead, or Ray is lost
                self._ray.kill(self._handle or self._ray.get_actor(self.name))


#: The actor of each connection to a cluster.
_actors: dict[object, _Actor] = {}
# Guards `_actors`, the numbers of their users, and which watches listen; a leaf lock.
# Reentrant for handlers of signals.
_lock = locks.reentrant("starts")()
_keys = count()


class Watch:
    """An executor's part of the reports."""

    def __init__(self, ray: Any, session: object, executor: EngineExecutor) -> None:
        """Prepare it; the actor is made for the first reporter.

        Args:
            ray: Ray.
            session: The connection to the cluster.
            executor: The executor, whose ``_begun`` is called with the number of each
                attempt that has started.
        """
        self._ray, self._session = ray, session
        self._key = next(_keys)
        self._executor = weakref.ref(executor)
        self._pid = os.getpid()
        self._pause = SHORTEST_PAUSE
        self._is_open = True
        self._actor: _Actor | None = None  # set by the first call with a timeout
        weakref.finalize(executor, self._close_elsewhere).atexit = False

    def reporter(self, number: int) -> Started:
        """Return what a worker calls when it starts this attempt."""
        actor = self._actor
        if actor is None:
            actor = self._begin()
        return Started(actor.name, self._key, number)

    def _begin(self) -> _Actor:
        with _lock:
            is_first = self._actor is None
            if is_first:
                found = _actors.get(self._session)
                if found is None:
                    found = _actors[self._session] = _Actor(self._ray)
                found.users += 1
                self._actor = found
            actor = self._actor
        assert actor is not None
        if is_first:
            self._listen(actor)
        return actor

    def _listen(self, actor: _Actor) -> None:
        """Ask for the attempts that have started; the answer comes when one has."""
        handle = None
        try:
            handle = actor.handle()
            news = handle.news.remote(self._key).future()
        except Exception:  # noqa: BLE001 - it has just died, or Ray is lost
            self._listen_again(actor, handle)
            return
        listener = weakref.ref(self)

        def came(answer: Any) -> None:  # in a thread that must not wait for Ray
            watch = listener()
            if watch is not None:
                watch._later(lambda: watch._heard(actor, handle, answer))

        news.add_done_callback(came)

    def _later(self, action: Callable[[], object]) -> None:
        executor = self._executor()
        if executor is not None and self._is_open:
            executor._later(action)

    def _heard(self, actor: _Actor, handle: Any, answer: Any) -> None:
        try:
            numbers = answer.result()
        except Exception:  # noqa: BLE001 - the actor is dead, or Ray is lost
            self._listen_again(actor, handle)
            return
        self._pause = SHORTEST_PAUSE
        executor = self._executor()
        if executor is None:
            return
        for number in numbers:
            executor._begun(number)
        self._listen(actor)

    def _listen_again(self, actor: _Actor, handle: Any) -> None:
        actor.lose(handle)
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        if self._is_open:
            timer.after(pause, lambda: self._later(lambda: self._listen(actor)))

    def close(self) -> None:
        """Stop listening; the last executor of a cluster ends the actor."""
        with _lock:
            was_open, self._is_open = self._is_open, False
            actor = self._actor
            if actor is None or not was_open:
                return
            actor.users -= 1
            is_last = actor.users == 0
            if is_last:
                _actors.pop(self._session, None)
        if is_last:
            actor.end()
            return
        with contextlib.suppress(Exception):  # it is dead, or Ray is lost
            actor.handle().forget.remote(self._key)

    def _close_elsewhere(self) -> None:
        """Close it when its executor was collected, outside of the collection."""
        if self._pid == os.getpid() and not lifecycle.is_ending():
            lifecycle.later(self.close)


# -------------------------------------------------------------------- in the workers

#: The handle of the last actor that this worker reported to, and its name.
_last: tuple[str, Any] = ("", None)

#: The report of the call that runs now.
_current: Started | None = None


class Started:
    """Reports, from a worker, that a function starts."""

    def __init__(self, name: str, key: int, number: int) -> None:
        """Prepare the report.

        Args:
            name: The name of the actor.
            key: The number of the executor.
            number: The number of the attempt.
        """
        self._name = name
        self._key = key
        self._number = number

    def __call__(self) -> None:
        """Report it, without waiting for the delivery."""
        global _current
        _current = self
        try:
            self._send().add_done_callback(self._sent)
        except Exception:  # noqa: BLE001 - there is no such actor at the moment
            self._send_in_a_thread()

    def _send(self) -> Any:
        global _last
        import ray

        name, handle = _last
        if name != self._name:
            handle = ray.get_actor(self._name)
            _last = self._name, handle
        return handle.note.remote(self._key, self._number).future()

    def _sent(self, delivery: Any) -> None:  # in a thread of Ray
        if delivery.exception() is not None:
            self._send_in_a_thread()

    def _send_in_a_thread(self) -> None:
        threading.Thread(target=self._send_again, daemon=True).start()

    def _send_again(self) -> None:
        """Report it to the next actor of that name, as long as the call runs."""
        global _last
        pause = SHORTEST_PAUSE
        while _current is self:
            _last = ("", None)
            with contextlib.suppress(Exception):
                self._send().result()
                return
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def call_ended() -> None:
    """Note, in a worker, that the call has ended: its start does not matter now."""
    global _current
    _current = None
