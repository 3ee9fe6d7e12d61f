"""Runs many calls of one function in a worker, row after row.

The main thread takes rows from an iterator over a list; to give rows back, the watcher
takes all that are left in it. Each row is yielded to one of them, see `native.Popped`.

The outcome of each row is in the shared page before the next row begins. Rows run in
one of two ways:

* in groups of rows that take about `CLOCK_EVERY` together, where a row costs little
  more than the call itself, see `journal`. This needs results of a type that the
  journal holds: numbers as eight bytes, which must be of a single type; or texts and
  small containers of builtin types, each pickled as its row ends. The type of the
  latest result is expected. A result that does not fit ends the group, and so does an
  error.
* one by one, if the start of each row has to be recorded because rows have a deadline,
  and if results are of other types, or often change their type.
"""

from __future__ import annotations

import _pickle as pickle
from functools import partial
from itertools import islice

from parallelize.process.wire import messages
from parallelize.process.wire.carried import carried
from parallelize.process.wire.journal import (
    ASKED,
    BEGUN,
    EIGHT_BYTES,
    MOST_TEXT,
    NO_ROW,
    PROTOCOL,
    ROW,
    SIZED,
    TASK,
)
from parallelize.process.worker.sender import SEND_AFTER
from parallelize.runtime.clock import monotonic_ns
from parallelize.runtime.native import drained, each_once
from parallelize.serialize import pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from parallelize.process.wire.frames import Frame
    from parallelize.process.wire.journal import Journal
    from parallelize.process.worker.sender import Sender

    Group = Callable[
        [Callable[..., Any], Iterator[Any], type, memoryview[Any], int],
        tuple[int, Any, BaseException | None],
    ]

#: Nanoseconds that rows may take between two readings of the clock.
CLOCK_EVERY = 100_000

#: Nanoseconds for which results are held back in addition to `SEND_AFTER`: those of
#: rows, and those of single calls that were sent together.
WAIT_OF_ROWS = int(messages.HELD * 1e9) - SEND_AFTER
WAIT_OF_CALLS = 4_000_000

#: Maximum number of rows between two readings of the clock.
MOST_UNSEEN = 2048

#: After `MOST_SHORT` groups of fewer than `SHORT` rows, rows run one by one.
MOST_SHORT = 3
SHORT = 8

_NOTHING: Any = object()
_NONE = type(None)


