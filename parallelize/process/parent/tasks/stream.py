"""The parent's side of a stream: a call whose answer is many items and an end.

```
 reader ── takes ──▶ Channel ── moved ──▶ pool's notes ──▶ dispatcher ── CREDIT ──▶ worker
   ▲                    ▲                                  (or CLOSE)                 │
   └────── items ───────┴─────────────── deliver ◀────────── ITEMS ◀──────────────────┘
```

The reader's thread only leaves a note, and the dispatcher never has to stop
reading: items that have arrived are in the channel, and the worker's credit limits
their number.

A worker without credit is blocked until the items are read. The pool then has room for
another worker: streams that are read in turn need one worker each.
"""  # noqa: E501 - a picture

from __future__ import annotations

from types import MethodType

from parallelize.process.parent.tasks.call import (
    CallTask,
    PickledFailure,
    PickledValue,
    simple_value,
)
from parallelize.process.wire import messages
from parallelize.process.wire.frames import ProtocolError, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Protocol

    from parallelize.process.parent.tasks.call import (
        TaskOwner,
        TaskScheduler,
        TaskWorkers,
    )
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.process.wire.frames import Frame, Part
    from parallelize.runtime.options import Args, CallOptions, Kwargs
    from parallelize.streams.channel import Channel

    class StreamScheduler(TaskScheduler, Protocol):
        """The pool's scheduler, as a generator sees it."""

        @property
        def streams(self) -> Streams:
            """What sends workers the credit of their readers."""
            ...

    class StreamOwner(TaskOwner, Protocol):
        """The pool of a generator."""

        @property
        def scheduler(self) -> StreamScheduler:
            """What sends generators to workers."""
            ...


#: Without a `buffersize`, a generator may be ahead of its reader by as many items as
#: take this number of bytes, ...
BYTES_AHEAD = 1 << 20
#: ... but by at least this many items, which is the initial number, ...
LEAST_AHEAD = 4
#: ... and at most by this many, ...
MOST_AHEAD = 1024
#: ... or this many times as many as come together, within a millisecond if they come
#: fast, ...
TIMES_AHEAD = 8
#: ... but never by more than this many.
MOST_AHEAD_EVER = 1 << 15

_MOST_AT_ONCE = (1 << 31) - 1  # what fits into a frame's header, beside a flag


