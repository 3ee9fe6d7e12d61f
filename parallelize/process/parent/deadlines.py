"""What a pool has to do at a given time: deadlines of calls, and later steps.

Everything here runs in the dispatcher's thread under the pool's lock, which the caller
of each method holds.
"""

from __future__ import annotations

import contextlib
import logging
import math
from functools import partial

from parallelize.process.parent.tasks.call import Late
from parallelize.process.parent.tasks.queue import COROUTINES
from parallelize.process.parent.tasks.worker_handle import KillRequest
from parallelize.process.wire import messages
from parallelize.process.wire.journal import BEGUN, NO_ROW, ROW, TASK
from parallelize.runtime.agenda import Agenda
from parallelize.runtime.clock import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.process.parent.tasks.call import CallTask, Task
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.runtime.agenda import Deadline


#: A deadline this many seconds ahead counts as reached: timers are no finer.
TICK = 0.001

#: Seconds that a worker has to send its stacks before it is killed.
STACKS_TIMEOUT = 0.2

#: Seconds that a call that looks at `stopping` has to end by itself after its timeout.
#: Another one is killed at once.
STOP_GRACE = 1.0

#: Seconds after which its calls are checked again if it was not killed: another kill
#: request for the same call may have been withdrawn.
RECHECK_AFTER = 5.0

#: Seconds in which a worker has usually printed its stacks after the signal to do so.
_PRINTING = 0.05

_ON_STDERR = "(what C code runs there is on standard error)\n"

_AT_DEADLINE = "Where the call was when its time was over:"

_log = logging.getLogger("parallelize")

#: Seconds in which a worker has usually given back the tasks requested from it.
_RECLAIMING = 0.005


