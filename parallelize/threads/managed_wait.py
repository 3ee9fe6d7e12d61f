"""A wait of a pool's thread: it gives its place to others, and marks calls as wanted.

```
 ManagedWait.begin()                     its own engine            other engines
   its place becomes free ─────────────▶ one active thread less
   calls that it waits for and that
   threads must run become wanted ─────▶ want(tasks)      ───────▶ want(tasks)
   a cycle through a limit is broken
 ManagedWait.end()   undoes the first two
```
"""

from __future__ import annotations

from parallelize.futures.future import unended
from parallelize.futures.limit_cycles import break_limit_cycle
from parallelize.threads.tasks import ThreadTask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future as AnyFuture
    from typing import Any, Protocol

    from parallelize.futures.future import Future
    from parallelize.threads.tasks import PoolThread, TaskPool

    class Places(Protocol):
        """The threads of a pool, a limited number of which are active at a time."""

        def begin_managed_wait(self) -> None:
            """Record that an active thread is about to wait."""

        def end_managed_wait(self) -> None:
            """Record that a wait has ended; too many threads may be active now."""

        def start_or_wake_one(self) -> None:
            """Let a thread take a free place; raise RecursionError if none may."""

    class WaitingThread(PoolThread, Protocol):
        """The worker that waits. Only its own thread changes its waits."""

        waits: list[ManagedWait]

        @property
        def engine(self) -> Places:
            """The pool in which it has its place."""
            ...

        @property
        def orphaned(self) -> bool:
            """Whether it is in a forked child, where it has no place."""
            ...


class ManagedWait:
    """One wait of one worker.

    It begins in the worker's thread. It may end in another one, where a generator of
    `concurrent.futures.as_completed` may be closed.
    """

    __slots__ = ("_futures", "_wanted", "_worker")

    def __init__(
        self, worker: WaitingThread, futures: Iterable[AnyFuture[Any]]
    ) -> None:
        self._worker = worker
        self._futures = list(futures)
        self._wanted: list[tuple[TaskPool, list[ThreadTask]]] = []

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """Give the place to other threads.

        Raises:
            RecursionError: The awaited calls need a thread, and there are too many.
            RuntimeError: They need a thread, and the system cannot start another.
        """
        worker = self._worker
        if worker.orphaned:
            return
        for task in worker.stack():
            task.gives_back()
        worker.waits.append(self)
        worker.engine.begin_managed_wait()
        try:
            self._want(self._futures)
            # The thread that takes the free place runs a wanted call before all others.
            worker.engine.start_or_wake_one()
            break_limit_cycle(worker.waited_for())
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Take the place again."""
        worker = self._worker
        if worker.orphaned:
            return
        worker.waits.remove(self)
        for engine, tasks in self._wanted:
            engine.want_no_more(tasks)
        worker.engine.end_managed_wait()

    def add(self, future: AnyFuture[Any]) -> None:
        """Wait for one more future."""
        self._futures.append(future)
        self._want((future,))
        break_limit_cycle(self._worker.waited_for())

    def drop(self, future: AnyFuture[Any]) -> None:
        """Wait for one future less; after the last one the wait ends."""
        self._futures.remove(future)
        if not self._futures:
            self.end()

    @property
    def futures(self) -> list[Future[Any]]:
        """The futures that have to end before this wait does, as far as is known."""
        return unended(self._futures.copy())

    def _want(self, futures: Iterable[AnyFuture[Any]]) -> None:
        tasks = [each for each in unended(futures) if isinstance(each, ThreadTask)]
        for engine in {task.engine: None for task in tasks}:
            mine = [task for task in tasks if task.engine is engine]
            # Recorded first, as it must be undone even if this raises.
            self._wanted.append((engine, mine))
            engine.want(mine)
