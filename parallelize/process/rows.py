"""Runs many calls of one function in a worker, row after row.

The main thread takes rows from the left of a deque; the watcher takes from its
right what is to be given back. Each is one step that the other cannot divide.
"""

from __future__ import annotations

import pickle
from collections import deque
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from parallelize.process import messages, pickling
from parallelize.process.page import BEGUN, NO_ROW, ROW, TASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.process.sender import Sender
    from parallelize.process.transport import Frame

#: Nanoseconds that a run of rows may take between two looks at the clock.
CLOCK_EVERY = 100_000


class Rows:
    """Calls one function with many rows of arguments."""

    def __init__(self, frame: Frame, words: memoryview, sender: Sender) -> None:
        self.id = frame.id
        self._encoded = bytes(frame.parts[0])
        self._flat = pickle.loads(frame.parts[1])  # plain types only: cannot fail
        self._arity = frame.extra
        self._timed = bool(frame.micros)  # the pool watches how long each row runs
        self._words = words
        self._sender = sender
        self._rows: deque[Any] = deque()

    def run(self) -> None:
        self._words[ROW] = NO_ROW
        self._words[TASK] = self.id
        try:
            fn = pickling.decode_function(self._encoded)
        except BaseException as error:  # noqa: BLE001 - it belongs to every row
            self._fail_all(error)
            return
        # The watcher may give rows up from here on: the deque stays the same one.
        if self._arity:
            columns = [iter(self._flat)] * self._arity
            self._rows = deque(zip(*columns, strict=True))
            self._run_plain(fn)
        else:
            self._rows = deque(zip(self._flat, strict=True))
            self._run_pickled(fn)
        self._sender.close_block()

    def give_up(self) -> int:
        """Give up the rows that have not begun; return how many (from the end)."""
        count = 0
        while True:
            try:
                self._rows.pop()
            except IndexError:
                return count
            count += 1

    def _run_plain(self, fn: Callable[..., Any]) -> None:
        """Run rows whose arguments are there: the fast loop.

        The clock is read every so many rows, as many as run in `CLOCK_EVERY`;
        where calls have a deadline, before every row.
        """
        take, words, sender, id = self._rows.popleft, self._words, self._sender, self.id
        row, check, stride = 0, 0, 1
        begun = monotonic_ns()
        while True:
            try:
                args = take()
            except IndexError:
                return
            if row >= check:
                now = monotonic_ns()
                stride = self._stride(stride, now - begun)
                check = row + stride
                words[BEGUN] = begun = now
                if now >= sender.due:
                    sender.flush()
            words[ROW] = row
            try:
                result = fn(*args)
            except BaseException as error:  # noqa: BLE001 - it belongs to the row
                sender.row_failed(id, row, error, begun)
            else:
                sender.row_done(id, row, result, begun)
            row += 1

    def _stride(self, stride: int, took: int) -> int:
        """How many rows to run until the clock is read again."""
        if self._timed:
            return 1
        return min(stride * 2, 256) if took < CLOCK_EVERY else max(stride // 4, 1)

    def _run_pickled(self, fn: Callable[..., Any]) -> None:
        """Run rows whose arguments are pickled, each on its own."""

        def unpickled(data: bytes) -> Any:
            return fn(*pickling.loads([data]))

        self._run_plain(unpickled)

    def _fail_all(self, error: BaseException) -> None:
        failure = [messages.encode_failure(error)]
        for row in range(len(self._flat) // (self._arity or 1)):
            self._sender.send(messages.ROW_FAILED, self.id, failure, row)
