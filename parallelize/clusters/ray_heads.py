"""The heads of calls over ``ray://``, fetched together when many calls are made.

```
 add ── a call alone ─────────────────────────▶ follow(): its own request
  └──── one of many ─ 10 ms ▸ wait ▸ one get ──▶ follow(head)
                                └ not there yet ─▶ follow(): its own request
```

Each request to Ray's server costs about as much as a call that does nothing, and so
does the release of a reference, which can wait until there is nothing else to do.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from parallelize.runtime import timer
from parallelize.runtime.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    Follow = Callable[..., object]

__all__ = ("Heads",)

#: Seconds between two calls that are made one right after the other.
BRIEF = 0.003

#: Seconds in which calls come together, and for which their heads are then awaited.
TOGETHER, PATIENCE = 0.01, 0.05

#: The number of calls that are asked about at once, and of those that are enough.
ROUND, ENOUGH = 128, 32

#: Seconds without a call after which references are released; the most that are kept
#: for that, and the bytes that the answer of one may have.
QUIET, KEPT, SMALL = 0.1, 512, 1 << 15


class Heads:
    """Lets calls be followed, one by one or together."""

    def __init__(
        self, ray: Any, later: Callable[[Callable[[], object]], object]
    ) -> None:
        """Prepare it.

        Args:
            ray: Ray.
            later: Runs an action in a thread that may wait for Ray.
        """
        self._ray, self._later = ray, later
        # Single operations only, each of which is atomic.
        self._added: deque[tuple[Any, tuple[Any, Follow]]] = deque()
        self._is_asked = False
        self._last = 0.0
        # For the thread of `later` only.
        self._waiting: dict[Any, tuple[Any, Follow]] = {}
        self._used: deque[Any] = deque(maxlen=KEPT)

    def add(self, head: Any, value: Any, follow: Follow) -> None:
        """Call ``follow(head)``, or ``follow()`` if it has to fetch the head.

        Args:
            head: The reference to the head.
            value: The reference to the result.
            follow: What to call.
        """
        last, self._last = self._last, monotonic()
        if self._last - last > BRIEF:
            self._later(follow)
            return
        self._added.append((head, (value, follow)))
        if not self._is_asked:
            self._is_asked = True
            timer.after(TOGETHER, lambda: self._later(self._follow))

    def _follow(self) -> None:
        self._is_asked = False  # before the look at what has been added
        waiting = self._waiting
        waiting.update(self._added.popleft() for _ in range(len(self._added)))
        heads = self._arrived(list(waiting)[:ROUND])
        for ref, head in heads.items():
            value, follow = waiting.pop(ref)
            follow(head)
            if head is not None and len(head) < SMALL:
                self._release_later(ref, value)
        if heads and waiting:
            self._later(self._follow)  # after what others have to do in this thread
            return
        while waiting:
            waiting.popitem()[1][1]()

    def close(self) -> None:
        """Release the references that are kept."""
        self._used.clear()

    def _release_later(self, *refs: Any) -> None:
        if not self._used:
            timer.after(QUIET, lambda: self._later(self._release))
        self._used.append(refs)

    def _release(self) -> None:
        if monotonic() - self._last > QUIET:
            self.close()
        elif self._used:
            timer.after(QUIET, lambda: self._later(self._release))

    def _arrived(self, refs: list[Any]) -> dict[Any, bytes | None]:
        """Return those that have arrived, nothing if that takes too long."""
        if not refs:
            return {}
        few = min(len(refs), ENOUGH)
        try:
            ready, _ = self._ray.wait(
                refs, num_returns=few, timeout=PATIENCE, fetch_local=False
            )
            return dict(zip(ready, self._ray.get(ready), strict=True))
        except Exception:  # noqa: BLE001 - each call has its own error
            return {}
