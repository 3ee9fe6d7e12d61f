"""The worker's stream to its pool: results are sent by way of the shared page.

The outcome of each task is in the `Journal` before the next task begins. It is sent
when there is nothing to run, or after a millisecond.
"""

from __future__ import annotations

import os
from collections import deque

from parallelize.process.memory.segments import Placed
from parallelize.process.wire import messages
from parallelize.process.wire.frames import PoolGoneError, pack, send_all
from parallelize.process.wire.journal import (
    BASE,
    COUNT,
    FIRST,
    JOURNAL_SIZE,
    MOST_TEXT,
    Journal,
)
from parallelize.runtime import locks, native, raised
from parallelize.runtime.clock import monotonic_ns
from parallelize.runtime.locks import depth
from parallelize.serialize import pickling
from parallelize.serialize.reducers.reductions import EARLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from parallelize.process.wire.frames import Part
    from parallelize.serialize.pickling import Place

_new_lock = locks.reentrant("sender", native.RLock)

#: Nanoseconds for which results are held back: the end of a task after that sends them.
#: While a longer task runs, the watcher sends them when the pool asks.
SEND_AFTER = 1_000_000


def pickled_result(
    result: object, place: Place, what: str = "the result"
) -> list[Part]:
    """Pickle a result; if that fails, raise an error that names its type."""
    try:
        return pickling.dumps_back(result, place)
    except BaseException as error:
        raise _refusal(what, result, error) from error


def _refusal(what: str, result: object, error: BaseException) -> BaseException:
    from parallelize.errors import SerializationError

    kind = raised.name_of_class(type(result))
    names = map(raised.name_of_class, type(result).__mro__)
    advice = next(filter(None, map(_ADVICE.get, names)), "") or _way_to_culprit(result)
    why = f"{raised.summary_of(error)}{advice}"
    return SerializationError(f"{what}, a {kind}, cannot be pickled: {why}")


def _way_to_culprit(result: object) -> str:
    from parallelize.serialize import diagnose

    return f": {diagnose.in_result(result).text()}"


_ADVICE = {
    "generator": "; decorate the generator function itself, or return a list",
    "coroutine": "; decorate the async function itself, or await it in the call",
    "async_generator": "; decorate the generator function itself, or return a list",
    "Future": "; give its result instead",
}


class _Block:
    """The task of rows whose results the journal holds."""

    __slots__ = ("begun", "first", "id", "is_of_parcels")

    def __init__(self, id: int, first: int, begun: int) -> None:
        self.id: int = id
        self.first: int = first  # the row of the first result
        self.begun: int = begun  # when that row began
        self.is_of_parcels: bool = False  # all of its results, or none of them


