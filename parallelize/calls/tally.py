"""How many calls an executor has, and how those ended that it had."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from parallelize.futures.future import Outcome
from parallelize.futures.peek import has_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from parallelize.calls.call import Rows
    from parallelize.futures.future import Future

__all__ = ("Stats",)


@dataclass(frozen=True, slots=True)
class Stats:
    """The numbers of an executor's workers and calls at one moment.

    The first four are how it is now; the others count from the first call on. Each row
    of a map is a call, a stream is one. Calls that were cancelled are in none of the
    numbers. Stats can be added.

    What the engines of others do not say is not known: on Dask, Ray and executors of
    other libraries all calls that have not ended are ``queued``, rows that were sent
    together are one of these, and ``workers``, ``busy``, ``running``, ``killed`` and
    ``died`` are 0; Dask and Ray do not say either what was ``retried``. In threads,
    nothing is ``killed``.

    Attributes:
        workers: The workers that are started: threads, event loops, processes.
        busy: Those of them that run calls.
        queued: The calls that have not begun: they wait for a worker, their arguments,
            a limit, a rate, or their next attempt.
        running: The calls that have begun and not ended.
        done: The calls that returned a result.
        failed: The calls that ended by an error, also by a timeout or a kill.
        retried: The attempts after a first one that failed.
        killed: The workers that were killed, by a timeout, `Future.kill` or others.
        died: The workers that ended by themselves although they were still needed.

    Example:
        >>> from parallelize import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(max_workers=2) as executor:
        ...     executor.submit(abs, -1).result(), executor.stats().done
        (1, 1)
    """

    workers: int = 0
    busy: int = 0
    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    killed: int = 0
    died: int = 0

    def __add__(self, other: Stats) -> Stats:
        """Return the stats of both together."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Stats(*(mine + theirs for mine, theirs in pairs))


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
        done += self.done.value + self.together - self.instead.value
        past = (self.failed, self.retried, self.killed, self.died)
        counts = (each.value for each in past)
        return Stats(workers, busy, queued, running, done, *counts)


def _is_failure(outcome: object) -> bool:
    return isinstance(outcome, Outcome) and outcome.failed
