"""The order in which a map yields its results: that of the input, or as completed."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from parallelize.calls.call import SubmittedRows

    #: Outcomes of consecutive rows. An array contains only values.
    Block = list[Any] | array[Any]


class Chunk:
    """Rows that are submitted to the executor together.

    Attributes:
        count: The number of rows.
        missing: The number of rows whose outcomes have not arrived.
        begun: Cancels the rows that have not started; None when there are none.
        start: The index of the first row in the input.
        rows: Their arguments, until all outcomes have arrived.
        failed: The arguments of failed rows, by their index in the chunk.
        seconds: For how long the rows ran whose outcomes have arrived.
    """

    __slots__ = (
        "begun",
        "count",
        "failed",
        "given",
        "missing",
        "rows",
        "seconds",
        "start",
    )

    def __init__(self, rows: Sequence[tuple[Any, ...]], start: int) -> None:
        self.count: int = len(rows)
        self.missing: int = self.count
        self.start: int = start
        self.rows: Sequence[tuple[Any, ...]] = rows
        self.failed: dict[int, tuple[Any, ...]] = {}
        self.begun: SubmittedRows | None = None
        self.seconds: float = 0.0
        self.given: int = 0  # the number of rows yielded to the reader


class Part(NamedTuple):
    """Outcomes of a chunk that arrived together.

    Attributes:
        chunk: The chunk.
        first: The index in the chunk of the first row.
        outcomes: The outcomes.
        kinds: Their types; empty for an array.
    """

    chunk: Chunk
    first: int
    outcomes: Block
    kinds: AbstractSet[type]


class Order(Protocol):
    """Receives outcomes as they arrive, and returns them in its order."""

    def begun(self, chunk: Chunk) -> None:
        """Add a chunk that was submitted to the executor."""

    def arrived(self, part: Part) -> None:
        """Add outcomes of a chunk."""

    def take(self) -> Part | None:
        """Return the next outcomes, None if they have not arrived."""

    def ready(self) -> bool:
        """Whether there is something to take."""
        ...

    def head(self) -> Chunk | None:
        """The chunk whose outcomes must come next; None if any may."""

    def take_back(self, chunk: Chunk) -> None:
        """Remove the chunk that was added last."""

    def empty(self) -> bool:
        """Whether everything that was submitted was taken."""
        ...


class InOrder:
    """Yields outcomes in the order of the input."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()
        # The parts that have arrived, by chunk and first row. (As attributes of their
        # chunks they would form reference cycles, which would keep unread errors, and
        # all that they refer to, alive for a while.)
        self._parts: dict[tuple[Chunk, int], Part] = {}

    def begun(self, chunk: Chunk) -> None:
        """Add the chunk at the end of the queue."""
        self._chunks.append(chunk)

    def arrived(self, part: Part) -> None:
        """Keep the part until its turn."""
        self._parts[part.chunk, part.first] = part

    def take(self) -> Part | None:
        """Return the next outcomes of the oldest chunk, if they have arrived."""
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
        """Whether the next outcomes of the oldest chunk have arrived."""
        head = self.head()
        return head is not None and (head, head.given) in self._parts

    def head(self) -> Chunk | None:
        """The oldest chunk."""
        return self._chunks[0] if self._chunks else None

    def take_back(self, chunk: Chunk) -> None:
        """Remove the chunk from the queue."""
        self._chunks.remove(chunk)

    def empty(self) -> bool:
        """Whether no chunk is in the queue."""
        return not self._chunks


class AsCompleted:
    """Yields outcomes as they arrive."""

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()
        self._rows = 0  # submitted and not taken

    def begun(self, chunk: Chunk) -> None:
        """Count the rows of the chunk."""
        self._rows += chunk.count

    def arrived(self, part: Part) -> None:
        """Add the part at the end of the queue."""
        self._parts.append(part)

    def take(self) -> Part | None:
        """Return the outcomes that arrived first."""
        if not self._parts:
            return None
        part = self._parts.popleft()
        self._rows -= len(part.outcomes)
        return part

    def ready(self) -> bool:
        """Whether any outcomes have arrived."""
        return bool(self._parts)

    def head(self) -> Chunk | None:
        """Return None, as any chunk may be next."""
        return None

    def take_back(self, chunk: Chunk) -> None:
        """Count the rows of the chunk no more."""
        self._rows -= chunk.count

    def empty(self) -> bool:
        """Whether all rows were taken."""
        return self._rows == 0
