"""In which order a map gives its results: as they stood in the input, or came."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from parallelize.calls.call import SubmittedRows

    #: Outcomes of rows that follow each other. In an array all are values.
    Block = list[Any] | array[Any]


class Chunk:
    """Rows that were handed to the executor as one piece.

    Attributes:
        count: How many rows.
        missing: How many of them have not come back.
        begun: What cancels those that have not begun; None when there are none.
        start: The number of the first of them in the input.
        rows: Their arguments, until all have come back.
        failed: The arguments of those that have failed, by their number in the chunk.
    """

    __slots__ = (
        "begun",
        "count",
        "failed",
        "given",
        "missing",
        "rows",
        "start",
    )

    def __init__(self, rows: Sequence[tuple[Any, ...]], start: int) -> None:
        self.count: int = len(rows)
        self.missing: int = self.count
        self.start: int = start
        self.rows: Sequence[tuple[Any, ...]] = rows
        self.failed: dict[int, tuple[Any, ...]] = {}
        self.begun: SubmittedRows | None = None
        self.given: int = 0  # rows handed to the reader


class Part(NamedTuple):
    """Outcomes of a chunk that came together.

    Attributes:
        chunk: It.
        first: The number of the first of these in the chunk.
        outcomes: They.
        kinds: Their types; of an array's values none.
    """

    chunk: Chunk
    first: int
    outcomes: Block
    kinds: AbstractSet[type]


class Order(Protocol):
    """Takes in outcomes as they come, and gives them out in its order."""

    def begun(self, chunk: Chunk) -> None:
        """A chunk was handed to the executor."""

    def arrived(self, part: Part) -> None:
        """Outcomes of a chunk came."""

    def take(self) -> Part | None:
        """Return the outcomes that are next, None if they have not come."""

    def ready(self) -> bool:
        """Whether there is something to take."""
        ...

    def head(self) -> Chunk | None:
        """The chunk of which something must come next; None if any may."""

    def take_back(self, chunk: Chunk) -> None:
        """Forget the chunk that was begun last."""

    def empty(self) -> bool:
        """Whether all that was begun was taken."""
        ...


class InOrder:
    """Gives outcomes in the order of the input."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()
        # What came, by chunk and first row. (In the chunk it would be a ring: errors
        # of rows that nobody reads, and all that they hold, would stay for a while.)
        self._parts: dict[tuple[Chunk, int], Part] = {}

    def begun(self, chunk: Chunk) -> None:
        """Stand at the end of the row."""
        self._chunks.append(chunk)

    def arrived(self, part: Part) -> None:
        """Wait for the turn."""
        self._parts[part.chunk, part.first] = part

    def take(self) -> Part | None:
        """Return what came of the oldest chunk, as far as it is complete."""
        if not self._chunks:
            return None
        head = self._chunks[0]
        part = self._parts.pop((head, head.given), None)
        if part is not None:
            head.given += len(part.outcomes)
            if head.given == head.count:
                self._chunks.popleft()
        return part

    def ready(self) -> bool:
        """Whether the next of the oldest chunk has come."""
        head = self.head()
        return head is not None and (head, head.given) in self._parts

    def head(self) -> Chunk | None:
        """The oldest chunk."""
        return self._chunks[0] if self._chunks else None

    def take_back(self, chunk: Chunk) -> None:
        """Leave the row again."""
        self._chunks.remove(chunk)

    def empty(self) -> bool:
        """Whether no chunk stands in the row."""
        return not self._chunks


class AsCompleted:
    """Gives outcomes as they come."""

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()
        self._rows = 0  # begun and not taken

    def begun(self, chunk: Chunk) -> None:
        """Expect its rows."""
        self._rows += chunk.count

    def arrived(self, part: Part) -> None:
        """Stand at the end of the row."""
        self._parts.append(part)

    def take(self) -> Part | None:
        """Return what came first."""
        if not self._parts:
            return None
        part = self._parts.popleft()
        self._rows -= len(part.outcomes)
        return part

    def ready(self) -> bool:
        """Whether anything has come."""
        return bool(self._parts)

    def head(self) -> Chunk | None:
        """None: any may come next."""
        return None

    def take_back(self, chunk: Chunk) -> None:
        """Expect its rows no more."""
        self._rows -= chunk.count

    def empty(self) -> bool:
        """Whether all rows were taken."""
        return self._rows == 0
