"""The thread that reads the input of a map where reading may wait.

```
 reader's thread    gives ready results ◀── order ◀── arrived() ◀── executor
       │ room                                                          ▲
       ▼                                                               │
 feeder's thread    next(input) ──▶ held rows ──▶ chunk ──── start ────┘
 timer's thread                          └─ a millisecond old ─▲
```

The reader's thread reads what is in memory. Any other input may keep that thread from
giving results that are ready, so a feeder reads it: from the second row on, or from the
first where that is the result of another call (a map over a map) or the reader's thread
runs an event loop. If the first window is full in no time, the feeder leaves the input
to the reader's thread, where each row costs less, until that has to wait after all.

A row waits in the feeder for others only while all workers are busy, and for no longer
than `LONGEST_HOLD` seconds.
"""

from __future__ import annotations

import math
import threading
from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING, Any

from parallelize.mapping.input import Pace, is_loop_here
from parallelize.runtime import lifecycle, locks, timer
from parallelize.runtime.blocking import here
from parallelize.runtime.clock import perf_counter

if TYPE_CHECKING:
    from parallelize.mapping.input import InputSource
    from parallelize.mapping.window import Window

__all__ = ("Feeder", "is_possible")

#: The seconds in which the first window of a quick input is full.
NO_TIME = 0.005

#: Seconds for which a row may be held until others make it a chunk.
LONGEST_HOLD = 0.001

#: Seconds for which closing a map waits for the input to be closed. An input that
#: waits longer for its next item is closed when that comes.
LONGEST_CLOSING = 1.0


def is_possible(source: InputSource) -> bool:
    """Whether another thread may read this input.

    A thread that runs calls of a pool has a worker's slot, and places in limits, which
    only it can give to a call that it waits for; and an input may belong to its thread.
    Where threads cannot be daemons, one that waits for an item would keep the
    interpreter from ending.
    """
    if here.worker is not None or here.limits or lifecycle.is_ending():
        return False
    if source.pace is not Pace.RESULTS and not lifecycle.daemons:
        return False
    return not source.belongs_to_a_thread()


_END: Any = object()


class Feeder:
    """Reads the input of one map, and starts the calls of its rows."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._may_retire = window.source.pace is Pace.UNKNOWN and not is_loop_here()
        self._asked_at = math.inf  # when it asked for a row that has not come yet
        # Set when the first window is full, or the input is known to wait.
        self._settled = locks.Latch()
        self._was_full = locks.Latch()  # set when a window is full, or at the end
        # The two are changed while the window's lock for reading is held.
        self._held: list[Any] = []  # rows that were read and not started
        self._is_timed = False  # whether the timer is going to start them
        self._size = 1  # the number of rows of the next chunk
        #: Whether it reads no more; changed under the lock of the window's results.
        self.is_over = False
        self._thread = threading.Thread(
            target=copy_context().run,
            args=(self._run,),
            name="parallelize-input",
            daemon=lifecycle.daemons,
        )

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: No thread can be started.
        """
        self._thread.start()

    def settle(self) -> None:
        """Let an input that is quick fill its first window.

        So the first calls have been started when `map` returns, as in other pools. An
        input that waits is not waited for.
        """
        if not self._may_retire:
            return
        while not self._settled.wait(NO_TIME):
            if perf_counter() - self._asked_at >= NO_TIME:
                return

    def fill_window(self) -> None:
        """Wait until the first window is full, or all was read."""
        if not self.is_here():
            self._was_full.wait()

    def is_here(self) -> bool:
        """Whether this is the feeder's thread."""
        return self._thread.ident == threading.get_ident()

    def is_running(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    def join(self, seconds: float | None) -> None:
        """Wait until the feeder has ended, except in its own thread."""
        if not self.is_here():
            self._thread.join(seconds)

    def join_briefly(self) -> None:
        """Wait until the input is closed, where that is soon and blocks no loop."""
        if not is_loop_here():
            self.join(LONGEST_CLOSING)

    async def join_in_loop(self) -> None:
        """Wait likewise, without blocking the running loop."""
        import asyncio

        if self.is_running() and not self.is_here():
            await asyncio.to_thread(self.join, LONGEST_CLOSING)

    # In its thread.

    def _run(self) -> None:
        window = self._window
        self._size = window.chunk_size()
        try:
            if self._may_retire and self._is_quick() and window.retire(self):
                return  # the reader reads on
            self._settled.set()
            self._read()
        except BaseException as error:  # noqa: BLE001 - raised in the reader in its turn
            self._flush()
            window.source.fail(error)
        finally:
            self._settled.set()
            self._was_full.set()
        window.fed(self)

    def _is_quick(self) -> bool:
        """Read the first window; return whether it was full in no time."""
        rows = self._window.source.rows()
        waited = 0.0
        for _ in range(self._room()):
            self._asked_at = begun = perf_counter()
            row = next(rows, _END)
            self._asked_at = math.inf
            waited += perf_counter() - begun
            if row is _END:
                self._end()
                return False
            if not self._add(row) or waited >= NO_TIME:
                return False
            del row  # do not keep it alive while the next one is awaited
        self._flush()
        return True

    def _read(self) -> None:
        """Read to the end, or as far as is wanted."""
        rows = self._window.source.rows()
        while room := self._room():
            read = 0
            for row in islice(rows, room):
                read += 1
                if not self._add(row):
                    return
                del row  # do not keep it alive while the next one is awaited
            if read < room:
                self._end()

    def _end(self) -> None:
        self._flush()
        self._window.source.end()

    def _room(self) -> int:
        """Wait for room; return the number of rows there is room for, 0 at the end."""
        window = self._window
        room = window.room(len(self._held), wait=False)
        if room is None:
            self._flush()
            self._settled.set()
            self._was_full.set()
            room = window.room(0, wait=True)
        return room or 0

    def _add(self, row: Any) -> bool:
        """Keep a row for the next chunk, or start it; False if no more is wanted."""
        window = self._window
        with window.reading:
            held = self._held
            held.append(row)
            if len(held) >= self._size or window.is_idle():
                self._flush()
            elif not self._is_timed:
                self._hold_for_a_while()
        return window.is_wanting()

    def _hold_for_a_while(self) -> None:
        try:
            timer.after(LONGEST_HOLD, self._flush_in_time)
        except RuntimeError:  # no thread can be started
            self._flush()
        else:
            self._is_timed = True

    def _flush_in_time(self) -> None:
        with self._window.reading:
            self._is_timed = False
            self._flush()
        self._window.close_if_over()

    def _flush(self) -> None:
        window = self._window
        with window.reading:
            rows, self._held = self._held, []
            if rows and window.is_wanting():
                window.start_rows(rows)
            self._size = window.chunk_size()
