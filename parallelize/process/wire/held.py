"""Futures that stand elsewhere than in containers, on their way to a worker.

A future among the arguments of a call, or in a container there, is replaced by its
value (`dependencies`). One that an attribute of an object, a partial or a closure holds
stays a future: in threads it is the caller's own, and to another process a copy of it
travels, when it has ended. So ``self.future.result()`` works alike in both.

```
 future ── ends ──▶ carrier, a future of an Ended ── pickled ──▶ Arrived, in the worker
```

A worker loads this file when the first of them arrives.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from parallelize.calls.dependencies import futures_in
from parallelize.calls.targets import AsyncTarget
from parallelize.futures.future import Future, error_of
from parallelize.futures.peek import look_at
from parallelize.process.wire.messages import decode_failure, encode_failure
from parallelize.serialize import pickling
from parallelize.serialize.reducers import placeholders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.serialize.reducers.placeholders import Found

__all__ = ("Arrived", "by_argument", "call", "call_coroutine", "waited_for")


def waited_for(
    found: Found, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Sequence[Future[Any]]:
    """Return what a call waits for, and what gives the values for its gaps.

    Args:
        found: The futures that have left the gaps.
        args: The arguments, without the object of a method, which is none.
        kwargs: Those by keyword.
    """
    direct = set(map(id, futures_in(args, kwargs)))
    return [
        future if id(future) in direct or number in found.values else _carrier(future)
        for number, future in enumerate(found)
    ]


def by_argument(fn: Callable[..., Any]) -> bytes:
    """Return what is called for a function that travels as the first argument."""
    stand_in = AsyncTarget(call_coroutine) if isinstance(fn, AsyncTarget) else call
    return pickling.encode_function(stand_in)


def call(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function that has travelled as an argument, as it holds a future."""
    return fn(*args, **kwargs)


def call_coroutine(fn: AsyncTarget, /, *args: Any, **kwargs: Any) -> Any:
    """The same for a coroutine function."""
    return fn.coroutine(*args, **kwargs)


def _carrier(future: Future[Any]) -> Future[Any]:
    carrier: Future[Any] = Future()
    carrier._needs = (future,)
    future.add_done_callback(lambda done: carrier.set_value(_Ended(done)))
    return carrier


class _Ended:
    """A future that has ended, to be pickled as what will be a future again."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def __reduce__(self) -> tuple[Any, ...]:
        future = self._future
        look_at(future)
        error = error_of(future)
        if error is None:
            return _with_value, (future.result(),)
        if isinstance(error, CancelledError) and future.cancelled():
            return _cancelled, ()
        return _with_error, (encode_failure(error),)


class Arrived(Future[Any]):
    """The copy of a future that ended elsewhere; it may travel on, and back."""

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
    look_at(future)  # it is for the program to report
    return future


def _cancelled() -> Arrived:
    future = Arrived()
    future.cancel()
    return future
