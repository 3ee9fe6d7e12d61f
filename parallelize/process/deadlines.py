"""What is due when: deadlines of calls, idle workers, whatever comes later.

Everything here is done in the dispatcher's thread, under the pool's lock, and the
caller of each method holds that.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from parallelize.process.page import BEGUN, NO_ROW, ROW, TASK
from parallelize.process.workers import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.process.pool import Pool
    from parallelize.process.tasks import CallTask, Task
    from parallelize.process.workers import Worker

#: A deadline this many seconds ahead counts as reached: timers are no finer.
TICK = 0.001

#: Seconds that a worker has to tell where it is, before it is killed.
LONGEST_LOOK = 0.2

#: Seconds in which it has usually written that by itself, when a signal told it to.
_WRITING = 0.05

_AT_DEADLINE = "Where the call was when its time was over:"

_log = logging.getLogger("parallelize")

#: Seconds in which a worker has usually given back what it was asked for.
_GIVING_BACK = 0.005


class Deadlines:
    """The moments at which a pool's dispatcher has something to do."""

    def __init__(self, pool: Pool, wake: Callable[[], object]) -> None:
        """Begin with none.

        Args:
            pool: Whose they are.
            wake: Called when there is an earlier one than the dispatcher knows.
        """
        self._pool = pool
        self._wake = wake
        self._due: list[tuple[float, int, Callable[[], object]]] = []  # a heap
        self._count = itertools.count()

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something later."""
        self.at(monotonic() + seconds, action)

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Do something at a moment of the monotonic clock."""
        first = not self._due or when < self._due[0][0]
        heapq.heappush(self._due, (when, next(self._count), action))
        if first:
            self._wake()

    def nearest(self) -> float | None:
        """The first of the moments."""
        return self._due[0][0] if self._due else None

    def do_what_is_due(self, now: float) -> None:
        """Do everything whose moment has come."""
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def watch(self, worker: Worker, task: Task, timeout: float) -> None:
        """Kill the worker when a call of the task has run for ``timeout`` seconds."""
        check = partial(self._check, worker, task, timeout)
        self.at(monotonic() + timeout, check)

    def _check(self, worker: Worker, task: Task, timeout: float) -> None:
        from parallelize.errors import RemoteTraceback, TaskTimeout

        if worker.tasks.get(task.id) is not task:
            return
        again = partial(self._check, worker, task, timeout)
        deadline = _deadline(worker, task, timeout)
        if deadline > monotonic() + TICK:
            self.at(deadline, again)
            return

        def due() -> bool:
            return _deadline(worker, task, timeout) <= monotonic() + TICK

        seen: list[str] = []

        def error() -> TaskTimeout:
            late = TaskTimeout(task.name(), timeout)
            if seen:
                late.__cause__ = RemoteTraceback(f"{_AT_DEADLINE}\n{seen[0]}")
            return late

        verdict = Verdict(task, due, error, again)
        self._look(worker, seen, lambda: self._judge(worker, verdict, timeout, seen))

    def _look(
        self, worker: Worker, seen: list[str], then: Callable[[], object]
    ) -> None:
        """Have a worker tell where it is, into ``seen``, and go on in any case."""
        waits = [then]  # until one of the two has come

        def answered(text: str) -> None:
            if waits:
                seen.append(text)
                waits.pop()()

        def silent() -> None:
            if not waits:
                return
            if worker.show_by_signal():  # C code holds the interpreter
                self.after(_WRITING, waits.pop())
            else:
                waits.pop()()

        worker.show(answered)
        self.after(LONGEST_LOOK, silent)

    def _judge(
        self, worker: Worker, verdict: Verdict, timeout: float, seen: list[str]
    ) -> None:
        task = verdict.task
        if worker.tasks.get(task.id) is not task or not verdict.due():
            verdict.again()  # it came to its end meanwhile, or the row did
            return
        where = seen[0] if seen else "(what C code runs there is on standard error)\n"
        _log.warning(
            "worker %s is killed, as %s runs for longer than its timeout of %g "
            "seconds; it was here:\n%s",
            worker.pid,
            task.name(),
            timeout,
            where,
        )
        self._kill_for(worker, verdict)

    def _kill_for(self, worker: Worker, verdict: Verdict) -> None:
        if not worker.kill_for(verdict):
            self.after(_GIVING_BACK, verdict.again)

    def kill_call(self, task: CallTask, error: Callable[[], BaseException]) -> None:
        """Kill the worker if it runs the task; take the task from it otherwise."""
        worker = task.place()
        if worker is None or task.future.done():  # or it was given back
            return
        again = partial(self.kill_call, task, error)
        if task.runs_in(worker):

            def due() -> bool:
                return (
                    task.place() is worker
                    and task.runs_in(worker)
                    and not task.future.done()
                )

            self._kill_for(worker, Verdict(task, due, error, again))
            return
        if not task.given_up:
            self._pool.give_up(task, error())
        worker.ask_back()
        # It may be on the point of beginning: look again.
        self.after(_GIVING_BACK, again)

    def watch_idleness(self, worker: Worker, timeout: float) -> None:
        """Let the worker go when it has had nothing to do for ``timeout`` seconds."""
        first = not worker.idle_since
        worker.idle_since = monotonic()
        if first:
            self.after(timeout, partial(self._check_idleness, worker, timeout))

    def _check_idleness(self, worker: Worker, timeout: float) -> None:
        if worker not in self._pool.idle:
            worker.idle_since = 0.0
            return
        left = worker.idle_since + timeout - monotonic()
        if left > TICK:
            self.after(left, partial(self._check_idleness, worker, timeout))
            return
        self._pool.let_go(worker)


def _deadline(worker: Worker, task: Task, timeout: float) -> float:
    """When the call that the worker runs has had its time; later if none has begun."""
    words = worker.page.words
    if words[TASK] == task.id and words[ROW] != NO_ROW:
        return words[BEGUN] / 1e9 + timeout
    return monotonic() + timeout
