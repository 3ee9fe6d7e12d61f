"""Which calls of this worker were asked to stop.

```
 pool ══ STOP id, row ══ control socket ══▶ watcher: add()
                                            the call: stopping() ──▶ asked()
```
"""

from __future__ import annotations

from parallelize.process.wire.journal import TASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parallelize.process.wire.frames import Frame
    from parallelize.process.wire.journal import Journal

#: The number of requests that are remembered: those that came too late are among them.
MOST = 1000


class Stops:
    """The requests; the watcher adds them, the thread of a call looks."""

    def __init__(self, page: Journal) -> None:
        self._page = page
        self._all = False
        self._looked = 0  # the task that was running when `asked` was called
        # By task: the rows that are to stop, from 1 on; 0 for the whole task.
        self._rows: dict[int, set[int]] = {}

    def add(self, frame: Frame) -> None:
        """Take a request: for a task, for one of its rows, or for all (id 0)."""
        if not frame.id:
            self._all = True
            return
        while len(self._rows) >= MOST:
            del self._rows[next(iter(self._rows))]
        self._rows.setdefault(frame.id, set()).add(frame.extra)

    def are_looked_at(self) -> bool:
        """Whether the task that the page names has asked for them."""
        return self._looked == self._page.words[TASK]

    def asked(self, id: int = 0) -> bool:
        """Whether a task is to stop; by default the one that the page names."""
        self._looked = self._page.words[TASK]
        if self._all or not self._rows:
            return self._all
        rows = self._rows.get(id or self._page.words[TASK])
        if rows is None:
            return False
        return 0 in rows or self._page.running() + 1 in rows
