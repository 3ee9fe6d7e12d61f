"""What is awaited of a Dask cluster, in the thread of Dask's client, and for how long.

```
 any thread              thread of the client                   scheduler
 ask ── 20 ms ──▶ ┐
 wait ──────────▶ ├─ begin ▸ tasks that wait ─────────────────▶
                  │    ▲ pulse, once a second while any does ──▶ which workers?
 `Lost` ◀─────────┴────┘ no answer for 30 s, or no workers for 5 minutes
```

Dask itself waits for a scheduler that stands still, or whose network is cut, without an
end: the connection remains open. A pulse costs one message a second.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
from typing import TYPE_CHECKING, Any

from parallelize.clusters.dask_errors import Lost
from parallelize.runtime.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    import distributed

    Ended = Callable[[Any], object]

__all__ = ("Link",)

#: Seconds that a thread of the user waits for a sign of the scheduler.
PATIENCE = 0.02

#: Seconds that it then waits for an answer that it can do without.
LONGEST = 1.0

#: Seconds between two beats of the pulse.
PERIOD = 1.0

#: Seconds without any worker after which a cluster that had some counts as lost, if
#: ``distributed.scheduler.no-workers-timeout`` is not set.
NO_WORKERS = 300.0


class Link:
    """The connection to one cluster.

    Attributes:
        client: Dask's client.
        threads: The number of calls that the workers run at once, as last heard.
    """

    def __init__(
        self, client: distributed.Client, has_ended: Callable[[], bool]
    ) -> None:
        """Use a client that is connected.

        Args:
            client: The client.
            has_ended: Whether the cluster is known to have ended.
        """
        self.client: distributed.Client = client
        self._has_ended = has_ended
        self.threads: int = 0
        self._had_some = False  # a cluster may start before its first worker
        # These are used in the client's thread only.
        self._waiting: dict[asyncio.Task[Any], Ended] = {}
        self._pulse: asyncio.Task[None] | None = None
        self._unanswered: concurrent.futures.Future[Any] | None = None

    def soon(self, action: Callable[..., object], *args: Any) -> None:
        """Call ``action(*args)`` in the client's thread."""
        self.client.loop.add_callback(action, *args)

    def connect(self) -> None:
        """Open the connection for questions, so that they are answered in time."""
        with contextlib.suppress(Exception):
            self._asked(self.count).result(LONGEST)

    def ask(self, what: Callable[[], Awaitable[Any]], otherwise: Any) -> Any:
        """Return the scheduler's answer, or ``otherwise`` if it takes too long.

        Wherever a thread waits for this, it waits 20 ms for a sign of the scheduler; if
        there is one, it waits for the answer, for which the scheduler may ask workers.
        """
        before = self._unanswered
        if self.client.status != "running" or not (before is None or before.done()):
            return otherwise
        if asyncio._get_running_loop() is not None:  # a loop waits for nothing
            return otherwise
        asked, sign = self._asked(what), self._asked(self.count)
        self._unanswered = sign
        concurrent.futures.wait(
            (asked, sign), PATIENCE, concurrent.futures.FIRST_COMPLETED
        )
        if asked.done() or sign.done():
            with contextlib.suppress(Exception):
                return asked.result(LONGEST)
        return otherwise

    def _asked(
        self, what: Callable[[], Awaitable[Any]]
    ) -> concurrent.futures.Future[Any]:
        asked: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self.soon(_answer, what, asked)
        return asked

    def wait(self, what: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Wait for an answer; raises its error, or `Lost`."""
        return self.end_of(self.start(what))

    def start(
        self, what: Callable[[], Coroutine[Any, Any, Any]]
    ) -> concurrent.futures.Future[Any]:
        """Ask for an answer, and return what has it, or the error, when it comes."""
        ended: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self.soon(lambda: self.begin(what(), ended.set_result))
        return ended

    def end_of(
        self, ended: concurrent.futures.Future[Any], timeout: float | None = None
    ) -> Any:
        """Wait for what was started; raises its error, `Lost`, or `TimeoutError`."""
        until = math.inf if timeout is None else monotonic() + timeout
        while not ended.done():
            with contextlib.suppress(TimeoutError):
                ended.result(max(0.0, min(PERIOD, until - monotonic())))
            if ended.done():
                break
            # A loop that has ended calls nothing.
            if self.client.status == "closed":
                msg = "the client is closed"
                raise Lost(msg)
            if monotonic() >= until:
                raise TimeoutError
        answer = ended.result()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    # In the thread of the client.

    def begin(self, task: Coroutine[Any, Any, Any], ended: Ended) -> None:
        """Run a task, and call ``ended(answer)``, an error if the cluster is lost."""
        begun = asyncio.ensure_future(task)
        self._waiting[begun] = ended
        begun.add_done_callback(self._done)
        if self._pulse is None:
            self._pulse = asyncio.ensure_future(self._beat())

    def _done(self, task: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        ended = self._waiting.pop(task, None)
        if ended is not None:
            ended(task.result() if error is None else error.with_traceback(None))

    def _lose(self, reason: str) -> None:
        """End all waits; the tasks are not cancelled, as others may share them."""
        waiting, self._waiting = self._waiting, {}
        for ended in waiting.values():
            ended(Lost(reason))

    async def _beat(self) -> None:
        # Seconds in beats, not of the clock: while this process is stopped or busy,
        # the scheduler cannot be heard.
        silent = empty = 0.0
        question: asyncio.Future[int] | None = None
        try:
            while True:
                await asyncio.sleep(PERIOD)
                if not self._waiting:
                    return
                silent, empty = silent + PERIOD, empty + PERIOD
                if question is None or question.done():
                    if question is not None and _has_answer(question):
                        silent = 0.0
                    question = asyncio.ensure_future(self.count())
                if self.threads or not self._had_some:
                    empty = 0.0
                else:
                    _revive(self.client.cluster)
                if self._check(silent, empty):
                    question.cancel()  # the next one has a connection of its own
        finally:
            self._pulse = None
            if question is not None:
                question.cancel()

    def _check(self, silent: float, empty: float) -> bool:
        """End all waits if the cluster is lost; return whether it is silent."""
        if self._has_ended():
            self._lose("it has ended")
        limit = _seconds("distributed.comm.timeouts.tcp", 30.0)
        if silent > limit:
            self._lose(f"its scheduler has not answered for {limit:g} s")
        least = _seconds("distributed.scheduler.no-workers-timeout", NO_WORKERS)
        if empty > least:
            self._lose(f"it has had no workers for {least:g} s")
        return silent > limit

    async def count(self) -> int:
        """Ask the scheduler for the number of threads of its workers."""
        threads = await self.client.scheduler.ncores()
        self.threads = sum(threads.values())
        self._had_some = self._had_some or self.threads > 0
        return self.threads


async def _answer(
    what: Callable[[], Awaitable[Any]], asked: concurrent.futures.Future[Any]
) -> None:
    try:
        asked.set_result(await what())
    except BaseException as error:  # noqa: BLE001 - it belongs to the thread that asks
        asked.set_exception(error)


def _revive(cluster: object) -> None:
    """Start the workers of a `LocalCluster` again that Dask has given up.

    It gives up one that dies often: when ``distributed.deploy.lost-worker-timeout``, 15
    s, has passed since a death, and it happens to be restarting from another one.
    """
    import distributed

    if isinstance(cluster, distributed.LocalCluster):
        wanted = len(cluster.worker_spec)
        if wanted > len(cluster.workers):
            cluster.scale(wanted)


def _has_answer(question: asyncio.Future[int]) -> bool:
    return not question.cancelled() and question.exception() is None


def _seconds(setting: str, otherwise: float) -> float:
    import dask

    value = dask.config.get(setting, None)
    return otherwise if value is None else dask.utils.parse_timedelta(value, "s")
