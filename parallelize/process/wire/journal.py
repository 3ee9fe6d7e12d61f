"""The page that a worker and its pool share: what runs now, and what is not sent yet.

The worker writes, the pool reads: usually only after the worker has died. So a
death at any moment condemns exactly the call that was running, and loses no
result of those before it.

```
 0      task      id of the task that is running, or ran last
 8      row       the row of it, for a task of many rows
 16     begun     when it began, in nanoseconds of the monotonic clock
 24     base      position in the stream at which the outbox begins
 32     end       bytes of the outbox that are written and not yet sent
 40     first     row of the first journal entry
 48     count     rows in the journal, without those of the open group
 56     limit     where the slots of the open group end; 0 if none is open
 64     mark      what stands in a slot of the open group whose row has not ended
 128    outbox    the next bytes of the stream to the pool
 …      kinds     the journal: results of the rows that are in no frame yet,
 …      values    one byte for the type and eight for the value
```

The order of writes makes each step visible only when it is whole: first the
data, then the counter. When the outbox has been sent, ``end`` becomes 0 before
``base`` moves on; the pool knows how many bytes it received, so what it takes
from the outbox begins where the socket left off.

Rows that are short run in groups, for counting each would cost more than
running it. The slots of a group are filled with the mark and their kinds are
written before its first row begins; then the worker does nothing for a row but
put its result into its slot. So the first slot that still holds the mark is
that of the row which is running, and its number need not be noted:

```
 slots   0 ············· count ··············· limit
         results, counted │ 17  4  8 mark mark │
                            ended    └─ this row is running
```

The mark is a random number of 64 bits. A result that is that very number, by
chance, would count as missing if the worker died within the same group.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from parallelize.process.wire.frames import Part

TASK, ROW, BEGUN, BASE, END, FIRST, COUNT, LIMIT, MARK = range(9)
NO_ROW = (1 << 64) - 1  # the task is there, none of its rows has begun
_OUTBOX_AT = 128
OUTBOX_SIZE = 96 << 10
JOURNAL_SIZE = 8192
_KINDS_AT = _OUTBOX_AT + OUTBOX_SIZE
_VALUES_AT = _KINDS_AT + JOURNAL_SIZE
SIZE = _VALUES_AT + 8 * JOURNAL_SIZE

#: The types of which the journal keeps values.
JOURNALED = frozenset((int, float, bool, type(None)))

# How the journal keeps a value of each type: code, and how it is read back.
_NONE, _BOOL, _INT, _FLOAT = range(1, 5)
_READ: dict[int, Callable[[bytes], Any]] = {
    _NONE: lambda _: None,
    _BOOL: lambda raw: raw[0] != 0,
    _INT: lambda raw: int.from_bytes(raw, sys.byteorder, signed=True),
    _FLOAT: lambda raw: struct.unpack("=d", raw)[0],
}

# The kinds whose values travel as they stand in the journal, and their letters in
# `struct`, which say so in front of them.
_RAW = {_INT: b"q", _FLOAT: b"d"}
#: Those letters: where one of them is, eight bytes for each value follow.
RAW = frozenset(_RAW.values())


class Journal:
    """One worker's page; `words` are its counters."""

    def __init__(self, file: int | str) -> None:
        """Map the page of `make_page_file`."""
        self._map = _mapped(file)
        self._view = memoryview(self._map)
        self.words: memoryview[int] = self._view[:_OUTBOX_AT].cast("Q")
        self._outbox = self._view[_OUTBOX_AT:_KINDS_AT]
        self._kinds = self._view[_KINDS_AT:_VALUES_AT]
        self._values = self._view[_VALUES_AT:SIZE]
        self._ints = self._values.cast("q")
        self._floats = self._values.cast("d")

    def close(self) -> None:
        """Unmap the page."""
        for view in (
            self.words,
            self._outbox,
            self._kinds,
            self._ints,
            self._floats,
            self._values,
            self._view,
        ):
            view.release()
        self._map.close()

    # The worker's side.

    def choose_mark(self) -> None:
        """Choose the mark, once, before the first group."""
        mark = os.urandom(8)
        self.words[MARK] = int.from_bytes(mark, sys.byteorder)
        self._marks: memoryview[int] = memoryview(mark * JOURNAL_SIZE).cast("q")
        self._slots: dict[type, tuple[int, memoryview[Any]]] = {
            int: (_INT, self._ints),
            float: (_FLOAT, self._floats),
            bool: (_BOOL, self._ints),
        }

    def detach(self) -> None:
        """In a copy of the worker: let nothing more be put into the journal.

        Putting a result into a slot raises ValueError from here on.
        """
        self._ints.release()
        self._floats.release()

    def open_group(self, kind: type, slot: int, size: int) -> memoryview[Any] | None:
        """Make slots ready for a group of rows whose results are of one type.

        Args:
            kind: The type.
            slot: The slot of the first row: all before it are counted.
            size: How many rows; there must be room for them.

        Returns:
            Where each result is to be put when its row ends; None if the journal
            has no such groups.
        """
        if kind not in self._slots:
            return None
        code, view = self._slots[kind]
        limit = slot + size
        self._ints[slot:limit] = self._marks[:size]
        self._kinds[slot:limit] = bytes((code,)) * size
        self.words[LIMIT] = limit
        return view

    def close_group(self, slot: int) -> None:
        """Count the rows of the group that have ended, those up to ``slot``."""
        # In this order: between the two, what follows is marked, or there is nothing.
        self.words[COUNT] = slot
        self.words[LIMIT] = 0

    def note(self, slot: int, value: object) -> bool:
        """Keep a row's result in the journal; False if it is not of a kind for it.

        The caller counts it by writing ``COUNT`` when this is done.
        """
        # The kind first: who copies the journal just now might count the value.
        kind = type(value)
        if kind is int or kind is bool:
            self._kinds[slot] = _INT if kind is int else _BOOL
            try:
                self._ints[slot] = value  # type: ignore[call-overload]
            except (ValueError, OverflowError):  # more than 64 bits
                return False
        elif kind is float:
            self._kinds[slot] = _FLOAT
            self._floats[slot] = value  # type: ignore[call-overload]
        elif value is None:
            self._kinds[slot] = _NONE
        else:
            return False
        return True

    def packed(self, count: int) -> bytes:
        """The first results of the journal as bytes, see `unpacked`."""
        kinds = bytes(self._kinds[:count])
        letter = _RAW.get(kinds[0])
        if letter is not None and kinds.count(kinds[:1]) == count:
            return b"".join((letter, self._values[: 8 * count]))
        return pickle.dumps(self._results(count), 5)

    def append(self, data: Part) -> bool:
        """Put a whole frame into the outbox; False if there is no room."""
        end = self.words[END]
        after = end + len(data)
        if after > OUTBOX_SIZE:
            return False
        self._outbox[end:after] = data
        self.words[END] = after
        return True

    def unsent(self) -> memoryview:
        """What is in the outbox."""
        return self._outbox[: self.words[END]]

    def sent(self) -> None:
        """Empty the outbox: all of it has been sent."""
        count = self.words[END]
        self.words[END] = 0
        self.words[BASE] += count

    # The pool's side, when the worker is dead.

    def remainder(self, received: int) -> bytes:
        """The end of the stream that never reached the socket."""
        base, end = self.words[BASE], self.words[END]
        if not base <= received <= base + end:
            return b""  # it died while it sent a frame too large for the outbox
        return bytes(self._outbox[received - base : end])

    def journal(self) -> tuple[int, list[Any]]:
        """The first row of the journal and the results from there on."""
        return self.words[FIRST], self._results(self.ended())

    def running(self) -> int:
        """The row that is running, or ran last; `NO_ROW` if none has begun."""
        limit = self.words[LIMIT]
        if not limit:
            return self.words[ROW]
        return self.words[FIRST] + min(self.ended(), limit - 1)

    # Either side.

    def ended(self) -> int:
        """How many rows are in the journal, with those of the open group.

        It may be a few less than there are when the worker goes on meanwhile.
        """
        # A task may have written where it had no business.
        count = min(self.words[COUNT], JOURNAL_SIZE)
        limit = min(self.words[LIMIT], JOURNAL_SIZE)
        if limit <= count:
            return count
        slots = self._view[_VALUES_AT + 8 * count : _VALUES_AT + 8 * limit]
        values = slots.cast("Q").tolist()
        mark = self.words[MARK]
        return count + values.index(mark) if mark in values else limit

    def _results(self, count: int) -> list[Any]:
        values = bytes(self._values[: 8 * count])
        results: list[Any] = []
        for slot, kind in enumerate(bytes(self._kinds[:count])):
            read = _READ.get(kind)
            if read is None:  # the task wrote where it had no business
                break
            results.append(read(values[8 * slot : 8 * slot + 8]))
        return results


