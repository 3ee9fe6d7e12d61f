"""How the rows of a map are submitted: alone or in chunks, and how far ahead."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.calls.call import Rows, SubmittedRows
from parallelize.calls.targets import AsyncTarget
from parallelize.futures.peek import ForwardedOutcome
from parallelize.mapping.chunk_size import FixedSize, MeasuredSize, RemoteChunkSize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.calls.backend import MapBackend
    from parallelize.futures.future import Future
    from parallelize.mapping.chunk_size import Sizes
    from parallelize.runtime.options import CallOptions

    Row = tuple[Any, ...]
    Deliver = Callable[[int, Sequence[Any], float], None]  # see `Rows.deliver`

__all__ = ("MapConfig", "plan_map")

#: The number of chunks per worker that may be ahead of the reader,
CHUNKS_AHEAD = 3
#: the minimum number of rows, so that one slow row does not stop the others,
ROWS_AHEAD = 16
#: and the minimum number of async calls, which mostly wait.
ASYNC_AHEAD = 100

#: In threads and foreign workers, rows that take longer (in seconds) are sent alone:
#: sending one costs them little, and they cannot return rows.
ALONE_ABOVE = 0.001

#: The kinds of executors for which each chunk costs milliseconds.
_FAR = ("dask", "ray")


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
        workers: The number of workers.
        in_reader: Whether calls run in the thread that starts them, the reader's.
        keeps_rows: Whether the reader needs the rows of results.
    """

    executor: MapBackend
    fn: Callable[..., Any]
    options: CallOptions
    sizes: Sizes
    least_ahead: int
    chunks_ahead: int | None
    one_by_one: bool
    ordered: bool
    workers: int
    in_reader: bool
    keeps_rows: bool = False

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


def _alone(future: Future[Any]) -> tuple[Future[Any]]:
    return (future,)


def plan_map(
    executor: MapBackend,
    fn: Callable[..., Any],
    options: CallOptions,
    chunksize: int | None,
    buffersize: int | None,
    *,
    ordered: bool,
) -> MapConfig:
    """Decide how the rows of a map are submitted; see `start_map`."""
    kind, workers = executor.kind, max(1, executor._max_workers)
    # Processes apply a timeout to each row of a chunk; other executors cannot. Nor can
    # all of them stop retrying rows when the map is closed.
    loops = isinstance(fn, AsyncTarget) and kind in ("threads", "processes")
    alone = executor._is_watched() or loops
    alone = alone or (kind != "processes" and _has_limits(options))
    alone = alone or options.rate is not None  # it counts rows, not chunks
    alone = alone or (options.retries > 0 and kind in _DEAF)
    lazy = kind == "serial"  # each result is computed when it is read
    if lazy and isinstance(fn, AsyncTarget):
        fn = fn.__call__  # and in this thread
    if lazy or alone:
        chunksize = 1
    least_ahead = 0 if lazy else ROWS_AHEAD * workers
    if loops:
        least_ahead = max(least_ahead, ASYNC_AHEAD)
    return MapConfig(
        executor=executor,
        fn=fn,
        options=options,
        sizes=_sizes(kind, workers, chunksize, buffersize),
        least_ahead=buffersize or least_ahead,
        chunks_ahead=None if buffersize else 0 if lazy else CHUNKS_AHEAD * workers,
        one_by_one=lazy or alone,
        ordered=ordered,
        workers=workers,
        in_reader=lazy,
    )


#: The kinds of executors whose chunks are not notified when the map is closed.
_DEAF = ("foreign", "interpreters")


def _has_limits(options: CallOptions) -> bool:
    return options.timeout is not None or options.limit is not None


def _sizes(
    kind: str, workers: int, chunksize: int | None, buffersize: int | None
) -> Sizes:
    if kind in _FAR and chunksize is None:
        far = (
            RemoteChunkSize.MOST if buffersize is None else buffersize // (2 * workers)
        )
        return RemoteChunkSize(workers, far)
    if chunksize is not None:
        return FixedSize(min(chunksize, buffersize or chunksize))
    most = MeasuredSize.MOST if buffersize is None else buffersize // (2 * workers)
    if kind == "processes":
        target = MeasuredSize.TARGET_IN_PROCESSES
        return MeasuredSize(workers, most, math.inf, target=target)
    in_threads = kind == "threads"
    growth = MeasuredSize.GROWTH_IN_THREADS if in_threads else MeasuredSize.GROWTH
    return MeasuredSize(workers, most, ALONE_ABOVE, growth)