class Sender:
    """Owns the stream to the pool: the page's outbox and journal, and the socket.

    Attributes:
        due: When the outbox has to be sent, in nanoseconds of the monotonic clock.
    """

    def __init__(self, sock: native.Socket, page: Journal, place: Place) -> None:
        self.due: int = 0
        self._place = place  # puts large buffers of results into segments
        self._sock = sock
        self._page = page
        self._words = page.words
        self._block = _Block(0, 0, 0)
        page.choose_mark()
        self._forked = False
        self._reports: deque[Part] = deque()  # frames that are not in the stream yet
        # Guards the stream (outbox and socket) between the main thread and the
        # watcher. The journal belongs to the main thread: the watcher only copies it,
        # and its count is reset under the lock. Nothing is locked under it.
        self._lock = _new_lock()

    def forked(self) -> None:
        """Record that this process was forked by a task: it must not send."""
        self._forked = True
        self._lock = _new_lock()
        self._page.detach()

    def send(
        self, kind: int, id: int, parts: Sequence[Part], extra: int = 0, micros: int = 0
    ) -> None:
        """Add a frame to the stream."""
        if self._forked:
            os._exit(0)
        if parts and type(parts[-1]) is Placed:
            kind |= messages.BIG
        buffers = pack(kind, id, parts, extra, micros)
        with self._lock:
            if len(buffers) == 1 and self._page.append(buffers[0]):
                return
            self._flush()
            if len(buffers) == 1 and self._page.append(buffers[0]):
                return
            for buffer in buffers:
                send_all(self._sock, buffer)
                self._words[BASE] += memoryview(buffer).nbytes

    def send_begun(self, id: int, begun: int) -> None:
        """Send when a task began, before any other frame of it."""
        self.send(messages.BEGAN, id, (), messages.moment(begun))

    def report(self, kind: int, parts: Sequence[Part]) -> bool:
        """Send a log record or a warning now, from any thread.

        Returns:
            False in a process that a task has forked.
        """
        if self._forked:
            return False
        self._reports.append(b"".join(pack(messages.REPORT, 0, parts, kind)))
        # In a finalizer or a signal handler, this thread may already be sending: then
        # the interrupted code sends this report, too.
        if not depth(self._lock):
            try:
                with self._lock:
                    self._flush()
            except PoolGoneError:  # there is no reader any more
                return True
        return True

    # Rows; only the main thread runs them.

    def begin_rows(self) -> Journal:
        """Prepare for the rows of a task; return the journal of their results."""
        self._page.begin_rows()
        return self._page

    def open_group(
        self, kind: type, id: int, row: int, size: int, begun: int
    ) -> tuple[memoryview[Any], int, int] | None:
        """Prepare the journal for a group of rows, see `Journal.open_group`.

        Returns:
            The view in which results are stored, the slot of the first row, and the
            number of rows for which there is room.
        """
        if self._block.is_of_parcels:
            self.close_block()
        slot = self._next_slot(id, row, begun)
        size = min(size, JOURNAL_SIZE - slot)
        values = self._page.open_group(kind, slot, size)
        return None if values is None else (values, slot, size)

    def close_group(self, slot: int) -> None:
        """Count the rows of the group that have ended, those before ``slot``."""
        if self._forked:
            os._exit(0)
        self._page.close_group(slot)

    def _next_slot(self, id: int, row: int, begun: int) -> int:
        if self._words[COUNT] >= JOURNAL_SIZE:
            self.close_block()
        slot = self._words[COUNT]
        if slot == 0:
            self._block = _Block(id, row, begun)
            self._words[FIRST] = row
        return slot

    def row_done(self, id: int, row: int, result: object, begun: int) -> int:
        """Add the result of one row; return when the next one begins, if it is known.

        Args:
            id: The task.
            row: The number of the row.
            result: Its result.
            begun: When it began, as far as known.
        """
        if self._forked:
            os._exit(0)
        slot = self._next_slot(id, row, begun)
        if self._page.note(slot, result):
            if self._block.is_of_parcels:
                self.close_block()
                return self.row_done(id, row, result, begun)
            self._words[COUNT] = slot + 1
            return begun
        return self._row_done_slowly(id, row, result, begun)

    def _row_done_slowly(self, id: int, row: int, result: object, begun: int) -> int:
        try:
            parts = pickled_result(result, self._place)
        except BaseException as error:  # noqa: BLE001 - it belongs to the row
            return self.row_failed(id, row, error, begun)
        if len(parts) == 1 and self._keep_parcel(id, row, parts[0], begun):
            return begun
        return self._send_row(messages.ROW_DONE, id, row, parts, begun)

    def _keep_parcel(self, id: int, row: int, parcel: Part, begun: int) -> bool:
        """Keep a result in the journal, if it is short and its reader may open it."""
        if len(parcel) > MOST_TEXT or parcel[0] == EARLY:
            return False
        for _ in range(2):
            if not self._block.is_of_parcels:
                self.close_block()
            slot = self._next_slot(id, row, begun)
            if self._page.note_parcel(slot, parcel):
                self._block.is_of_parcels = True
                self._words[COUNT] = slot + 1
                return True
            self.close_block()  # there is no more room
        return False

    def row_failed(self, id: int, row: int, error: BaseException, begun: int) -> int:
        """Add the error of one row; return when the next one begins."""
        parts = [messages.encode_failure(error)]
        return self._send_row(messages.ROW_FAILED, id, row, parts, begun)

    def _send_row(
        self, kind: int, id: int, row: int, parts: Sequence[Part], begun: int
    ) -> int:
        self.close_block()
        now = monotonic_ns()
        self.send(kind, id, parts, row, messages.micros(now - begun))
        return now

    def close_block(self) -> None:
        """Move the results in the journal into a frame; only for the main thread."""
        count = self._words[COUNT]
        if count:
            with self._lock:
                self._send_block(count)
                self._page.clear()
            self._block.is_of_parcels = False

    def _send_block(self, count: int) -> None:
        block = self._block
        micros = messages.micros(monotonic_ns() - block.begun)
        parts = [self._page.packed(count)]
        self.send(messages.BLOCK, block.id, parts, block.first, micros)

    def flush_copy(self) -> None:
        """Send everything from the watcher while the main thread continues.

        Rows in the journal are sent as a copy: they stay there, and the main thread
        sends them again later. The pool recognizes them by their numbers.
        """
        with self._lock:
            count = self._page.ended()
            if count:
                self._send_block(count)
            self._flush()

    def flush_stream(self) -> None:
        """Send the frames; callable from any thread while no rows run."""
        with self._lock:
            self._flush()

    def flush_if_due(self, now: int) -> bool:
        """Send everything unless something was sent less than `SEND_AFTER` ago."""
        if now < self.due:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Send everything; only for the main thread."""
        self.close_block()
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        while self._reports:
            self._add_report(self._reports.popleft())
        self._send_outbox()
        self.due = monotonic_ns() + SEND_AFTER

    def _send_outbox(self) -> None:
        unsent = self._page.unsent()
        if len(unsent):
            send_all(self._sock, unsent)
            self._page.sent()

    def _add_report(self, report: Part) -> None:
        if self._page.append(report):
            return
        self._send_outbox()
        if not self._page.append(report):
            send_all(self._sock, report)
            self._words[BASE] += len(report)
