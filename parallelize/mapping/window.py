"""The engine of a map: input on one side, executor and results on the other.

```
             fill()                    executor             arrived()
 source ── rows, at most a window ──▶ _start_rows ──▶ ... ──▶ order ──▶ take()
   ▲         ahead of the reader      or _submit                          │
   └───────────────── reader's thread (or the drain's) ◀─────────────────┘
```

Only the reader's thread reads the input. Results arrive in any thread.
"""

from __future__ import annotations

import enum
import logging
from array import array
from concurrent.futures import CancelledError
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from parallelize.calls.call import Rows, SubmittedRows
from parallelize.calls.targets import AsyncTarget
from parallelize.futures.future import Outcome
from parallelize.futures.peek import ForwardedOutcome
from parallelize.mapping.input import Input, InputSource, hold_futures
from parallelize.mapping.order import AsCompleted, Chunk, InOrder, Order, Part
from parallelize.runtime import locks
from parallelize.runtime.blocking import call_pending, here
from parallelize.runtime.clock import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.calls.backend import MapBackend
    from parallelize.futures.future import Future
    from parallelize.mapping.chunk_size import Sizes
    from parallelize.runtime.blocking import HelpingWorker
    from parallelize.runtime.options import CallOptions

    Row = tuple[Any, ...]
    Deliver = Callable[[int, Sequence[Any], float], None]  # see `Rows.deliver`

_new_lock = locks.reentrant("arrived")
_new_reading = locks.reentrant("input")


_log = logging.getLogger("parallelize")

_NO_KINDS: frozenset[type] = frozenset()


class MapConfig(NamedTuple):
    """The configuration of a map.

    Attributes:
        executor: Runs the calls.
        fn: The function.
        options: The options of each call.
        sizes: Decides how many rows are sent together.
        least_ahead: The window, in rows; larger if chunks are larger.
        chunks_ahead: The window, in chunks; None if ``least_ahead`` is strict.
        one_by_one: Whether each row is submitted as a separate call.
        ordered: Whether results are yielded in the order of the input.
    """

    executor: MapBackend
    fn: Callable[..., Any]
    options: CallOptions
    sizes: Sizes
    least_ahead: int
    chunks_ahead: int | None
    one_by_one: bool
    ordered: bool

    def window(self, size: int) -> int:
        """The number of rows that may be started ahead of the reader."""
        if self.chunks_ahead is None:
            return self.least_ahead
        return max(self.least_ahead, self.chunks_ahead * size)

    def start_rows(self, rows: Sequence[Row], deliver: Deliver) -> SubmittedRows:
        """Submit rows together."""
        return self.executor._start_rows(Rows(self.fn, rows, self.options, deliver))

    def start_alone(self, rows: Sequence[Row], deliver: Deliver) -> SubmittedRows:
        """Submit one row as a call."""
        future = self.executor._entry(self.fn, rows[0], {}, self.options)
        future.add_done_callback(lambda done: deliver(0, [ForwardedOutcome(done)], 0.0))
        try:
            return SubmittedRows(future.cancel, partial(_alone, future))
        finally:
            del future  # the error of a call that ran in this thread refers here


class MapState(enum.Enum):
    """The life cycle of a map."""

    RUNNING = "reads, starts, gives"
    CLOSED = "the reader wants no more"
    CANCELLED = "the executor cancels it"
    FORKED = "it belongs to the parent process"


