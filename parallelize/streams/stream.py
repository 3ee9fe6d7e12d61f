"""The stream, which its reader holds, and how a stream is opened."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from parallelize.futures.future import Outcome
from parallelize.futures.limit_cycles import noted
from parallelize.futures.peek import no_end
from parallelize.runtime import locks
from parallelize.runtime.blocking import away
from parallelize.runtime.options import name_of
from parallelize.streams.channel import Channel, Life
from parallelize.streams.inline import Inline
from parallelize.tracing import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Context
    from types import TracebackType
    from typing import NoReturn, Protocol, Self

    from parallelize.calls.open_maps import OpenMaps
    from parallelize.futures.future import Future
    from parallelize.runtime.options import CallOptions

    class StreamBackend(Protocol):
        """The part of an executor that streams use."""

        kind: ClassVar[str]  # the name of its kind

        @property
        def _maps(self) -> OpenMaps:
            """The registry of streams, which end when the executor does."""
            ...

        def _start_stream(
            self,
            fn: Callable[..., Any],
            args: tuple[Any, ...],
            kwargs: dict[str, Any],
            options: CallOptions,
            channel: Channel,
        ) -> Future[Any] | None:
            """Run a generator that puts its items into the channel.

            Returns:
                A future that ends after the last of them, or with an error; None if
                the reader has to run the generator.

            Raises:
                RuntimeError: The executor was shut down.
            """
            ...

        def _runs_here(self) -> bool:
            """Whether the calling thread is a worker of this executor."""
            ...


T = TypeVar("T")

__all__ = ("Stream", "open_stream")

#: The number of items a generator may be ahead of its reader, by default. (For
#: processes the number is measured, see `process.parent.tasks.stream`.)
BUFFERSIZE = 32

_NOTHING: Any = object()
_OVER: Any = object()


class _Call(NamedTuple):
    """What a reader needs in order to run the generator itself."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: Context


