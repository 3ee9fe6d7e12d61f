"""`stopping()`: whether the call that runs here was asked to stop.

```
 cancel, kill(grace=), a timeout, a stopped group, a closed map, the program's end
   │
   ├─ thread:     its future, or its rows, know of it
   ├─ loop:       likewise; else the task of asyncio knows
   ├─ interpreter: it asks the thread that waits for its answer
   ├─ Dask:       a function that is run on the worker notes it
   └─ process:    STOP over the control socket ──▶ the worker's watcher notes it
```

Nothing of this costs a call anything: what there is to know is looked up by `stopping`.
"""

from __future__ import annotations

from concurrent.futures import CancelledError

from parallelize.inside import place
from parallelize.runtime import lifecycle
from parallelize.runtime.blocking import here

__all__ = ("check_stop", "stopping")


def stopping() -> bool:
    """Return whether the call in which this runs was asked to stop.

    That is so after `Future.cancel`, `Future.kill` with a ``grace``, the ``timeout`` of
    the call, when its `TaskGroup` was stopped, its map or stream was closed,
    or an asyncio task that awaited it was cancelled; and in every call once the program
    ends. A long call asks between its steps, and returns or raises when this is true.
    After its timeout a call in a process is killed if it does not end within a second,
    and at once if it has never asked; the error is `TaskTimeout` in any case.

    It works in threads, worker processes, interpreters and on event loops; in an
    interpreter, for the thread of the call, which asks at most every millisecond; on
    Dask after `Future.cancel`, a ``timeout`` and the end of a map. A serial call, and
    one in a worker of Ray or another library, is not notified: there this is true at
    most when that process itself ends.

    Returns:
        Whether to stop. Outside of calls, whether the program ends.

    Example:
        >>> from parallelize import stopping, threaded
        >>> @threaded
        ... def wait_to_stop() -> str:
        ...     while not stopping():
        ...         pass
        ...     return "stopped"
        >>> future = wait_to_stop()
        >>> while not future.running():
        ...     pass
        >>> future.cancel()  # False, as the call has begun
        False
        >>> future.result()
        'stopped'
    """
    if lifecycle.is_ending():
        return True
    if here.asked is not None and here.asked():
        return True
    return place.asked is not None and place.asked()


def check_stop() -> None:
    """Raise an error if the call in which this runs was asked to stop.

    The future of the call is then cancelled, if it was asked by `Future.cancel` or
    `Future.kill`.

    Raises:
        CancelledError: `stopping` is true.

    Example:
        >>> from parallelize import check_stop, threaded
        >>> @threaded
        ... def add_all(numbers: list[int]) -> int:
        ...     total = 0
        ...     for number in numbers:
        ...         check_stop()
        ...         total += number
        ...     return total
        >>> add_all([1, 2, 3]).result()
        6
    """
    if stopping():
        msg = "the call was asked to stop"
        raise CancelledError(msg)
