"""The input of a map: rows of arguments, read only as far as needed."""

from __future__ import annotations

import contextlib
import enum
import operator
import sys
from array import array
from collections import deque
from itertools import chain, count, cycle, islice, repeat
from typing import TYPE_CHECKING, Any

from parallelize.calls.call import SingleColumn
from parallelize.calls.dependencies import holds_futures, may_hold
from parallelize.futures.peek import no_end
from parallelize.runtime.clock import perf_counter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import ClassVar, Protocol

    from typing_extensions import TypeIs

    from parallelize.futures.future import Future

    class Results(Protocol):
        """A map or a stream: what other calls give is the input."""

        _gives_results: ClassVar[bool]

        def _awaited(self) -> Sequence[Future[Any]]:
            """The futures that have to end before the next result."""
            ...

        def _needs_loop(self) -> bool:
            """Whether only ``async for`` can read the results."""
            ...

        def _belongs_to_a_thread(self) -> bool:
            """Whether the current thread is known to be the only one that can."""
            ...

        def close(self) -> None:
            """End the calls."""


class Input(enum.Enum):
    """The state of the input."""

    OPEN = "there may be more"
    ENDED = "all was read"
    FAILED = "reading raised an error"
    CLOSED = "no more is wanted"


class Pace(enum.Enum):
    """What is known about how long the next row takes."""

    INSTANT = "no time: the items are in memory"
    UNKNOWN = "any time: user code makes the items"
    QUICK = "likewise, but so far it took no time"
    SLOW = "likewise, and it took long"
    BOUND = "any time, but only the reader's thread may read"
    RESULTS = "as long as calls take: the items are their results"


#: Seconds that reading may take before what was read is handed over.
PROMPT = 0.001

#: A quick input that once takes this many seconds is no longer quick.
SLOW = 0.005

#: The largest number of rows read at once from an input of unknown pace.
MOST_AT_ONCE = 4096

_dict: dict[object, object] = {}

_CONTAINERS: tuple[Iterable[object], ...] = (
    *([], (), range(0), range(2**64), "", "\u20ac", b"", bytearray()),
    *(set(), frozenset(), _dict, _dict.keys(), _dict.values(), _dict.items()),
    *(deque(), array("b")),
)

#: Iterables whose items exist already: containers, and their iterators.
_IN_MEMORY: frozenset[type] = frozenset(
    (
        *(repeat, count),
        *map(type, _CONTAINERS),
        *(type(iter(each)) for each in _CONTAINERS),
        *(type(reversed([])), type(reversed(deque[object]()))),
    )
)


