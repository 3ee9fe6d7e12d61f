"""The stream, which its reader holds, and how a stream is opened."""

from __future__ import annotations

from contextvars import copy_context
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from parallelize.runtime.native import STEPS_ARE_WHOLE
from parallelize.runtime.options import name_of
from parallelize.streams.channel import Channel, Ending
from parallelize.streams.inline import Inline
from parallelize.streams.reader import Call, Reader
from parallelize.streams.tail import ChainedItems
from parallelize.tracing import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn, Protocol, Self

    from parallelize.calls.open_maps import OpenMaps
    from parallelize.futures.future import Future
    from parallelize.runtime.options import Args, CallOptions, Kwargs
    from parallelize.streams.reader import ReadBackend

    class StreamBackend(ReadBackend, Protocol):
        """The part of an executor that streams use."""

        kind: ClassVar[str]  # the name of its kind

        @property
        def _maps(self) -> OpenMaps:
            """The registry of streams, which end when the executor does."""
            ...

        def _start_stream(
            self,
            fn: Callable[..., Any],
            args: Args,
            kwargs: Kwargs,
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


T = TypeVar("T")

__all__ = ("Stream", "open_stream")

#: The number of items a generator may be ahead of its reader, by default. (For
#: processes the number is measured, see `process.parent.tasks.stream`.)
BUFFERSIZE = 32


class Stream(ChainedItems[T]):
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

    __slots__ = ()

    _reader: Reader
    _name: str

    async def __anext__(self) -> T:
        return await self._reader.next_async()  # type: ignore[no-any-return]

    # For a map of the generator function, and one that has this one as its input.

    def _poll(self, *ends: type[BaseException]) -> tuple[Any] | None:
        return self._reader.poll(*ends)

    def _when_news(self, waker: Callable[[], object]) -> None:
        """Call ``waker()`` once when there is an item to poll, or the end."""
        self._reader.channel.when_news(waker)

    def _is_over(self) -> bool:
        """Whether no more items will come, and all that came were taken."""
        return self._reader.channel.is_spent()

    def _awaited(self) -> Sequence[Future[Any]]:
        return self._reader.awaited()

    def _needs_loop(self) -> bool:
        """Return False: ``for`` can read the stream."""
        return False

    def _belongs_to_a_thread(self) -> bool:
        """Return False: any thread can read the stream."""
        return False

    # Closing.

    def close(self) -> None:
        """Accept no more items, and let the generator be closed in its worker.

        Returns at once. The generator gets `GeneratorExit` at its next ``yield`` (or
        the current one); an async one is cancelled if it is awaiting something. Errors
        in its ``finally`` are logged. Items that were not read are dropped. May be
        called repeatedly, and from any thread.
        """
        self._reader.close()

    async def aclose(self) -> None:
        """Close the stream, as `close` does; for `contextlib.aclosing`."""
        self.close()

    def __repr__(self) -> str:
        state = self._reader.channel.life.name.lower()
        return f"<Stream of {self._name} at {id(self):#x} state={state}>"


class _Chained(chain[T], Stream[T]):
    """The one implementation: the steps from item to item are those of a chain.

    It yields the items of a block without running any Python code; between two blocks
    it calls the `Reader`.
    """

    __slots__ = ("__weakref__", "_name", "_reader")

    def __new__(cls, reader: Reader, name: str) -> Self:
        """Start reading."""
        self = cast("Self", super().from_iterable(reader.tail.blocks()))
        self._reader = reader
        self._name = name
        return self

    def __dir__(self) -> list[str]:
        return dir(Stream)  # nothing that is a chain's

    def __reduce__(self) -> NoReturn:  # a chain has one, before Python 3.14
        msg = "a stream can neither be copied nor pickled: pass its items on"
        raise TypeError(msg)

    if not STEPS_ARE_WHOLE:

        def __next__(self) -> T:
            """Return the next item; threads that read the same stream take turns."""
            return self._reader.turn.held(super().__next__)


def _noted(call: Call, executor: StreamBackend, options: CallOptions) -> Call:
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
    args: Args,
    kwargs: Kwargs,
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
    call = Call(fn, args, kwargs, copy_context())
    reader = Reader(executor, channel, call)
    stream: Stream[Any] = _Chained(reader, name_of(fn, options))
    executor._maps.add(channel)
    future = executor._start_stream(fn, args, kwargs, options, channel)
    if future is None:  # the reader has to run it
        channel.claim()
        reader.inline, reader.call = Inline(*_noted(call, executor, options)), None
    else:
        reader.future = future
        if options.rate is not None:
            reader.call = None  # a reader that ran it might start it too early
        future.add_done_callback(lambda ended: channel.end(Ending(ended)))
    return stream
