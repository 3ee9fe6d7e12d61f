"""The engine of a map: input on one side, executor and results on the other.

```
             fill()                    executor             arrived()
 source ── rows, at most a window ──▶ _start_rows ──▶ ... ──▶ order ──▶ take()
   ▲         ahead of the reader      or _submit                          │
   └───────────────── reader's thread (or the drain's) ◀─────────────────┘
```

One thread at a time reads the input: the reader's or, once the input makes that wait,
the `feeder`'s. Results arrive in any thread.
"""

from __future__ import annotations

import logging
import sys
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, ClassVar

from parallelize.mapping.input import MOST_AT_ONCE, Input, InputSource, Pace
from parallelize.mapping.order import AsCompleted
from parallelize.mapping.row_calls import MapState, RowCalls
from parallelize.runtime import locks

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from parallelize.futures.future import Future
    from parallelize.mapping.feeder import Feeder
    from parallelize.mapping.plan import MapConfig

__all__ = ("Spent", "Window")

_new_reading = locks.reentrant("input")

_log = logging.getLogger("parallelize")


class Window(RowCalls):
    """All of a map except the iterator, which the user holds."""

    #: Whether the input can only be read in an event loop.
    is_asynchronous: ClassVar[bool] = False

    #: Whether results are kept in a file, see `checkpoint.window`.
    is_kept: ClassVar[bool] = False

    def __init__(self, source: InputSource, plan: MapConfig) -> None:
        super().__init__(source, plan)
        self.was_read = False
        self._feeder: Feeder | None = None  # changed under the lock for reading
        self._asked = 0  # the number of rows that the reader waits for, for the feeder

    def _make_locks(self) -> None:
        super()._make_locks()
        # Held while the reader's thread reads input and while any thread starts calls,
        # so that only one does at a time. It is acquired before _arrived, and the
        # user's code runs under it. Reentrant for finalizers, signal handlers, and an
        # input that reads the map that it feeds.
        self.reading: threading.RLock = _new_reading()
        # Notified when the feeder may go on; its lock is the one of _arrived.
        self._may_feed = locks.Condition(self._arrived._lock)  # type: ignore[attr-defined]

    # For the reader.

    def fill(self, *, asked: int = 0, all_of_it: bool = False) -> None:
        """Start calls until the window is full.

        Args:
            asked: The number of rows the reader waits for, which are not ahead of it.
            all_of_it: Ignore the window.
        """
        if self._feeder is None:
            with self.reading:
                self._fill_here(asked, all_of_it=all_of_it)
            if self._feeder is not None:
                self._feeder.settle()
        feeder = self._feeder
        if feeder is not None:
            with self._arrived:
                self._asked = sys.maxsize if all_of_it else max(asked, self._asked)
                self._may_feed.notify_all()
            if all_of_it:
                feeder.join(None)
                if self._feeder is None and self.is_wanting():
                    self.fill(all_of_it=True)  # it has retired
        self.close_if_over()

    def _fill_here(self, asked: int, *, all_of_it: bool) -> None:
        source = self.source
        while self.is_wanting() and self._feeder is None:
            size = self._plan.sizes.next(source.left)
            ahead = self._ahead
            most = self._plan.window(size) + asked
            if not all_of_it and ahead > 0 and ahead + size > most:
                return
            if source.is_to_be_fed() and self._leave_to_feeder():
                return
            self._start(source.draw(size))
            if source.waited and not all_of_it and self._is_ready():
                return  # reading on might keep the reader from what is ready

    def given(self, rows: int) -> None:
        """Record that rows were yielded, and the reader asks for more."""
        with self._arrived:
            self._ahead -= rows
            if self._feeder is not None:
                self._may_feed.notify_all()

    def is_over(self) -> bool:
        """Whether nothing is left to yield; raises the error that ends the map."""
        with self._arrived:
            life, empty = self._life, self._order.empty()
        if life is MapState.CANCELLED:
            raise CancelledError
        if life is MapState.FORKED:
            msg = "the map was made before os.fork(), it belongs to the parent process"
            raise RuntimeError(msg)
        if life is MapState.CLOSED:
            return True
        if not empty or self.source.state is Input.OPEN:
            return False
        if self.source.error is not None:
            error, self.source.error = self.source.error, None
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame
        return True

    def wait(self, timeout: float | None) -> bool:
        """Wait as `RowCalls.wait` does; an input must not wait for its own map."""
        feeder = self._feeder
        if feeder is not None:
            with self._arrived:
                self._arrived.notify_all()  # the feeder may wait for what was taken
                if feeder.is_here() and self._order.empty():
                    msg = "the input of this map waits for results of the map itself"
                    raise RuntimeError(msg)
        return super().wait(timeout)

    @property
    def is_fed(self) -> bool:
        """Whether a feeder reads the input."""
        return self._feeder is not None

    def belongs_to_a_thread(self) -> bool:
        """Whether the input is known to be readable in the current thread only."""
        return self._feeder is None and self.source.belongs_to_a_thread()

    def _comes_by_itself(self) -> bool:
        return self._feeder is not None and not self._feeder.is_here()

    def _awaited_by_input(self) -> list[Future[Any]]:
        return [] if self._feeder is None else self.source.awaited()

    # For the feeder.

    def _leave_to_feeder(self) -> bool:
        """Let another thread read the input, if possible; whether one does."""
        from parallelize.mapping import feeder

        if self._plan.in_reader or not feeder.is_possible(self.source):
            self.source.pace = Pace.BOUND
            return False
        self._feeder = started = feeder.Feeder(self)
        try:
            started.start()
        except RuntimeError:  # no thread can be started
            self._feeder = None
        return self._feeder is not None

    def room(self, held: int, *, wait: bool) -> int | None:
        """The number of rows that the feeder may read; 0 if no more is wanted.

        Args:
            held: The number of rows that it has read and not started.
            wait: Whether to wait for room; else the result may be None.
        """
        with self._arrived:
            while self.is_wanting():
                ahead = self._ahead + held
                size = self.chunk_size()
                most = self._plan.window(size) + self._asked
                if not ahead or ahead + min(size, self._plan.window(size)) <= most:
                    return min(max(most - ahead, 1), MOST_AT_ONCE)
                if not wait:
                    return None
                self._may_feed.wait()
        return 0

    def retire(self, feeder: Feeder) -> bool:
        """Leave the rest of a quick input to the reader; whether it is left."""
        with self.reading:
            if self._feeder is not feeder or not self.is_wanting():
                return False
            self.source.pace = Pace.QUICK
            self._feeder = None
        self.announce()  # a reader that waits has to read on
        self.close_if_over()
        return True

    def close_if_over(self) -> None:
        """Close the input, if the map was closed while `reading` was held."""
        if self._life is not MapState.RUNNING:
            self._close_source()

    def is_wanting(self) -> bool:
        """Whether more input is wanted; read without any lock."""
        return self._life is MapState.RUNNING and self.source.state is Input.OPEN

    def is_idle(self) -> bool:
        """Whether a worker may be without work; read without any lock."""
        return len(self._chunks) < self._plan.workers

    def chunk_size(self) -> int:
        """The number of rows of the next chunk."""
        return self._plan.sizes.next(self.source.left)

    def start_rows(self, rows: list[Any]) -> None:
        """Start the calls of rows that the feeder, which holds `reading`, has read."""
        self._start(self.source.drawn(rows))
        if self.source.state is not Input.OPEN:  # the executor accepts no more
            self.announce()

    def fed(self, feeder: Feeder) -> None:
        """Called at the end of the feeder, which closes the input of a map that ended.

        A map that is closed later closes the input itself, see `_close_source`.
        """
        with self._arrived:
            feeder.is_over = True
        self.announce()
        try:
            self.close_if_over()
        except Exception:  # noqa: BLE001 - the reader has gone on
            _log.exception("the input of a map that was closed has failed")

    # The end of the map.

    def close(self) -> None:
        """End the map: cancel what has not started, release the input."""
        self._end(MapState.CLOSED)
        feeder = self._feeder
        if feeder is not None:
            feeder.join_briefly()

    async def saved(self) -> None:
        """Write what has arrived to the file of the map."""

    async def closed(self) -> None:
        """Wait for what continues after `close`, as far as that is possible."""
        feeder = self._feeder
        if feeder is not None:
            await feeder.join_in_loop()

    def cancel(self) -> None:
        """End the map for the executor: the reader gets what has already arrived."""
        self._end(MapState.CANCELLED)

    def forget(self) -> None:
        """In a forked child: end without touching what belongs to the parent."""
        self._make_locks()
        self._life = MapState.FORKED
        if self._feeder is not None:
            self._feeder = None
            self.source.end()  # not closed: a thread of the parent may be reading it
        self._chunks.clear()
        self._wakers.clear()

    def finish(self, *, unread_only: bool) -> None:
        """Start everything that is left, as the executor is about to close.

        That is what fits into the window if there is a ``buffersize`` or the input is
        known to be endless.
        """
        feeder = self._feeder
        if unread_only and self.was_read:
            return
        if self._plan.chunks_ahead is not None and not self.source.endless:
            self.fill(all_of_it=True)
        elif feeder is not None:
            feeder.fill_window()

    @property
    def is_spent(self) -> bool:
        """Whether nothing is running and nothing is left; read without any lock."""
        if self._life is not MapState.RUNNING:
            return True
        return not self._chunks and self.source.state is not Input.OPEN

    def dropped(self) -> None:
        """Called when the iterator is garbage collected."""
        if self.was_read:
            self._end(MapState.CLOSED)
        elif self._plan.chunks_ahead is None or self.source.state is not Input.OPEN:
            self._end(MapState.CLOSED, cancel=False)
        else:
            _drain(self)

    def _end(self, life: MapState, *, cancel: bool = True) -> None:
        with self._arrived:
            if self._life is not MapState.RUNNING:
                return
            self._life = life
            chunks, self._chunks = self._chunks, {}
            if life is MapState.CLOSED:
                self._order = AsCompleted()  # empty: this releases the outcomes
            self._may_feed.notify_all()
            wakers = self._tell()
        for waker in wakers:
            waker()
        if cancel:
            for chunk in chunks:
                if chunk.begun is not None:
                    chunk.begun.cancel()
        self._close_source()

    def _close_source(self) -> None:
        # If a thread is reading, it does this when it has read.
        feeder = self._feeder
        if feeder is None or feeder.is_over:
            locks.if_free(self.reading, self.source.close)
        else:
            self.source.close_results()


