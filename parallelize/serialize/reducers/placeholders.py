"""Placeholders for futures in pickled arguments, replaced by their results later.

The sender pickles inside `collect_futures`; every future that is pickled leaves a
numbered placeholder and is collected. The receiver unpickles inside
`substitute_results` with the values. Both are state of the current thread, so no custom
pickler is needed. A worker imports this module, but not the futures.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from typing import Any


class Found(list["Future[Any]"]):
    """The futures that left placeholders, by number.

    Attributes:
        values: The numbers of futures that must be replaced by their values wherever
            they are: those of stand-ins.
    """

    values: frozenset[int] = frozenset()

    def clear(self) -> None:
        """Remove all of them."""
        super().clear()
        self.values = frozenset()


class _Gaps(threading.local):
    futures: Found | None = None  # collected while pickling
    values: Sequence[Any] | None = None  # substituted while unpickling


_gaps = _Gaps()


class collect_futures:  # noqa: N801 - reads as a function in a with statement
    """Collect the futures that are pickled in the block as placeholders."""

    __slots__ = ("_outer",)

    def __enter__(self) -> Found:
        self._outer = _gaps.futures
        found = _gaps.futures = Found()
        return found

    def __exit__(self, *_: object) -> None:
        _gaps.futures = self._outer


class substitute_results:  # noqa: N801 - reads as a function in a with statement
    """Replace placeholders that are unpickled in the block by ``values``."""

    __slots__ = ("_outer", "_values")

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._outer = _gaps.values
        _gaps.values = self._values

    def __exit__(self, *_: object) -> None:
        _gaps.values = self._outer


def collecting() -> bool:
    """Whether this thread is pickling the arguments of a call."""
    return _gaps.futures is not None


def left() -> int:
    """Return the number of placeholders that this thread has pickled for a call."""
    return len(_gaps.futures or ())


def restart() -> None:
    """Drop the placeholders of a failed attempt, before pickling again."""
    if _gaps.futures is not None:
        _gaps.futures.clear()


def reduce_future(future: Future[Any]) -> tuple[Callable[[int], Any], tuple[int]]:
    """Pickle a future as a placeholder; raise outside of a call's arguments."""
    if _gaps.futures is None:
        msg = (
            "a Future cannot be pickled, except as an argument of a call: return its "
            "result(), or submit the plain function, f.__wrapped__"
        )
        raise TypeError(msg)
    _gaps.futures.append(future)
    return _fill, (len(_gaps.futures) - 1,)


def reduce_stand_in(future: Future[Any]) -> tuple[Callable[[int], Any], tuple[int]]:
    """Pickle a future's stand-in as a placeholder for its value."""
    reduced = reduce_future(future)
    if _gaps.futures is not None:
        _gaps.futures.values |= {len(_gaps.futures) - 1}
    return reduced


def _fill(index: int) -> Any:
    if _gaps.values is None:
        msg = "the value of a Future is missing: it was not pickled by a call"
        raise TypeError(msg)
    return _gaps.values[index]
