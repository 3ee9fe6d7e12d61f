"""The page that a worker shares with its pool: what is running and what is unsent.

The worker writes, but for one word, and the pool reads, usually only after the worker
has died. So when a worker dies at any point, exactly the running call fails, and no
result of the calls before it is lost.

```
 0      task      id of the task that is running, or ran last
 8      row       its row, for a task of many rows
 16     begun     when it began, in nanoseconds of the monotonic clock
 24     base      position in the stream at which the outbox begins
 32     end       bytes of the outbox that are written and not yet sent
 40     first     row of the first journal entry
 48     count     rows in the journal, without those of the open group
 56     limit     where the slots of the open group end; 0 if none is open
 64     mark      content of the open group's slots whose rows have not finished
 72     asked     written by the pool: how often it has requested tasks back
 128    outbox    the next bytes of the stream to the pool
 …      kinds     the journal: results of the rows that are in no frame yet,
 …      values    one byte for the type and eight for the value
 …      texts     pickles of results that are no numbers, one after the other, each
                 without the opcode that ends it; or parcels, which their reader
                 opens, as `pickling` makes them
```

The value of such a result says where its pickle ends in ``texts``. So what stands there
is, between two opcodes more, the pickle of a list: nothing has to be put together for
a frame, and its reader unpickles all results in one step.

The order of writes makes each step visible only when it is complete: first the
data, then the counter. When the outbox has been sent, ``end`` becomes 0 before
``base`` advances; the pool knows how many bytes it received, so what it takes
from the outbox begins where the socket left off.

Short rows run in groups, because counting each would cost more than running it. The
slots of a group are filled with the mark and their kinds are written before its first
row begins; then all that the worker does for a row is to store its result in the
row's slot. So the first slot that still holds the mark belongs to the running row,
and the number of that row need not be recorded:

```
 slots   0 ············· count ··············· limit
         results, counted │ 17  4  8 mark mark │
                            ended    └─ this row is running
```

The mark is a random 64-bit number. A result that happens to equal it counts as
missing if the worker dies within the same group.
"""

from __future__ import annotations

import _pickle as pickle
import io
import mmap
import os
import struct
import sys
from itertools import pairwise

from parallelize.process.wire.memfd import UNTRACKED, mapped, nameless_memory
from parallelize.serialize import PLAIN, pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from parallelize.process.wire.frames import Part

TASK, ROW, BEGUN, BASE, END, FIRST, COUNT, LIMIT, MARK, ASKED = range(10)
NO_ROW = (1 << 64) - 1  # the task has arrived, none of its rows has begun
_OUTBOX_AT = 128
OUTBOX_SIZE = 96 << 10
JOURNAL_SIZE = 8192
_KINDS_AT = _OUTBOX_AT + OUTBOX_SIZE
_VALUES_AT = _KINDS_AT + JOURNAL_SIZE
_TEXTS_AT = _VALUES_AT + 8 * JOURNAL_SIZE
TEXTS_SIZE = 56 << 10  # a block of them usually fits into the outbox
_STOP = b"."  # ends a pickle
_LIST, _APPENDS = b"](", b"e"  # stand around items
SIZE = _TEXTS_AT + TEXTS_SIZE

#: Longer pickles are sent alone, and so are containers of more items: measuring them
#: would cost too much.
MOST_TEXT = 1 << 12
MOST_ITEMS = 1 << 8

# How the journal holds a value of each type: its code, and how it is read back.
_NONE, _BOOL, _INT, _FLOAT, _TEXT, _PARCEL = range(1, 7)
_READ: dict[int, Callable[[bytes], Any]] = {
    _NONE: lambda _: None,
    _BOOL: lambda raw: raw[0] != 0,
    _INT: lambda raw: int.from_bytes(raw, sys.byteorder, signed=True),
    _FLOAT: lambda raw: struct.unpack("=d", raw)[0],
}

# The kinds whose values are sent as they are in the journal, and their codes in
# `struct`, which are sent before them.
_RAW = {_INT: b"q", _FLOAT: b"d"}
#: Those codes: one of them is followed by eight bytes for each value.
RAW = frozenset(_RAW.values())
#: What stands before results that are all parcels; see `parcels_of`.
PARCELS = b"p"

#: The types of results that groups hold as eight bytes.
EIGHT_BYTES = frozenset((int, float, bool))

#: The types of results that are pickled if they are short.
SIZED: frozenset[type] = frozenset((str, bytes))

#: The protocol of the pickles in the journal: the last one in which what a pickle
#: refers to does not depend on the pickles that stand before it in a list.
PROTOCOL = 3

_CONTAINERS: frozenset[type] = frozenset((tuple, list, dict, set, frozenset))
#: The types of results that are usually pickled into the journal.
_TEXTUAL: frozenset[type] = _CONTAINERS | SIZED


