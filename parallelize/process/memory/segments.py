"""Large buffers are sent through memory that both processes have mapped.

This module is the sender's side; `views` is the receiver's.

```
 sender                                  receiver
 array ── one copy ──▶ segment ═════════ the same pages: views of them
                          ▲                   │ the last view is collected
                          └──── RELEASED ─────┘
```

A large message has a segment to itself; smaller ones share one, where they follow each
other on pages of their own until it is full. The receiver owns the buffers and may
write to the views: a sender that may have to send them again requests that the receiver
copies them. When the last view is collected and the messages are finished with, the
segment is reused. Recycled memory is warm, and mapped on both sides: copying into it
costs a fraction of copying into new pages.

The descriptor of a segment is sent ahead, over the control socket; the message itself
says where in the segment its buffers are.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from itertools import count

from parallelize.process.wire.frames import ProtocolError
from parallelize.process.wire.memfd import UNTRACKED, nameless_memory
from parallelize.runtime import locks, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Place = tuple[int, int]  # where a buffer begins, and its bytes

_new_lock = locks.reentrant("segments", native.RLock)

#: Messages whose buffers have at least this many bytes in total use a segment. Smaller
#: ones go through the socket quickly enough.
LEAST = 1 << 15

#: Messages of at least this many bytes have a segment of their own.
LEAST_ALONE = 1 << 20

#: Size in bytes of a segment that smaller messages share.
SHARED_SIZE = 4 << 20

#: Bytes of unused segments that one sender keeps for its next messages.
MOST_KEPT = 512 << 20

#: Maximum number of segments of one sender.
MOST_SEGMENTS = 64

#: Descriptors that a segment takes, on either side: its own and that of its mapping.
DESCRIPTORS = 1 if UNTRACKED else 2

_ALIGNMENT = 64

# Maps all pages at once instead of one by one at the first access.
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)

_NUMBER = struct.Struct("=Q")


class Placed(bytes):
    """The location of a message's buffers, encoded as the last part of the message.

    Attributes:
        segment: The segment that holds them.
        places: Their places in it.
    """

    segment: Segment
    places: Sequence[Place]

    def buffers(self) -> list[memoryview]:
        """Return the buffers themselves, to send them in another way."""
        return [self.segment.content(*place) for place in self.places]


class Segment:
    """A segment on its sender's side; guarded by the lock of its `Segments`.

    Attributes:
        holders: Number of users of its content: the tasks that are still to be sent,
            the receivers that have views of it, and one more while it is open for
            further messages.
        filled: Where the smaller messages in it end.
        reusable: False once a receiver has forked: the child has the views, too.
    """

    def __init__(self, id: int, size: int) -> None:
        self.id: int = id
        self.size: int = size
        self.fd: int = nameless_memory(size)
        self.holders: int = 0
        self.filled: int = 0
        self.reusable: bool = True
        try:
            self._map = mapping(self.fd, size)
        except BaseException:
            os.close(self.fd)
            raise
        self._view = memoryview(self._map)

    def fill(self, start: int, buffers: Sequence[memoryview]) -> list[Place]:
        """Copy buffers into the segment, from ``start`` on; return their places."""
        places: list[Place] = []
        for buffer in buffers:
            end = start + buffer.nbytes
            self._view[start:end] = buffer
            places.append((start, buffer.nbytes))
            start = -(-end // _ALIGNMENT) * _ALIGNMENT
        return places

    def content(self, start: int, length: int) -> memoryview:
        """Return a buffer in the segment."""
        return self._view[start : start + length]

    def close(self) -> None:
        """Release the memory."""
        os.close(self.fd)
        del self._view, self._map  # unmapped once nothing refers to it any more


class Segments:
    """The segments of one sender: made on demand and reused.

    Attributes:
        most: Maximum number of segments.
        most_kept: Maximum number of bytes in unused segments.
    """

    def __init__(
        self, closed: Callable[[int], object], most: int = MOST_SEGMENTS
    ) -> None:
        """Start without any segments.

        Args:
            closed: Called with the id of each segment that is given up, so that
                its receivers can be notified.
            most: Maximum number of segments.
        """
        self._closed = closed
        self.most: int = most
        self.most_kept: int = MOST_KEPT
        self._ids = count(1)
        # Guards the segments and their holders; nothing is locked under it.
        # Reentrant because finalizers may call in during a garbage collection.
        self._lock = _new_lock()
        self._all: dict[int, Segment] = {}
        self._free: list[Segment] = []  # most recently used last
        self._open: Segment | None = None  # takes smaller messages

    def place(
        self, buffers: Sequence[memoryview], *, copied: bool = False
    ) -> Placed | None:
        """Copy buffers into a segment, whose number of holders is incremented.

        Args:
            buffers: Contiguous, of single bytes.
            copied: Whether the receiver has to copy them, so that the content of the
                segment can be sent again.

        Returns:
            Their location, to be sent as the last part of the message; None if they are
            too small for a segment, or no memory is available.
        """
        total = sum(each.nbytes + _ALIGNMENT for each in buffers)
        if total < LEAST or sys.platform == "win32":  # cannot pass descriptors
            return None
        with self._lock:
            found = self._alone(total) if total >= LEAST_ALONE else self._beside(total)
        if found is None:
            return None
        segment, start = found
        places = segment.fill(start, buffers)
        placed = Placed(encode_places(segment.id, places, copied=copied))
        placed.segment, placed.places = segment, places
        return placed

    # The caller holds the lock.

    def _alone(self, size: int) -> tuple[Segment, int] | None:
        segment = self._take(size)
        return None if segment is None else (segment, 0)

    def _beside(self, size: int) -> tuple[Segment, int] | None:
        segment = self._open
        if segment is None or segment.filled + size > segment.size:
            self._close_open()
            segment = self._open = self._take(SHARED_SIZE)
            if segment is None:
                return None
        start = segment.filled
        # Pages are not shared by messages: a page that the receiver has written to may
        # become private to it by a fork.
        segment.filled = -(-(start + size) // mmap.PAGESIZE) * mmap.PAGESIZE
        segment.holders += 1
        return segment, start

    def _close_open(self) -> None:
        segment, self._open = self._open, None
        if segment is not None:
            self.let_go(segment)

    def _take(self, size: int) -> Segment | None:
        fitting = [each for each in self._free if size <= each.size <= 2 * size]
        if fitting:
            segment = min(fitting, key=lambda each: each.size)
            self._free.remove(segment)
        elif (made := self._new(_rounded(size))) is not None:
            segment = made
        else:
            return None
        segment.holders, segment.filled, segment.reusable = 1, 0, True
        return segment

    def _new(self, size: int) -> Segment | None:
        if len(self._all) >= self.most and self._free:
            self._give_up(self._free.pop(0))
        if len(self._all) >= self.most:
            return None
        from parallelize.process.wire import descriptors

        try:
            descriptors.refuse_the_last(DESCRIPTORS)
            segment = Segment(next(self._ids), size)
        except (OSError, ValueError, OverflowError):  # no descriptor, no memory
            return None
        self._all[segment.id] = segment
        return segment

    def hold(self, segment: Segment) -> None:
        """Increment the number of holders."""
        with self._lock:
            segment.holders += 1

    def let_go(self, segment: Segment, *, reusable: bool = True) -> None:
        """Decrement the number of holders; without any, the segment is free.

        Args:
            segment: One of these segments.
            reusable: False if a forked child may still have views of its content.
        """
        with self._lock:
            segment.holders -= 1
            segment.reusable = segment.reusable and reusable
            if segment is self._open and segment.holders == 1:
                self._begin_anew(segment)
            if segment.holders or segment.id not in self._all:
                return
            if not segment.reusable:
                self._give_up(segment)
                return
            self._free.append(segment)
            while sum(each.size for each in self._free) > self.most_kept:
                self._give_up(self._free.pop(0))

    def _begin_anew(self, segment: Segment) -> None:
        """Fill the open segment, which holds no message, from its start again."""
        segment.filled = 0
        if not segment.reusable:
            self._open = None
            segment.holders = 0

    def trim(self) -> None:
        """Give up the segments that carry no message."""
        with self._lock:
            if self._open is not None and self._open.holders == 1:
                self._close_open()
            while self._free:
                self._give_up(self._free.pop())

    def find(self, id: int) -> Segment | None:
        """Return the segment with this id; None if it carries no message."""
        segment = self._all.get(id)
        return segment if segment is not None and segment.holders else None

    def _give_up(self, segment: Segment) -> None:
        del self._all[segment.id]
        segment.close()
        self._closed(segment.id)

    def close(self) -> None:
        """Give up all of them; the receivers' views stay as they are."""
        with self._lock:
            every, self._all, self._free = list(self._all.values()), {}, []
            self._open = None
        for segment in every:
            segment.close()

    def forget(self) -> None:
        """In a forked child: give up all segments, even if the lock was held."""
        self._lock = _new_lock()
        self.close()


