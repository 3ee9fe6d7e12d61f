"""A generator that runs in another thread of this process.

```
 worker thread                                  reader
 Producer: pump ── put ──▶ Channel ──▶ next(stream)
           held back ◀── no room
```

A thread that is held back by its reader does no work, so it gives its place in the
pool to others meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parallelize.futures.future import Failure
from parallelize.runtime import locks
from parallelize.runtime.blocking import held_back
from parallelize.runtime.clock import monotonic
from parallelize.streams.channel import Life
from parallelize.streams.pump import pump

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, Protocol

    from parallelize.streams.channel import Channel

    class Deadline(Protocol):
        """A moment at which something is done."""

        def cancel(self) -> None:
            """Let it not be done."""


_new_lock = locks.reentrant("watch")


class Watch:
    """How long the generator may take for each item, and who sees to that.

    Args:
        seconds: How long.
        after: Calls something after so many seconds; what it returns can cancel that.
        error: Makes the error of the stream when the time is over.
    """

    def __init__(
        self,
        seconds: float,
        after: Callable[[float, Callable[[], object]], Deadline],
        error: Callable[[], BaseException],
    ) -> None:
        self._seconds = seconds
        self._after = after
        self._error = error
        # Guards _deadline, between the generator's thread and the timer's, whose own
        # lock may be taken under it.
        self._lock = _new_lock()
        self._deadline: Deadline | None = None  # there is one while it watches
        self._since = 0.0  # when the generator was asked for the item

    def start(self, channel: Channel) -> None:
        """Begin to watch: the generator is at work from now on."""
        self._channel = channel
        self.asked()
        with self._lock:
            self._deadline = self._after(self._seconds, self._look)

    def asked(self) -> None:
        """Note that the generator is asked for an item."""
        self._since = monotonic()

    def stop(self) -> None:
        """Do not watch: the generator is not at work."""
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
    """What a worker thread calls in place of the generator function.

    Args:
        fn: The generator function.
        channel: Where the items go.
        watch: Watches over its time, if that is bounded.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        channel: Channel,
        watch: Watch | None = None,
    ) -> None:
        self._fn = fn
        self._channel = channel
        self._watch = watch

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Run the generator, unless its reader has closed the stream or runs it."""
        if not self._channel.begin():
            return
        if self._watch is not None:
            self._watch.start(self._channel)
        try:
            pump(self._fn(*args, **kwargs), self)
        finally:
            if self._watch is not None:
                self._watch.stop()

    # As a sink of the pump.

    def room(self) -> bool:
        """Whether there is room for one item more, now."""
        return self._channel.has_room()

    def wait(self) -> bool:
        """Wait for room, with the thread's place in the pool given away."""
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
        """Call ``waker()`` once there is room or no more is wanted."""
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
        """Hand an item over."""
        self._channel.extend((item,))
        if self._watch is not None:
            self._watch.asked()

    def __reduce__(self) -> NoReturn:
        msg = (
            "a stream needs threads of this process or the processes of parallelize: "
            "no other executor's workers can give items one by one"
        )
        raise TypeError(msg)