def _drain(window: Window) -> None:
    """Run all calls for their effects, in place of a reader."""
    try:
        while True:
            window.fill()
            part = window.take()
            if part is not None:
                window.given(len(part.outcomes))
            elif window.is_over():
                return
            else:
                window.wait(None)
    except CancelledError:
        return
    except Exception:  # noqa: BLE001 - there is no reader to raise it in
        _log.exception("a map that is not read any more has failed")


class Spent:
    """Replaces the window of a finished map, and holds nothing of it."""

    is_asynchronous: ClassVar[bool] = False
    is_kept: ClassVar[bool] = False
    is_spent: ClassVar[bool] = True
    is_fed: ClassVar[bool] = False
    was_read = True

    def fill(self, *, asked: int = 0) -> None:
        """Start nothing."""

    def take(self) -> None:
        """Return nothing."""

    def given(self, rows: int) -> None:
        """Count nothing."""

    def wait(self, timeout: float | None) -> bool:
        """Wait for nothing."""
        return True

    def awaited(self) -> list[Future[Any]]:
        """Return an empty list."""
        return []

    def call_when_news(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` at once."""
        waker()

    def belongs_to_a_thread(self) -> bool:
        """Return False, as there is nothing to read."""
        return False

    def is_on_loop_here(self) -> bool:
        """Return False, as there is nothing to wait for."""
        return False

    def is_over(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing."""

    async def saved(self) -> None:
        """Write nothing."""

    async def closed(self) -> None:
        """Wait for nothing."""

    def dropped(self) -> None:
        """Do nothing."""