class Parcel(bytes):
    """A result that its reader opens, from the page of a dead worker."""


class Journal:
    """The page of one worker.

    Attributes:
        words: Its counters.
        texts: Where pickles are, and
        texts_end: where the next one is written; only in the worker's main thread.
    """

    def __init__(self, file: int | str) -> None:
        """Map the page that `make_page_file` has made."""
        self._view = _mapped(file)
        self.words: memoryview[int] = self._view[:_OUTBOX_AT].cast("Q")
        self._outbox = self._view[_OUTBOX_AT:_KINDS_AT]
        self._kinds = self._view[_KINDS_AT:_VALUES_AT]
        self._values = self._view[_VALUES_AT:_TEXTS_AT]
        self.texts: memoryview = self._view[_TEXTS_AT:SIZE]
        self.texts_end: int = 0
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
            self.texts,
            self._view,
        ):
            view.release()

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
            type(None): (_NONE, self._ints),
            **dict.fromkeys(_TEXTUAL, (_TEXT, self._ints)),
        }
        self._pickler = pickling.BuiltinPickler(PROTOCOL)
        self._takes_containers = True

    def detach(self) -> None:
        """In a forked copy of the worker: make the journal read-only.

        Storing a result in a slot raises ValueError from here on.
        """
        self._ints.release()
        self._floats.release()
        self.texts.release()

    def begin_rows(self) -> None:
        """Expect nothing of the results of the rows that follow."""
        self._takes_containers = True

    def clear(self) -> None:
        """Forget the results, which are in a frame now."""
        self.words[COUNT] = 0
        self.texts_end = 0

    def open_group(self, kind: type, slot: int, size: int) -> memoryview[Any] | None:
        """Prepare slots for a group of rows whose results are of one type.

        Args:
            kind: The type.
            slot: The slot of the first row: all before it are counted.
            size: Number of rows; there must be room for them.

        Returns:
            The view in which each result is stored when its row ends; None if the
            journal has no groups for this type.
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
        """Count the rows of the group that have ended, those before ``slot``."""
        # In this order: between the two writes, the slots from here to the limit, if
        # there are any, hold the mark.
        count, self.words[COUNT] = self.words[COUNT], slot
        self.words[LIMIT] = 0
        if slot > count and self._kinds[slot - 1] == _TEXT:
            self.texts_end = self._ints[slot - 1]

    def note(self, slot: int, value: object) -> bool:
        """Store a row's result in the journal; return False if its type cannot be.

        The caller counts it by writing ``COUNT`` afterwards.
        """
        # The kind first: a thread that copies the journal meanwhile might count the
        # value.
        kind = type(value)
        if kind is int or kind is bool:
            self._kinds[slot] = _INT if kind is int else _BOOL
            try:
                self._ints[slot] = value  # type: ignore[call-overload]
            except (ValueError, OverflowError):  # more than 64 bits
                return self._note_text(slot, value)
        elif kind is float:
            self._kinds[slot] = _FLOAT
            self._floats[slot] = value  # type: ignore[call-overload]
        elif value is None:
            self._kinds[slot] = _NONE
        else:
            return self._note_text(slot, value)
        return True

    def _note_text(self, slot: int, value: object) -> bool:
        return self._keep(slot, _TEXT, self.pickled(value), len(_STOP))

    def pickled(self, value: object) -> bytes:
        """Return the pickle of a result for the texts.

        Returns:
            Nothing if it is too long, or its type is not one of these.
        """
        kind = type(value)
        if kind not in PLAIN:
            return self._container(value)
        if kind in SIZED and len(value) > MOST_TEXT:  # type: ignore[arg-type]
            return b""
        return pickle.dumps(value, PROTOCOL)

    def _keep(self, slot: int, kind: int, data: Part, omitted: int) -> bool:
        """Put data behind the texts, and in the slot where it ends."""
        start = self.texts_end
        end = start + len(data)
        if not data or end > TEXTS_SIZE:
            return False
        self.texts[start:end] = data
        self._kinds[slot] = kind
        self._ints[slot] = end - omitted
        # At last: what is interrupted before is overwritten by the next.
        self.texts_end = end - omitted
        return True

    def note_parcel(self, slot: int, parcel: Part) -> bool:
        """Store a row's result as a parcel, in a journal of parcels; see `note`."""
        return self._keep(slot, _PARCEL, parcel, 0)

    def _container(self, value: Any) -> bytes:
        """Pickle a container of builtin types; return nothing for other values."""
        if type(value) not in _CONTAINERS or not self._takes_containers:
            return b""
        if len(value) <= MOST_ITEMS:
            pickled = self._pickler.pickled(value)
            if pickled and len(pickled) <= MOST_TEXT:
                return pickled
        # Those of the next rows will be alike, and each would be pickled twice.
        self._takes_containers = False
        return b""

    def packed(self, count: int) -> bytes:
        """Encode the first results of the journal: raw after a code, or pickled."""
        kinds = bytes(self._kinds[:count])
        letter = _RAW.get(kinds[0])
        if letter is not None and kinds.count(kinds[:1]) == count:
            return b"".join((letter, self._values[: 8 * count]))
        if kinds.count(_NONE) == count:
            return pickle.dumps([None] * count, 5)
        if kinds.count(_TEXT) == count:
            texts = self.texts[: self._ints[count - 1]]
            return b"".join((_LIST, texts, _APPENDS, _STOP))
        if kinds.count(_PARCEL) == count:
            number = count.to_bytes(8, sys.byteorder)
            texts = self.texts[: self._ints[count - 1]]
            return b"".join((PARCELS, number, self._values[: 8 * count], texts))
        return pickle.dumps(self._results(count), 5)

    def append(self, data: Part) -> bool:
        """Put a whole frame into the outbox; return False if there is no room."""
        end = self.words[END]
        after = end + len(data)
        if after > OUTBOX_SIZE:
            return False
        self._outbox[end:after] = data
        self.words[END] = after
        return True

    def unsent(self) -> memoryview:
        """Return the bytes in the outbox."""
        return self._outbox[: self.words[END]]

    def sent(self) -> None:
        """Empty the outbox: all of it has been sent."""
        count = self.words[END]
        self.words[END] = 0
        self.words[BASE] += count

    # The pool's side, when the worker is dead.

    def remainder(self, received: int) -> bytes:
        """Return the end of the stream, which never reached the socket."""
        base, end = self.words[BASE], self.words[END]
        if not base <= received <= base + end:
            return b""  # it died while sending a frame too large for the outbox
        return bytes(self._outbox[received - base : end])

    def journal(self) -> tuple[int, list[Any]]:
        """Return the number of the first row in the journal, and the results."""
        return self.words[FIRST], self._results(self.ended())

    def running(self) -> int:
        """Return the row that is running or ran last; `NO_ROW` if none has begun."""
        limit = self.words[LIMIT]
        if not limit:
            return self.words[ROW]
        return self.words[FIRST] + min(self.ended(), limit - 1)

    # Either side.

    def ended(self) -> int:
        """Return the number of finished rows, including those of the open group.

        It may be a few too low if the worker is running meanwhile.
        """
        # A task may have overwritten the counters: keep them within bounds.
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
        start = 0  # of the next one in the texts
        for slot, kind in enumerate(bytes(self._kinds[:count])):
            raw = values[8 * slot : 8 * slot + 8]
            try:
                if kind in _IN_TEXTS:
                    end = int.from_bytes(raw, sys.byteorder)
                    results.append(_IN_TEXTS[kind](bytes(self.texts[start:end])))
                    start = end
                else:
                    results.append(_READ[kind](raw))
            except Exception:  # noqa: BLE001 - the task has overwritten the page
                break
        return results