class StreamTask(CallTask):
    """One run of a generator function.

    Only the dispatcher changes its state, except in `moved`.

    Attributes:
        may_keep: Whether the worker may have items that it has not sent.
    """

    is_stream: ClassVar[bool] = True

    pool: StreamOwner  # type: ignore[mutable-override]  # set once, when it is made

    def __init__(
        self,
        pool: StreamOwner,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
        channel: Channel,
    ) -> None:
        self._channel = channel
        self._grows = options.buffersize is None
        if self._grows:
            channel.buffersize = LEAST_AHEAD
        self._allowed = min(channel.buffersize, _MOST_AT_ONCE)
        self._arrived = 0
        self._is_close_sent = False  # whether the worker was sent CLOSE
        self._is_stalled = False  # whether the pool has room for one more worker
        self.may_keep: bool = False
        super().__init__(pool, fn, args, kwargs, options)
        channel.moved = self.moved
        self.future.add_done_callback(lambda _: self._over())

    def _encode(self, args: Args, kwargs: Kwargs) -> None:
        fn: Any = self.fn
        if type(fn) is MethodType:
            fn, args = fn.__func__, (fn.__self__, *args)
        self._encode_all(fn, args, kwargs)

    def begin(self) -> bool:
        if self._channel.is_waiting:
            self._channel.begin()
        if not self._channel.is_flowing:
            self.future._force_cancel()
        return super().begin()

    def buffers(self, *, inline: bool = False) -> list[Part]:
        kind, arguments = messages.STREAM, self._parts
        if self.placed is not None and inline:
            arguments = [*arguments[:-1], *self.placed.buffers()]
        elif self.placed is not None:
            kind += messages.BIG
        parts = [self.key, *arguments, *self._values]
        timed = messages.TIMED if self.options.timeout is not None else 0
        return pack(kind, self.id, parts, len(arguments), self._allowed * 2 + timed)

    @property
    def left(self) -> int:
        return 2 if self.may_keep else 1

    def was_flushed(self) -> None:
        self.may_keep = False

    # Frames from the worker.

    def finish(self, frame: Frame) -> None:
        if frame.kind == messages.ITEMS:
            self._deliver(self._items_in(frame), more=bool(frame.micros))
        elif frame.kind == messages.ITEM:
            self._measure(sum(map(_size, frame.parts)), 1)
            self._deliver([PickledValue(frame.parts, self, "an item")], more=True)
        elif frame.kind == messages.ITEM_FAILED:
            self._channel.end(PickledFailure(frame.parts[0]))
        else:
            super().finish(frame)

    def _items_in(self, frame: Frame) -> list[Any]:
        if not frame.extra:
            items = [PickledValue([part], self, "an item") for part in frame.parts]
            self._measure(sum(map(len, frame.parts)), len(items))
            return items
        items = simple_value(frame.parts[0])
        if type(items) is not list:
            msg = "items that are no list"
            raise ProtocolError(msg)
        self._measure(len(frame.parts[0]), len(items))
        return items

    def _measure(self, size: int, count: int) -> None:
        if self._grows and count:
            fitting = BYTES_AHEAD * count // max(size, 1)
            most = min(MOST_AHEAD_EVER, max(MOST_AHEAD, TIMES_AHEAD * count))
            self._channel.buffersize = max(LEAST_AHEAD, min(most, fitting))

    def _deliver(self, items: list[Any], *, more: bool) -> None:
        self._arrived += len(items)
        self.may_keep = more
        self._channel.extend(items)
        if self._arrived >= self._allowed or self._is_worth_a_message():
            self._settle()

    # Frames to the worker.

    def moved(self) -> None:
        """Called in any thread when the reader has taken items or closed the stream."""
        if self._is_worth_a_message():
            self.pool.scheduler.streams.note_moved(self)

    def _is_worth_a_message(self) -> bool:
        if not self._channel.is_flowing:
            return True
        return self._more() >= max(1, self._channel.buffersize // 2)

    def _more(self) -> int:
        return self._channel.taken + self._channel.buffersize - self._allowed

    def send_credit(self, worker: WorkerHandle) -> None:
        """Send the worker its credit, or CLOSE; the caller holds the pool's lock."""
        if not self._channel.is_flowing:
            if not self._is_close_sent:
                self._is_close_sent = True
                worker.channel.notify(messages.CLOSE, self.id)
        elif (more := min(self._more(), _MOST_AT_ONCE)) > 0:
            self._allowed += more
            worker.channel.notify(messages.CREDIT, self.id, more)

    # The number of workers.

    def _settle(self) -> None:
        scheduler = self.pool.scheduler
        with scheduler.lock:
            scheduler.streams.send_credit(self)
            scheduler.assign_idle()

    def update_slot(self) -> None:
        """Let the pool have one more worker while this one waits for the reader."""
        is_stalled = (
            self.worker is not None
            and self._arrived >= self._allowed
            and self._channel.is_flowing
        )
        if is_stalled != self._is_stalled:
            self._is_stalled = is_stalled
            self.pool.scheduler.workers.add_slots(1 if is_stalled else -1)

    def _over(self) -> None:
        self._channel.moved = bool  # a function that does nothing
        scheduler = self.pool.scheduler
        with scheduler.lock:
            if self._is_stalled:
                self._is_stalled = False
                scheduler.workers.add_slots(-1)
            scheduler.workers.retire_surplus()


class Streams:
    """Sends workers the credit of their streams' readers."""

    def __init__(self, workers: TaskWorkers, ring: Callable[[], object]) -> None:
        """Start without any streams.

        Args:
            workers: The workers of the pool.
            ring: Makes the dispatcher call `flush_credit` soon; called in any thread.
        """
        self._workers = workers
        self._ring = ring
        # Any thread may add to it, and each rings: one that did not, as Ctrl-C came,
        # rings when it comes back to wait.
        self._moved: dict[StreamTask, None] = {}

    def note_moved(self, task: StreamTask) -> None:
        """Record that the reader of a stream has advanced; callable in any thread."""
        self._moved[task] = None
        self._ring()

    def flush_credit(self) -> None:
        """Send workers the credit of their readers; under the pool's lock."""
        while self._moved:
            task, _ = self._moved.popitem()
            self.send_credit(task)

    def send_credit(self, task: StreamTask) -> None:
        """Send a stream's worker the credit of its reader; under the pool's lock."""
        if task.worker is not None:
            task.send_credit(task.worker)
            task.update_slot()
            self._workers.flush_control_later(task.worker)


def _size(part: Part) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)
