"""The attempts of an async call on a loop of this process, each with a timeout.

```
 timer thread: an attempt times out ── may another follow? ──no──▶ the future fails
                                          └─yes─▶ loop: CancelledError in the coroutine,
                                                  and when that has ended, the next one
```
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from parallelize.calls.call import is_retried
from parallelize.calls.coroutines import called
from parallelize.errors import TaskTimeout
from parallelize.futures.future import Failure
from parallelize.runtime import timer
from parallelize.runtime.loop_thread import call_soon
from parallelize.runtime.options import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.futures.future import Future
    from parallelize.runtime.options import CallOptions

__all__ = ("LoopAttempts",)

#: Seconds after which the call fails if its loop, blocked by a coroutine, has not
#: processed the request to cancel the attempt.
UNRESPONSIVE_AFTER = 1.0


class LoopAttempts:
    """The attempts of one call, one after the other.

    Args:
        future: The future of the call.
        fn: The function, for its name.
        options: The number of retries, and the errors to retry.
        timeout: Seconds that each attempt may take.
    """

    def __init__(
        self,
        future: Future[Any],
        fn: Callable[..., Any],
        options: CallOptions,
        timeout: float,
    ) -> None:
        self._future = future
        self._name = name_of(fn, options)
        self._options = options
        self._left = options.retries
        self.timeout: float = timeout

    async def outcome(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return the value of the last attempt, or a `Failure`.

        Raises:
            asyncio.CancelledError: The call was cancelled.
        """
        while True:
            value: Any = None
            attempt = _Attempt(self)
            try:
                value = await called(fn, args, kwargs)
            except asyncio.CancelledError:
                if not attempt.is_late:
                    raise
            except BaseException as error:  # noqa: BLE001 - it belongs to the call
                value = Failure(error)
            finally:
                attempt.end()
            if attempt.is_late:  # regardless of its outcome
                value = Failure(self._error())
            if type(value) is not Failure or not self.may_follow(value.error):
                return value
            self._left -= 1

    def may_follow(self, error: BaseException | None = None) -> bool:
        """Whether another attempt may follow one that has failed or timed out."""
        return (
            self._left > 0
            and is_retried(error or self._error(), self._options)
            and self._future._may_repeat()
        )

    def fail(self) -> None:
        """Fail the call, as its attempt has timed out."""
        self._future._set_outcome(Failure(self._error()), failed=True)

    def _error(self) -> TaskTimeout:
        return TaskTimeout(self._name, self.timeout)


class _Attempt:
    """One attempt, in the running task.

    Attributes:
        is_late: Whether it was cancelled because it timed out.
    """

    def __init__(self, attempts: LoopAttempts) -> None:
        task = asyncio.current_task()
        assert task is not None  # as it is created in a coroutine
        self.is_late: bool = False
        self._attempts = attempts
        self._task: asyncio.Task[Any] = task
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        self._deadline = timer.after(attempts.timeout, self._expire)

    def end(self) -> None:
        """Record the end of the attempt."""
        self._is_over = True
        self._deadline.cancel()
        if self.is_late:
            self._task.uncancel()

    # In the timer's thread.

    def _expire(self) -> None:
        if not self._attempts.may_follow():
            self._attempts.fail()
            return
        self._deadline = timer.after(UNRESPONSIVE_AFTER, self._is_unresponsive)
        call_soon(self._loop, self._stop)

    def _is_unresponsive(self) -> None:
        if not self._is_over:
            self._attempts.fail()

    # In the loop's thread.

    def _stop(self) -> None:
        self._deadline.cancel()
        if not self._is_over:
            self.is_late = True
            self._task.cancel()