def _unpickled(text: bytes) -> Any:
    return pickling.BuiltinUnpickler(io.BytesIO(text + _STOP)).load()


_IN_TEXTS: dict[int, Callable[[bytes], Any]] = {_TEXT: _unpickled, _PARCEL: Parcel}


def parcels_of(packed: memoryview) -> list[Parcel]:
    """Return the parcels that `Journal.packed` has put behind a letter."""
    count = int.from_bytes(packed[:8], sys.byteorder)
    ends = packed[8 : 8 + 8 * count].cast("Q").tolist()
    texts = bytes(packed[8 + 8 * count :])
    return [Parcel(texts[start:end]) for start, end in pairwise((0, *ends))]


def make_page_file() -> int | str:
    """Make the memory of a page; return its descriptor.

    The memory has no name. Windows cannot pass descriptors: there, an unguessable name
    is returned, of memory that is freed with its last user.

    Raises:
        OSError: No descriptor or no memory is available.
    """
    if sys.platform == "win32":
        return f"parallelize-{os.urandom(16).hex()}"
    return nameless_memory(SIZE)


def close_page_file(file: int | str) -> None:
    """Close the descriptor; the mapping stays."""
    if isinstance(file, int):
        os.close(file)


def _are_many(fd: int) -> bool:
    from parallelize.process.wire import descriptors

    return descriptors.are_many(fd)


def _mapped(file: int | str) -> memoryview:
    if isinstance(file, int):
        if UNTRACKED or _are_many(file):
            return mapped(file, SIZE, writable=True)
        return memoryview(mmap.mmap(file, SIZE))  # it need not load ctypes
    if sys.platform == "win32":
        return memoryview(mmap.mmap(-1, SIZE, tagname=file))
    msg = f"a page is reached by a descriptor here, not by {file!r}"
    raise TypeError(msg)
