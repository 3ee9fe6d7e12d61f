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

import sys
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_END: Any = object()

T = TypeVar("T")


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


class ChainedItems(Iterator[T], AsyncIterator[T]):
    """What a map and a stream have in common: how they are closed and dropped."""

    __slots__ = ()

    _gives_results: ClassVar[bool] = True  # for a map that has this one as its input
    _is_ending = staticmethod(sys.is_finalizing)  # `sys` may be gone when it is called

    @abstractmethod
    def close(self) -> None:
        """End early, from any thread."""

    @abstractmethod
    async def aclose(self) -> None:
        """End early, for `contextlib.aclosing`."""

    def __aiter__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is None:  # __new__ has failed
            return
        try:
            reader.dropped()
        except Exception:
            # At interpreter shutdown modules are cleared, and errors do not matter any
            # more. Without the GIL many objects live until then.
            if not self._is_ending():
                raise
