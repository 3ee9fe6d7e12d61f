"""What is due when: deadlines of calls, idle workers, whatever comes later.

Everything here is done in the dispatcher's thread, under the pool's lock, and the
caller of each method holds that.
"""

from __future__ import annotations

import contextlib
import logging
import math
from functools import partial
from typing import TYPE_CHECKING

from parallelize.process.parent.tasks.queue import COROUTINES
from parallelize.process.parent.worker_handle import KillRequest
from parallelize.process.wire.journal import BEGUN, NO_ROW, ROW, TASK
from parallelize.runtime.agenda import Agenda
from parallelize.runtime.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.process.parent.pool import Pool
    from parallelize.process.parent.tasks.call import CallTask, Task
    from parallelize.process.parent.worker_handle import Worker
    from parallelize.runtime.agenda import Deadline

#: A deadline this many seconds ahead counts as reached: timers are no finer.
TICK = 0.001

#: Seconds that a worker has to tell where it is, before it is killed.
LONGEST_LOOK = 0.2

#: Seconds after which its calls are looked at again if it was not killed: another may
#: have been about to kill it for the same call, and have thought better of it.
LONGEST_JUDGEMENT = 5.0

#: Seconds in which it has usually written that by itself, when a signal told it to.
_WRITING = 0.05

_AT_DEADLINE = "Where the call was when its time was over:"

_log = logging.getLogger("parallelize")

#: Seconds in which a worker has usually given back what it was asked for.
_GIVING_BACK = 0.005


