"""When the next call of a rate may start: only numbers, without locks and timers.

Three things must have come about before a start, and the latest of them counts:

* the time in the plan, which has a start every ``per / count`` seconds. Starts that
  come late stay behind the plan by up to `LARGEST_DELAY`, and so are made up for;
* half an interval since the start before, so that this happens evenly. What is made up
  for at once would reach a service together with what it delayed by itself;
* the end of the window that began ``count`` starts ago. So nothing is made up for at
  the cost of the limit, however late any start has come.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ("LARGEST_DELAY", "Schedule")

#: Starts that come late by up to this many seconds, because the machine is busy, are
#: made up for: the following ones come earlier. After longer pauses they are not.
LARGEST_DELAY = 0.1

#: Starts may be uneven within this many seconds, less an interval: one tick of a timer
#: has to start several calls of a high rate.
LEEWAY = 0.02

#: The largest number of earlier starts that are remembered, each for as many as needed.
MOST_KEPT = 512


class Schedule:
    """The starts of a rate.

    Args:
        count: The number of starts in ``per`` seconds.
        per: These seconds.
        burst: The number of starts that may come at once; if it is more than ``count``,
            the window is longer in proportion.

    Attributes:
        due: The time from which the next start is allowed.
    """

    __slots__ = (
        *("_ahead", "_each", "_interval", "_leeway", "_left"),
        *("_next", "_recent", "_soonest", "_window", "due"),
    )

    def __init__(self, count: float, per: float, burst: int) -> None:
        self._interval = per / count
        self._ahead = (burst - 1) * self._interval
        self._leeway = max(LEEWAY - self._interval, 0.0)
        most = max(math.ceil(count), burst)
        self._window = most * self._interval
        # Of each group of so many starts the last one is remembered.
        self._each = -(-most // MOST_KEPT)
        self._left = self._each
        kept = most // self._each
        self._recent = deque([-math.inf] * kept, maxlen=kept)
        self._next = -math.inf  # without a burst
        self._soonest = -math.inf
        self.due: float = -math.inf

    def take(self, now: float, *, slack: float = 0.0) -> None:
        """Count a start.

        Args:
            now: The time; at least `due`.
            slack: The seconds by which it may have come late without a delay of the
                starts behind it.
        """
        interval, ahead, recent = self._interval, self._ahead, self._recent
        late = now - slack
        self._next = due = max(late, self._next) + interval
        late = now - self._leeway
        soonest = max(late, self._soonest) + interval / 2
        self._soonest = soonest
        self._left -= 1
        if not self._left:
            self._left = self._each
            recent.append(now)
        self.due = max(due - ahead, soonest - ahead / 2, recent[0] + self._window)

    def pause(self, until: float) -> None:
        """Allow no start before this time, and no burst at it."""
        self._next = max(self._next, until + self._ahead)
        self.due = max(self.due, until)
