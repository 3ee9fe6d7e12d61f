"""The worker's side of a stream: items are sent as the pool has room for them.

```
 main thread                                      watcher thread
 generator ─▶ StreamSender ─▶ batch ─▶ ITEMS      control socket ─▶ CREDIT, CLOSE
                 ▲   └ at once, if they come slowly                      │
                 └────── Credit: this many more, or none ◀───────────────┘
```

Items that come fast are sent in batches, one frame per millisecond, and numbers are
drawn from the generator by steps of C code (`StreamSender.draw_some`). Items that come
slowly are sent at once. If they come fast and then stop, the last ones stay in the
batch: the pool knows that there may be some (``micros`` of the previous frame), and
requests them in the way in which it reclaims tasks from a worker that sends nothing.
"""

from __future__ import annotations

import _pickle as pickle
from collections import deque
from itertools import groupby, repeat

from parallelize.process.wire import messages
from parallelize.process.wire.journal import BEGUN, NO_ROW, ROW
from parallelize.process.worker.sender import SEND_AFTER, pickled_result
from parallelize.runtime import locks, native
from parallelize.runtime.clock import monotonic_ns
from parallelize.runtime.native import STEPS_ARE_WHOLE
from parallelize.serialize import NUMBERS, pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Any

    from parallelize.process.wire.frames import Frame
    from parallelize.process.worker.sender import Sender
    from parallelize.serialize.pickling import Place

_new_lock = locks.plain("stream", native.Lock)

#: Items that follow each other within this number of nanoseconds are batched.
FAST = 100_000

#: Limits of a batch: the number of items, and the bytes of those already pickled.
MOST_ITEMS = 1000
MOST_BYTES = 1 << 15

#: The number of items in a batch after which no further step adds to it: a part of the
#: items that the pool accepts at most, so that it reads some while others are made.
MOST_DRAWN = 1 << 13

#: Limits of a step: the number of items, and the nanoseconds for which it should run.
LEAST_STEP, MOST_STEP = 4, 4096
SHORT_STEP, LONG_STEP = 200_000, 400_000


