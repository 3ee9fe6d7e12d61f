"""Steps a synchronous iterator beside asynchronous ones, in a thread of its own.

```
 pump, in the event loop           stepper's thread
 await step() ◀── ready steps ──   next(iterator), a few items ahead
              ── how many more ─▶  (it may wait; the loop goes on)
```
"""

from __future__ import annotations

import threading
from collections import deque
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from parallelize.mapping.feeder import LONGEST_CLOSING
from parallelize.runtime import lifecycle
from parallelize.runtime.loop_thread import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # What a step gives: a tuple of the item, empty at the end; or an error.
    Step = tuple[tuple[Any, ...], BaseException | None]

__all__ = ("Stepper", "stepped")

#: The number of items that are read ahead, so that not each needs a switch of threads.
AHEAD = 16


class Stepper:
    """A thread that steps one iterator, ahead of the one task that uses it."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        """Start the thread.

        Raises:
            RuntimeError: No thread can be started.
        """
        self._steps = _Steps()
        self._steps.requests.put(AHEAD)
        self._taken = 0  # since more was requested
        # It does not refer to this object, whose end is also that of the thread.
        self._thread = threading.Thread(
            target=copy_context().run,
            args=(_serve, iterator, self._steps),
            name="parallelize-input",
            daemon=lifecycle.daemons,
        )
        self._thread.start()

    async def step(self) -> Step:
        """Return the outcome of the next step; an end or an error is the last."""
        steps = self._steps
        while not steps.ready:
            await until(steps.call_when_ready)
        self._taken += 1
        if self._taken == AHEAD // 2:
            self._taken = 0
            steps.requests.put(AHEAD // 2)
        return steps.ready.popleft()

    async def close(self) -> None:
        """Close the iterator when it is not being stepped; wait a while for this."""
        import asyncio

        self._steps.close()
        await asyncio.to_thread(self._thread.join, LONGEST_CLOSING)

    def __del__(self) -> None:
        self._steps.close()


class _Steps:
    """What the thread and its user share; accessed by single atomic operations."""

    def __init__(self) -> None:
        self.requests: SimpleQueue[int | None] = SimpleQueue()
        self.is_wanted = True  # whether there are more steps to make
        # Either is added to before the other is looked at. So either the thread sees
        # who waits for a step, or the one who waits sees the step.
        self.ready: deque[Step] = deque()
        self._wakers: deque[Callable[[], object]] = deque()

    def add(self, step: Step) -> None:
        """Add a step; after an end or an error there are no more."""
        if not step[0]:
            self.is_wanted = False
        self.ready.append(step)
        while self._wakers:
            self._wakers.popleft()()

    def call_when_ready(self, waker: Callable[[], object]) -> None:
        """Call ``waker()``, in any thread, when there is a step."""
        self._wakers.append(waker)
        if self.ready:
            waker()

    def close(self) -> None:
        """Make no more steps."""
        self.is_wanted = False
        self.requests.put(None)


def _serve(iterator: Iterator[Any], steps: _Steps) -> None:
    while (number := steps.requests.get()) is not None:
        while number and steps.is_wanted:
            number -= 1
            steps.add(stepped(iterator))
    close = getattr(iterator, "close", None)
    if callable(close):
        close()


def stepped(iterator: Iterator[Any]) -> Step:
    """Return the outcome of the next step of an iterator."""
    try:
        for item in iterator:
            return (item,), None
    except BaseException as error:  # noqa: BLE001 - raised in the reader in its turn
        return (), error
    return (), None
