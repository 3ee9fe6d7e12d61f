"""A wait of a pool's thread: its place is free meanwhile, and what it waits for wanted.

```
 Absence.begin()                         its own engine            other engines
   the place is free ──────────────────▶ one works less
   what it waits for, as far as threads
   are to run that, is wanted ─────────▶ want(tasks)      ───────▶ want(tasks)
   a circle through a limit? then lend
 Absence.end()   takes both back
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parallelize.futures.future import unended
from parallelize.futures.limit_cycles import break_limit_cycle
from parallelize.threads.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future as AnyFuture
    from typing import Protocol

    from parallelize.futures.future import Future
    from parallelize.threads.tasks import PoolThread, TaskOwner

    class Places(Protocol):
        """The threads of a pool, of which so many may work at a time."""

        def begin_managed_wait(self) -> None:
            """Take note that one of them works no longer, but waits."""

        def end_managed_wait(self) -> None:
            """Take note that it works again, maybe beside too many others."""

        def start_or_wake_one(self) -> None:
            """Have a free place taken; raise RecursionError if no thread may."""

    class WaitingThread(PoolThread, Protocol):
        """The worker that waits. Its waits are its own thread's to change."""

        absences: list[ManagedWait]

        @property
        def engine(self) -> Places:
            """Where it has its place."""
            ...

        @property
        def strayed(self) -> bool:
            """Whether it was forked away: it has no place then."""
            ...


class ManagedWait:
    """One wait of one worker.

    It begins in the worker's thread. It may end in another one, as a generator of
    `concurrent.futures.as_completed` may be closed there.
    """

    __slots__ = ("_futures", "_wanted", "_worker")

    def __init__(
        self, worker: WaitingThread, futures: Iterable[AnyFuture[Any]]
    ) -> None:
        self._worker = worker
        self._futures = list(futures)
        self._wanted: list[tuple[TaskOwner, list[Task]]] = []

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """Give the place to others.

        Raises:
            RecursionError: What is waited for needs a thread, and there are too many.
            RuntimeError: It needs one, and the system has none.
        """
        worker = self._worker
        if worker.strayed:
            return
        for task in worker.stack():
            task.gives_back()
        worker.absences.append(self)
        worker.engine.begin_managed_wait()
        try:
            self._want(self._futures)
            # Whoever takes the free place looks for what is wanted before all else.
            worker.engine.start_or_wake_one()
            break_limit_cycle(worker.waited_for())
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Take the place again."""
        worker = self._worker
        if worker.strayed:
            return
        worker.absences.remove(self)
        for engine, tasks in self._wanted:
            engine.want_no_more(tasks)
        worker.engine.end_managed_wait()

    def add(self, future: AnyFuture[Any]) -> None:
        """Wait for one more."""
        self._futures.append(future)
        self._want((future,))
        break_limit_cycle(self._worker.waited_for())

    def drop(self, future: AnyFuture[Any]) -> None:
        """Wait for one less; for the last one the wait ends."""
        self._futures.remove(future)
        if not self._futures:
            self.end()

    @property
    def futures(self) -> list[Future[Any]]:
        """What has to end before this wait does, as far as is known."""
        return unended(self._futures.copy())

    def _want(self, futures: Iterable[AnyFuture[Any]]) -> None:
        tasks = [each for each in unended(futures) if isinstance(each, Task)]
        for engine in {task.engine: None for task in tasks}:
            mine = [task for task in tasks if task.engine is engine]
            # It is noted first: it is to be taken back also if this raises.
            self._wanted.append((engine, mine))
            engine.want(mine)
