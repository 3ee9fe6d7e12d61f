"""Sending a worker the futures that objects, partials and closures hold.

A future among the arguments of a call, or in a container there, is replaced by its
value (`dependencies`). One that is held by an attribute of an object, a partial or a
closure stays a future: a thread uses the caller's own future, another process gets a
copy once the future is done. So ``self.future.result()`` works alike in both.

```
 future ── done ──▶ carrier, a future of an Ended ── pickled ──▶ Arrived, in the worker
```

A worker imports this module when the first such future arrives.
"""

from __future__ import annotations

from concurrent.futures import CancelledError

from parallelize.calls.dependencies import futures_in
from parallelize.calls.targets import AsyncTarget
from parallelize.futures.future import Future, error_of
from parallelize.futures.peek import mark_retrieved
from parallelize.process.wire.messages import decode_failure, encode_failure
from parallelize.runtime.typed import Any, cast
from parallelize.serialize import pickling
from parallelize.serialize.reducers import placeholders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.runtime.options import Args, Kwargs
    from parallelize.serialize.reducers.placeholders import Found

__all__ = ("Arrived", "by_argument", "call", "call_coroutine", "waited_for")


def waited_for(found: Found, args: Args, kwargs: Kwargs) -> Sequence[Future[Any]]:
    """Return the futures that a call waits for and that fill its placeholders.

    Args:
        found: The futures that were replaced by placeholders.
        args: The positional arguments, without the object of a method: it is not an
            argument.
        kwargs: The keyword arguments.
    """
    direct = set(map(id, futures_in(args, kwargs)))
    ours = cast("list[Future[Any]]", found)  # only this class becomes a placeholder
    return [
        future if id(future) in direct or number in found.values else _carrier(future)
        for number, future in enumerate(ours)
    ]


def by_argument(fn: Callable[..., Any]) -> bytes:
    """Return the encoded function that calls its first argument."""
    stand_in = AsyncTarget(call_coroutine) if isinstance(fn, AsyncTarget) else call
    return pickling.encode_function(stand_in)


def call(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function that was sent as an argument because it holds a future."""
    return fn(*args, **kwargs)


def call_coroutine(fn: AsyncTarget, /, *args: Any, **kwargs: Any) -> Any:
    """Call a coroutine function that was sent as an argument."""
    return fn.coroutine(*args, **kwargs)


def _carrier(future: Future[Any]) -> Future[Any]:
    carrier: Future[Any] = Future()
    carrier._needs = (future,)
    future.add_done_callback(lambda done: carrier._set_value(_Ended(done)))
    return carrier


class _Ended:
    """A finished future, which is unpickled as an `Arrived`."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def __reduce__(self) -> tuple[Any, ...]:
        future = self._future
        mark_retrieved(future)
        error = error_of(future)
        if error is None:
            return _with_value, (future.result(),)
        if isinstance(error, CancelledError) and future.cancelled():
            return _cancelled, ()
        return _with_error, (encode_failure(error),)


class Arrived(Future[Any]):
    """The copy of a future that finished in another process; it can be sent again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            super().__reduce__()
            if placeholders.collecting()
            else _Ended(self).__reduce__()
        )


def _with_value(value: Any) -> Arrived:
    future = Arrived()
    future.set_result(value)
    return future


def _with_error(encoded: bytes) -> Arrived:
    future = Arrived()
    future.set_exception(decode_failure(encoded))
    mark_retrieved(future)  # the parent process reports it if it is never retrieved
    return future


def _cancelled() -> Arrived:
    future = Arrived()
    future.cancel()
    return future