class Window:
    """All of a map except the iterator, which the user holds."""

    #: Whether the input can only be read in an event loop.
    is_asynchronous: ClassVar[bool] = False

    def __init__(self, source: InputSource, plan: MapConfig) -> None:
        self.source = source
        self.was_read = False
        self.refused: Exception | None = None  # why the executor accepts no more
        self._plan = plan
        # Each call has a copy of the context in which the map was made.
        self._context = copy_context()
        self._order: Order = InOrder() if plan.ordered else AsCompleted()
        self._life = MapState.RUNNING
        self._ahead = 0  # the number of rows started and not yielded to the reader
        self._begun = 0  # the number of rows started in total
        self._chunks: dict[Chunk, None] = {}  # started, with missing outcomes
        self._wakers: list[Callable[[], object]] = []
        self._make_locks()

    def _make_locks(self) -> None:
        # Held while reading input and starting its calls, so that only one thread
        # does this at a time. It is acquired before _arrived, and the user's code runs
        # under it. Reentrant for finalizers, signal handlers, and an input that reads
        # the map that it feeds.
        self._reading = _new_reading()
        # Its lock guards what __init__ sets above, except the source; a leaf lock.
        # Reentrant for finalizers.
        self._arrived = locks.Condition(_new_lock())

    # For the reader.

    def fill(self, *, asked: int = 0, all_of_it: bool = False) -> None:
        """Start calls until the window is full.

        Args:
            asked: The number of rows the reader waits for, which are not ahead of it.
            all_of_it: Ignore the window.
        """
        with self._reading:
            while self._life is MapState.RUNNING and self.source.state is Input.OPEN:
                size = self._plan.sizes.next(self.source.left)
                ahead = self._ahead
                most = self._plan.window(size) + asked
                if not all_of_it and ahead > 0 and ahead + size > most:
                    break
                self._start(self.source.draw(size))
        if self._life is not MapState.RUNNING:
            self._close_source()

    def take(self) -> Part | None:
        """Return the next outcomes if they have arrived."""
        with self._arrived:
            return self._order.take()

    def wait(self, timeout: float | None) -> bool:
        """Wait until there is something to take, or nothing to wait for.

        Returns:
            False if the timeout, in seconds, expired before.
        """
        if here.pending:
            call_pending(self.awaited())
        worker = here.worker
        if worker is None:
            return self._sleep(timeout)
        futures = self.awaited()
        if timeout is None:  # running a call here might exceed a timeout
            self._help(worker, futures)
        with self._arrived:
            if self._is_news():
                return True
        with worker.away(futures):
            return self._sleep(timeout)

    def _sleep(self, timeout: float | None) -> bool:
        with self._arrived:
            if timeout is None:
                return self._arrived.wait_for(self._is_news)
            return wait_for(self._arrived, self._is_news, timeout)

    def awaited(self) -> list[Future[Any]]:
        """The futures that have to end before `take` can return, as far as known."""
        with self._arrived:
            head = self._order.head()
            chunks = list(self._chunks) if head is None else [head]
            begun = [chunk.begun for chunk in chunks if chunk.begun is not None]
        return [future for each in begun for future in each.futures()]

    def _help(self, worker: HelpingWorker, futures: Sequence[Future[Any]]) -> None:
        """Run what the map waits for in this thread, which is a worker's."""
        if self._order.head() is None and any(each.running() for each in futures):
            return  # an outcome will arrive without help
        for future in futures:
            worker.help(future)
            with self._arrived:
                if self._is_news():
                    return

    def call_when_news(self, waker: Callable[[], object]) -> None:
        """Call ``waker()``, in any thread, when `wait` would return."""
        with self._arrived:
            if not self._is_news():
                self._wakers.append(waker)
                return
        waker()

    def _is_news(self) -> bool:
        if self._life is not MapState.RUNNING or self._order.empty():
            return True
        return self._order.ready()

    def is_on_loop_here(self) -> bool:
        """Whether calls may run on a loop of this thread, which must not block."""
        plan = self._plan
        return isinstance(plan.fn, AsyncTarget) and plan.executor._loop_is_here()

    def given(self, rows: int) -> None:
        """Record that rows were yielded, and the reader asks for more."""
        with self._arrived:
            self._ahead -= rows

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

    # Starting calls.

    def _start(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        plan = self._plan
        if plan.one_by_one or hold_futures(rows):
            for row in rows:
                self._begin((row,), plan.start_alone)
        else:
            self._begin(rows, plan.start_rows)

    def _begin(
        self,
        rows: Sequence[Row],
        start: Callable[[Sequence[Row], Deliver], SubmittedRows],
    ) -> None:
        if self.source.state is Input.FAILED and self.refused is not None:
            return  # a row before this one was refused
        with self._arrived:
            chunk = Chunk(rows, self._begun)
            self._begun += chunk.count
            self._ahead += chunk.count
            self._chunks[chunk] = None
            self._order.begun(chunk)
        try:
            deliver = partial(self._deliver, chunk)
            begun = self._context.copy().run(start, rows, deliver)
        except Exception as error:  # noqa: BLE001 - raised in the reader in its turn
            self._take_back(chunk)
            self.refused = error
            self.source.fail(error)
        except BaseException:
            self._take_back(chunk)
            raise
        else:
            self._keep(chunk, begun)
            del begun  # as in `MapConfig.start_alone`

    def _take_back(self, chunk: Chunk) -> None:
        with self._arrived:
            self._ahead -= chunk.count
            self._begun -= chunk.count
            self._chunks.pop(chunk, None)
            self._order.take_back(chunk)

    def _keep(self, chunk: Chunk, begun: SubmittedRows) -> None:
        with self._arrived:
            if chunk in self._chunks:
                chunk.begun = begun
                return
        if chunk.missing:  # the map was closed in the meantime
            begun.cancel()

    # Receiving outcomes.

    def _deliver(
        self, chunk: Chunk, first: int, outcomes: Sequence[Any], seconds: float
    ) -> None:
        part = _part(chunk, first, outcomes)
        count = len(part.outcomes)
        with self._arrived:
            chunk.missing -= count
            if not chunk.missing:
                self._chunks.pop(chunk, None)
                chunk.begun = None  # it refers to the rows
                chunk.rows = ()
            if self._life in (MapState.CLOSED, MapState.FORKED):
                return
            if seconds > 0:
                self._plan.sizes.measured(count, seconds)
            self._order.arrived(part)
            wakers = self._tell()
        for waker in wakers:
            waker()

    def _tell(self) -> list[Callable[[], object]]:
        if not self._is_news():
            return []
        self._arrived.notify_all()
        wakers, self._wakers = self._wakers, []
        return wakers

    # The end of the map.

    def close(self) -> None:
        """End the map: cancel what has not started, release the input."""
        self._end(MapState.CLOSED)

    async def closed(self) -> None:
        """Wait for what continues after `close`, as far as that is possible."""

    def cancel(self) -> None:
        """End the map for the executor: the reader gets what has already arrived."""
        self._end(MapState.CANCELLED)

    def forget(self) -> None:
        """In a forked child: end without touching what belongs to the parent."""
        self._make_locks()
        self._life = MapState.FORKED
        self._chunks.clear()
        self._wakers.clear()

    def finish(self, *, unread_only: bool) -> None:
        """Start everything that is left, as the executor is about to close.

        Does nothing if there is a ``buffersize`` or the input is known to be endless.
        """
        strict = self._plan.chunks_ahead is None
        if strict or self.source.endless or (unread_only and self.was_read):
            return
        self.fill(all_of_it=True)

    @property
    def is_spent(self) -> bool:
        """Whether nothing is running and nothing is left; read without any lock."""
        if self._life is not MapState.RUNNING:
            return True
        return not self._chunks and self.source.state is not Input.OPEN

    def dropped(self) -> None:
        """Called when the iterator is garbage collected."""
        if self.was_read:
            self.close()
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
            wakers = self._tell()
        for waker in wakers:
            waker()
        if cancel:
            for chunk in chunks:
                _cancel(chunk)
        self._close_source()

    def _close_source(self) -> None:
        # If a thread is reading, it calls this again when it has read.
        locks.if_free(self._reading, self.source.close)


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


def _alone(future: Future[Any]) -> tuple[Future[Any]]:
    return (future,)


class Spent:
    """Replaces the window of a finished map, and holds nothing of it."""

    is_asynchronous: ClassVar[bool] = False
    is_spent: ClassVar[bool] = True
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

    def is_on_loop_here(self) -> bool:
        """Return False, as there is nothing to wait for."""
        return False

    def is_over(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing."""

    async def closed(self) -> None:
        """Wait for nothing."""

    def dropped(self) -> None:
        """Do nothing."""


def _part(chunk: Chunk, first: int, outcomes: Sequence[Any]) -> Part:
    """Combine what has arrived with the arguments of failed rows."""
    if isinstance(outcomes, array):
        return Part(chunk, first, outcomes, _NO_KINDS)
    if not isinstance(outcomes, list):
        outcomes = list(outcomes)
    kinds = set(map(type, outcomes))
    for kind in kinds:
        if issubclass(kind, Outcome) and not kind.succeeds:
            _keep_failed(chunk, first, outcomes)
            break
    return Part(chunk, first, outcomes, kinds)


def _keep_failed(chunk: Chunk, first: int, outcomes: Sequence[Any]) -> None:
    """Keep the arguments of rows that have failed, for the notes of their errors."""
    rows = chunk.rows
    for row, outcome in enumerate(outcomes, first):
        if issubclass(type(outcome), Outcome) and outcome.failed and row < len(rows):
            chunk.failed[row] = rows[row]


def _cancel(chunk: Chunk) -> None:
    begun = chunk.begun
    if begun is not None:
        begun.cancel()
