"""Circles of waits through a limit, and how they are untied.

```
 f holds the place of a limit ──waits for──▶ g, that runs ──waits for──▶ another f
          ▲                                                                  │
          └───────────────── which waits for a place in the limit ◀──────────┘
```

A call that waits for a place in the limit, while who has the place waits for that
very call, is given it: who has the place does not run until the call has ended. The
wait that closes a circle finds it, for it is noted before it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallelize.threads.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parallelize.futures import Future
    from parallelize.threads.workers import Worker


def untangle(worker: Worker) -> None:
    """Lend places in limits where a wait of this worker has closed a circle."""
    for task in _stuck(_waited_for(worker)):
        limit = task.waits_for_place()
        if limit is None or all(task is not each for each in _stuck(limit.inside())):
            continue
        call = task.limited
        if call is not None and limit.take_out(call):
            call.start()


def _stuck(futures: Iterable[Future[object]]) -> list[Task]:
    """The calls that wait for a place in a limit, and without which these cannot end.

    Followed are the waits of who runs a call, and who has the places in a limit.
    """
    found: list[Task] = []
    seen: set[int] = set()
    following = list(futures)
    while following:
        future = following.pop()
        if id(future) in seen or not isinstance(future, Task):
            continue
        seen.add(id(future))
        limit = future.waits_for_place()
        if limit is not None:
            found.append(future)
            following.extend(limit.inside())
        for runner in _runners(future):
            following.extend(_waited_for(runner))
    return found


def _waited_for(worker: Worker) -> Iterator[Future[object]]:
    for absence in worker.absences.copy():
        yield from absence.futures


def _runners(task: Task) -> Iterator[Worker]:
    """The worker that runs the task, if it runs; and who has just come too late for it.

    Two may have taken it, one from the queue and one as what was wanted most. Which of
    them has claimed it cannot be told from here, and the other waits for nothing.
    """
    if task.running():
        for worker in task.engine.workers():
            if any(each is task for each in worker.stack()):
                yield worker
