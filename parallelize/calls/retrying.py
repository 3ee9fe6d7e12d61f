"""Whether a failed call is tried again, and when.

```
 an attempt fails ──▶ wait_after ──▶ None: the call fails, its error has a note
                                 ├─▶ 0: at once, where it is
                                 └─▶ seconds: it rests ──▶ timer ──▶ admit_again
                                     (without a worker, a thread and a place in a limit)
```

A call that rests is pending, so that it can be cancelled like one that has not begun.
"""

from __future__ import annotations

import math
from functools import partial

from parallelize.runtime.clock import monotonic
from parallelize.runtime.options import start_in_time
from parallelize.runtime.raised import add_note, is_a, name_of_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from parallelize.calls.call import Call
    from parallelize.runtime.options import CallOptions

__all__ = (
    "admit_again",
    "is_retried",
    "may_wait",
    "note_attempts",
    "rest",
    "wait_after",
)

#: Whether calls wait before they are tried again; tests may switch that off.
waits: bool = True


def is_retried(error: BaseException, options: CallOptions) -> bool:
    """Whether the options say that a call is retried after this error.

    It is never retried after a Ctrl-C in the thread that runs it.
    """
    return is_a(error, options.retry_on) and not is_a(error, KeyboardInterrupt)


def may_wait(options: CallOptions) -> bool:
    """Whether calls with these options may have to wait before another attempt."""
    from parallelize.pace.waits import Constant

    wait = options.retry_wait
    never = isinstance(wait, Constant) and not wait.seconds
    return options.retries > 0 and not (never and options.rate is None)


def wait_after(options: CallOptions, failed: int, error: BaseException) -> float | None:
    """Return the seconds before the next attempt; None: there is none.

    Args:
        options: The options of the call; its ``retry_on`` has been looked at.
        failed: The number of attempts that have failed, with this one.
        error: The error of this attempt.
    """
    from parallelize.pace.waits import DEFAULT_WAIT, Asked

    policy = options.retry_wait
    try:
        wait = _checked((DEFAULT_WAIT if policy is None else policy)(failed, error))
    except Exception as problem:  # noqa: BLE001 - the user's function may raise anything
        name = name_of_class(type(problem))
        add_note(error, f"not retried, as retry_wait raised {name}: {problem}")
        return None
    if wait is None or not waits:
        return None if wait is None else 0.0
    if type(wait) is Asked and wait > 0 and options.rate is not None:
        options.rate.pause(wait)
    return wait


def _checked(wait: object) -> float | None:
    if wait is None:
        return None
    seconds = float(wait) if isinstance(wait, (int, float)) else math.nan
    if math.isnan(seconds) or seconds < 0:
        msg = f"it must return seconds, at least 0, or None, not {wait!r}"
        raise ValueError(msg)
    return wait if isinstance(wait, float) else seconds


def note_attempts(error: BaseException, attempts: int, since: float) -> None:
    """Add to a last error after how many attempts it came, if after several."""
    if attempts > 1:
        add_note(error, f"after {attempts} attempts in {monotonic() - since:.2g} s")


def rest(call: Call, seconds: float, admit: Callable[[Any], object]) -> bool:
    """Let a failed call rest, and then admit it again.

    Args:
        call: The call; its future is running.
        seconds: How long.
        admit: Called with the call then; usually `admit_again`.

    Returns:
        False if it must not be tried again, or no timer can be started.
    """
    from parallelize.runtime import timer

    future, limit = call.future, call.options.limit
    if not future._rest():
        return False
    if limit is not None:
        limit._release(future)
    try:
        deadline = timer.after(seconds, partial(admit, call))
    except RuntimeError:  # no thread can be started
        return False
    future.add_done_callback(lambda _: deadline.cancel())
    return True


def admit_again(call: Call) -> None:
    """Start a call that has rested, as soon as its limit and its rate allow."""
    if call.future.done():
        return
    try:
        if call.options.limit is not None:
            from parallelize.futures.limit_cycles import break_limit_cycle

            call.options.limit._admit(call)
            break_limit_cycle((call.future,))  # a call may wait for it that has a place
        else:
            start_in_time(call)
    except Exception as error:  # noqa: BLE001 - no caller would get it
        call.fail(error)
