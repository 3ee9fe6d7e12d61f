"""The input of a map: rows of arguments, read only as far as needed."""

from __future__ import annotations

import contextlib
import enum
import operator
import sys
from itertools import chain, count, cycle, islice, repeat
from typing import TYPE_CHECKING, Any

from parallelize.calls.call import SingleColumn
from parallelize.calls.dependencies import holds_futures, may_hold
from parallelize.futures.peek import no_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Input(enum.Enum):
    """The state of the input."""

    OPEN = "there may be more"
    ENDED = "all was read"
    FAILED = "reading raised an error"
    CLOSED = "no more is wanted"


class InputSource:
    """Reads rows from one or more iterables, as `zip` does.

    One thread at a time may use it.

    Attributes:
        state: The state of the input.
        error: The error that reading raised, if it failed.
        length: The total number of rows, if the iterables have a length.
        endless: Whether the rows are known never to end.
    """

    def __init__(self, iterables: Sequence[Iterable[Any]], *, star: bool) -> None:
        if not iterables:
            msg = "map needs at least one iterable"
            raise TypeError(msg)
        self._iterators = [
            _iterator(each, position) for position, each in enumerate(iterables)
        ]
        self._columns = 0 if star else len(iterables)
        # The unread part of an input that is a range: its parts are ranges, too.
        self._range: range | None = None
        if self._columns == 1 and type(iterables[0]) is range:
            self._range = iterables[0]
        self._rows: Iterator[Any] = self._read_rows()
        self.length: int | None = _least_length(iterables)
        self.endless: bool = all(map(_is_endless, iterables))
        self.state: Input = Input.OPEN
        self.error: BaseException | None = None
        self._drawn = 0
        self._drawing = False

    @property
    def left(self) -> int | None:
        """The number of unread rows, if the iterables have a length."""
        return None if self.length is None else max(0, self.length - self._drawn)

    def _read_rows(self) -> Iterator[Any]:
        """Read rows as tuples; with one iterable, its items without a tuple."""
        if not self._columns:
            return map(row_of, self._iterators[0], count())
        if self._columns == 1:
            return self._iterators[0]
        return zip(*self._iterators)  # noqa: B905

    def draw(self, number: int) -> Sequence[tuple[Any, ...]]:
        """Read this many rows; fewer when the input ends or fails."""
        if self._range is not None:
            return SingleColumn(self._cut(self._range, number))
        rows: list[Any] = []
        self._drawing = True
        try:
            # extend keeps the rows that it got before an error.
            rows.extend(islice(self._rows, min(number, sys.maxsize)))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self.fail(error)  # raised in the reader in its turn
        else:
            self._count(len(rows), number)
        finally:
            self._drawing = False
        return SingleColumn(rows) if self._columns == 1 else rows

    def _cut(self, values: range, number: int) -> range:
        self._range = values[number:]
        drawn = values[:number]
        self._count(len(drawn), number)
        return drawn

    def _count(self, drawn: int, wanted: int) -> None:
        self._drawn += drawn
        if drawn < wanted:
            self._end(Input.ENDED)

    def end(self) -> None:
        """Record that everything was read."""
        self._end(Input.ENDED)

    def fail(self, error: BaseException) -> None:
        """Read no more; the error follows after the last row."""
        self.error = error
        self._end(Input.FAILED)

    def close(self) -> None:
        """Read no more, and close the iterators that can be closed."""
        if self._drawing:
            return  # an iterator closes the map it feeds; the caller of draw closes it
        iterators = self._iterators
        self.error = None  # it will not be raised any more
        self._end(Input.CLOSED)
        for iterator in iterators:
            close = getattr(iterator, "close", None)
            if callable(close):
                close()

    def _end(self, state: Input) -> None:
        if self.state is Input.OPEN:
            self.state = state
        self._rows = iter(())
        self._range = None
        self._iterators = []


def _iterator(iterable: Iterable[Any], position: int) -> Iterator[Any]:
    try:
        return iter(iterable)
    except TypeError:
        msg = f"iterables[{position}] must be an iterable, not {iterable!r}"
        raise TypeError(msg) from None


def row_of(row: Iterable[Any], position: int) -> tuple[Any, ...]:
    """Return a row of arguments as a tuple, or raise naming its position."""
    if type(row) is tuple:
        return row
    try:
        return tuple(row)
    except TypeError as error:
        msg = f"rows[{position}] must be a tuple of arguments, not {row!r}"
        raise TypeError(msg) from error
    except StopIteration as error:  # of the row's own code; it would end the rows
        raise no_end(error, StopIteration) from error


def _least_length(iterables: Sequence[Iterable[Any]]) -> int | None:
    lengths: list[int] = []
    for each in iterables:
        if _is_endless(each):
            continue
        length = _length(each)
        if length is None:
            return None
        lengths.append(length)
    return min(lengths) if lengths else None


def _length(iterable: Any) -> int | None:
    if isinstance(iterable, repeat):
        return operator.length_hint(iterable)
    with contextlib.suppress(Exception):  # if len() raises, the length is unknown
        return len(iterable)
    return None


def _is_endless(iterable: Any) -> bool:
    if isinstance(iterable, repeat):  # without `times` it has no length hint
        return operator.length_hint(iterable, -1) < 0
    return isinstance(iterable, (count, cycle))


def hold_futures(rows: Sequence[tuple[Any, ...]]) -> bool:
    """Whether a future of this library is among the arguments of some row."""
    # In the usual case one pass at C speed is enough.
    if isinstance(rows, SingleColumn):
        return may_hold(rows.kinds()) and holds_futures(rows.values)
    kinds = set(map(type, chain.from_iterable(rows)))
    return may_hold(kinds) and holds_futures(list(chain.from_iterable(rows)))
