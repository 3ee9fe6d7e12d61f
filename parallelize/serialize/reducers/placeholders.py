"""Gaps in pickled arguments: where a future stood, its value is put in later.

The side that pickles opens `collect_futures`; every future met while pickling
leaves a numbered gap and is collected. The side that unpickles opens
`substitute_results` with the values. Both are notes of the running thread, so nothing
needs a pickler of its own. A worker loads this file and not the futures.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from typing import Any


class Found(list["Future[Any]"]):
    """The futures that left gaps, by number.

    Attributes:
        values: The numbers of those that are wanted for their values, wherever they
            stood: those of stand-ins.
    """

    values: frozenset[int] = frozenset()

    def clear(self) -> None:
        """Forget all of them."""
        super().clear()
        self.values = frozenset()


class _Gaps(threading.local):
    futures: Found | None = None  # collected while pickling
    values: Sequence[Any] | None = None  # to put in while unpickling


_gaps = _Gaps()


class collect_futures:  # noqa: N801 - reads as a function in a with statement
    """Within the block, a future that is pickled leaves a gap and is collected."""

    __slots__ = ("_outer",)

    def __enter__(self) -> Found:
        self._outer = _gaps.futures
        found = _gaps.futures = Found()
        return found

    def __exit__(self, *_: object) -> None:
        _gaps.futures = self._outer


class substitute_results:  # noqa: N801 - reads as a function in a with statement
    """Within the block, what is unpickled gets ``values`` in place of its gaps."""

    __slots__ = ("_outer", "_values")

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._outer = _gaps.values
        _gaps.values = self._values

    def __exit__(self, *_: object) -> None:
        _gaps.values = self._outer


def collecting() -> bool:
    """Whether this thread pickles the arguments of a call just now."""
    return _gaps.futures is not None


def left() -> int:
    """How many gaps there are in what this thread has pickled of a call."""
    return len(_gaps.futures or ())


def restart() -> None:
    """Forget the gaps of an attempt at pickling that is being made anew."""
    if _gaps.futures is not None:
        _gaps.futures.clear()


def reduce_future(future: Future[Any]) -> tuple[Callable[[int], Any], tuple[int]]:
    """Pickle a future as a gap; outside a call's arguments it cannot be pickled."""
    if _gaps.futures is None:
        msg = "a Future cannot be pickled, except as an argument of a call"
        raise TypeError(msg)
    _gaps.futures.append(future)
    return _fill, (len(_gaps.futures) - 1,)


def reduce_stand_in(future: Future[Any]) -> tuple[Callable[[int], Any], tuple[int]]:
    """Pickle the stand-in of a future as a gap, which its value will fill."""
    reduced = reduce_future(future)
    if _gaps.futures is not None:
        _gaps.futures.values |= {len(_gaps.futures) - 1}
    return reduced


def _fill(index: int) -> Any:
    if _gaps.values is None:
        msg = "the value of a Future is missing: it was not pickled by a call"
        raise TypeError(msg)
    return _gaps.values[index]
