"""Checksums of the contents of values, to detect changes.

For an array of numbers it is a checksum of its memory, for an array of objects one of
their addresses, and for other values, such as a DataFrame or a long list of dicts, one
of their pickle. That pickle is created in C, keeps no copy and reads the buffers of
arrays in place, so it costs a small part of pickling the value for a worker.
"""

from __future__ import annotations

import _pickle as pickle
import functools
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from parallelize.serialize.reducers import replica
from parallelize.serialize.reducers.replica import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

#: The largest number of the script's functions and classes examined for one value.
MOST_KINDS = 1_000


class Sum(NamedTuple):
    """The checksum of a value.

    Attributes:
        compute: Computes the current checksum.
        known: The recorded checksum.
        kept: Keeps the objects alive whose addresses were summed, so that these are not
            reused.
    """

    compute: Callable[[], object]
    known: object
    kept: object = None

    def holds(self) -> bool:
        """Whether the value has the same checksum."""
        return self.compute() == self.known


def _held(compute: Callable[[Any], object], value: object) -> Callable[[], object]:
    """Bind a computation to a value, without keeping the value alive if possible."""
    try:
        return functools.partial(_of_alive, compute, weakref.ref(value))
    except TypeError:  # its type has no weak references
        return functools.partial(compute, value)


def _of_alive(compute: Callable[[Any], object], ref: Callable[[], object]) -> object:
    value = ref()
    return None if value is None else compute(value)


# -------------------------------------------------------------------------- arrays


def of_array(array: Any) -> Sum | None:
    """Return the sum of an array; None if its memory does not determine it."""
    found = _memory(array)
    if found is None:
        return None
    kept = None
    if "O" in found[0]:
        if found[0] != "O" or not all(map(_is_constant, array.flat)):
            return None
        kept = array.copy()
        found = _memory(array)
    return Sum(_held(_memory, array), found, kept)


def _memory(array: Any) -> tuple[Any, ...] | None:
    try:
        with memoryview(array) as view:
            return view.format, view.shape, view.strides, crc32(view)
    except (TypeError, ValueError, BufferError):
        return None


_CONSTANTS = frozenset((int, float, complex, bool, str, bytes, type(None)))


def _is_constant(value: object) -> bool:
    return type(value) in _CONSTANTS


# -------------------------------------------------------------------------- pickles


def of_pickle(value: object, look_at: Callable[[object], bool]) -> Sum | None:
    """Return the sum of a value's pickle; None if that does not determine the value.

    Args:
        value: Any value.
        look_at: Called with each function and class of the script that the pickle only
            names, to examine it. It returns False if it cannot.
    """
    try:
        kinds = _kinds_in(value)
        if kinds is None or not all(map(look_at, kinds)):
            return None
        return Sum(_held(_pickle, value), _pickle(value))
    except Exception:  # noqa: BLE001 - the user's code may raise anything
        return None


def _pickle(value: object) -> object:
    """Return the size and checksum of a value's pickle, and those of its buffers."""
    total = _Total()
    buffers: list[tuple[Any, ...]] = []

    def note(buffer: pickle.PickleBuffer) -> None:
        with buffer.raw() as view:
            buffers.append((view.nbytes, crc32(view)))

    try:
        pickle.Pickler(total, 5, buffer_callback=note).dump(value)
    except Exception:  # noqa: BLE001 - it can no longer be pickled
        return object()
    return total.size, total.sum, buffers


class _Total:
    """A file that only computes the checksum of what is written to it."""

    def __init__(self) -> None:
        self.size = self.sum = 0

    def write(self, data: Any) -> int:
        """Add data to the checksum."""
        size = len(data)
        self.size += size
        self.sum = crc32(data, self.sum)
        return size


class _Unclear(Exception):
    """A value contains something that its pickle does not determine."""


class _Kinds(pickle.Pickler):
    """Collects the functions and classes of the script that a pickle names."""

    def __init__(self) -> None:
        super().__init__(_Total(), 5, buffer_callback=lambda _: None)
        self.found: dict[int, object] = {}

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is object:
            raise _Unclear  # it has only its identity
        if kind.__module__ in NAMES:
            if replica.is_sentinel(obj):
                raise _Unclear
            self._note(kind)
        elif replica.attribute(obj, "__module__") in NAMES:
            self._note(obj)
        return NotImplemented

    def _note(self, obj: object) -> None:
        self.found[id(obj)] = obj
        if len(self.found) > MOST_KINDS:
            raise _Unclear


def _kinds_in(value: object) -> list[object] | None:
    kinds = _Kinds()
    try:
        kinds.dump(value)
    except _Unclear:
        return None
    return list(kinds.found.values())