class Stream(Iterator[T], AsyncIterator[T]):
    """The items of a generator that runs in a worker: for ``for`` and ``async for``.

    Returned by a call of a decorated generator function. The generator runs ahead of
    the reader by a bounded number of items (``buffersize``) and waits there.
    Its error is raised after the items that it yielded before. When the stream is
    closed, the generator is closed in its worker, so that its ``finally`` runs there:
    by `close`, at the end of a ``with`` block, or when the stream is garbage collected.

    Example:
        >>> from collections.abc import Iterator
        >>> from parallelize import threaded
        >>> @threaded
        ... def countdown(start: int) -> Iterator[int]:
        ...     while start:
        ...         yield start
        ...         start -= 1
        >>> list(countdown(3))
        [3, 2, 1]
    """

    __slots__ = (
        "__weakref__",
        "_call",
        "_channel",
        "_executor",
        "_future",
        "_hand",
        "_inline",
        "_name",
    )

    _gives_results: ClassVar[bool] = True  # for a map that has this one as its input
    _is_ending = staticmethod(sys.is_finalizing)  # `sys` may be gone when it is called

    def __init__(
        self, executor: StreamBackend, channel: Channel, call: _Call, name: str
    ) -> None:
        # Items that were taken from the channel; any thread may pop one, always in a
        # single step in C.
        self._hand: deque[Any] = deque()
        self._channel = channel
        self._executor = executor
        self._call: _Call | None = call
        self._name = name
        self._inline: Inline | None = None
        self._future: Future[Any] | None = None  # of the call that runs the generator

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            item = self._hand.popleft()
        except IndexError:
            item = self._fetch()
        if issubclass(type(item), Outcome):  # isinstance would ask proxies
            return self._opened(item, StopIteration)
        return item  # type: ignore[no-any-return]

    def _fetch(self) -> Any:
        lock = self._channel.lock
        locked = locks.depth(lock)
        try:
            return self._next()
        except BaseException:  # for example Ctrl-C
            locks.release_to(lock, locked)
            raise

    def _next(self) -> Any:
        while (item := self._at_hand()) is _NOTHING:
            if self._inline is not None:
                return self._inline.next()
            if not self._run_here():
                with away(*self._awaited()):
                    self._channel.wait()
        if item is _OVER:
            self._raise_end(StopIteration)
            raise StopIteration
        return item

    def _at_hand(self) -> Any:
        """Take the items that have arrived, and return the first one.

        Returns:
            `_NOTHING` if there is none yet, `_OVER` if no more will come.
        """
        # Read first: the last items and the end may arrive together, at any time. So
        # the stream is only over if it already was before it was found empty.
        is_over = self._channel.life in (Life.OVER, Life.CLOSED)
        while True:
            was_taken = self._channel.take(self._hand)
            if was_taken:
                self._call = None  # it has started: the arguments are not needed here
            with contextlib.suppress(IndexError):
                return self._hand.popleft()
            if not was_taken:  # else another thread was quicker
                return _OVER if is_over else _NOTHING

    # For a map of the generator function.

    def _poll(self, *ends: type[BaseException]) -> tuple[Any] | None:
        """Return a tuple of the next item, without waiting for another thread.

        Args:
            *ends: The errors that would end the reader's loop.

        Returns:
            None: No item has arrived, or the stream is over.
        """
        item = self._at_hand()
        if item is _NOTHING and (self._inline is not None or self._run_here()):
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
        inline = self._inline
        assert inline is not None
        try:
            return (inline.next(),)
        except StopIteration:
            self.close()
            return None
        except ends as error:  # of the generator's own code
            raise no_end(error, *ends) from error

    def _when_news(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once when there is an item to poll, or the end."""
        self._channel.when_news(waker)

    def _is_over(self) -> bool:
        """Whether no more items will come, and all that came were taken."""
        return self._channel.life in (Life.OVER, Life.CLOSED) and not self._hand

    def _awaited(self) -> Sequence[Future[Any]]:
        return () if self._future is None else (self._future,)

    def _needs_loop(self) -> bool:
        """Return False: ``for`` can read the stream."""
        return False

    def _belongs_to_a_thread(self) -> bool:
        """Return False: any thread can read the stream."""
        return False

    def _run_here(self) -> bool:
        """Run the generator in this thread, if it would otherwise wait for it."""
        call = self._call
        if call is None or not self._executor._runs_here():
            return False
        if not self._channel.claim():
            return False
        self._inline = Inline(*call)
        self._call = None
        if self._future is not None:
            self._future.cancel()  # so that it does not stay in the queue
        return True

    def _raise_end(self, *ends: type[BaseException]) -> None:
        self._future = None  # its error's traceback refers to this stream
        end = self._channel.take_end()
        error = None if end is None else end.open()[1]
        if error is None:
            return
        try:
            raise no_end(error, *ends)
        finally:
            del self, end, error  # the error's traceback refers to this frame

    def _opened(self, item: Outcome, *ends: type[BaseException]) -> T:
        value, error = item.open()
        if error is None:
            return value  # type: ignore[no-any-return]
        self.close()
        try:
            raise no_end(error, *ends)
        finally:
            del self, item, error

    # Reading in an event loop.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            item = self._hand.popleft()
        except IndexError:
            item = await self._fetch_async()
        if issubclass(type(item), Outcome):
            return self._opened(item, StopIteration, StopAsyncIteration)
        return item  # type: ignore[no-any-return]

    async def _fetch_async(self) -> Any:
        import asyncio

        from parallelize.runtime.loop_thread import until

        # Even if items are available, let other tasks run now and then.
        await asyncio.sleep(0)
        while (item := self._at_hand()) is _NOTHING:
            if self._inline is not None:
                return self._next_inline()
            if not self._run_here():
                await noted(until(self._channel.when_news), self._awaited)
        if item is _OVER:
            self._raise_end(StopIteration, StopAsyncIteration)
            raise StopAsyncIteration
        return item

    def _next_inline(self) -> Any:
        inline = self._inline
        assert inline is not None
        try:
            return inline.next()
        except StopIteration:
            raise StopAsyncIteration from None
        except StopAsyncIteration as error:  # of the generator's own code
            raise no_end(error, StopAsyncIteration) from error

    # Closing.

    def close(self) -> None:
        """Accept no more items, and let the generator be closed in its worker.

        Returns at once. The generator gets `GeneratorExit` at its next ``yield`` (or
        the current one); an async one is cancelled if it is awaiting something. Errors
        in its ``finally`` are logged. Items that were not read are dropped. May be
        called repeatedly, and from any thread.
        """
        self._close()
        if self._future is not None:
            self._future.cancel()
        if self._inline is not None:
            self._inline.close()

    async def aclose(self) -> None:
        """Close the stream, as `close` does; for `contextlib.aclosing`."""
        self.close()

    def _close(self) -> None:
        self._channel.close()
        self._hand.clear()
        self._call = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self._channel.life.name.lower()
        return f"<Stream of {self._name} at {id(self):#x} state={state}>"

    def __reduce__(self) -> NoReturn:
        msg = "a stream can neither be copied nor pickled: pass its items on"
        raise TypeError(msg)

    def __del__(self) -> None:
        channel = getattr(self, "_channel", None)
        if channel is None:  # __init__ has failed
            return
        try:
            channel.dropped()
            if self._inline is not None:
                self._inline.dropped()
        except Exception:
            # At interpreter shutdown modules are cleared. Without the GIL many objects
            # live until then.
            if not self._is_ending():
                raise


def _noted(call: _Call, executor: StreamBackend, options: CallOptions) -> _Call:
    """Return the call, recorded in a trace if one is open."""
    recorder = recording.active
    if recorder is None:
        return call
    from parallelize.tracing import timed

    fn = timed.generator(recorder, executor.kind, call.fn, options)
    return call._replace(fn=fn)


def open_stream(
    executor: StreamBackend,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: CallOptions,
) -> Stream[Any]:
    """Run a generator on an executor.

    Args:
        executor: The executor.
        fn: The generator function, sync or async.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        options: The options of the call.

    Raises:
        RuntimeError: The executor was shut down.
    """
    channel = Channel(options.buffersize or BUFFERSIZE)
    call = _Call(fn, args, kwargs, copy_context())
    stream: Stream[Any] = Stream(executor, channel, call, name_of(fn, options))
    executor._maps.add(channel)
    future = executor._start_stream(fn, args, kwargs, options, channel)
    if future is None:  # the reader has to run it
        channel.claim()
        stream._inline, stream._call = Inline(*_noted(call, executor, options)), None
    else:
        stream._future = future
        if options.rate is not None:
            stream._call = None  # a reader that ran it might start it too early
        future.add_done_callback(channel.end_with)
    return stream