class InputSource:
    """Reads rows from one or more iterables, as `zip` does.

    One thread at a time may read. The state may be set by any.

    Attributes:
        state: The state of the input.
        error: The error that reading raised, if it failed.
        length: The total number of rows, if the iterables have a length.
        endless: Whether the rows are known never to end.
        pace: What is known about how long the next row takes.
        waited: The number of seconds by which the last `draw` was too late; 0 if it
            was not.
    """

    def __init__(self, iterables: Sequence[Iterable[Any]], *, star: bool) -> None:
        if not iterables:
            msg = "map needs at least one iterable"
            raise TypeError(msg)
        self._iterators = [
            iterator_of(each, position) for position, each in enumerate(iterables)
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
        self.pace: Pace = _pace(iterables)
        self.waited: float = 0.0
        self._drawn = 0
        self._drawing = False
        self._step = 1  # the number of rows to read before the clock is read

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
        """Read this many rows; fewer when the input ends, fails or makes one wait.

        One row, if nothing is known about the pace: the next one may take any time.
        """
        if self._range is not None:
            return SingleColumn(self._cut(self._range, number))
        if self.pace is Pace.UNKNOWN:
            number = 1
        rows: list[Any] = []
        self._drawing = True
        try:
            # extend keeps the rows that it got before an error.
            if self.pace is Pace.INSTANT:
                rows.extend(islice(self._rows, min(number, sys.maxsize)))
            else:
                number = self._draw_until_late(rows, number)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self.fail(error)  # raised in the reader in its turn
        else:
            self._count(len(rows), number)
        finally:
            self._drawing = False
        return self._packed(rows)

    def _draw_until_late(self, rows: list[Any], number: int) -> int:
        """Read rows, and stop early once it takes too long.

        Returns:
            The number of rows asked for; the input has ended if there are fewer.
        """
        self.waited = 0.0
        asked = 0
        while asked < number and not self.waited and len(rows) == asked:
            step = min(self._step, number - asked)
            asked += step
            begun = perf_counter()
            rows.extend(islice(self._rows, step))
            self._adapt(step, perf_counter() - begun)
        return asked

    def _adapt(self, step: int, seconds: float) -> None:
        """Learn from a step: each should take less than `PROMPT`."""
        if seconds > PROMPT:
            self.waited = seconds
            self._step = 1
        elif seconds > PROMPT / 2:
            self._step = max(1, step // 2)
        elif seconds < PROMPT / 4 and step == self._step:
            self._step = min(2 * step, MOST_AT_ONCE)

    def is_to_be_fed(self) -> bool:
        """Whether the reader's thread should not read on, as it might wait."""
        pace = self.pace
        if pace in (Pace.INSTANT, Pace.BOUND):
            return False
        if pace is Pace.QUICK and self.waited >= SLOW:
            self.pace = Pace.SLOW
        elif pace is Pace.QUICK or not self._drawn:
            return pace is Pace.RESULTS or is_loop_here()
        return True

    def rows(self) -> Iterator[Any]:
        """The rows as the user's iterables yield them, for `drawn`.

        The caller records the end of the input by `end` or `fail`.
        """
        return self._rows

    def drawn(self, rows: list[Any]) -> Sequence[tuple[Any, ...]]:
        """Count `rows` that were read, and return them in the form of `draw`."""
        self._drawn += len(rows)
        return self._packed(rows)

    def _packed(self, rows: list[Any]) -> Sequence[tuple[Any, ...]]:
        return SingleColumn(rows) if self._columns == 1 else rows

    def awaited(self) -> list[Future[Any]]:
        """The futures that have to end before the next row, as far as known."""
        maps = filter(gives_results, self._iterators)
        return [future for each in maps for future in each._awaited()]

    def belongs_to_a_thread(self) -> bool:
        """Whether reading is known to be possible in the current thread only."""
        from parallelize.mapping.thread_bound import is_bound

        return any(
            each._belongs_to_a_thread() if gives_results(each) else is_bound(each)
            for each in self._iterators
        )

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

    def close_results(self) -> None:
        """Close the iterables that are results of calls, so that nothing waits there.

        Any thread may do this while another one reads.
        """
        for each in filter(gives_results, self._iterators):
            each.close()

    def _end(self, state: Input) -> None:
        if self.state is Input.OPEN:
            self.state = state
        self._rows = iter(())
        self._range = None
        self._iterators = []


def is_loop_here() -> bool:
    """Whether this thread runs an asyncio loop, which must not wait."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def is_asynchronous(iterable: Any) -> bool:
    """Whether an object can only be read by ``async for``."""
    kind = type(iterable)
    if gives_results(iterable):
        return iterable._needs_loop()
    return hasattr(kind, "__aiter__") and not hasattr(kind, "__iter__")


def gives_results(iterable: object) -> TypeIs[Results]:
    """Whether an iterable is a map or a stream of this library."""
    return getattr(type(iterable), "_gives_results", False) is True


def _pace(iterables: Sequence[Iterable[Any]]) -> Pace:
    if any(map(gives_results, iterables)):
        return Pace.RESULTS
    return Pace.INSTANT if all(map(_is_in_memory, iterables)) else Pace.UNKNOWN


def _is_in_memory(iterable: Any) -> bool:
    """Whether the items exist already, so that reading does not wait."""
    kind = type(iterable)
    if kind in (enumerate, zip):  # their pickled form shows what they are made of
        parts = iterable.__reduce__()[1]
        return all(map(_is_in_memory, parts[:1] if kind is enumerate else parts))
    return kind in _IN_MEMORY


def iterator_of(iterable: Iterable[Any], position: int) -> Iterator[Any]:
    """Return the iterator of an input, or raise naming its position."""
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