def make_page_file() -> int | str:
    """Make the memory of a page; return the descriptor by which it is reached.

    It has no name anywhere. Windows cannot pass descriptors: there it is a name
    that nobody can guess, of memory that goes with its last user.

    Raises:
        OSError: No descriptor or no memory is to be had.
    """
    if sys.platform == "win32":
        return f"parallelize-{os.urandom(16).hex()}"
    fd = _nameless_file()
    try:
        _reserve(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def close_page_file(file: int | str) -> None:
    """Close the descriptor; the mapping stays."""
    if isinstance(file, int):
        os.close(file)


def _mapped(file: int | str) -> mmap.mmap:
    if isinstance(file, int):
        return mmap.mmap(file, SIZE)
    if sys.platform == "win32":
        return mmap.mmap(-1, SIZE, tagname=file)
    msg = f"a page is reached by a descriptor here, not by {file!r}"
    raise TypeError(msg)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("parallelize", os.MFD_CLOEXEC)
    import tempfile

    fd, name = tempfile.mkstemp()  # mode 0600, close-on-exec
    os.unlink(name)
    return fd


def _reserve(fd: int) -> None:
    """Give the file its size, and its memory now: a full system says so here.

    Touching memory that is not there would end the process by a signal.
    """
    os.ftruncate(fd, SIZE)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, SIZE)
