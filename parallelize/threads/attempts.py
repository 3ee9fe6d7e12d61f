"""The attempts of a call in threads, each with a timeout.

```
 thread 1  attempt 1 ──────────────┬───────── runs on; its outcome is dropped
 timer                             └ it has timed out: may another attempt follow?
 thread 2                               attempt 2 ───────▶ the future
```

A thread cannot be stopped. So an attempt that has timed out gives its place in the
pool to the next one, and runs on beside it.
"""

from __future__ import annotations

from concurrent.futures import InvalidStateError
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.calls.call import is_retried, run_retrying
from parallelize.errors import TaskTimeout
from parallelize.futures.future import Failure
from parallelize.runtime import locks, timer
from parallelize.runtime.blocking import here
from parallelize.runtime.options import name_of
from parallelize.threads.tasks import DROPPED, ThreadTask, fail

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from parallelize.futures.future import Future
    from parallelize.threads.tasks import ThreadCall

__all__ = ("ThreadAttempts",)

_new_lock = locks.plain("attempts")
_new_guard = locks.reentrant("future")


class ThreadAttempts:
    """The attempts of one call; at any time only one of them counts."""

    def __init__(
        self,
        call: ThreadCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float,
    ) -> None:
        """Prepare the attempts; none is made yet.

        Args:
            call: The call.
            args: Its positional arguments, with the values of futures.
            kwargs: Its keyword arguments, likewise.
            timeout: Seconds that each attempt may take.
        """
        self._call = call
        self._future: Future[Any] = call.future
        once = call.options._replace(retries=0)
        self._run = partial(run_retrying, call.fn, args, kwargs, once)
        self._timeout = timeout
        self._context = copy_context()  # as it was before the first attempt
        # Guards the two below and the places of attempts, as both their threads and
        # the timer's use them. The lock of a roster is acquired under it.
        self._lock = _new_lock()
        self._left = call.options.retries
        self._counting: _Attempt | None = None  # the one whose outcome counts

    def outcome(self) -> Any:
        """Make attempts, in this thread, until one has an outcome for the future.

        Returns:
            The value, or a `Failure`: `DROPPED` if an attempt timed out, as the next
            ones are then made by other threads.
        """
        while True:
            attempt = self._counting = _Attempt()
            expire = partial(self._expire, attempt)
            deadline = timer.after(self._timeout, expire)
            value = self._run()
            deadline.cancel()
            if not self._ends(attempt):
                return DROPPED
            if type(value) is not Failure or not self._may_follow(value.error):
                return value

    def _ends(self, attempt: _Attempt) -> bool:
        """Record the end of an attempt; False if it no longer counted."""
        with self._lock:
            if self._counting is attempt:
                self._counting = None
                return True
            attempt.take_place_again()
            return False

    def _may_follow(self, error: BaseException) -> bool:
        """Whether another attempt follows the counting one, which ended like this."""
        if not self._left or not is_retried(error, self._call.options):
            return False
        self._left -= 1
        return self._future._may_repeat()

    def _expire(self, attempt: _Attempt) -> None:
        """Handle the timeout of an attempt; runs in the timer's thread."""
        error = TaskTimeout(name_of(self._call.fn, self._call.options), self._timeout)
        with self._lock:
            if self._counting is not attempt:
                return
            self._counting = None
            follows = self._may_follow(error)
            if follows:
                attempt.give_place()
        if follows:
            self._go_on_elsewhere(error)
        else:
            fail(self._future, error)

    def _go_on_elsewhere(self, error: TaskTimeout) -> None:
        """Queue the next attempt for another thread."""
        call = self._call
        task = _Next(call, self._go_on, self._context.copy())
        task.add_done_callback(partial(self._next_ended, error))
        self._future._needs = (task,)
        call.engine.want((task,))  # otherwise no thread might start, as all may hang
        call.engine.enqueue_held(task)

    def _go_on(self) -> None:
        outcome = self.outcome()
        if outcome is DROPPED:
            return
        if type(outcome) is Failure:
            fail(self._future, outcome.error)
            return
        try:
            self._future.set_result(outcome)
        except InvalidStateError:
            pass  # the user has completed it

    def _next_ended(self, error: TaskTimeout, task: Future[Any]) -> None:
        """End the call if the next attempt was not run, or failed outside of it."""
        self._call.engine.want_no_more((task,))  # type: ignore[arg-type]
        why = error if task.cancelled() else task.exception()
        if why is not None:
            fail(self._future, why)


class _Attempt:
    """One attempt, made by the thread that makes this object."""

    __slots__ = ("_is_away", "_worker")

    def __init__(self) -> None:
        self._worker: Any = here.worker  # a thread worker, as no others run attempts
        self._is_away = False

    def give_place(self) -> None:
        """Let another thread of the pool take its place."""
        if self._worker is not None and not self._worker.orphaned:
            self._is_away = True
            self._worker.engine.begin_managed_wait()

    def take_place_again(self) -> None:
        """Take a place again, if this attempt had given its own away."""
        if self._is_away and not self._worker.orphaned:
            self._worker.engine.end_managed_wait()


class _Next(ThreadTask):
    """A further attempt, queued for another thread."""

    def __init__(
        self, call: ThreadCall, run: Callable[[], object], context: Context
    ) -> None:
        self._guard = _new_guard()
        self.engine = call.engine
        self._work = (run, (), {}, context)
        self._call = call