class Deadlines(Agenda):
    """The times at which a pool's dispatcher has something to do.

    The calls of a worker are watched together, by one deadline for the worker, so no
    call is referred to here, however far its own deadline is away.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        """Start without any deadlines.

        Args:
            wake: Called when a deadline becomes the earliest one.
        """
        super().__init__()
        self._wake = wake
        # When to check whether a call of a worker has run for too long.
        self._checks: dict[WorkerHandle, Deadline] = {}
        # When to check those workers again where a call seems to have done so.
        self._undecided: dict[WorkerHandle, Deadline] = {}
        # When to stop waiting for stacks.
        self._stacks_due: dict[WorkerHandle, Deadline] = {}

    def after(self, seconds: float, action: Callable[[], object]) -> Deadline:
        """Schedule an action after a number of seconds."""
        return self.at(monotonic() + seconds, action)

    def at(self, when: float, action: Callable[[], object]) -> Deadline:
        """Schedule an action at a time of the monotonic clock."""
        nearest = self.nearest()
        deadline = super().at(when, action)
        if nearest is None or when < nearest:
            self._wake()
        return deadline

    def do_what_is_due(self, now: float) -> None:
        """Run all actions that are due."""
        while (deadline := self.take_due(now)) is not None:
            deadline.meet()

    def forget(self, worker: WorkerHandle) -> None:
        """Cancel everything about a worker, which has ended."""
        for of_workers in (self._checks, self._undecided, self._stacks_due):
            deadline = of_workers.pop(worker, None)
            if deadline is not None:
                deadline.cancel()

    def watch(self, worker: WorkerHandle, timeout: float) -> None:
        """Kill the worker if a call that it was just given runs longer than this."""
        self._check_at(worker, monotonic() + timeout)

    def _check_at(self, worker: WorkerHandle, when: float) -> None:
        """Check a worker's calls at this time, or earlier."""
        known = self._checks.get(worker)
        if known is not None:
            if known.when <= when:
                return
            known.cancel()
        self._checks[worker] = self.at(when, partial(self._check, worker))

    def _check(self, worker: WorkerHandle) -> None:
        """Act on a call that has run for too long; without one, check again later."""
        self._checks.pop(worker, None)
        if worker in self._undecided:
            return  # it is checked again when that is decided
        now, next_check = monotonic() + TICK, math.inf
        for task in worker.tasks.values():
            timeout = task.options.timeout
            if timeout is None or task.lane == COROUTINES:
                continue  # coroutines have deadlines of their own
            due = _deadline(worker, task, timeout)
            if due <= now:
                self._on_timeout(worker, task, timeout)
                return
            next_check = min(next_check, due)
        if next_check < math.inf:
            self._check_at(worker, next_check)

    def _on_timeout(self, worker: WorkerHandle, task: Task, timeout: float) -> None:
        from parallelize.errors import RemoteTraceback, TaskTimeout

        def again() -> None:
            if self._undecided.get(worker) is recheck:  # otherwise it has ended
                del self._undecided[worker]
                recheck.cancel()
                self._check(worker)

        recheck = self.after(RECHECK_AFTER, again)
        self._undecided[worker] = recheck

        def due() -> bool:
            return _deadline(worker, task, timeout) <= monotonic() + TICK

        stacks: list[str] = []

        def error() -> TaskTimeout:
            late = TaskTimeout(task.name(), timeout)
            if stacks:
                late.__cause__ = RemoteTraceback(f"{_AT_DEADLINE}\n{stacks[0]}")
            return late

        request = KillRequest(task, due, error, again)
        kill = partial(self._kill_if_due, worker, request, timeout, stacks)
        worker.looks = False
        self._request_stacks(worker, stacks, partial(self._ask, worker, request, kill))

    def _ask(
        self, worker: WorkerHandle, request: KillRequest, kill: Callable[[], object]
    ) -> None:
        """Kill a call that is late; one that looks at `stopping` is asked first."""
        task = request.task
        is_there = worker.tasks.get(task.id) is task and request.due()
        if not worker.looks or task.is_stream or not is_there:
            kill()
            return
        row = worker.channel.page.running() if task.is_rows else 0
        late = task.late = Late(row, request.error(), request.again)
        worker.channel.notify(messages.STOP, task.id, row + 1 if task.is_rows else 0)

        def end_grace() -> None:
            if task.late is late:
                kill()

        self.after(STOP_GRACE, end_grace)

    def _request_stacks(
        self, worker: WorkerHandle, stacks: list[str], then: Callable[[], object]
    ) -> None:
        """Add a worker's stacks to ``stacks``; call ``then``, even without them."""

        def answered(text: str) -> None:
            if self._stacks_due.get(worker) is not no_answer:
                return  # the answer came too late
            del self._stacks_due[worker]
            no_answer.cancel()
            stacks.append(text)
            then()

        def unanswered() -> None:
            del self._stacks_due[worker]
            if worker.show_by_signal():  # C code holds the interpreter
                self.after(_PRINTING, then)
            else:
                then()

        no_answer = self._stacks_due[worker] = self.after(STACKS_TIMEOUT, unanswered)
        worker.show(answered)

    def _kill_if_due(
        self,
        worker: WorkerHandle,
        request: KillRequest,
        timeout: float,
        stacks: list[str],
    ) -> None:
        task = request.task
        if worker.tasks.get(task.id) is not task or not request.due():
            request.again()  # the call, or its row, has ended meanwhile
            return
        where = stacks[0] if stacks else _ON_STDERR
        with contextlib.suppress(Exception):  # of a log handler, or a replaced clock
            _log.warning(
                "worker %s is killed, as %s runs for longer than its timeout of %g "
                "seconds; it was here:\n%s",
                worker.pid,
                task.name(),
                timeout,
                where,
            )
        self._kill_for(worker, request)

    def _kill_for(self, worker: WorkerHandle, request: KillRequest) -> None:
        if not worker.kill_running(request):
            self.after(_RECLAIMING, request.again)

    def kill_call(self, task: CallTask, error: Callable[[], BaseException]) -> None:
        """Kill the worker if it runs the task; otherwise reclaim the task."""
        if not self._may_run(task):
            return
        worker = task.place()
        if worker is None:  # given back; or it has failed and waits for a retry
            if not task.given_up:
                task.give_up(error())
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
            task.give_up(error())
        worker.reclaim()
        # It may be just about to begin: check again.
        self.after(_RECLAIMING, again)

    def _may_run(self, task: CallTask) -> bool:
        # A call that was given up is done for its caller; its worker may have begun it.
        return task.given_up or not task.future.done()


def _deadline(worker: WorkerHandle, task: Task, timeout: float) -> float:
    """Return when the running call exceeds its timeout; later if none has begun."""
    words, now = worker.channel.page.words, monotonic()
    if words[TASK] == task.id and words[ROW] != NO_ROW:
        # BEGUN is in the future while the worker imports what the call needs.
        return min(words[BEGUN] / 1e9, now) + timeout
    return now + timeout
