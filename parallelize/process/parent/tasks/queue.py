"""The queue of tasks, and how many of them a worker is given at once.

Two lanes, single calls and rows of maps, are served in turn, so that a map of a million
rows does not delay a single call. A third lane holds coroutines; `coroutine` decides
when it is served. Workers measure how long the calls of a function take; a worker is
given several short ones at a time.

The pool's lock guards the lanes; the remembered durations are accessed by atomic
operations and may be slightly out of date.
"""

from __future__ import annotations

import math
from collections import deque

from parallelize.runtime.typed import cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parallelize.process.parent.tasks.call import CallTask, Task

#: Seconds of work that a worker is given ahead; it covers the time that the parent
#: needs to answer, which may be a whole switch interval of its interpreter.
FILL = 0.015

#: Seconds of work with which a worker is given more rows. Results of rows come every
#: `messages.HELD` seconds, and it is to have the next rows before it has run out of
#: them. If a call comes meanwhile, rows are reclaimed.
ROWS_AHEAD = 0.040

#: Seconds of work ahead that are allowed for a second call if two calls exceed `FILL`.
#: Fetching the next call costs a worker half a millisecond on a slow machine; an
#: unrelated single call waits this long at most.
FILL_BY_TWO = 0.024

#: Maximum number of tasks that a worker is given ahead.
MOST_AHEAD = 1000

#: The weight of the newest measurement in the remembered duration.
_NEWEST = 0.3

_MOST_FUNCTIONS = 1024

#: The lanes, as tasks name them.
CALLS, ROWS, COROUTINES = range(3)


class TaskQueue:
    """The tasks of a pool that wait for a worker.

    Attributes:
        coroutines: The lane of coroutines.
        sharers: The number of workers.
    """

    def __init__(self) -> None:
        self.sharers: int = 1
        self._calls: deque[Task] = deque()
        self._rows: deque[Task] = deque()
        self.coroutines: deque[Task] = deque()
        self._lanes = (self._calls, self._rows, self.coroutines)  # by their numbers
        self._rows_next = False
        # Hash of the key -> duration of one call. The hash, because a key may be long.
        self._seconds: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._calls) + len(self._rows) + len(self.coroutines)

    def __iter__(self) -> Iterator[Task]:
        for lane in self._lanes:
            yield from lane

    @property
    def others(self) -> int:
        """The number of queued tasks other than coroutines."""
        return len(self._calls) + len(self._rows)

    def has_one_call(self) -> bool:
        """Whether one single call is queued."""
        return len(self._calls) == 1

    def surplus(self, task: Task) -> int:
        """Return how many rows a task has too many, as calls take turns with them."""
        if not self._calls or not task.cost:
            return 0
        return task.size - max(1, int(FILL * task.size / task.cost))

    def add(self, task: Task) -> None:
        """Put a task at the end of its lane."""
        self._lanes[task.lane].append(task)

    def put_back(self, tasks: Iterable[Task]) -> None:
        """Put tasks back at the front of their lanes, in this order."""
        for task in reversed(list(tasks)):
            self._lanes[task.lane].appendleft(task)

    def drain(self) -> list[Task]:
        """Remove and return all tasks."""
        tasks = list(self)
        for lane in self._lanes:
            lane.clear()
        return tasks

    def take(self, ahead: int, load: float, taken: list[Task]) -> Task | None:
        """Take the next task for a worker, or None if it has enough.

        Args:
            ahead: The number of tasks that the worker has.
            load: The seconds that these are expected to take.
            taken: The task is appended to it before it leaves the queue, so that it is
                not lost if Ctrl-C comes between.
        """
        lane = self._lane()
        if not lane:
            return None
        task = lane[0]
        # How long a stream is read is unknown, so no task may be queued behind it.
        seconds = math.inf if task.is_stream else self._seconds.get(hash(task.key))
        task.cost = 0.0 if seconds is None else seconds * task.size
        if ahead and (
            seconds is None or ahead >= MOST_AHEAD or not self._fits(ahead, load, task)
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
        """Take the calls behind one that can be sent with it, up to `FILL` seconds.

        Args:
            first: A call that was taken.
            load: The seconds that the worker is busy without them.
            noted: The calls are appended to it before they leave the queue.
        """
        lane, taken = self._calls, [first]
        if not first.cost:  # their duration is unknown
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
        """Record how long calls of a function took."""
        if len(self._seconds) >= _MOST_FUNCTIONS:
            self._seconds.clear()
        each = seconds / calls
        hashed = hash(key)
        known = self._seconds.get(hashed)
        self._seconds[hashed] = (
            each if known is None else known + _NEWEST * (each - known)
        )

    def _fits(self, ahead: int, load: float, task: Task) -> bool:
        """Return whether a worker with this much work may have the task, too."""
        if task.is_rows:  # the others are to have as many
            return load <= ROWS_AHEAD and ahead * (self.sharers - 1) < len(self._rows)
        by_two = ahead == 1 and 2 * task.cost > FILL
        return load + task.cost <= (FILL_BY_TWO if by_two else FILL)

    def _lane(self) -> deque[Task]:
        if self._rows_next:
            return self._rows or self._calls
        return self._calls or self._rows
