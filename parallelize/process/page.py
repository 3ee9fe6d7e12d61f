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
 48     count     rows in the journal
 64     outbox    the next bytes of the stream to the pool
 …      kinds     the journal: results of the rows that are in no frame yet,
 …      values    one byte for the type and eight for the value
```

The order of writes makes each step visible only when it is whole: first the
data, then the counter. When the outbox has been sent, ``end`` becomes 0 before
``base`` moves on; the pool knows how many bytes it received, so what it takes
from the outbox begins where the socket left off.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.process.transport import Part

TASK, ROW, BEGUN, BASE, END, FIRST, COUNT = range(7)
NO_ROW = (1 << 64) - 1  # the task is there, none of its rows has begun
_OUTBOX_AT = 64
OUTBOX_SIZE = 96 << 10
JOURNAL_SIZE = 4096
_KINDS_AT = _OUTBOX_AT + OUTBOX_SIZE
_VALUES_AT = _KINDS_AT + JOURNAL_SIZE
SIZE = _VALUES_AT + 8 * JOURNAL_SIZE

#: The types of which the journal keeps values.
JOURNALED = frozenset((int, float, bool, type(None)))

# How the journal keeps a value of each type: code, and how it is read back.
_NONE, _FALSE, _TRUE, _INT, _FLOAT = range(5)
_READ: dict[int, Callable[[bytes], Any]] = {
    _NONE: lambda _: None,
    _FALSE: lambda _: False,
    _TRUE: lambda _: True,
    _INT: lambda raw: int.from_bytes(raw, "little", signed=True),
    _FLOAT: lambda raw: struct.unpack("=d", raw)[0],
}


class Page:
    """One worker's page; `words` are its counters."""

    def __init__(self, file: int | str) -> None:
        """Map the page of `make_page_file`."""
        self._map = _mapped(file)
        self._view = memoryview(self._map)
        self.words: memoryview[int] = self._view[:_OUTBOX_AT].cast("Q")
        self._outbox = self._view[_OUTBOX_AT:_KINDS_AT]
        self._kinds = self._view[_KINDS_AT:_VALUES_AT]
        values = self._view[_VALUES_AT:SIZE]
        self._ints = values.cast("q")
        self._floats = values.cast("d")

    def close(self) -> None:
        """Unmap the page."""
        for view in (
            self.words,
            self._outbox,
            self._kinds,
            self._ints,
            self._floats,
            self._view,
        ):
            view.release()
        self._map.close()

    # The worker's side.

    def note(self, slot: int, value: object) -> bool:
        """Keep a row's result in the journal; False if it is not of a kind for it.

        The caller counts it by writing ``COUNT`` when this is done.
        """
        kind = type(value)
        if kind is int:
            try:
                self._ints[slot] = value  # type: ignore[call-overload]
            except (ValueError, OverflowError):  # more than 64 bits
                return False
            self._kinds[slot] = _INT
        elif kind is float:
            self._floats[slot] = value  # type: ignore[call-overload]
            self._kinds[slot] = _FLOAT
        elif value is None:
            self._kinds[slot] = _NONE
        elif kind is bool:
            self._kinds[slot] = _TRUE if value else _FALSE
        else:
            return False
        return True

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
        count = min(self.words[COUNT], JOURNAL_SIZE)
        raw = self._ints.obj
        values = memoryview(raw)[_VALUES_AT:SIZE]
        results = []
        for slot in range(count):
            read = _READ.get(self._kinds[slot])
            if read is None:  # the task wrote where it had no business
                break
            results.append(read(bytes(values[8 * slot : 8 * slot + 8])))
        return self.words[FIRST], results


def make_page_file() -> int | str:
    """Make the memory of a page; return the descriptor by which it is reached.

    It has no name anywhere. Windows cannot pass descriptors: there it is a name
    that nobody can guess, of memory that goes with its last user.

    Raises:
        OSError: No descriptor or no memory is to be had.
    """
    if sys.platform == "win32":
        return f"parallelize-{uuid.uuid4().hex}"
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
