"""What waits for a worker, and how much of it a worker is given at once.

Two lanes, single calls and rows of maps, are served in turn, so that a map of a
million rows does not hold up a single call. A third is that of coroutines, see
`coroutine`, which says when it is served. How long a function's calls take is
measured by the workers; short ones are given out several at a time.

The pool's lock guards the lanes; what is remembered of durations is a matter of
single operations and may be a moment old.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parallelize.process.parent.tasks.call import CallTask, Task

#: Seconds of work that a worker is given ahead; it covers the time the parent
#: needs to answer, which may be a whole switch interval of its interpreter.
FILL = 0.015

#: The same where one call stands behind another and two do not fit into that. To fetch
#: the next one costs a worker half a millisecond on a slow machine; a lone call of
#: somebody else waits as long as this at the most.
FILL_BY_TWO = 0.024

#: Tasks that a worker is given ahead at the most.
MOST_AHEAD = 1000

#: The share of the newest measurement in the remembered duration.
_NEWEST = 0.3

_MOST_FUNCTIONS = 1024

#: The lanes, as tasks name them.
CALLS, ROWS, COROUTINES = range(3)


class TaskQueue:
    """The tasks of a pool that wait for a worker.

    Attributes:
        coroutines: The lane of coroutines.
    """

    def __init__(self) -> None:
        self._calls: deque[Task] = deque()
        self._rows: deque[Task] = deque()
        self.coroutines: deque[Task] = deque()
        self._lanes = (self._calls, self._rows, self.coroutines)  # by their numbers
        self._rows_next = False
        # Hash of the key -> duration of one call: a key may be long.
        self._seconds: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._calls) + len(self._rows) + len(self.coroutines)

    def __iter__(self) -> Iterator[Task]:
        for lane in self._lanes:
            yield from lane

    @property
    def others(self) -> int:
        """How many tasks wait that are no coroutines."""
        return len(self._calls) + len(self._rows)

    def add(self, task: Task) -> None:
        """Put a task at the end of its lane."""
        self._lanes[task.lane].append(task)

    def put_back(self, tasks: Iterable[Task]) -> None:
        """Put tasks in front again, the first one first."""
        for task in reversed(list(tasks)):
            self._lanes[task.lane].appendleft(task)

    def drain(self) -> list[Task]:
        """Take out everything."""
        tasks = list(self)
        for lane in self._lanes:
            lane.clear()
        return tasks

    def take(self, ahead: int, load: float, taken: list[Task]) -> Task | None:
        """Take the next task for a worker, or None if it has enough.

        Args:
            ahead: How many tasks the worker has.
            load: How many seconds they are expected to take.
            taken: Gets the task, before it leaves the queue: Ctrl-C may come between.
        """
        lane = self._lane()
        if not lane:
            return None
        task = lane[0]
        # Nobody knows how long a stream is read: nothing may stand behind it.
        seconds = math.inf if task.is_stream else self._seconds.get(hash(task.key))
        task.cost = 0.0 if seconds is None else seconds * task.size
        if ahead and (
            seconds is None
            or ahead >= MOST_AHEAD
            or load + task.cost > _most_load(ahead, task)
        ):
            return None
        self._rows_next = lane is self._calls
        taken.append(task)
        try:
            return lane.popleft()
        except IndexError:  # a signal handler in this thread has drained the lane
            return None

    def take_batch(
        self, first: CallTask, load: float, noted: list[Task]
    ) -> list[CallTask]:
        """Take the calls behind one that may travel with it, as many as a worker runs.

        Args:
            first: A call that was taken.
            load: How many seconds the worker will be busy without them.
            noted: Gets them, before they leave the queue.
        """
        lane, taken = self._calls, [first]
        if not first.cost:  # nothing is known of them
            return taken
        most = min(MOST_AHEAD, int((FILL - load) / first.cost))
        while lane and len(taken) < most:
            task = lane[0]
            if task.is_rows or not first.batchable_with(cast("CallTask", task)):
                break
            noted.append(task)
            taken.append(cast("CallTask", lane.popleft()))
        return taken

    def learn(self, key: bytes, seconds: float, calls: int) -> None:
        """Remember how long calls of a function took."""
        if len(self._seconds) >= _MOST_FUNCTIONS:
            self._seconds.clear()
        each = seconds / calls
        hashed = hash(key)
        known = self._seconds.get(hashed)
        self._seconds[hashed] = (
            each if known is None else known + _NEWEST * (each - known)
        )

    def _lane(self) -> deque[Task]:
        if self._rows_next:
            return self._rows or self._calls
        return self._calls or self._rows


def _most_load(ahead: int, task: Task) -> float:
    """How many seconds of work a worker may have with this task, which it gets next."""
    by_two = ahead == 1 and task.size == 1 and 2 * task.cost > FILL
    return FILL_BY_TWO if by_two else FILL
