"""The attempts of a call in threads, each with a timeout if the call has one.

```
 thread 1  attempt 1 ──────────────┬───────── runs on; its outcome is dropped
 timer                             └ it has timed out: may another attempt follow?
                                     it rests ─ ─ ─ ─┐
 thread 2                                            └ attempt 2 ───────▶ the future
```

A thread cannot be stopped. So an attempt that has timed out gives its place in the
pool to the next one, and runs on beside it. While a call rests, no thread has it.
"""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.calls.call import Call, run_retrying
from parallelize.calls.retrying import (
    admit_again,
    is_retried,
    note_attempts,
    rest,
    wait_after,
)
from parallelize.errors import TaskTimeout
from parallelize.futures.future import Failure
from parallelize.runtime import locks, timer
from parallelize.runtime.blocking import here
from parallelize.runtime.clock import monotonic
from parallelize.runtime.options import name_of
from parallelize.threads.tasks import DROPPED, fail
from parallelize.tracing import recording

if TYPE_CHECKING:
    from parallelize.futures.future import Future
    from parallelize.runtime.agenda import Deadline
    from parallelize.runtime.options import Args, Kwargs
    from parallelize.threads.tasks import ThreadCall

__all__ = ("ThreadAttempts",)

_new_lock = locks.plain("attempts")


class ThreadAttempts:
    """The attempts of one call; at any time only one of them counts."""

    def __init__(self, call: ThreadCall, args: Args, kwargs: Kwargs) -> None:
        """Prepare the attempts; none is made yet.

        Args:
            call: The call.
            args: Its positional arguments, with the values of futures.
            kwargs: Its keyword arguments, likewise.
        """
        self._call = call
        once = call.options._replace(retries=0)
        self._run = partial(run_retrying, call.fn, args, kwargs, once)
        self._context = copy_context()  # as it was before the first attempt
        self._since = monotonic()
        self._failed = 0
        # Guards the one below and the places of attempts, as both their threads and
        # the timer's use them. The lock of a roster is acquired under it.
        self._lock = _new_lock()
        self._counting: _Attempt | None = None  # the one whose outcome counts

    def outcome(self) -> Any:
        """Make attempts, in this thread, until one has an outcome for the future.

        Returns:
            The value, or a `Failure`: `DROPPED` if an attempt timed out or the call
            rests, as the next ones are then made by other threads.
        """
        value: Any = None
        deadline: Deadline | None = None
        try:
            while True:
                attempt = self._counting = _Attempt()
                deadline = self._deadline_of(attempt)
                value = self._made(attempt)
                if deadline is not None:
                    deadline.cancel()
                if not self._ends(attempt):
                    return DROPPED
                if type(value) is not Failure:
                    return value
                wait = self._wait_after(value.error)
                if wait is None:
                    return value
                if self._rests(wait):
                    return DROPPED if self._rest(wait) else value
                if recording.active is not None:
                    from parallelize.tracing import timed

                    timed.retried()
        finally:
            # An error's traceback leads to this frame, which must not lead back to it.
            del self, value, deadline

    def _made(self, attempt: _Attempt) -> Any:
        """Make an attempt, which can learn meanwhile that it was asked to stop."""
        outer, here.asked = here.asked, partial(self._is_asked, attempt)
        try:
            return self._run()
        finally:
            here.asked = outer
            del self, outer

    def start_next(self) -> None:
        """Queue the next attempt, for any thread."""
        task = self._call.task
        task.run_again(self.outcome, self._context.copy())
        self._call.engine.enqueue_held(task)

    def _deadline_of(self, attempt: _Attempt) -> Deadline | None:
        timeout = self._call.options.timeout
        if timeout is None:
            return None
        return timer.after(timeout, partial(self._expire, attempt, timeout))

    def _is_asked(self, attempt: _Attempt) -> bool:
        """Whether an attempt is too late, or its call was asked to stop."""
        future = self._call.future
        return self._counting is not attempt or future._asked or future.done()

    def _ends(self, attempt: _Attempt) -> bool:
        """Record the end of an attempt; False if it no longer counted."""
        with self._lock:
            if self._counting is attempt:
                self._counting = None
                return True
            attempt.take_place_again()
            return False

    def _wait_after(self, error: BaseException) -> float | None:
        """Return the seconds before the next attempt; None: no other one follows."""
        options, wait = self._call.options, None
        self._failed += 1
        if self._failed <= options.retries and is_retried(error, options):
            wait = wait_after(options, self._failed, error)
        if wait is None or not self._call.future._may_repeat():
            note_attempts(error, self._failed, self._since)
            return None
        self._call.engine.tally.retried.step()
        return wait

    def _rests(self, wait: float) -> bool:
        return bool(wait) or self._call.options.rate is not None

    def _rest(self, wait: float, *, late: bool = False) -> bool:
        """Give the call back until the next attempt; False if there is none."""
        self._call.task.queued = False
        again = _Again(self._call, self)
        return rest(again, wait, self._admit_wanted if late else admit_again)

    def _expire(self, attempt: _Attempt, timeout: float) -> None:
        """Handle the timeout of an attempt; runs in the timer's thread."""
        error = TaskTimeout(name_of(self._call.fn, self._call.options), timeout)
        with self._lock:
            if self._counting is not attempt:
                return
            self._counting = None
        wait = self._wait_after(error)
        if wait is not None:
            with self._lock:
                attempt.give_place()
        if wait is None or not self._rest(wait, late=True):
            fail(self._call.future, error)

    def _admit_wanted(self, again: _Again) -> None:
        """Queue the next attempt as one for which a thread must start if all hang."""
        task, engine = self._call.task, self._call.engine
        engine.want((task,))
        task.add_done_callback(lambda _: engine.want_no_more((task,)))
        admit_again(again)


class _Again(Call):
    """The next attempt of a call, on its way to a thread."""

    __slots__ = ("_attempts",)

    def __init__(self, call: ThreadCall, attempts: ThreadAttempts) -> None:
        self.fn = call.fn
        self.future: Future[Any] = call.future
        self.options = call.options
        self.waits_for = ()
        self._attempts = attempts

    def start(self) -> None:
        """Queue it, even in a pool that accepts no new calls."""
        self._attempts.start_next()


class _Attempt:
    """One attempt, made by the thread that makes this object."""

    __slots__ = ("_has_ended", "_is_away", "_worker")

    def __init__(self) -> None:
        self._worker: Any = here.worker  # a thread worker, as no others run attempts
        self._is_away = self._has_ended = False

    def give_place(self) -> None:
        """Let another thread of the pool take its place, unless it has ended."""
        if self._has_ended or self._worker is None:
            return
        if not self._worker.orphaned:
            self._is_away = True
            self._worker.engine.begin_managed_wait()

    def take_place_again(self) -> None:
        """Record its end; take a place again, if it had given its own away."""
        self._has_ended = True
        if self._is_away and not self._worker.orphaned:
            self._worker.engine.end_managed_wait()
