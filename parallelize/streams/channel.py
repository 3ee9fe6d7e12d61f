"""The bounded buffer between a generator in a worker and its reader.

```
 producer (a thread, or the           reader (any thread, or a loop)
 dispatcher of a process pool)
        extend(items) ──────▶ blocks ─────▶ take(), then `ready` yields the items
        end(outcome)  ──────▶  end   ─────▶ after the last item
        room? ◀───────────── unread ◀────── number of items taken
```

Items, like the end, may still be encoded as they were sent (an `Outcome`): the reader
decodes them.

The block that is being read stays the first of all until it is exhausted, and each
step to the next one can be done again: so Ctrl-C in the middle of one loses no item,
and counts none twice.
"""

from __future__ import annotations

import enum
from _operator import length_hint  # the C part, which is loaded already
from collections import deque
from itertools import repeat

from parallelize.futures.future import Failure, Outcome, error_of
from parallelize.runtime import lifecycle, locks
from parallelize.runtime.native import STEPS_ARE_WHOLE, Popped

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from parallelize.futures.future import Future
    from parallelize.streams.tail import Tail

_new_lock = locks.reentrant("channel")


class Life(enum.Enum):
    """The life cycle of a stream."""

    WAITING = "its generator has not begun"
    FLOWING = "its generator runs in a worker"
    INLINE = "its reader runs the generator itself"
    OVER = "nothing more comes; what is here can be read"
    CLOSED = "the reader wants no more"


_OPEN = (Life.WAITING, Life.FLOWING)


class Ending(Outcome):
    """The outcome of the call behind a stream; its future decodes it."""

    __slots__ = ("_future",)

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def open(self) -> tuple[None, BaseException | None]:
        """Return no value, and the generator's error."""
        return None, error_of(self._future)


class Block:
    """Items that the reader takes together, at least one.

    Attributes:
        first: The number of items of the stream before it.
        count: The number of its items.
        is_sealed: Whether they have to be decoded.
        ready: Yields its items; None until the reader has begun it.
    """

    __slots__ = ("_items", "count", "first", "is_sealed", "ready")

    def __init__(self, items: list[Any] | deque[Any], first: int) -> None:
        self.first: int = first
        self.count: int = len(items)
        self.is_sealed: bool = issubclass(type(items[0]), Outcome)
        self.ready: Iterator[Any] | None = None
        # Numbers may stay in a list until it is dropped; all else is released as it
        # is yielded.
        may_stay = STEPS_ARE_WHOLE and not self.is_sealed and isinstance(items, list)
        self._items = items if may_stay else deque(items)

    def append(self, item: Any) -> None:
        """Add an item to a block that has not begun."""
        self._items.append(item)
        self.count += 1

    def begin(self) -> Iterator[Any]:
        """Return what yields the items."""
        items = self._items
        if isinstance(items, list):
            self.ready = iter(items)
        elif STEPS_ARE_WHOLE:
            self.ready = map(deque.popleft, repeat(items, len(items)))
        else:
            self.ready = Popped(items)
        return self.ready

    def has_more(self) -> bool:
        """Whether there are items that were not yielded."""
        if isinstance(self._items, list) and self.ready is not None:
            return length_hint(self.ready) > 0
        return bool(self._items)


