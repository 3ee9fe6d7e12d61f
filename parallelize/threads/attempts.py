"""The attempts of a call in threads, of which each has its time.

```
 thread 1  attempt 1 ──────────────┬───────── runs on; what it comes to is dropped
 timer                             └ its time is over: may another follow?
 thread 2                               attempt 2 ───────▶ the future
```

A thread cannot be stopped. So an attempt whose time is over gives its place in the
pool to the next one, beside which it runs on.
"""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.calls.call import is_retried, name_of, run_retrying
from parallelize.errors import TaskTimeout
from parallelize.futures.future import Failure, InvalidStateError
from parallelize.runtime import locks, timer
from parallelize.runtime.blocking import here
from parallelize.threads.tasks import DROPPED, Task, fail

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from parallelize.futures.future import Future
    from parallelize.threads.tasks import ThreadCall

__all__ = ("Attempts",)

_new_lock = locks.plain("attempts")
_new_guard = locks.reentrant("future")


class Attempts:
    """The attempts of one call, of which one counts at a time."""

    def __init__(
        self,
        call: ThreadCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        timeout: float,
    ) -> None:
        """Begin with none.

        Args:
            call: The call.
            args: Its positional arguments, with the values of futures.
            kwargs: Its keyword arguments, likewise.
            timeout: Seconds that each attempt has.
        """
        self._call = call
        self._future: Future[Any] = call.future
        once = call.options._replace(retries=0)
        self._run = partial(run_retrying, call.fn, args, kwargs, once)
        self._timeout = timeout
        self._context = copy_context()  # as it is before the first attempt
        # Guards the two below and the places of attempts, between their threads and
        # the timer's. The lock of a crew is taken under it.
        self._lock = _new_lock()
        self._left = call.options.retries
        self._counting: _Attempt | None = None  # the one whose outcome counts

    def outcome(self) -> Any:
        """Make attempts, in this thread, until one has an outcome for the future.

        Returns:
            The value, or a `Failure`: `DROPPED` if the time of an attempt was over, as
            others go on then.
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
        """Note that an attempt has ended; False if it did not count any more."""
        with self._lock:
            if self._counting is attempt:
                self._counting = None
                return True
            attempt.take_place_again()
            return False

    def _may_follow(self, error: BaseException) -> bool:
        """Whether another follows an attempt with this end, that was the counting."""
        if not self._left or not is_retried(error, self._call.options):
            return False
        self._left -= 1
        return self._future.may_repeat()

    def _expire(self, attempt: _Attempt) -> None:
        """The time of an attempt is over; in the timer's thread."""
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
        call.engine.want((task,))  # or none might start for it, as all threads hang
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
            pass  # the user has ended it

    def _next_ended(self, error: TaskTimeout, task: Future[Any]) -> None:
        """It was run; or it was not, and no attempt follows the one that was late."""
        self._call.engine.want_no_more((task,))  # type: ignore[arg-type]
        why = error if task.cancelled() else task.exception()
        if why is not None:
            fail(self._future, why)


class _Attempt:
    """One attempt, made by the thread that makes this."""

    __slots__ = ("_is_away", "_worker")

    def __init__(self) -> None:
        self._worker: Any = here.worker  # that of threads: no other runs these
        self._is_away = False

    def give_place(self) -> None:
        """Let another thread of the pool have its place."""
        if self._worker is not None and not self._worker.strayed:
            self._is_away = True
            self._worker.engine.begin_managed_wait()

    def take_place_again(self) -> None:
        """Work in it once more, if it was given away."""
        if self._is_away and not self._worker.strayed:
            self._worker.engine.end_managed_wait()


class _Next(Task):
    """A further attempt, on its way to a thread."""

    def __init__(
        self, call: ThreadCall, run: Callable[[], object], context: Context
    ) -> None:
        self._guard = _new_guard()
        self.engine = call.engine
        self._work = (run, (), {}, context)
        self._call = call