class Credit:
    """How many items the pool accepts of each stream that runs in this worker.

    Messages about a stream may arrive before it has begun, or just after its end.
    """

    def __init__(self) -> None:
        # Guards everything here, between the watcher, which receives credit, and the
        # main thread, which waits for it. Nothing is locked under it.
        self._changed = native.Condition(locks.plain("credit", native.Lock)())
        self._given: dict[int, int] = {}  # by the id of the stream
        self._closed: set[int] = set()
        self._wakers: list[tuple[Callable[[], bool], Callable[[], object]]] = []

    def on_frame(self, frame: Frame) -> None:
        """Apply a CREDIT or CLOSE frame from the pool."""
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
        """Drop the state of earlier streams, which have ended: a new one begins."""
        with self._changed:
            given = self._given.get(id, 0)
            self._given = {id: given} if given else {}
            self._closed &= {id}
            self._wakers.clear()

    def take(self, id: int) -> int:
        """Return the credit that has arrived since the last call."""
        with self._changed:
            return self._given.pop(id, 0)

    def is_closed(self, id: int) -> bool:
        """Return whether the pool accepts no more items."""
        return id in self._closed

    def wait(self, id: int) -> None:
        """Wait until the pool accepts more items, or closes the stream."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_news(id))

    def _has_news(self, id: int) -> bool:
        return id in self._given or id in self._closed

    def when_news(self, id: int, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once, as soon as `wait` would return."""
        self._when(lambda: self._has_news(id), waker)

    def when_closed(self, id: int, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once, when the pool has closed the stream."""
        self._when(lambda: id in self._closed, waker)

    def _when(self, is_due: Callable[[], bool], waker: Callable[[], object]) -> None:
        with self._changed:
            if not is_due():
                self._wakers.append((is_due, waker))
                return
        waker()


class StreamSender:
    """The sink of the generator that runs in this worker.

    Args:
        frame: The pool's frame; its ``micros`` is the initial credit, doubled, and
            `TIMED` if the time of each item is limited.
        words: The counters of the worker's page.
        sender: Sends frames.
        place: Puts large buffers into segments.
        credit: Receives the further credit.
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
        self._left = frame.micros >> 1  # number of items that the pool accepts
        # One by one is the way of timed items, as each has a deadline of its own.
        self._steps = STEPS_ARE_WHOLE and not frame.micros & messages.TIMED
        self._words = words
        self._sender = sender
        self._place = place
        self._credit = credit
        self._is_held = False  # whether the generator waits for its reader
        credit.forget_all_but(frame.id)
        # Guards the batch and its sending, between the main thread and the watcher.
        # The sender's lock is taken under it.
        self._lock = _new_lock()
        self._batch: list[Any] = []
        self._bytes = 0
        self._sent = 0  # the number of items that were sent
        self._step = LEAST_STEP  # the number of items to draw at once
        self._in_step = False  # whether C code may be adding to the batch
        self._budget: Iterator[Any] = iter(())  # has one element for each to be drawn
        self._last = 0  # when the last item was added
        self._is_fast = False  # whether that was soon after the one before it
        self._due = 0  # when the batch has to be sent
        credit.when_closed(frame.id, self._stop_step)  # it may be closed already

    def forked(self) -> None:
        """In a process that the generator has forked: replace the lock."""
        self._lock = _new_lock()
        self._is_fast = False
        self._stop_step()

    # The interface of a sink for the pump.

    def room(self) -> bool:
        """Return whether the pool accepts another item now."""
        if self.is_closed:
            return False
        if self._left <= 0:
            self._left += self._credit.take(self._id)
        if self._left > 0 and self._is_held:
            self._go_on()
        return self._left > 0

    def wait(self) -> bool:
        """Send the batch and wait for room; return False if the stream is closed."""
        while not self.room():
            if self.is_closed:
                return False
            self._stand()
            self._credit.wait(self._id)
        return True

    @property
    def is_closed(self) -> bool:
        """Whether the pool accepts no more items."""
        return self._credit.is_closed(self._id)

    def when_room(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once there is room or the stream is closed."""
        self._stand()
        self._credit.when_news(self._id, waker)

    def when_closed(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once the stream is closed."""
        self._credit.when_closed(self._id, waker)

    def _stand(self) -> None:
        """Send the batch; no deadline counts while the generator waits for room."""
        self.flush()
        self._is_held = True
        self._words[ROW] = NO_ROW

    def _go_on(self) -> None:
        self._is_held = False
        self._words[BEGUN] = monotonic_ns()
        self._words[ROW] = 0

    def draw_some(self, source: Generator[Any, Any, Any]) -> bool:
        """Take some items if they come fast; return whether it took any.

        C code adds them to the batch. It is stopped by taking away its budget: before
        the next item is drawn. The generator only runs on after an item was added, or
        pickled if it might change.
        """
        before = self._begin_step(source)
        if before is None:
            return False
        begun = self._words[BEGUN] = monotonic_ns()
        for kind, items in groupby(map(next, self._budget), type):
            if kind in NUMBERS:
                self._batch.extend(items)
            else:
                for item in items:
                    self._put(item)
        return self._end_step(begun, before)

    def _begin_step(self, source: Generator[Any, Any, Any]) -> int | None:
        """Return the number of items so far; None if the next comes by itself."""
        if not (self._is_fast and self._steps):
            return None
        with self._lock:
            # Now the pool knows that some may be held back.
            if not self._is_fast:
                return None
            self._in_step = True
            self._budget = repeat(source, min(self._step, self._left))
            if self.is_closed:
                self._stop_step()
            return self._sent + len(self._batch)

    def _end_step(self, begun: int, before: int) -> bool:
        with self._lock:
            self._in_step = False
            now = self._last = monotonic_ns()
            drawn = self._sent + len(self._batch) - before
            self._left -= drawn
            took = now - begun
            if took > LONG_STEP:
                self._is_fast = self._is_fast and self._step > LEAST_STEP
                self._step = max(LEAST_STEP, self._step // 4)
            elif took < SHORT_STEP and drawn >= self._step:
                self._step = min(MOST_STEP, self._step * 4)
            if now >= self._due or not self._is_fast or len(self._batch) >= MOST_DRAWN:
                self._send(now)
        return drawn > 0

    def _stop_step(self) -> None:
        """Let the step that is running end before the next item, in any thread."""
        deque(self._budget, maxlen=0)

    def put(self, item: Any) -> None:
        """Send an item, or hold it for a moment if more are likely to follow."""
        self._left -= 1
        self._put(item)

    def _put(self, item: Any) -> None:
        if type(item) in NUMBERS:
            self._add(item, 0)
            return
        if (simple := pickling.dumps_if_simple(item)) is not None:
            self._add(simple, len(simple))
            return
        parts = pickled_result(item, self._place, "an item of the stream")
        if len(parts) == 1:
            self._add(bytes(parts[0]), len(parts[0]))
            return
        with self._lock:  # its buffers are in a segment, or too large for a batch
            self._send(monotonic_ns())
            self._sent += 1
            self._sender.send(messages.ITEM, self._id, parts)
            self._sender.flush_copy()

    def _add(self, entry: Any, size: int) -> None:
        """Add an item to the batch: a pickle as bytes, or a plain value."""
        now = monotonic_ns()
        self._words[BEGUN] = now  # the deadline of the next item counts from here
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
        """Send the batch."""
        with self._lock:
            self._send(monotonic_ns())

    def flush_for_pool(self) -> None:
        """Send the batch at the pool's request; the next item is sent at once."""
        with self._lock:
            self._is_fast = False
            self._stop_step()
            self._send(monotonic_ns())

    def _send(self, now: int) -> None:
        self._due = now + SEND_AFTER
        if not self._batch:
            return
        entries = self._batch
        if self._in_step:  # it is being added to
            entries = entries[:]
            del self._batch[: len(entries)]
        else:
            self._batch = []
        self._sent += len(entries)
        if self._bytes:
            for are_pickled, group in groupby(entries, _is_pickled):
                self._send_group(list(group), are_pickled=are_pickled)
        else:
            self._send_group(entries, are_pickled=False)
        self._bytes = 0
        self._sender.flush_copy()

    def _send_group(self, entries: list[Any], *, are_pickled: bool) -> None:
        parts = entries if are_pickled else [pickle.dumps(entries, 5)]
        more = int(self._is_fast)
        plain = int(not are_pickled)
        self._sender.send(messages.ITEMS, self._id, parts, plain, more)


def _is_pickled(entry: object) -> bool:
    return type(entry) is bytes