class Channel:
    """The buffer of one stream, and its state.

    It is one of the `open_maps` of its executor, and ends with that.

    Attributes:
        life: The state. May be read by any thread, at any time.
        buffersize: The maximum number of items that the reader has not been given.
        taken: The number of items that it has been given: of those of a block only
            the first counts, until the next block is begun.
        ready: Yields the items of the block that is being read; any thread may draw
            from it.
        moved: Called when the reader has taken items, and when no more are wanted:
            without the lock, in any thread, also from a finalizer.
    """

    def __init__(self, buffersize: int) -> None:
        self.life: Life = Life.WAITING
        self.taken: int = 0
        self.moved: Callable[[], object] = bool
        self.buffersize: int = buffersize
        self.ready: Iterator[Any] = iter(())
        self._blocks: deque[Block] = deque()  # the first may be the one being read
        self._arrived = 0  # the number of items that have arrived
        self._end: Outcome | None = None
        self._reader_wakers: list[Callable[[], object]] = []
        self._room_wakers: list[Callable[[], object]] = []
        self._close_wakers: list[Callable[[], object]] = []
        self._is_dropped = False  # the reader is gone; set without the lock
        self._make_lock()

    def _make_lock(self) -> None:
        # Guards all of it; a leaf lock. Reentrant, as the stream may be garbage
        # collected in a thread that holds it.
        self.lock: threading.RLock = _new_lock()
        self._news = locks.Condition(self.lock)  # the reader waits on this,
        self._room = locks.Condition(self.lock)  # and the producer on this

    # For the producer.

    def begin(self) -> bool:
        """Record that the generator starts in a worker; False if it must not."""
        with self._news:
            if self.life is not Life.WAITING or self._is_dropped:
                return False
            self.life = Life.FLOWING
            return True

    def put(self, item: Any) -> None:
        """Add an item of any kind."""
        with self._news:
            if self.life is not Life.FLOWING:
                return
            last = self._blocks[-1] if self._blocks else None
            if last is None or last.ready is not None or last.count >= self._most():
                self._blocks.append(Block(deque((item,)), self._arrived))
            else:
                last.append(item)
            self._arrived += 1
            wakers = _wake(self._news, self._reader_wakers)
        _call_each(wakers)

    def extend(self, items: list[Any]) -> None:
        """Add numbers, or outcomes; the list belongs to the channel from now on."""
        with self._news:
            if self.life is not Life.FLOWING:
                return
            most = self._most()
            for start in range(0, len(items), most):
                some = items[start : start + most] if len(items) > most else items
                self._blocks.append(Block(some, self._arrived))
                self._arrived += len(some)
            wakers = _wake(self._news, self._reader_wakers)
        _call_each(wakers)

    def _most(self) -> int:
        """Return the number of items of a block at most."""
        return max(1, self.buffersize // 2)

    def end(self, outcome: Outcome | None) -> None:
        """End after the buffered items, with the outcome if that is an error."""
        with self._news:
            if self.life not in _OPEN:
                return
            self.life, self._end = Life.OVER, outcome
            wakers = self._wake_all()
        _call_each(wakers)
        self.moved()

    @property
    def is_waiting(self) -> bool:
        """Whether its generator has not begun."""
        return self.life is Life.WAITING

    @property
    def is_flowing(self) -> bool:
        """Whether its generator runs in a worker."""
        return self.life is Life.FLOWING

    def has_room(self) -> bool:
        """Whether the generator may yield one more item now."""
        # Only called by the producer, which alone adds items: room can only increase.
        unread = self._arrived - self.taken
        return unread < self.buffersize and self.life is Life.FLOWING

    def wait_for_room(self) -> bool:
        """Wait for room and return True; False if no more items are wanted."""
        with self._room:
            self._room.wait_for(self._may_go_on)
            return self.life is Life.FLOWING

    def _may_go_on(self) -> bool:
        return self.has_room() or self.life is not Life.FLOWING

    def when_room(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once when there is room, or no more items are wanted."""
        with self._room:
            if not self._may_go_on():
                self._room_wakers.append(waker)
                return
        waker()

    def when_closed(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once when no more items are wanted."""
        with self._room:
            if self.life in _OPEN:
                self._close_wakers.append(waker)
                return
        waker()

    # For the reader.

    def take(self, read: Iterator[Any]) -> bool:
        """Go on to the next block, as ``read`` yields nothing more.

        Only the first of its items counts as given now, the others when the next block
        is taken, so that the generator is never further ahead of the reader than
        allowed. Does nothing if another thread has gone on from ``read``.

        Returns:
            Whether `ready` is another one now.
        """
        with self._news:
            if self.ready is not read:
                return True
            if was_taken := self._advance():
                self.ready = self._blocks[0].begin()
            wakers = _wake(self._room, self._room_wakers)
        _call_each(wakers)
        self.moved()
        return was_taken

    def _advance(self) -> bool:
        blocks = self._blocks
        if blocks and blocks[0].ready is self.ready:
            self.taken = blocks[0].first + blocks[0].count
            blocks.popleft()
        if not blocks:
            return False
        self.taken = blocks[0].first + 1
        return True

    def let_follow(self, tail: Tail) -> bool:
        """Queue the rest of the block that is being read behind the tail of a chain.

        Returns:
            False if it is not: its items have to be decoded, or are too few.
        """
        with self._news:
            block = self._blocks[0] if self._blocks else None
            if block is None or block.ready is not self.ready:
                return False
            return not block.is_sealed and block.count > 1 and tail.follow(self.ready)

    def wait(self) -> None:
        """Wait until there is an item to take, or no more will come."""
        with self._news:
            self._news.wait_for(self._has_news)

    def _has_news(self) -> bool:
        return self.life not in _OPEN or self._has_items()

    def _has_items(self) -> bool:
        blocks = self._blocks
        return len(blocks) > 1 or (bool(blocks) and blocks[0].has_more())

    def is_spent(self) -> bool:
        """Whether all items were taken, and so was the end."""
        with self._news:
            is_over = self.life in (Life.OVER, Life.CLOSED)
            return is_over and self._end is None and not self._has_items()

    def when_news(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once when `wait` would return."""
        with self._news:
            if not self._has_news():
                self._reader_wakers.append(waker)
                return
        waker()

    def claim(self) -> bool:
        """Let the reader run the generator itself; False if it has already started."""
        with self._news:
            if self.life is not Life.WAITING:
                return False
            self.life = Life.INLINE
            return True

    def take_end(self) -> Outcome | None:
        """Return the outcome of the stream, once; None if it is not an error."""
        with self._news:
            end, self._end = self._end, None
            return end

    def close(self) -> None:
        """Accept no more items."""
        with self._news:
            if self.life is Life.CLOSED:
                return
            self.life, self._end = Life.CLOSED, None
            self._blocks.clear()
            wakers = self._wake_all()
        _call_each(wakers)
        self.moved()
        deque(self.ready, maxlen=0)  # drop what it has not yielded

    def dropped(self) -> None:
        """Close, as the reader is gone; may be called from garbage collection."""
        self._is_dropped = True
        if self.life in _OPEN:
            lifecycle.later(self.close)

    # For the executor, through its open maps.

    def finish(self, *, unread_only: bool) -> None:
        """End with the executor: the reader may be the thread that shuts it down."""
        self.cancel()

    def cancel(self) -> None:
        """End now; buffered items can be read."""
        msg = "the executor was shut down while the stream was open"
        self.end(Failure(RuntimeError(msg)))

    def forget(self) -> None:
        """In a forked child: the generator belongs to the parent."""
        self._make_lock()  # a thread of the parent may have held it
        for wakers in (self._reader_wakers, self._room_wakers, self._close_wakers):
            wakers.clear()
        self.moved = bool
        if self.life in _OPEN:
            self._blocks.clear()
            deque(self.ready, maxlen=0)
            msg = "the stream was opened before os.fork(), it belongs to the parent"
            self.life, self._end = Life.OVER, Failure(RuntimeError(msg))

    # Waking up; called with the lock held, and the result is called without it.

    def _wake_all(self) -> list[Callable[[], object]]:
        return [
            *_wake(self._news, self._reader_wakers),
            *_wake(self._room, self._room_wakers),
            *_wake(self._room, self._close_wakers),
        ]


def _wake(
    condition: locks.Condition, wakers: list[Callable[[], object]]
) -> list[Callable[[], object]]:
    condition.notify_all()
    woken = wakers.copy()
    del wakers[: len(woken)]  # a signal handler may have added one
    return woken


def _call_each(wakers: Iterable[Callable[[], object]]) -> None:
    for waker in wakers:
        waker()
