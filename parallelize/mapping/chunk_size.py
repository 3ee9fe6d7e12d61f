"""The number of rows that are sent to a worker at once."""

from __future__ import annotations

from typing import Protocol


class Sizes(Protocol):
    """Decides how many rows the next chunk has."""

    def next(self, left: int | None) -> int:
        """Return the size of the next chunk; ``left`` rows remain, if known."""
        ...

    def measured(self, rows: int, seconds: float) -> None:
        """Learn that a chunk of this many rows ran for this long."""


class FixedSize:
    """Chunks of a fixed size."""

    def __init__(self, size: int) -> None:
        self._size = size

    def next(self, left: int | None) -> int:
        """Return the size."""
        return self._size

    def measured(self, rows: int, seconds: float) -> None:
        """Learn nothing."""


class MeasuredSize:
    """Chunks that run for about `TARGET` seconds, judging by the previous chunks.

    The first rows are sent one by one. A chunk is at most `growth` times as large as
    one that has been measured, so that one misleading row does little harm. Near
    the end of an input of known length chunks shrink, so that the workers end
    together.
    """

    TARGET = 0.008
    #: For processes, which give back rows that another worker, or a call, waits for.
    TARGET_IN_PROCESSES = 0.040
    GROWTH = 4
    #: For threads, which redistribute slow rows anyway.
    GROWTH_IN_THREADS = 16
    MOST = 8192
    #: Chunks shorter than this cost more than ending together gains.
    LEAST_SECONDS = 0.0005

    def __init__(
        self,
        workers: int,
        most: int,
        alone_above: float,
        growth: int = GROWTH,
        target: float = TARGET,
    ) -> None:
        """Start with chunks of one row.

        Args:
            workers: The number of chunks that run at once.
            most: The size of the largest chunk.
            alone_above: Rows that run longer than this many seconds are sent alone.
            growth: The largest ratio of a chunk's size to that of a measured one.
            target: The seconds that a chunk is to run for.
        """
        self._target = target
        self._growth = growth
        self._workers = workers
        self._most = max(1, min(most, self.MOST))
        self._alone_above = alone_above
        self._size = 1
        self._seconds: float | None = None  # per row, as a moving average

    def next(self, left: int | None) -> int:
        """Return the size of the next chunk."""
        if left is None:
            return self._size
        share = max(-(-left // (2 * self._workers)), self._least())
        return max(1, min(self._size, share))

    def _least(self) -> int:
        if not self._seconds:
            return 1
        return int(min(self._most, self.LEAST_SECONDS / self._seconds))

    def measured(self, rows: int, seconds: float) -> None:
        """Learn from a chunk."""
        each = seconds / rows
        known = self._seconds
        self._seconds = each if known is None else (known + each) / 2
        wanted = self._wanted()
        if rows >= self._size:
            wanted = min(wanted, self._size * self._growth)
        else:
            wanted = min(wanted, self._size)
        self._size = max(1, wanted)

    def _wanted(self) -> int:
        if not self._seconds:
            return self._most
        if self._seconds > self._alone_above:
            return 1
        return int(min(self._most, self._target / self._seconds))


class RemoteChunkSize(MeasuredSize):
    """Sizes for third-party engines, where each chunk costs milliseconds."""

    TARGET = 0.2
    LEAST_SECONDS = 0.0125

    def __init__(self, workers: int, most: int) -> None:
        """Start with chunks of one row; see `MeasuredSize`."""
        super().__init__(workers, most, self.TARGET / 2, target=self.TARGET)
