"""The worker's side of a stream: items leave as the pool has room for them.

```
 main thread                                   watcher thread
 generator ─▶ Outlet.put ─▶ batch ─▶ ITEMS     control socket ─▶ CREDIT, CLOSE ─▶ Credit
                 ▲   └ at once, if they come slowly                               │
                 └────────────── so many more, or no more at all ◀────────────────┘
```

Items that come fast travel together: a frame a millisecond. Those that come slowly go
at once. If they come fast and then stop, the last ones wait in the batch: the pool
knows that there may be some (``micros`` of the frame before), and asks for them as it
asks for what a silent worker has not begun.
"""

from __future__ import annotations

import pickle
from itertools import groupby

from parallelize.process.wire import messages
from parallelize.process.wire.journal import BEGUN, NO_ROW, ROW
from parallelize.process.worker.sender import SEND_AFTER, pickled_item
from parallelize.runtime import locks, native
from parallelize.runtime.clock import monotonic_ns
from parallelize.serialize import pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from parallelize.process.wire.frames import Frame
    from parallelize.process.worker.sender import Sender
    from parallelize.serialize.pickling import Place

_new_lock = locks.plain("outlet", native.Lock)

#: Nanoseconds between two items that come so fast that they are worth a batch.
FAST = 100_000

#: A batch has at most so many items, and bytes of those that are pickled already.
MOST_ITEMS = 1000
MOST_BYTES = 1 << 15

_PLAIN = frozenset((int, float, bool, type(None)))


