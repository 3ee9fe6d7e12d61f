"""What the contents of a value come to, so that a change of them can be seen.

An array of numbers comes to a checksum of its memory, an array of objects to one of
their addresses. For other values, such as a DataFrame or a long list of dictionaries,
there is the checksum of their pickle. That is made by pickle's own code in C, keeps no
copy, and takes the buffers of arrays where they are: so it costs a small part of what
it costs to pickle the value for a worker.
"""

from __future__ import annotations

import functools
import pickle
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from parallelize.serialize.reducers import replica
from parallelize.serialize.reducers.replica import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

#: More objects of the script than this are not looked at for one value.
MOST_KINDS = 1_000


class Sum(NamedTuple):
    """What a value came to.

    Attributes:
        compute: Computes what it comes to now.
        known: What it came to.
        kept: The objects whose addresses were taken, which are not given to others
            as long as they live.
    """

    compute: Callable[[], object]
    known: object
    kept: object = None

    def holds(self) -> bool:
        """Whether the value comes to the same."""
        return self.compute() == self.known


def _held(compute: Callable[[Any], object], value: object) -> Callable[[], object]:
    """What computes something of a value without keeping it alive, if possible."""
    try:
        return functools.partial(_of_alive, compute, weakref.ref(value))
    except TypeError:  # of a type that has no weak references
        return functools.partial(compute, value)


def _of_alive(compute: Callable[[Any], object], ref: Callable[[], object]) -> object:
    value = ref()
    return None if value is None else compute(value)


# -------------------------------------------------------------------------- of arrays


def of_array(array: Any) -> Sum | None:
    """The sum of an array; None if its contents do not tell all."""
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


# -------------------------------------------------------------------------- of pickles


def of_pickle(value: object, look_at: Callable[[object], bool]) -> Sum | None:
    """The sum of a value's pickle; None if that does not tell all.

    Args:
        value: Any value.
        look_at: Takes apart what the pickle only names: functions and classes of the
            script. It returns False if it cannot.
    """
    try:
        kinds = _kinds_in(value)
        if kinds is None or not all(map(look_at, kinds)):
            return None
        return Sum(_held(_pickle, value), _pickle(value))
    except Exception:  # noqa: BLE001 - of what the user's code may raise
        return None


def _pickle(value: object) -> object:
    """The checksums of a value's pickle and of its buffers."""
    total = _Total()
    buffers: list[tuple[Any, ...]] = []

    def note(buffer: pickle.PickleBuffer) -> None:
        with buffer.raw() as view:
            buffers.append((view.nbytes, crc32(view)))

    try:
        pickle.Pickler(total, 5, buffer_callback=note).dump(value)
    except Exception:  # noqa: BLE001 - it cannot be pickled any more
        return object()
    return total.size, total.sum, buffers


class _Total:
    """A file that only sums up what is written to it."""

    def __init__(self) -> None:
        self.size = self.sum = 0

    def write(self, data: Any) -> int:
        """Add to the sum."""
        size = len(data)
        self.size += size
        self.sum = crc32(data, self.sum)
        return size


class _Unclear(Exception):
    """There is something in a value of which its pickle does not tell all."""


class _Kinds(pickle.Pickler):
    """Notes the functions and classes of the script that a pickle names."""

    def __init__(self) -> None:
        super().__init__(_Total(), 5, buffer_callback=lambda _: None)
        self.found: dict[int, object] = {}

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is object:
            raise _Unclear  # it has nothing but its identity
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