def mapping(fd: int, size: int) -> mmap.mmap:
    """Map the memory of a segment, on either side."""
    if size > SHARED_SIZE or not _POPULATE:
        return mmap.mmap(fd, size, **UNTRACKED)
    return mmap.mmap(fd, size, flags=mmap.MAP_SHARED | _POPULATE, **UNTRACKED)


def _rounded(size: int) -> int:
    """Round a size up, so that later messages of nearly the same size fit, too."""
    if size == SHARED_SIZE:
        return size
    step = max(1 << (size.bit_length() - 4), mmap.PAGESIZE)
    return -(-size // step) * step


# -- How places are encoded ----------------------------------------------------------


def encode_places(id: int, places: Sequence[Place], *, copied: bool) -> bytes:
    """Encode the segment's id, whether to copy, and each buffer's place."""
    numbers = [id, int(copied), *(number for place in places for number in place)]
    return struct.pack(f"={len(numbers)}Q", *numbers)


def decode_places(
    encoded: bytes | bytearray | memoryview,
) -> tuple[int, list[Place], bool]:
    """Decode what `encode_places` made; raise ProtocolError if it is malformed."""
    number, rest = divmod(len(encoded), _NUMBER.size)
    if rest or number % 2 or not number:
        msg = f"the places of buffers take {len(encoded)} bytes"
        raise ProtocolError(msg)
    id, copied, *ends = struct.unpack(f"={number}Q", encoded)
    return id, list(zip(ends[::2], ends[1::2], strict=True)), bool(copied)
