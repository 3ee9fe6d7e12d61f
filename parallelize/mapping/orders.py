"""In which order a map gives its results: as they stood in the input, or came."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from array import array

    from parallelize.calls import Begun

    #: Outcomes of rows that follow each other. In an array all are values.
    Block = list[Any] | array[Any]


class Chunk:
    """Rows that were handed to the executor as one piece.

    Attributes:
        count: How many rows.
        missing: How many of them have not come back.
        begun: What cancels those that have not begun; None when there are none.
    """

    __slots__ = ("begun", "count", "given", "missing", "parts")

    def __init__(self, count: int) -> None:
        self.count: int = count
        self.missing: int = count
        self.begun: Begun | None = None
        self.given: int = 0  # rows handed to the reader
        self.parts: dict[int, Block] = {}  # what came, by its first row


class Order(Protocol):
    """Takes in outcomes as they come, and gives them out in its order."""

    def begun(self, chunk: Chunk) -> None:
        """A chunk was handed to the executor."""

    def arrived(self, chunk: Chunk, first: int, outcomes: Block) -> None:
        """Outcomes of a chunk came, from its row ``first`` on."""

    def take(self) -> Block | None:
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

    def begun(self, chunk: Chunk) -> None:
        """Stand at the end of the row."""
        self._chunks.append(chunk)

    def arrived(self, chunk: Chunk, first: int, outcomes: Block) -> None:
        """Wait for the turn."""
        chunk.parts[first] = outcomes

    def take(self) -> Block | None:
        """Return what came of the oldest chunk, as far as it is complete."""
        if not self._chunks:
            return None
        head = self._chunks[0]
        outcomes = head.parts.pop(head.given, None)
        if outcomes is not None:
            head.given += len(outcomes)
            if head.given == head.count:
                self._chunks.popleft()
        return outcomes

    def ready(self) -> bool:
        """Whether the next of the oldest chunk has come."""
        return bool(self._chunks) and self._chunks[0].given in self._chunks[0].parts

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
        self._parts: deque[Block] = deque()
        self._rows = 0  # begun and not taken

    def begun(self, chunk: Chunk) -> None:
        """Expect its rows."""
        self._rows += chunk.count

    def arrived(self, chunk: Chunk, first: int, outcomes: Block) -> None:
        """Stand at the end of the row."""
        self._parts.append(outcomes)

    def take(self) -> Block | None:
        """Return what came first."""
        if not self._parts:
            return None
        outcomes = self._parts.popleft()
        self._rows -= len(outcomes)
        return outcomes

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
