"""The parent's side of a stream: a call whose answer is many items and an end.

```
 reader ── takes ──▶ Channel ── moved ──▶ pool's notes ──▶ dispatcher ── CREDIT ──▶ worker
   ▲                    ▲                                  (or CLOSE)                 │
   └────── items ───────┴─────────────── deliver ◀────────── ITEMS ◀──────────────────┘
```

The reader's thread only leaves a note, and the dispatcher only ever reads: items that
have come lie in the channel, of which the worker knows how many that may be.

A worker that has sent all that it may does nothing until somebody reads. The pool then
has one place more, for another worker: streams that are read in turn need one each.
"""  # noqa: E501 - a picture

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar

from parallelize.process.parent.tasks.call import (
    CallTask,
    PickledFailure,
    PickledValue,
    simple_value,
)
from parallelize.process.wire import messages
from parallelize.process.wire.frames import ProtocolError, pack
from parallelize.streams.channel import Life

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.process.parent.pool import Pool
    from parallelize.process.parent.worker_handle import Worker
    from parallelize.process.wire.frames import Frame, Part
    from parallelize.runtime.options import CallOptions
    from parallelize.streams.channel import Channel

#: If nobody says by how many items a generator may be ahead of its reader, it is by as
#: many as take so many bytes, ...
BYTES_AHEAD = 1 << 20
#: ... but not less than this, with which it begins, ...
LEAST_AHEAD = 4
#: ... and not more than this.
MOST_AHEAD = 1024

_MOST_AT_ONCE = (1 << 32) - 1  # what fits into a frame's header


class StreamTask(CallTask):
    """One run of a generator function.

    The dispatcher alone changes what is here, but for `moved`.

    Attributes:
        may_keep: Whether the worker may have items that it has not sent.
    """

    is_stream: ClassVar[bool] = True

    def __init__(
        self,
        pool: Pool,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
        channel: Channel,
    ) -> None:
        self._channel = channel
        self._grows = options.buffersize is None
        self._ahead = LEAST_AHEAD if self._grows else channel.buffersize
        self._allowed = min(self._ahead, _MOST_AT_ONCE)
        self._arrived = 0
        self._is_noted = False  # whether the dispatcher is going to look at it
        self._is_told = False  # whether the worker was told to close the generator
        self._is_held = False  # whether the pool has a place more for it
        self.may_keep: bool = False
        super().__init__(pool, fn, args, kwargs, options)
        channel.moved = self.moved
        self.future.add_done_callback(lambda _: self._over())

    def _encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        fn: Any = self.fn
        if type(fn) is MethodType:
            fn, args = fn.__func__, (fn.__self__, *args)
        self._encode_any(fn, args, kwargs)

    def begin(self) -> bool:
        if self._channel.life is Life.WAITING:
            self._channel.begin()
        if self._channel.life is not Life.FLOWING:
            self.future.withdraw()
        return super().begin()

    def buffers(self, *, inline: bool = False) -> list[Part]:
        kind, arguments = messages.STREAM, self._parts
        if self.placed is not None and inline:
            arguments = [*arguments[:-1], *self.placed.buffers()]
        elif self.placed is not None:
            kind += messages.BIG
        parts = [self.key, *arguments, *self._values]
        return pack(kind, self.id, parts, len(arguments), self._allowed)

    @property
    def left(self) -> int:
        return 2 if self.may_keep else 1

    def was_flushed(self) -> None:
        self.may_keep = False

    # What the worker sends.

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
            self._ahead = max(LEAST_AHEAD, min(MOST_AHEAD, fitting))

    def _deliver(self, items: list[Any], *, more: bool) -> None:
        self._arrived += len(items)
        self.may_keep = more
        self._channel.extend(items)
        if self._arrived >= self._allowed or self._is_worth_a_message():
            self._settle()

    # What the worker is told.

    def moved(self) -> None:
        """The reader has taken items, or wants no more; called in any thread."""
        if self._is_noted or not self._is_worth_a_message():
            return
        self._is_noted = True
        self.pool.note_moved(self)

    def _is_worth_a_message(self) -> bool:
        if self._channel.life is not Life.FLOWING:
            return True
        return self._more() >= max(1, self._ahead // 2)

    def _more(self) -> int:
        return self._channel.taken + self._ahead - self._allowed

    def tell(self, worker: Worker) -> None:
        """Tell the worker how the reader stands; the caller holds the pool's lock."""
        if self._channel.life is not Life.FLOWING:
            if not self._is_told:
                self._is_told = True
                worker.tell(messages.CLOSE, self.id)
        elif (more := min(self._more(), _MOST_AT_ONCE)) > 0:
            self._allowed += more
            worker.tell(messages.CREDIT, self.id, more)

    def looked_at(self) -> None:
        """The dispatcher looks at it now: what comes later is to be noted anew."""
        self._is_noted = False

    # Places in the pool.

    def _settle(self) -> None:
        with self.pool.lock:
            if self.worker is not None:
                self.pool.send_credit(self, self.worker)
            self.pool.feed_idle()

    def update_slot(self) -> None:
        """Have a place more in the pool while the worker waits for the reader."""
        is_stalled = (
            self.worker is not None
            and self._arrived >= self._allowed
            and self._channel.life is Life.FLOWING
        )
        if is_stalled != self._is_held:
            self._is_held = is_stalled
            self.pool.places += 1 if is_stalled else -1

    def _over(self) -> None:
        self._channel.moved = bool  # nothing is to be told any more
        with self.pool.lock:
            if self._is_held:
                self._is_held = False
                self.pool.places -= 1
            self.pool.let_go_of_surplus()


def _size(part: Part) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)
