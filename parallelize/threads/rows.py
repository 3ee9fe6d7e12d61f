"""Rows of a map on their way through threads."""

from __future__ import annotations

from contextvars import copy_context
from time import perf_counter
from typing import TYPE_CHECKING, Any

from parallelize.calls import Begun, Rows, run_retrying
from parallelize.futures import Failure
from parallelize.threads.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallelize.futures import Future
    from parallelize.threads.engine import Engine


class RowsRun:
    """Rows of a map on their way through threads.

    Rows that take longer than the map thought are shared out anew, so that no
    thread sits on many long ones while others rest.
    """

    __slots__ = ("_cancelled", "_engine", "_rows", "_tasks")

    #: Seconds after which a thread gives the rest of its rows back.
    SHARE_AFTER = 0.02

    def __init__(self, engine: Engine, rows: Rows) -> None:
        self._engine = engine
        self._rows = rows
        self._cancelled = False  # set once, by anybody; read before each row
        # Appended to by threads that run some of it; copied by who waits for it.
        self._tasks: list[Task] = []

    def start(self) -> Begun:
        """Put the rows into the queue."""
        self._engine.enqueue(self._task(0, len(self._rows.rows)))
        return Begun(self._cancel, self._futures)

    def _cancel(self) -> None:
        self._cancelled = True

    def _futures(self) -> Sequence[Future[Any]]:
        return self._tasks.copy()

    def _task(self, first: int, end: int) -> Task:
        task = Task(self._engine, self._run, (first, end), {})
        task.add_done_callback(lambda done: self._failed(done, first, end))
        self._tasks.append(task)
        return task

    def _failed(self, done: Future[Any], first: int, end: int) -> None:
        # `_run` itself raises nothing: the pool broke, or was forked away.
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._rows.deliver(first, [Failure(error)] * (end - first), 0.0)

    def _run(self, first: int, end: int) -> None:
        begun = perf_counter()
        outcomes = self._outcomes(first, end, begun + self.SHARE_AFTER)
        reached = first + len(outcomes)
        if reached < end and not self._cancelled:
            self._share(reached, end)
        if outcomes:
            self._rows.deliver(first, outcomes, perf_counter() - begun)

    def _outcomes(self, first: int, end: int, until: float) -> list[Any]:
        fn, options = self._rows.fn, self._rows.options
        here = copy_context()
        outcomes: list[Any] = []
        for row in self._rows.rows[first:end]:
            if self._cancelled or perf_counter() > until:
                break
            # Each call has its own copy: what one sets is not there in the next.
            context = here.copy()
            if options.retries:
                outcomes.append(context.run(run_retrying, fn, row, {}, options))
            else:
                try:
                    outcomes.append(context.run(fn, *row))
                except BaseException as error:  # noqa: BLE001 - the call's own
                    outcomes.append(Failure(error))
        return outcomes

    def _share(self, first: int, end: int) -> None:
        step = -(-(end - first) // self._engine.max_workers)
        tasks = [
            self._task(start, min(start + step, end))
            for start in range(first, end, step)
        ]
        self._engine.enqueue_first(tasks)
