"""Maps with a checkpoint: what was called in an earlier run is not called again.

```
             found in the file: its value, in its place, without a call
           ┌────────────────────────────────────────────────────────────┐
 input ── rows ──▶ keys ── not found ──▶ executor ──▶ arrived() ──▶ order ──▶ take()
                                                         │                      │
                                                      _unsaved ──▶ committed ───┘
```

A result is committed before it is given to the reader, by the reader's thread: all that
have arrived until then in one transaction. So nothing that was given is lost, whenever
the process ends. Errors are not kept.
"""

from __future__ import annotations

import os
import pickle
from array import array
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, cast

from parallelize.calls.call import SingleColumn, SubmittedRows
from parallelize.errors import CheckpointError
from parallelize.futures.future import Outcome
from parallelize.mapping.asynchronous.window import AsyncWindow
from parallelize.mapping.checkpoint.digest import UndigestibleError, digest_of
from parallelize.mapping.checkpoint.identity import identity_of
from parallelize.mapping.checkpoint.store import Store
from parallelize.mapping.input import InputSource, is_asynchronous
from parallelize.mapping.notes import row_text
from parallelize.mapping.row_calls import MapState
from parallelize.mapping.window import Window, _drain
from parallelize.runtime import locks
from parallelize.runtime.options import check_callable

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Sequence

    from parallelize.mapping.chunk_size import Sizes
    from parallelize.mapping.order import Chunk, Part
    from parallelize.mapping.plan import Deliver, MapConfig, Row

_new_lock = locks.reentrant("checkpoint")


class StoredValue(Outcome):
    """A result from the file."""

    __slots__ = ("_pickle",)

    succeeds = True

    def __init__(self, pickled: bytes) -> None:
        self._pickle = pickled

    def open(self) -> tuple[Any, BaseException | None]:
        """Return the value, or the error of unpickling it."""
        try:
            return pickle.loads(self._pickle), None
        except Exception as error:  # noqa: BLE001 - the code of its class may raise any
            msg = "the result of a row in the checkpoint cannot be unpickled"
            failed = CheckpointError(f"{msg}: {error}")
            failed.__cause__ = error
            return None, failed

    @property
    def pickled_size(self) -> int:
        """The number of bytes."""
        return len(self._pickle)


class FoundSize:
    """Sizes of what is read at once: larger while the rows are found in the file."""

    #: The largest number of rows. They cost no call, but each is a look-up.
    MOST = 256

    def __init__(self, plan: MapConfig) -> None:
        self._of_calls: Sizes = plan.sizes
        strict = plan.chunks_ahead is None or not plan.chunks_ahead
        self._most = min(self.MOST, plan.least_ahead) if strict else self.MOST
        self._found = 0  # the size if the next rows are found like the last ones

    def next(self, left: int | None) -> int:
        """Return the number of rows to read."""
        return max(self._of_calls.next(left), self._found)

    def of_calls(self) -> int:
        """Return the number of rows to submit at once."""
        return self._of_calls.next(None)

    def found(self, all_of: int | None) -> None:
        """Record that this many rows were all found; None: that some were not."""
        self._found = 0 if all_of is None else min(2 * all_of, self._most)

    def measured(self, rows: int, seconds: float) -> None:
        """Record how long calls took."""
        self._of_calls.measured(rows, seconds)


