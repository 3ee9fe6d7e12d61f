"""How a chain gets from one block of items to the next without a step of Python.

An `itertools.chain` yields the items of a block in C. This is how it gets a block that
has not arrived yet:

```
                  blocks(): a queue that the chain draws from
                ┌──────┬───────┬──────┐
 chain ◀─ now ──│ tail │ block │ tail │ ...        block    items that have arrived
                └──────┴───────┴──────┘            tail     calls `ask`
```

A block ends by itself. The tail is called for one item at a time, and does not end
until a block is queued behind it; the thread that queues the block ends the tail once.
Everything between items is C code of the chain, so threads may share the iterator
(where such a step is not atomic they take turns, see `native.STEPS_ARE_WHOLE`); and a
thread that calls the tail late, when another has ended it but the chain has not
advanced yet, is given an item directly. Two threads must never end it for the same
block: the chain would skip the block.
"""

from __future__ import annotations

from collections import deque
from itertools import repeat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_END: Any = object()


class Tail:
    """What a chain asks for more, and what it draws from.

    Args:
        ask: Returns one item, or raises StopIteration after `follow` or `end`. It is
            given None.
    """

    __slots__ = ("_behind", "_tail")

    def __init__(self, ask: Callable[[None], Any]) -> None:
        self._tail: Iterator[Any] = map(ask, repeat(None))
        self._behind: deque[Any] = deque((self._tail,))

    def blocks(self) -> Iterator[Iterator[Any]]:
        """The iterables that are chained."""
        return iter(self._behind.popleft, _END)

    def follow(self, block: Iterator[Any]) -> bool:
        """Queue a block behind the tail, which has to end now; one thread at a time.

        Returns:
            False if the chain is about to advance already: give items directly.
        """
        if self._behind:
            return False
        self._behind.extend((block, self._tail))
        return True

    def end(self) -> None:
        """Let the chain end when the tail does, now."""
        self._behind.append(_END)

    def drop(self) -> None:
        """Break the reference cycle of the tail and what it asks."""
        self._behind.clear()
        del self._tail
