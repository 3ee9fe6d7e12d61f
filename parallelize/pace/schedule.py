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
        *("_ahead", "_ahead_at_most", "_each", "_half", "_interval", "_left"),
        *("_planned", "_recent", "_soonest", "_window", "_window_ends", "due"),
    )

    def __init__(self, count: float, per: float, burst: int) -> None:
        self._interval = interval = per / count
        self._half = interval / 2
        self._ahead = (burst - 1) * interval
        self._ahead_at_most = self._ahead / 2 + max(LEEWAY - interval, 0.0)
        most = max(math.ceil(count), burst)
        self._window = most * interval
        # Of each group of this many starts, the last one is remembered.
        self._each = -(-most // MOST_KEPT)
        self._left = self._each
        kept = most // self._each
        self._recent = deque([-math.inf] * kept, maxlen=kept)
        # The three of which the latest counts.
        self._planned = self._soonest = self._window_ends = -math.inf
        self.due: float = -math.inf

    def take(self, now: float, *, slack: float = 0.0) -> None:
        """Count a start.

        Args:
            now: The time; at least `due`.
            slack: The seconds by which it may have come late without a delay of the
                starts behind it.
        """
        # `max` would take half of the time: each call that is paced pays for this.
        planned, late = self._planned, now - slack - self._ahead
        if planned < late:  # noqa: PLR1730
            planned = late
        self._planned = due = planned + self._interval
        soonest, late = self._soonest, now - self._ahead_at_most
        if soonest < late:  # noqa: PLR1730
            soonest = late
        self._soonest = soonest = soonest + self._half
        self._left -= 1
        if not self._left:
            self._left = self._each
            self._recent.append(now)
            self._window_ends = self._recent[0] + self._window
        if due < soonest:  # noqa: PLR1730
            due = soonest
        if due < self._window_ends:  # noqa: PLR1730
            due = self._window_ends
        self.due = due

    def pause(self, until: float) -> None:
        """Allow no start before this time, and no burst at it."""
        self._planned = max(self._planned, until)
        self.due = max(self.due, until)
