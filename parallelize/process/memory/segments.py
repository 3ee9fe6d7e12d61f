"""Large buffers travel through memory that both processes have mapped.

This is the end of who sends them; `views` is the other one.

```
 the one who sends                       the one who receives
 array ── one copy ──▶ segment ═════════ the same pages: views of them
                          ▲                   │ the last view is collected
                          └──── RELEASED ─────┘
```

A large message has a segment to itself; smaller ones stand one behind the other in
one that they share, on pages of their own, until it is full. The receiver has the
buffers for itself: it may write to the views, as the sender only keeps what it may
want to send once more if it says that these are to be copied. When the last view is
collected, and the messages are done with, the segment carries others. Recycled
memory is warm, and mapped at both ends: to copy into it costs a fraction of what
copying into new pages does.

The descriptor of a segment goes ahead, over the control socket; the message
itself says where in the segment its buffers are.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from itertools import count

from parallelize.process.memory.memfd import nameless_memory
from parallelize.process.wire.frames import ProtocolError
from parallelize.runtime import locks, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Place = tuple[int, int]  # where a buffer begins, and its bytes

_new_lock = locks.reentrant("segments", native.RLock)

#: Messages with buffers of so many bytes in all use a segment. What is smaller
#: goes through the socket quickly enough.
LEAST = 1 << 15

#: From so many bytes on a message has a segment of its own.
LEAST_ALONE = 1 << 20

#: Bytes of a segment that smaller ones share.
SHARED_SIZE = 4 << 20

#: Bytes of segments without a message that one sender keeps for the next.
MOST_KEPT = 512 << 20

#: How many segments one sender has at the most: each is a descriptor.
MOST_SEGMENTS = 64

_ALIGNMENT = 64

# Maps the pages all at once and not one by one when they are first touched.
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)

_NUMBER = struct.Struct("=Q")


class Placed(bytes):
    """Where the buffers of a message are, as it is written into the message.

    Attributes:
        segment: Where they are.
        places: And where in it.
    """

    segment: Segment
    places: Sequence[Place]

    def buffers(self) -> list[memoryview]:
        """The buffers themselves, to be sent in another way."""
        return [self.segment.content(*place) for place in self.places]


class Segment:
    """A segment as its sender has it; its `Segments` guard it.

    Attributes:
        holders: How many need what is in it: the tasks that are to be sent, who
            has views of it, and for as long as it takes more messages one more.
        filled: Up to where smaller messages stand in it.
        reusable: False once the receiver has been forked: its copy has the views, too.
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
        """Copy buffers into it, from ``start`` on; return where they are."""
        places: list[Place] = []
        for buffer in buffers:
            end = start + buffer.nbytes
            self._view[start:end] = buffer
            places.append((start, buffer.nbytes))
            start = -(-end // _ALIGNMENT) * _ALIGNMENT
        return places

    def content(self, start: int, length: int) -> memoryview:
        """A buffer in it."""
        return self._view[start : start + length]

    def close(self) -> None:
        """Let go of the memory."""
        os.close(self.fd)
        del self._view, self._map  # it is unmapped when nobody reads it any more


class Segments:
    """The segments of one sender: made when needed, used again and again.

    Attributes:
        most: How many there may be.
        most_kept: Bytes of them that are kept without a message.
    """

    def __init__(
        self, closed: Callable[[int], object], most: int = MOST_SEGMENTS
    ) -> None:
        """Begin with none.

        Args:
            closed: Called with the id of each segment that is given up, so that
                its receivers can be told.
            most: How many there may be.
        """
        self._closed = closed
        self.most: int = most
        self.most_kept: int = MOST_KEPT
        self._ids = count(1)
        # Guards the segments and their holders; nothing is locked under it.
        # Reentrant because a garbage collection may call in at any place.
        self._lock = _new_lock()
        self._all: dict[int, Segment] = {}
        self._free: list[Segment] = []  # the one used last stands last
        self._open: Segment | None = None  # takes smaller messages

    def place(
        self, buffers: Sequence[memoryview], *, copied: bool = False
    ) -> Placed | None:
        """Copy buffers into a segment, which has one holder more then.

        Args:
            buffers: Contiguous, of single bytes.
            copied: Whether the receiver is to copy them once more, so that what is
                in the segment can be sent again.

        Returns:
            None if they are too small for that, or no memory is to be had.
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
        # A page that the receiver has written to may become its own by a fork.
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
        try:
            segment = Segment(next(self._ids), size)
        except (OSError, ValueError, OverflowError):  # no descriptor, no memory
            return None
        self._all[segment.id] = segment
        return segment

    def hold(self, segment: Segment) -> None:
        """Note that there is one holder more."""
        with self._lock:
            segment.holders += 1

    def let_go(self, segment: Segment, *, reusable: bool = True) -> None:
        """Note that there is one holder less; after the last it is free.

        Args:
            segment: One of these.
            reusable: Whether nobody at all has views of what is in it.
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
        """No message is left in the open segment: fill it from the start."""
        segment.filled = 0
        if not segment.reusable:
            self._open = None
            segment.holders = 0

    def trim(self) -> None:
        """Give up what carries nothing just now."""
        with self._lock:
            if self._open is not None and self._open.holders == 1:
                self._close_open()
            while self._free:
                self._give_up(self._free.pop())

    def find(self, id: int) -> Segment | None:
        """The segment of this id, if it carries a message."""
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
        """In a forked child: the same, whoever held the lock."""
        self._lock = _new_lock()
        self.close()


def mapping(fd: int, size: int) -> mmap.mmap:
    """Map the memory, for whoever sends or receives."""
    if size > SHARED_SIZE or not _POPULATE:
        return mmap.mmap(fd, size)
    return mmap.mmap(fd, size, flags=mmap.MAP_SHARED | _POPULATE)


def _rounded(size: int) -> int:
    """A little more than asked for, so that what is nearly as large fits, too."""
    if size == SHARED_SIZE:
        return size
    step = max(1 << (size.bit_length() - 4), mmap.PAGESIZE)
    return -(-size // step) * step


# -- How places are written ----------------------------------------------------------


def encode_places(id: int, places: Sequence[Place], *, copied: bool) -> bytes:
    """Say where buffers are: the segment, whether to copy, then place by place."""
    numbers = [id, int(copied), *(number for place in places for number in place)]
    return struct.pack(f"={len(numbers)}Q", *numbers)


def decode_places(
    encoded: bytes | bytearray | memoryview,
) -> tuple[int, list[Place], bool]:
    """Return what `encode_places` was told; raise ProtocolError for nonsense."""
    number, rest = divmod(len(encoded), _NUMBER.size)
    if rest or number % 2 or not number:
        msg = f"the places of buffers take {len(encoded)} bytes"
        raise ProtocolError(msg)
    id, copied, *ends = struct.unpack(f"={number}Q", encoded)
    return id, list(zip(ends[::2], ends[1::2], strict=True)), bool(copied)