class CheckpointedWindow(Window):
    """A window whose results are kept in a file."""

    is_kept: ClassVar[bool] = True

    _store: Store

    def keep_in(self, store: Store, key: Callable[..., object] | None) -> None:
        """Set the file; to be called before anything else.

        Args:
            store: The file.
            key: Returns what tells a row from others; None: its arguments do.
        """
        self._store = store
        self._key = key
        self._sizes = FoundSize(self._plan)
        self._plan = self._plan._replace(sizes=self._sizes)
        # The keys of rows that were submitted, by their index in the input.
        self._keys: dict[int, bytes] = {}
        # What has arrived and is not in the file, by the index of the first row: keys
        # and outcomes. Accessed by single atomic operations.
        self._unsaved: dict[int, tuple[list[bytes], list[Any] | array[Any]]] = {}
        # Held while the file is read or written, and results are pickled for it.
        # Reentrant for signal handlers and finalizers.
        self._storing = _new_lock()

    # Starting calls.

    def _start(self, rows: Sequence[Row]) -> None:
        keys, error = self._keys_of(rows)
        if error is not None:
            rows = _cut(rows, 0, len(keys))
        if not self._store.has_unused:
            self._call(rows, keys)
        else:
            self._call_or_give(rows, keys)
        if error is not None and self.refused is None:
            self._refuse(error)

    def _keys_of(self, rows: Sequence[Row]) -> tuple[list[bytes], Exception | None]:
        """Return the keys of rows; if one has none, of those before, and the error."""
        keys: list[bytes] = []
        try:
            if self._key is None:
                keys.extend(map(digest_of, rows))
            else:
                keys.extend(digest_of((self._key(*row),)) for row in rows)
        except UndigestibleError as error:
            return keys, self._undigestible(rows, len(keys), error)
        except Exception as error:  # noqa: BLE001 - of the user's key
            return keys, error
        return keys, None

    def _undigestible(
        self, rows: Sequence[Row], place: int, error: UndigestibleError
    ) -> CheckpointError:
        what = "has no key for its checkpoint" if self._key is None else "has a bad key"
        advice = "give a checkpoint_key that returns an id of the row, such as a string"
        text = row_text(self._begun + place, rows[place])
        failed = CheckpointError(f"{text}, {what}: {error}; {advice}")
        failed.__cause__ = error
        return failed

    def _call_or_give(self, rows: Sequence[Row], keys: list[bytes]) -> None:
        found = locks.held(self._storing, self._store.find, keys)
        self._sizes.found(None if None in found else len(found))
        for is_new, first, end in _runs(found):
            some = _cut(rows, first, end)
            if is_new:
                self._call(some, keys[first:end])
            else:
                values = [StoredValue(each) for each in found[first:end] if each]
                self._begin(some, partial(_give, values))

    def _call(self, rows: Sequence[Row], keys: list[bytes]) -> None:
        size = self._sizes.of_calls()
        for first in range(0, len(rows), size):
            some = _cut(rows, first, first + size)
            self._keys.update(enumerate(keys[first : first + size], self._begun))
            super()._start(some)

    # Receiving outcomes, and writing them.

    def _deliver(
        self, chunk: Chunk, first: int, outcomes: Sequence[Any], seconds: float
    ) -> None:
        arrived = outcomes if isinstance(outcomes, (list, array)) else list(outcomes)
        index = chunk.start + first
        rows = range(index, index + len(arrived))
        keys = [self._keys.pop(row) for row in rows if row in self._keys]
        if keys:  # they were called, not found
            self._unsaved[index] = keys, arrived
        super()._deliver(chunk, first, arrived, seconds)

    def take(self) -> Part | None:
        """Return the next outcomes if they have arrived, and are in the file."""
        part = super().take()
        if part is None:
            return None
        index = part.chunk.start + part.first
        locks.held(self._storing, self._save_with, index)
        if self._store.is_open:
            return part
        if self._life is MapState.RUNNING:
            msg = f"the checkpoint {self._store.path!r} was closed"
            raise CheckpointError(msg)
        return None

    def _save_with(self, index: int) -> None:
        # Another thread may have written it; under the lock, it is committed then.
        if index in self._unsaved:
            self._save()

    async def saved(self) -> None:
        """Write what has arrived in a thread, for a reader in an event loop."""
        import asyncio

        if self._unsaved:
            await asyncio.to_thread(self.save)

    def save(self) -> None:
        """Write what has arrived.

        Raises:
            CheckpointError: It cannot be written, or a result cannot be pickled.
        """
        locks.held(self._storing, self._save)

    def _save(self) -> None:
        results: list[tuple[bytes, bytes]] = []
        try:
            while self._unsaved:
                index, (keys, outcomes) = self._unsaved.popitem()
                self._pickle(index, keys, outcomes, results)
        finally:
            if results:
                self._store.add(results)

    def _pickle(
        self,
        index: int,
        keys: list[bytes],
        outcomes: list[Any] | array[Any],
        results: list[tuple[bytes, bytes]],
    ) -> None:
        """Add the results of calls that succeeded, pickled, to a list."""
        for place, outcome in enumerate(outcomes):
            value = outcome
            if issubclass(type(outcome), Outcome):
                value, error = (None, outcome) if outcome.failed else outcome.open()
                if error is not None:
                    continue
                outcomes[place] = value  # the reader need not open it again
            results.append((keys[place], _pickled(value, index + place)))

    # The end of the map.

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left to do, and the file is closed."""
        return not self._store.is_open and super().is_spent

    def close(self) -> None:
        """Write what has arrived, and end the map."""
        with suppress(CheckpointError):  # none of it was given
            self.save()
        super().close()
        self._close_store()

    def dropped(self) -> None:
        """Called when the iterator is garbage collected."""
        if self.was_read or self._plan.chunks_ahead is None:
            with suppress(CheckpointError):
                self.save()
            super().dropped()
        else:
            _drain(self)
        self._close_store()

    def _close_store(self) -> None:
        with suppress(CheckpointError):
            locks.held(self._storing, self._store.close)

    def forget(self) -> None:
        """In a forked child: end without touching what belongs to the parent."""
        super().forget()
        self._storing = _new_lock()


class CheckpointedAsyncWindow(CheckpointedWindow, AsyncWindow):
    """The same over asynchronous input."""

    def dropped(self) -> None:
        """Close, as only the loop can read the input."""
        self.close()


def open_checkpointed(
    iterables: Sequence[Iterable[Any] | AsyncIterable[Any]],
    plan: MapConfig,
    *,
    star: bool,
    fn: Callable[..., Any],
    path: object,
    key: Callable[..., object] | None,
) -> CheckpointedWindow:
    """Make the window of a map with a checkpoint.

    Args:
        iterables: The input.
        plan: The configuration of the map.
        star: Whether there is one iterable, which provides rows of arguments.
        fn: The function, which the file must be of.
        path: The file, as the user gave it.
        key: Likewise what returns the key of a row, or None.

    Raises:
        CheckpointError: The file cannot be used.
    """
    file = _checked(path, key)
    window: CheckpointedWindow
    if any(map(is_asynchronous, iterables)):
        window = CheckpointedAsyncWindow(iterables, plan, star=star)
    else:
        synchronous = cast("Sequence[Iterable[Any]]", iterables)
        window = CheckpointedWindow(InputSource(synchronous, star=star), plan)
    window.keep_in(Store(file, identity_of(fn)), key)
    return window


def _checked(path: object, key: object) -> str:
    if key is not None:
        check_callable(key, "checkpoint_key")
    if path is None:
        msg = "checkpoint_key must be given together with a checkpoint"
        raise ValueError(msg)
    if not isinstance(path, (str, os.PathLike)):
        msg = f"checkpoint must be the path of a file or None, not {path!r}"
        raise TypeError(msg)
    file = os.fspath(path)
    if not isinstance(file, str) or not file:
        msg = f"checkpoint must be the path of a file as text, not {path!r}"
        raise ValueError(msg)
    return file


def _runs(found: list[bytes | None]) -> Iterator[tuple[bool, int, int]]:
    """Yield runs of rows of one kind: whether they are new, the first, the end."""
    first = 0
    for is_new, run in groupby(each is None for each in found):
        end = first + sum(1 for _ in run)
        yield is_new, first, end
        first = end


def _cut(rows: Sequence[Row], first: int, end: int) -> Sequence[Row]:
    if first == 0 and end >= len(rows):
        return rows
    if isinstance(rows, SingleColumn):
        return SingleColumn(rows.values[first:end])
    return rows[first:end]


def _give(
    values: list[StoredValue],
    rows: Sequence[Row],  # noqa: ARG001 - the signature of what starts rows
    deliver: Deliver,
) -> SubmittedRows:
    """Deliver values in place of calls."""
    deliver(0, values, 0.0)
    return SubmittedRows(lambda: None)


def _pickled(value: object, row: int) -> bytes:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        msg = f"the result of row {row} cannot be pickled for the checkpoint: {error}"
        raise CheckpointError(msg) from error
