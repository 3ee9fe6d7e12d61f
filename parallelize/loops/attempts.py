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

from parallelize.calls.coroutines import called
from parallelize.errors import TaskTimeout
from parallelize.futures.future import Failure
from parallelize.runtime import timer
from parallelize.runtime.loop_thread import call_soon
from parallelize.runtime.options import name_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from parallelize.futures.future import Future
    from parallelize.runtime.options import Args, CallOptions, Kwargs

    class TimedCall(Protocol):
        """A call of which each attempt has its time."""

        @property
        def fn(self) -> Callable[..., Any]: ...

        @property
        def options(self) -> CallOptions: ...

        @property
        def future(self) -> Future[Any]: ...

        def may_follow(self, error: BaseException) -> bool:
            """Whether another attempt may follow one that fails with this error."""
            ...

        def note(self, error: BaseException) -> None:
            """Note in the last error how many attempts were made."""


__all__ = ("timed_outcome",)

#: Seconds after which the call fails if its loop, blocked by a coroutine, has not
#: processed the request to cancel the attempt.
UNRESPONSIVE_AFTER = 1.0


async def timed_outcome(
    call: TimedCall, fn: Callable[..., Any], args: Args, kwargs: Kwargs, seconds: float
) -> Any:
    """Make one attempt of a call; return its value, or a `Failure`.

    Raises:
        asyncio.CancelledError: The call was cancelled.
    """
    value: Any = None
    attempt = _Attempt(call, seconds)
    try:
        value = await called(fn, args, kwargs)
    except asyncio.CancelledError:
        if not attempt.is_late:
            raise
    except BaseException as error:  # noqa: BLE001 - it belongs to the call
        value = Failure(error)
    finally:
        attempt.end()
    # If it is late, regardless of its outcome.
    return Failure(attempt.error()) if attempt.is_late else value


class _Attempt:
    """One attempt, in the running task.

    Attributes:
        is_late: Whether it was cancelled because it timed out.
    """

    def __init__(self, call: TimedCall, timeout: float) -> None:
        task = asyncio.current_task()
        assert task is not None  # as it is created in a coroutine
        self.is_late: bool = False
        self._call = call
        self._timeout = timeout
        self._task: asyncio.Task[Any] = task
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        self._deadline = timer.after(timeout, self._expire)

    def end(self) -> None:
        """Record the end of the attempt."""
        self._is_over = True
        self._deadline.cancel()
        if self.is_late:
            self._task.uncancel()

    def error(self) -> TaskTimeout:
        """Return the error of an attempt that has timed out."""
        return TaskTimeout(name_of(self._call.fn, self._call.options), self._timeout)

    # In the timer's thread.

    def _fail(self) -> None:
        error = self.error()
        self._call.note(error)
        self._call.future._set_outcome(Failure(error), failed=True)

    def _expire(self) -> None:
        if not self._call.may_follow(self.error()):
            self._fail()
            return
        self._deadline = timer.after(UNRESPONSIVE_AFTER, self._is_unresponsive)
        call_soon(self._loop, self._stop)

    def _is_unresponsive(self) -> None:
        if not self._is_over:
            self._fail()

    # In the loop's thread.

    def _stop(self) -> None:
        self._deadline.cancel()
        if not self._is_over:
            self.is_late = True
            self._task.cancel()