class Deadlines(Agenda):
    """The moments at which a pool's dispatcher has something to do.

    A worker's calls are watched together, by one deadline for the worker: so none of
    them is held here, however far its own is away.
    """

    def __init__(self, pool: Pool, wake: Callable[[], object]) -> None:
        """Begin with none.

        Args:
            pool: Whose they are.
            wake: Called when there is an earlier one than the dispatcher knows.
        """
        super().__init__()
        self._pool = pool
        self._wake = wake
        # When to look whether a call of a worker has run for too long, and ...
        self._looks: dict[Worker, Deadline] = {}
        # ... those of which one has, as it seems, and when that is over at the latest
        self._judged: dict[Worker, Deadline] = {}
        self._silent: dict[Worker, Deadline] = {}  # when it no longer has to tell where
        self._idle: dict[Worker, Deadline] = {}  # when to look whether it is idle

    def after(self, seconds: float, action: Callable[[], object]) -> Deadline:
        """Do something later."""
        return self.at(monotonic() + seconds, action)

    def at(self, when: float, action: Callable[[], object]) -> Deadline:
        """Do something at a moment of the monotonic clock."""
        nearest = self.nearest()
        deadline = super().at(when, action)
        if nearest is None or when < nearest:
            self._wake()
        return deadline

    def do_what_is_due(self, now: float) -> None:
        """Do everything whose moment has come."""
        while (deadline := self.take_due(now)) is not None:
            deadline.meet()

    def forget(self, worker: Worker) -> None:
        """A worker has ended: nothing about it is due."""
        for of_workers in (self._looks, self._judged, self._silent, self._idle):
            deadline = of_workers.pop(worker, None)
            if deadline is not None:
                deadline.cancel()

    def watch(self, worker: Worker, timeout: float) -> None:
        """Kill the worker if a call, of those that it was just given, runs longer."""
        self._look_at(worker, monotonic() + timeout)

    def _look_at(self, worker: Worker, when: float) -> None:
        """Look at a worker's calls at this moment, or before."""
        known = self._looks.get(worker)
        if known is not None:
            if known.when <= when:
                return
            known.cancel()
        self._looks[worker] = self.at(when, partial(self._check, worker))

    def _check(self, worker: Worker) -> None:
        """Judge the call that has run for too long; else look later."""
        self._looks.pop(worker, None)
        if worker in self._judged:
            return  # it is looked at once more when that is over
        now, next_look = monotonic() + TICK, math.inf
        for task in worker.tasks.values():
            timeout = task.options.timeout
            if timeout is None or task.lane == COROUTINES:
                continue  # a coroutine is watched for itself
            due = _deadline(worker, task, timeout)
            if due <= now:
                self._time_is_over(worker, task, timeout)
                return
            next_look = min(next_look, due)
        if next_look < math.inf:
            self._look_at(worker, next_look)

    def _time_is_over(self, worker: Worker, task: Task, timeout: float) -> None:
        from parallelize.errors import RemoteTraceback, TaskTimeout

        def again() -> None:
            if self._judged.get(worker) is at_the_latest:  # else it has ended
                del self._judged[worker]
                at_the_latest.cancel()
                self._check(worker)

        at_the_latest = self.after(LONGEST_JUDGEMENT, again)
        self._judged[worker] = at_the_latest

        def due() -> bool:
            return _deadline(worker, task, timeout) <= monotonic() + TICK

        seen: list[str] = []

        def error() -> TaskTimeout:
            late = TaskTimeout(task.name(), timeout)
            if seen:
                late.__cause__ = RemoteTraceback(f"{_AT_DEADLINE}\n{seen[0]}")
            return late

        verdict = KillRequest(task, due, error, again)
        self._look(worker, seen, lambda: self._judge(worker, verdict, timeout, seen))

    def _look(
        self, worker: Worker, seen: list[str], then: Callable[[], object]
    ) -> None:
        """Have a worker tell where it is, into ``seen``, and go on in any case."""

        def answered(text: str) -> None:
            if self._silent.get(worker) is not at_the_latest:
                return  # that was too late
            del self._silent[worker]
            at_the_latest.cancel()
            seen.append(text)
            then()

        def silent() -> None:
            del self._silent[worker]
            if worker.show_by_signal():  # C code holds the interpreter
                self.after(_WRITING, then)
            else:
                then()

        at_the_latest = self._silent[worker] = self.after(LONGEST_LOOK, silent)
        worker.show(answered)

    def _judge(
        self, worker: Worker, verdict: KillRequest, timeout: float, seen: list[str]
    ) -> None:
        task = verdict.task
        if worker.tasks.get(task.id) is not task or not verdict.due():
            verdict.again()  # it came to its end meanwhile, or the row did
            return
        where = seen[0] if seen else "(what C code runs there is on standard error)\n"
        with contextlib.suppress(Exception):  # a handler's, or of a replaced clock
            _log.warning(
                "worker %s is killed, as %s runs for longer than its timeout of %g "
                "seconds; it was here:\n%s",
                worker.pid,
                task.name(),
                timeout,
                where,
            )
        self._kill_for(worker, verdict)

    def _kill_for(self, worker: Worker, verdict: KillRequest) -> None:
        if not worker.kill_running(verdict):
            self.after(_GIVING_BACK, verdict.again)

    def kill_call(self, task: CallTask, error: Callable[[], BaseException]) -> None:
        """Kill the worker if it runs the task; take the task from it otherwise."""
        worker = task.place()
        if worker is None or not self._may_run(task):  # or it was given back
            return
        again = partial(self.kill_call, task, error)
        if task.runs_in(worker):

            def due() -> bool:
                return (
                    task.place() is worker
                    and task.runs_in(worker)
                    and self._may_run(task)
                )

            self._kill_for(worker, KillRequest(task, due, error, again))
            return
        if not task.given_up:
            self._pool.give_up(task, error())
        worker.reclaim()
        # It may be on the point of beginning: look again.
        self.after(_GIVING_BACK, again)

    def _may_run(self, task: CallTask) -> bool:
        # One that was given up has ended for the caller; its worker may have begun it.
        return task.given_up or not task.future.done()

    def watch_idleness(self, worker: Worker, timeout: float) -> None:
        """Let the worker go when it has had nothing to do for ``timeout`` seconds."""
        worker.idle_since = monotonic()
        if worker not in self._idle:
            self._look_for_idleness(worker, timeout, timeout)

    def _look_for_idleness(self, worker: Worker, timeout: float, wait: float) -> None:
        check = partial(self._check_idleness, worker, timeout)
        self._idle[worker] = self.after(wait, check)

    def _check_idleness(self, worker: Worker, timeout: float) -> None:
        del self._idle[worker]
        if worker not in self._pool.idle:
            return
        left = worker.idle_since + timeout - monotonic()
        if left > TICK:
            self._look_for_idleness(worker, timeout, left)
            return
        self._pool.let_go(worker)


def _deadline(worker: Worker, task: Task, timeout: float) -> float:
    """When the call that the worker runs has had its time; later if none has begun."""
    words, now = worker.page.words, monotonic()
    if words[TASK] == task.id and words[ROW] != NO_ROW:
        # It is in the future while the worker loads what the call needs.
        return min(words[BEGUN] / 1e9, now) + timeout
    return now + timeout
