"""A generator that runs in another thread of this process.

```
 worker thread                                  reader
 Producer: pump ── put ──▶ Channel ──▶ next(stream)
             blocked ◀── no room
```

A thread that is blocked by its reader does no work, so it lets another thread of the
pool take its place meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parallelize.futures.future import Failure
from parallelize.runtime import locks
from parallelize.runtime.blocking import held_back, here
from parallelize.runtime.clock import monotonic
from parallelize.streams.channel import Life
from parallelize.streams.pump import pump

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import NoReturn, Protocol

    from parallelize.streams.channel import Channel

    class Cancellable(Protocol):
        """A scheduled action."""

        def cancel(self) -> None:
            """Cancel the action."""


_new_lock = locks.reentrant("watch")


class ItemDeadline:
    """A limit on the time that the generator takes for each item.

    Args:
        seconds: The limit.
        after: Calls a function after this many seconds; the result can cancel that.
        error: Makes the error of the stream when the limit is exceeded.
    """

    def __init__(
        self,
        seconds: float,
        after: Callable[[float, Callable[[], object]], Cancellable],
        error: Callable[[], BaseException],
    ) -> None:
        self._seconds = seconds
        self._after = after
        self._error = error
        # Guards _deadline, as both the generator's thread and the timer's use it. The
        # timer's own lock may be acquired under it.
        self._lock = _new_lock()
        self._deadline: Cancellable | None = None  # None while the time is not limited
        self._since = 0.0  # when the generator was asked for the item

    def start(self, channel: Channel) -> None:
        """Start the clock: the generator is running from now on."""
        self._channel = channel
        self.asked()
        with self._lock:
            self._deadline = self._after(self._seconds, self._look)

    def asked(self) -> None:
        """Record that the generator is asked for an item."""
        self._since = monotonic()

    def stop(self) -> None:
        """Stop the clock: the generator is not running."""
        with self._lock:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    def _look(self) -> None:
        with self._lock:
            if self._deadline is None:
                return
            left = self._since + self._seconds - monotonic()
            if left > 0:
                self._deadline = self._after(left, self._look)
                return
        self._channel.end(Failure(self._error()))


class Producer:
    """What a worker thread calls instead of the generator function.

    Args:
        fn: The generator function.
        channel: Receives the items.
        watch: Limits the time for each item, if there is a limit.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        channel: Channel,
        watch: ItemDeadline | None = None,
    ) -> None:
        self._fn = fn
        self._channel = channel
        self._watch = watch

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Run the generator, unless the stream was closed or the reader runs it."""
        if not self._channel.begin():
            return
        if self._watch is not None:
            self._watch.start(self._channel)
        outer, here.asked = here.asked, lambda: self.is_closed
        try:
            pump(self._fn(*args, **kwargs), self)
        finally:
            here.asked = outer
            if self._watch is not None:
                self._watch.stop()

    # The interface of a `Sink`.

    def room(self) -> bool:
        """Whether there is room for one more item now."""
        return self._channel.has_room()

    def wait(self) -> bool:
        """Wait for room, while another thread may take this one's place."""
        if self._channel.has_room():
            return True
        if self.is_closed:
            return False
        self._stop_watching()
        with held_back():
            wanted = self._channel.wait_for_room()
        if wanted and self._watch is not None:
            self._watch.start(self._channel)
        return wanted

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    @property
    def is_closed(self) -> bool:
        """Whether no more items are wanted."""
        return self._channel.life is not Life.FLOWING

    def when_room(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once there is room or no more items are wanted."""
        self._stop_watching()

        def go_on() -> None:
            if self._watch is not None and not self.is_closed:
                self._watch.start(self._channel)
            waker()

        self._channel.when_room(go_on)

    def when_closed(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once no more items are wanted."""
        self._channel.when_closed(waker)

    def put(self, item: Any) -> None:
        """Add an item."""
        self._channel.put(item)
        if self._watch is not None:
            self._watch.asked()

    def draw_some(self, source: Generator[Any, Any, Any]) -> bool:
        """Take none: each item is at once there for the reader."""
        return False

    def __reduce__(self) -> NoReturn:
        msg = (
            "a stream needs threads of this process or the processes of parallelize: "
            "no other executor's workers can give items one by one"
        )
        raise TypeError(msg)