class Credit:
    """How many items the pool takes of each stream that it has given to this worker.

    It may speak of a stream before that has begun, or when it has just ended.
    """

    def __init__(self) -> None:
        # Guards all of it, between the watcher, which hears the pool, and the main
        # thread, which waits here. Nothing is locked under it.
        self._changed = native.Condition(locks.plain("credit", native.Lock)())
        self._given: dict[int, int] = {}  # by the id of the stream
        self._closed: set[int] = set()
        self._wakers: list[tuple[Callable[[], bool], Callable[[], object]]] = []

    def hear(self, frame: Frame) -> None:
        """Take what the pool says of a stream."""
        with self._changed:
            if frame.kind == messages.CLOSE:
                self._closed.add(frame.id)
            else:
                self._given[frame.id] = self._given.get(frame.id, 0) + frame.extra
            self._changed.notify_all()
            due = [waker for is_due, waker in self._wakers if is_due()]
            self._wakers = [each for each in self._wakers if not each[0]()]
        for waker in due:
            waker()

    def forget_all_but(self, id: int) -> None:
        """A stream begins: those before it have ended."""
        with self._changed:
            given = self._given.get(id, 0)
            self._given = {id: given} if given else {}
            self._closed &= {id}
            self._wakers.clear()

    def take(self, id: int) -> int:
        """How many items more the pool takes than it was asked before."""
        with self._changed:
            return self._given.pop(id, 0)

    def is_closed(self, id: int) -> bool:
        """Whether the pool wants no more items."""
        return id in self._closed

    def wait(self, id: int) -> None:
        """Wait until the pool takes more items, or wants none."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_news(id))

    def _has_news(self, id: int) -> bool:
        return id in self._given or id in self._closed

    def when_news(self, id: int, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once when `wait` would return."""
        self._when(lambda: self._has_news(id), waker)

    def when_closed(self, id: int, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once when the pool wants no more."""
        self._when(lambda: id in self._closed, waker)

    def _when(self, is_due: Callable[[], bool], waker: Callable[[], object]) -> None:
        with self._changed:
            if not is_due():
                self._wakers.append((is_due, waker))
                return
        waker()


class Outlet:
    """The sink of the generator that runs in this worker.

    Args:
        frame: What the pool sent; ``micros`` is how many items it takes at first.
        words: The counters of the worker's page.
        sender: Sends frames.
        place: Where large buffers go.
        credit: What the pool says.
    """

    def __init__(
        self,
        frame: Frame,
        words: memoryview[int],
        sender: Sender,
        place: Place,
        credit: Credit,
    ) -> None:
        self._id = frame.id
        self._left = frame.micros  # how many items the pool takes
        self._words = words
        self._sender = sender
        self._place = place
        self._credit = credit
        self._is_held = False  # whether the generator has to wait for its reader
        credit.forget_all_but(frame.id)
        # Guards the batch and when it is sent, between the main thread and the
        # watcher. The sender's lock is taken under it.
        self._lock = _new_lock()
        self._batch: list[Any] = []
        self._bytes = 0
        self._last = 0  # when the last item came,
        self._is_fast = False  # whether that was soon after the one before it,
        self._due = 0  # and when the batch is to be sent

    def forked(self) -> None:
        """In a copy of the worker that the generator has made."""
        self._lock = _new_lock()

    # As a sink of the pump.

    def room(self) -> bool:
        """Whether the pool takes one item more, now."""
        if self.is_closed:
            return False
        if self._left <= 0:
            self._left += self._credit.take(self._id)
        if self._left > 0 and self._is_held:
            self._go_on()
        return self._left > 0

    def wait(self) -> bool:
        """Wait for room; what there is goes out first."""
        while not self.room():
            if self.is_closed:
                return False
            self._stand()
            self._credit.wait(self._id)
        return True

    @property
    def is_closed(self) -> bool:
        """Whether the pool wants no more items."""
        return self._credit.is_closed(self._id)

    def when_room(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once there is room or no more is wanted."""
        self._stand()
        self._credit.when_news(self._id, waker)

    def when_closed(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once no more items are wanted."""
        self._credit.when_closed(self._id, waker)

    def _stand(self) -> None:
        """Send what there is, and let the time of the reader not count."""
        self.flush()
        self._is_held = True
        self._words[ROW] = NO_ROW

    def _go_on(self) -> None:
        self._is_held = False
        self._words[BEGUN] = monotonic_ns()
        self._words[ROW] = 0

    def put(self, item: Any) -> None:
        """Send an item, or keep it for a moment if more are likely to come at once."""
        self._left -= 1
        if type(item) in _PLAIN:
            self._add(item, 0)
            return
        if (simple := pickling.dumps_if_simple(item)) is not None:
            self._add(simple, len(simple))
            return
        parts = pickled_item(item, self._place)
        if len(parts) == 1:
            self._add(bytes(parts[0]), len(parts[0]))
            return
        with self._lock:  # its buffers are in a segment, or too large to wait
            self._send(monotonic_ns())
            self._sender.send(messages.ITEM, self._id, parts)
            self._sender.flush_copy()

    def _add(self, entry: Any, size: int) -> None:
        """Add an item to the batch: pickled, as bytes, or a number."""
        now = monotonic_ns()
        self._words[BEGUN] = now  # the time for the next item begins
        with self._lock:
            was_fast, self._is_fast = self._is_fast, now - self._last < FAST
            self._last = now
            self._batch.append(entry)
            self._bytes += size
            if (
                was_fast
                and self._is_fast
                and now < self._due
                and len(self._batch) < MOST_ITEMS
                and self._bytes < MOST_BYTES
            ):
                return
            self._send(now)

    def flush(self) -> None:
        """Send what there is."""
        with self._lock:
            self._send(monotonic_ns())

    def flush_for_pool(self) -> None:
        """Send what there is, as the pool has asked; the next item goes at once."""
        with self._lock:
            self._is_fast = False
            self._send(monotonic_ns())

    def _send(self, now: int) -> None:
        self._due = now + SEND_AFTER
        if not self._batch:
            return
        entries, self._batch, self._bytes = self._batch, [], 0
        for are_pickled, group in groupby(entries, _is_pickled):
            self._send_group(group, are_pickled=are_pickled)
        self._sender.flush_copy()

    def _send_group(self, entries: Iterable[Any], *, are_pickled: bool) -> None:
        parts = list(entries) if are_pickled else [pickle.dumps(list(entries), 5)]
        more = int(self._is_fast)
        plain = int(not are_pickled)
        self._sender.send(messages.ITEMS, self._id, parts, plain, more)


def _is_pickled(entry: object) -> bool:
    return type(entry) is bytes
