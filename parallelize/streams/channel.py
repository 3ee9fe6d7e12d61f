"""The bounded buffer between a generator in a worker and its reader.

```
 producer (a thread, or the           reader (any thread, or a loop)
 dispatcher of a process pool)
        extend(items) ──────▶ items ──────▶ take()
        end(outcome)  ──────▶  end  ──────▶ after the last item
        room? ◀───────────── unread ◀────── number of items taken
```

Items, like the end, may still be encoded as they were sent (an `Outcome`): the reader
decodes them.
"""

from __future__ import annotations

import enum
from collections import deque
from itertools import repeat

from parallelize.futures.future import Failure, Outcome, error_of
from parallelize.runtime import lifecycle, locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable
    from typing import Any

    from parallelize.futures.future import Future

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


class Channel:
    """The buffer of one stream, and its state.

    It is one of the `open_maps` of its executor, and ends with that.

    Attributes:
        life: The state. May be read by any thread, at any time.
        buffersize: The maximum number of items that the reader has not been given.
        taken: The number of items that it has been given.
        moved: Called when the reader has taken items, and when no more are wanted:
            without the lock, in any thread, also from a finalizer.
    """

    def __init__(self, buffersize: int) -> None:
        self.life: Life = Life.WAITING
        self.taken: int = 0
        self.moved: Callable[[], object] = bool
        self.buffersize: int = buffersize
        self._items: deque[Any] = deque()
        self._arrived = 0  # the number of items that have arrived
        self._lent = 0  # items taken by the reader that do not count as given yet
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

    def extend(self, items: Iterable[Any]) -> None:
        """Add items from the generator."""
        with self._news:
            if self.life is not Life.FLOWING:
                return
            before = len(self._items)
            self._items.extend(items)
            self._arrived += len(self._items) - before
            wakers = self._wake_reader()
        _call_each(wakers)

    def end(self, outcome: Outcome | None) -> None:
        """End after the buffered items, with the outcome if that is an error."""
        with self._news:
            if self.life not in _OPEN:
                return
            self.life, self._end = Life.OVER, outcome
            wakers = self._wake_all()
        _call_each(wakers)
        self.moved()

    def end_with(self, future: Future[Any]) -> None:
        """End with the outcome of the call behind the stream."""
        self.end(Ending(future))

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

    def take(self, hand: deque[Any]) -> bool:
        """Move items to the reader's hand, at most half of the buffer size.

        The first of them counts as given now, the others when more are taken, so that
        the generator is never further ahead of the reader than allowed.

        Returns:
            Whether there were any.
        """
        with self._news:
            count = min(len(self._items), max(1, self.buffersize // 2))
            given = self._lent + (count > 0)
            self._lent = max(count - 1, 0)
            self.taken += given
            # A single step in C: Ctrl-C cannot interrupt it, so no item is lost.
            hand.extend(map(deque.popleft, repeat(self._items, count)))
            wakers = self._wake_producer() if given else []
        if given:
            _call_each(wakers)
            self.moved()
        return count > 0

    def wait(self) -> None:
        """Wait until there is an item to take, or no more will come."""
        with self._news:
            self._news.wait_for(self._has_news)

    def _has_news(self) -> bool:
        return bool(self._items) or self.life not in _OPEN

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
            self._items.clear()
            self._lent = 0
            wakers = self._wake_all()
        _call_each(wakers)
        self.moved()

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
            self._items.clear()
            msg = "the stream was opened before os.fork(), it belongs to the parent"
            self.life, self._end = Life.OVER, Failure(RuntimeError(msg))

    # Waking up; called with the lock held, and the result is called without it.

    def _wake_reader(self) -> list[Callable[[], object]]:
        self._news.notify_all()
        wakers, self._reader_wakers = self._reader_wakers, []
        return wakers

    def _wake_producer(self) -> list[Callable[[], object]]:
        self._room.notify_all()
        wakers, self._room_wakers = self._room_wakers, []
        return wakers

    def _wake_all(self) -> list[Callable[[], object]]:
        wakers = [*self._wake_reader(), *self._wake_producer(), *self._close_wakers]
        self._close_wakers.clear()
        return wakers


def _call_each(wakers: Iterable[Callable[[], object]]) -> None:
    for waker in wakers:
        waker()
