"""Counts how the calls of an executor have ended."""

from __future__ import annotations

import itertools
from collections import deque

from parallelize.futures.future import Outcome
from parallelize.futures.peek import has_failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from parallelize.calls.call import Rows
    from parallelize.calls.stats import Stats
    from parallelize.futures.future import Future

__all__ = ("Counter", "Tally")


class Counter:
    """A number that any thread may increment, in one step of C, without a lock.

    Attributes:
        step: Increments it.
    """

    __slots__ = ("_steps", "step")

    def __init__(self) -> None:
        self._steps = itertools.count()
        self.step: Callable[[], int] = self._steps.__next__

    def add(self, count: int) -> None:
        """Increment it some times."""
        deque(itertools.islice(self._steps, count), 0)

    @property
    def value(self) -> int:
        """The number; its text is what can be had without one more step."""
        return int(repr(self._steps)[len("count(") : -1])


class Tally:
    """How the calls of one executor have ended.

    Attributes:
        done: Counts the calls that returned a result,
        together: ... and this those that were counted many at a time, by one thread.
        instead: Counts the calls that stood for rows, which are counted themselves.
        failed: Counts the calls that ended by an error.
        retried: Counts the attempts after a first one.
        killed: Counts the workers that were killed.
        died: Counts the workers that ended by themselves.
    """

    __slots__ = ("died", "done", "failed", "instead", "killed", "retried", "together")

    def __init__(self) -> None:
        self.done: Counter = Counter()
        self.together: int = 0
        self.instead: Counter = Counter()
        self.failed: Counter = Counter()
        self.retried: Counter = Counter()
        self.killed: Counter = Counter()
        self.died: Counter = Counter()

    def count_each(self, rows: Rows, future: Future[Any]) -> None:
        """Count rows as they are delivered, instead of the one call that runs them."""
        stands = iter((1,))
        deliver = rows.deliver

        def counting(first: int, outcomes: Sequence[Any], seconds: float) -> None:
            stood = next(stands, 0)
            if has_failed(future):  # with all rows
                self.failed.add(len(outcomes) - stood)
            else:
                self.instead.add(stood)
                self._count_each(outcomes)
            deliver(first, outcomes, seconds)

        rows.deliver = counting

    def _count_each(self, outcomes: Sequence[Any]) -> None:
        failed = sum(map(_is_failure, outcomes))
        self.done.add(len(outcomes) - failed)
        self.failed.add(failed)

    def stats(
        self,
        *,
        workers: int = 0,
        busy: int = 0,
        queued: int = 0,
        running: int = 0,
        done: int = 0,
    ) -> Stats:
        """Return the stats, given how it is now and what was counted elsewhere."""
        from parallelize.calls.stats import Stats

        done += self.done.value + self.together - self.instead.value
        past = (self.failed, self.retried, self.killed, self.died)
        counts = (each.value for each in past)
        return Stats(workers, busy, queued, running, done, *counts)


def _is_failure(outcome: object) -> bool:
    return isinstance(outcome, Outcome) and outcome.failed
