"""The calls of a map: rows that were started, and outcomes that have arrived.

```
 begin(rows) ──▶ executor ──▶ ... ──▶ _deliver() ──▶ order ──▶ take()
 one thread at a time                 any thread               the reader's
```
"""

from __future__ import annotations

import enum
from array import array
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.calls.targets import AsyncTarget
from parallelize.futures.future import Outcome
from parallelize.mapping.input import Input, InputSource, hold_futures
from parallelize.mapping.order import AsCompleted, Chunk, InOrder, Order, Part
from parallelize.runtime import locks
from parallelize.runtime.blocking import call_pending, here
from parallelize.runtime.clock import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.calls.call import SubmittedRows
    from parallelize.futures.future import Future
    from parallelize.mapping.plan import Deliver, MapConfig, Row
    from parallelize.runtime.blocking import HelpingWorker

__all__ = ("MapState", "RowCalls")

_new_lock = locks.reentrant("arrived")

_NO_KINDS: frozenset[type] = frozenset()


class MapState(enum.Enum):
    """The life cycle of a map."""

    RUNNING = "reads, starts, gives"
    CLOSED = "the reader wants no more"
    CANCELLED = "the executor cancels it"
    FORKED = "it belongs to the parent process"


class RowCalls:
    """The calls of a map, their outcomes, and the life of the map.

    Attributes:
        source: The input.
        refused: Why the executor accepts no more rows.
    """

    def __init__(self, source: InputSource, plan: MapConfig) -> None:
        self.source = source
        self.refused: Exception | None = None
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
        # Its lock guards what __init__ sets above, except the source; a leaf lock.
        # Reentrant for finalizers.
        self._arrived = locks.Condition(_new_lock())

    # For the reader.

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
        if not chunks:
            return self._awaited_by_input()
        return [future for each in begun for future in each.futures()]

    def _awaited_by_input(self) -> list[Future[Any]]:
        """The futures that have to end before the next row, as far as known."""
        return []

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
        if self._life is not MapState.RUNNING:
            return True
        if self._order.empty():
            return not self._comes_by_itself() or self.source.state is not Input.OPEN
        return self._order.ready()

    def _comes_by_itself(self) -> bool:
        """Whether another thread than the reader's reads the input."""
        return False

    def _is_ready(self) -> bool:
        with self._arrived:
            return self._order.ready()

    def is_on_loop_here(self) -> bool:
        """Whether calls may run on a loop of this thread, which must not block."""
        plan = self._plan
        return isinstance(plan.fn, AsyncTarget) and plan.executor._loop_is_here()

    # Starting calls; the caller makes sure that only one thread at a time does.

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
            self._refuse(error)
        except BaseException:
            self._take_back(chunk)
            raise
        else:
            self._keep(chunk, begun)
            del begun  # as in `MapConfig.start_alone`

    def _refuse(self, error: Exception) -> None:
        """Start no more rows; the error is raised in the reader in its turn."""
        self.refused = error
        self.source.fail(error)

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
                if not self._plan.keeps_rows:
                    chunk.rows = ()
            if self._life in (MapState.CLOSED, MapState.FORKED):
                return
            if seconds > 0:
                self._measured(chunk, count, seconds)
            self._order.arrived(part)
            wakers = self._tell()
        for waker in wakers:
            waker()

    def _measured(self, chunk: Chunk, count: int, seconds: float) -> None:
        sizes = self._plan.sizes
        sizes.measured(count, seconds)
        chunk.seconds += seconds
        # Only what a whole chunk took lets chunks grow, also if it came row by row.
        if not chunk.missing and count < chunk.count:
            sizes.measured(chunk.count, chunk.seconds)

    def _tell(self) -> list[Callable[[], object]]:
        if not self._is_news():
            return []
        self._arrived.notify_all()
        wakers, self._wakers = self._wakers, []
        return wakers

    def announce(self) -> None:
        """Notify the reader that the state of the input has changed."""
        with self._arrived:
            wakers = self._tell()
        for waker in wakers:
            waker()


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
