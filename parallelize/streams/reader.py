"""Reads a stream: what its iterator calls when the items at hand have been yielded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.futures.future import Outcome
from parallelize.futures.limit_cycles import noted
from parallelize.futures.peek import no_end
from parallelize.runtime import locks
from parallelize.runtime.blocking import HelpingLock, away
from parallelize.runtime.native import STEPS_ARE_WHOLE
from parallelize.streams.channel import Channel, Life
from parallelize.streams.inline import Inline
from parallelize.streams.tail import Tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Context
    from typing import Protocol

    from parallelize.futures.future import Future

    class ReadBackend(Protocol):
        """The part of an executor that the reader uses."""

        def _runs_here(self) -> bool:
            """Whether the calling thread is a worker of this executor."""
            ...


_NOTHING: Any = object()
_OVER: Any = object()


class Call(NamedTuple):
    """What a reader needs in order to run the generator itself."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: Context


class Reader:
    """What the iterator of a stream asks for items.

    Any thread may read, and a loop beside it: each item is taken in one step of C
    code, and the channel's lock is held to go on to the next block.

    Attributes:
        channel: What lies between the generator and this.
        tail: What the iterator draws from.
        inline: Runs the generator, if that is up to the reader.
        future: Of the call that runs the generator.
        call: For running it inline; None once it has started.
    """

    def __init__(
        self, executor: ReadBackend, channel: Channel, call: Call | None
    ) -> None:
        self._executor = executor
        self.channel: Channel = channel
        self.call: Call | None = call
        self.inline: Inline | None = None
        self.future: Future[Any] | None = None
        self.tail: Tail = Tail(self._ask)
        if not STEPS_ARE_WHOLE:
            # Held during each step of the iterator, which may wait for an item.
            # Reentrant for signal handlers.
            self.turn: HelpingLock = HelpingLock()

    def _ask(self, _: None) -> Any:
        """Return an item, or raise StopIteration to let a block follow, or the end."""
        lock = self.channel.lock
        locked = locks.depth(lock)
        try:
            item = self._next()
        except BaseException:  # for example Ctrl-C
            locks.release_to(lock, locked)
            raise
        if issubclass(type(item), Outcome):  # isinstance would ask proxies
            return self._opened(item, StopIteration)
        return item

    def _next(self) -> Any:
        while (item := self._at_hand(self.tail)) is _NOTHING:
            if self.inline is not None:
                return self._next_inline()
            if not self._run_here():
                with away(*self.awaited()):
                    self.channel.wait()
        if item is _OVER:
            self._raise_end(StopIteration)
            self.tail.end()
            raise StopIteration
        return item

    def _next_inline(self) -> Any:
        inline = self.inline
        assert inline is not None
        try:
            return inline.next()
        except StopIteration:
            self.tail.end()
            raise

    def _at_hand(self, tail: Tail | None = None) -> Any:
        """Take the first of the items that have arrived.

        Args:
            tail: Behind it the other ones may follow.

        Returns:
            `_NOTHING` if there is none yet, `_OVER` if no more will come.

        Raises:
            StopIteration: They do follow, this one included.
        """
        # Read first: the last items and the end may arrive together, at any time. So
        # the stream is only over if it already was before it was found empty.
        channel = self.channel
        is_over = channel.life in (Life.OVER, Life.CLOSED)
        while True:
            ready = channel.ready
            for item in ready:
                return item
            if not channel.take(ready):
                return _OVER if is_over else _NOTHING
            self.call = None  # it has started: the arguments are not needed here
            if tail is not None and channel.let_follow(tail):
                raise StopIteration

    # For a map of the generator function.

    def poll(self, *ends: type[BaseException]) -> tuple[Any] | None:
        """Return a tuple of the next item, without waiting for another thread.

        Args:
            *ends: The errors that would end the reader's loop.

        Returns:
            None: No item has arrived, or the stream is over.
        """
        item = self._at_hand()
        if item is _NOTHING and (self.inline is not None or self._run_here()):
            return self._poll_inline(*ends)
        if item is _NOTHING:
            return None
        if item is _OVER:
            self._raise_end(*ends)
            return None
        if issubclass(type(item), Outcome):
            return (self._opened(item, *ends),)
        return (item,)

    def _poll_inline(self, *ends: type[BaseException]) -> tuple[Any] | None:
        inline = self.inline
        assert inline is not None
        try:
            return (inline.next(),)
        except StopIteration:
            self.close()
            return None
        except ends as error:  # of the generator's own code
            raise no_end(error, *ends) from error

    def awaited(self) -> Sequence[Future[Any]]:
        """The futures that have to end before the next item, as far as known."""
        return () if self.future is None else (self.future,)

    def _run_here(self) -> bool:
        """Run the generator in this thread, if it would otherwise wait for it."""
        call = self.call
        if call is None or not self._executor._runs_here():
            return False
        if not self.channel.claim():
            return False
        self.inline = Inline(*call)
        self.call = None
        if self.future is not None:
            self.future.cancel()  # so that it does not stay in the queue
        return True

    def _raise_end(self, *ends: type[BaseException]) -> None:
        self.future = None  # its error's traceback refers to this reader
        end = self.channel.take_end()
        error = None if end is None else end.open()[1]
        if error is None:
            return
        try:
            raise no_end(error, *ends)
        finally:
            del self, end, error  # the error's traceback refers to this frame

    def _opened(self, item: Outcome, *ends: type[BaseException]) -> Any:
        value, error = item.open()
        if error is None:
            return value
        self.close()
        try:
            raise no_end(error, *ends)
        finally:
            del self, item, error

    # Reading in an event loop.

    async def next_async(self) -> Any:
        """Return the next item, without blocking the running loop."""
        if (item := next(self.channel.ready, _NOTHING)) is _NOTHING:
            item = await self._fetch_async()
        if issubclass(type(item), Outcome):
            return self._opened(item, StopIteration, StopAsyncIteration)
        return item

    async def _fetch_async(self) -> Any:
        import asyncio

        from parallelize.runtime.loop_thread import until

        # Even if items are available, let other tasks run now and then.
        await asyncio.sleep(0)
        while (item := self._at_hand()) is _NOTHING:
            if self.inline is not None:
                return self._next_inline_async()
            if not self._run_here():
                await noted(until(self.channel.when_news), self.awaited)
        if item is _OVER:
            self._raise_end(StopIteration, StopAsyncIteration)
            raise StopAsyncIteration
        return item

    def _next_inline_async(self) -> Any:
        inline = self.inline
        assert inline is not None
        try:
            return inline.next()
        except StopIteration:
            raise StopAsyncIteration from None
        except StopAsyncIteration as error:  # of the generator's own code
            raise no_end(error, StopAsyncIteration) from error

    # Closing.

    def close(self) -> None:
        """See `Stream.close`."""
        self.channel.close()
        self.call = None
        if self.future is not None:
            self.future.cancel()
        if self.inline is not None:
            self.inline.close()

    def dropped(self) -> None:
        """Called when the stream is garbage collected, in any thread."""
        self.tail.drop()
        self.channel.dropped()
        if self.inline is not None:
            self.inline.dropped()