class RowsRunner:
    """Calls one function with many rows of arguments."""

    def __init__(
        self,
        frame: Frame,
        words: memoryview,
        sender: Sender,
        give_back: Callable[[], object],
    ) -> None:
        self.id: int = frame.id
        self._encoded = bytes(frame.parts[0])
        # Plain types only: this cannot fail.
        self._flat: Sequence[Any] = pickle.loads(frame.parts[1])
        self._arity = frame.extra
        has_carried = frame.micros & messages.CARRIED
        self._carried = carried(frame) if has_carried else None
        self._timed = bool(frame.micros & messages.TIMED)
        self._traced = bool(frame.micros & messages.TRACED)
        self.is_prompt: bool = bool(frame.micros & messages.PROMPT)
        self._wait = WAIT_OF_CALLS if self.is_prompt else WAIT_OF_ROWS
        self._give_back = give_back
        self._asked = 0  # requests to give rows back, as far as they were looked at
        self._words = words
        self._sender = sender
        self._rows: Iterator[Any] = iter(())
        self._journal = sender.begin_rows()
        self._count = 0  # the number of rows that have come
        self._row = 0  # the number of the next row
        self._begun = 0  # the last reading of the clock

    def run(self) -> None:
        self._words[ROW] = NO_ROW
        self._words[TASK] = self.id
        if self._traced:
            self._sender.send_begun(self.id, monotonic_ns())
        try:
            fn = pickling.decode_function(self._encoded)
            if self._carried is not None:
                fn = self._carried.wrap(fn)
        except BaseException as error:  # noqa: BLE001 - it belongs to every row
            self._fail_all(error)
            return
        # The watcher may give rows back from here on.
        rows = self._list()
        self._count = len(rows)
        self._rows = each_once(rows)
        self._begun = monotonic_ns()
        if self._arity > 1:
            self._run(fn, self._rows, _run_tuples)
        else:
            alone = fn if self._arity else _unpickling(fn)
            self._run(alone, zip(self._rows), _run_values)
        self._sender.close_block()

    def _list(self) -> Sequence[Any]:
        """Return the rows, as a list or a range: tuples, or their only element."""
        if self._arity <= 1:
            return self._flat
        columns = [iter(self._flat)] * self._arity
        return list(zip(*columns, strict=True))

    def give_up(self) -> int:
        """Drop the rows that have not begun; return their number (from the end)."""
        return drained(self._rows)

    def _run(
        self, fn: Callable[..., Any], rows: Iterator[tuple[Any, ...]], run_group: Group
    ) -> None:
        if not self._timed:
            self._run_in_groups(fn, run_group)
        self._run_singly(fn, rows)

    def _run_in_groups(self, fn: Callable[..., Any], run_group: Group) -> None:
        """Run rows in groups until there are no more, or single rows are better."""
        sender, words, id = self._sender, self._words, self.id
        call, journal = fn if self._arity <= 1 else partial(_star, fn), self._journal
        kind: type = int
        stride, short = 0, 0
        while short < MOST_SHORT and self._row < self._count:
            row = self._row
            stride = self._look_at_clock(stride)
            words[ROW] = row
            group = sender.open_group(kind, id, row, stride, self._begun)
            if group is None:  # there are no groups for results of this type
                return
            values, slot, size = group
            rows = islice(self._rows, size)
            if kind is _NONE:
                end, result, error = _run_for_none(call, rows, values, slot)
            elif kind in EIGHT_BYTES:
                end, result, error = run_group(fn, rows, kind, values, slot)
            elif kind in SIZED:
                end, result, error = _run_texts(call, rows, kind, journal, values, slot)
            else:
                end, result, error = _run_pickled(call, rows, journal, values, slot)
            if error is not None or result is not _NOTHING:
                # This row has run, and its outcome is nowhere yet. While the group is
                # open its slots tell that, from then on the word does.
                words[ROW] = row + end - slot
            sender.close_group(end)
            self._row += end - slot
            if error is not None:
                sender.row_failed(id, self._row, error, self._begun)
            elif result is not _NOTHING:
                sender.row_done(id, self._row, result, self._begun)
                kind = type(result)
                short += end - slot < SHORT
            elif end - slot < size:
                return
            else:
                continue
            self._row += 1

    def _run_singly(
        self, fn: Callable[..., Any], rows: Iterator[tuple[Any, ...]]
    ) -> None:
        """Run rows one by one.

        The clock is read after as many rows as take about `CLOCK_EVERY`; if calls have
        a deadline, before each row.
        """
        words, sender, id = self._words, self._sender, self.id
        check, stride, begun = 0, 0, self._begun
        for row, args in enumerate(rows, self._row):
            if row >= check:
                stride = self._look_at_clock(stride)
                check, begun = row + stride, self._begun
            words[ROW] = row
            try:
                result = fn(*args)
            except BaseException as error:  # noqa: BLE001 - it belongs to the row
                begun = sender.row_failed(id, row, error, begun)
            else:
                begun = sender.row_done(id, row, result, begun)

    def _look_at_clock(self, stride: int) -> int:
        """Record that a row begins now; return after how many rows to do so again."""
        now = monotonic_ns()
        took = now - self._begun
        if self._words[ASKED] != self._asked:
            self._asked = self._words[ASKED]
            self._give_back()
        if now >= self._sender.due + self._wait:
            self._sender.flush()
            now = monotonic_ns()
        self._words[BEGUN] = self._begun = now
        if self._timed:
            return 1
        if took > CLOCK_EVERY:
            return max(stride // 4, 1)
        # The first row is alone: nothing is known of the others.
        return min(stride * (4 if took < CLOCK_EVERY // 4 else 2) or 1, MOST_UNSEEN)

    def _fail_all(self, error: BaseException) -> None:
        failure = [messages.encode_failure(error)]
        for row in range(len(self._flat) // (self._arity or 1)):
            self._sender.send(messages.ROW_FAILED, self.id, failure, row)


# The code that runs for every row of a group, in two versions for numbers, because
# unpacking arguments would cost more than everything else. They return the slot that
# they reached and what ended the group there, unless it is complete: a result that does
# not fit into this group, or an error.


def _run_values(
    fn: Callable[..., Any],
    rows: Iterator[Any],
    kind: type,
    values: memoryview[Any],
    slot: int,
) -> tuple[int, Any, BaseException | None]:
    for value in rows:
        try:
            result = fn(value)
        except BaseException as error:  # noqa: BLE001 - it belongs to the row
            return slot, _NOTHING, error
        if type(result) is not kind:
            return slot, result, None
        try:
            values[slot] = result
        except (ValueError, OverflowError):  # more than 64 bits
            return slot, result, None
        slot += 1
    return slot, _NOTHING, None


def _run_tuples(
    fn: Callable[..., Any],
    rows: Iterator[tuple[Any, ...]],
    kind: type,
    values: memoryview[Any],
    slot: int,
) -> tuple[int, Any, BaseException | None]:
    for args in rows:
        try:
            result = fn(*args)
        except BaseException as error:  # noqa: BLE001 - it belongs to the row
            return slot, _NOTHING, error
        if type(result) is not kind:
            return slot, result, None
        try:
            values[slot] = result
        except (ValueError, OverflowError):  # more than 64 bits
            return slot, result, None
        slot += 1
    return slot, _NOTHING, None


# One more for functions that return nothing, and two for pickles: the checks of texts
# are written out, as a call for each would cost more than they do.


def _run_for_none(
    call: Callable[[Any], Any], rows: Iterator[Any], values: memoryview[Any], slot: int
) -> tuple[int, Any, BaseException | None]:
    for row in rows:
        try:
            result = call(row)
        except BaseException as error:  # noqa: BLE001 - it belongs to the row
            return slot, _NOTHING, error
        if result is not None:
            return slot, result, None
        try:
            values[slot] = 0
        except ValueError:  # in a process that the row has forked
            return slot, result, None
        slot += 1
    return slot, _NOTHING, None


def _run_texts(
    call: Callable[[Any], Any],
    rows: Iterator[Any],
    kind: type,
    journal: Journal,
    values: memoryview[Any],
    slot: int,
) -> tuple[int, Any, BaseException | None]:
    dumps, texts, start = pickle.dumps, journal.texts, journal.texts_end
    for row in rows:
        try:
            result = call(row)
        except BaseException as error:  # noqa: BLE001 - it belongs to the row
            return slot, _NOTHING, error
        # The kind is str or bytes.
        if type(result) is not kind or len(result) > MOST_TEXT:  # type: ignore[arg-type]
            return slot, result, None
        pickled = dumps(result, PROTOCOL)
        end = start + len(pickled)
        try:
            texts[start:end] = pickled
            start = values[slot] = end - 1  # without the opcode that ends it
        except ValueError:  # no more room, or in a process that the row has forked
            return slot, result, None
        slot += 1
    return slot, _NOTHING, None


def _run_pickled(
    call: Callable[[Any], Any],
    rows: Iterator[Any],
    journal: Journal,
    values: memoryview[Any],
    slot: int,
) -> tuple[int, Any, BaseException | None]:
    pickled_of, texts, start = journal.pickled, journal.texts, journal.texts_end
    for row in rows:
        try:
            result = call(row)
        except BaseException as error:  # noqa: BLE001 - it belongs to the row
            return slot, _NOTHING, error
        pickled = pickled_of(result)
        if not pickled:
            return slot, result, None
        end = start + len(pickled)
        try:
            texts[start:end] = pickled
            start = values[slot] = end - 1
        except ValueError:
            return slot, result, None
        slot += 1
    return slot, _NOTHING, None


def _star(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return fn(*args)


def _unpickling(fn: Callable[..., Any]) -> Callable[[bytes], Any]:
    """Return a function of pickled arguments, where each row is pickled on its own."""

    def unpickled(data: bytes) -> Any:
        return fn(*pickling.loads([data]))

    return unpickled
