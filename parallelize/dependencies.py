"""Futures given as arguments: the call waits for them, without holding a worker.

A future of ours may be an argument, or stand inside lists, tuples and dicts.
Threads get the value put in its place; to a process the arguments travel at
once (they are a snapshot) with a numbered gap for each future, and the values
follow when they are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parallelize import locks
from parallelize.futures import Failure, Future, error_of
from parallelize.gaps import collecting, filling_gaps, leaving_gaps, reduce_future

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_new_lock = locks.reentrant("counting")

__all__ = (
    "collecting",
    "filled",
    "filling_gaps",
    "first_failure",
    "futures_in",
    "leaving_gaps",
    "reduce_future",
    "when_done",
)

_CONTAINERS = frozenset((list, tuple, dict))


def futures_in(args: Sequence[Any], kwargs: dict[str, Any]) -> list[Future[Any]]:
    """Find the futures among arguments, also inside lists, tuples and dicts."""
    found = list(_search(args))
    if kwargs:
        found.extend(_search(kwargs.values()))
    return found


def _search(values: Any) -> Iterator[Future[Any]]:
    seen: set[int] = set()  # ids of containers: one may be inside itself
    waiting = [values]  # not recursion: they may be nested deeper than Python's stack
    while waiting:
        values = waiting.pop()
        # One pass at C speed tells the usual case, where there is nothing to find.
        kinds = set(map(type, values))
        if _CONTAINERS.isdisjoint(kinds) and not any(
            issubclass(k, Future) for k in kinds
        ):
            continue
        for value in values:
            if isinstance(value, Future):
                yield value
            elif type(value) in _CONTAINERS and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value.values() if type(value) is dict else value)


def filled(value: Any) -> Any:
    """Copy lists, tuples and dicts with each finished future replaced by its value."""
    if isinstance(value, Future):
        return value.result()
    if type(value) is dict:
        return {key: filled(each) for key, each in value.items()}
    if type(value) in _CONTAINERS:
        return type(value)(map(filled, value))
    return value


def when_done(
    futures: Sequence[Future[Any]],
    ready: Callable[[], object],
    failed: Callable[[BaseException], object],
) -> None:
    """Call ``ready()`` once, when the last of the futures has ended.

    Args:
        futures: What is waited for.
        ready: Called in the thread that ends the last of them.
        failed: Called with an error that ``ready()`` raised: nobody else gets it.
    """
    left = len(futures)
    lock = _new_lock()  # guards left; nothing is taken under it

    def one_done(_: object) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if not last:
            return
        try:
            ready()
        except BaseException as error:  # noqa: BLE001 - what waits for it must end
            failed(error)

    for future in futures:
        future.add_done_callback(one_done)


def first_failure(futures: Sequence[Future[Any]]) -> Failure | None:
    """Return the failure of the first of the (ended) futures that failed."""
    for future in futures:
        error = error_of(future)
        if error is not None:
            return Failure(error)
    return None
