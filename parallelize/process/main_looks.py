"""What can be compared to see that a value of `__main__` has not changed.

Most values of a script are functions, classes, modules and constants: what these are
made of is looked at, object by object, by identity. Lists and dictionaries of constants
are compared with a copy. For all else there is no look, and only its pickle tells.
"""

from __future__ import annotations

import copy
import functools
import types
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.process.main_module import NAMES, has_default_reduce

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: A value of more parts than this is better pickled than looked at.
MOST_PARTS = 5_000

#: A container of more items than this is compared by value.
LONG = 1_000

_OF_ARRAYS = frozenset(("numpy", "array", "numpy.ma"))
_CONSTANTS = frozenset((int, float, complex, bool, str, bytes, type(None), type(...)))
_FLAT = frozenset((list, tuple, dict, set, frozenset))

#: The modules of classes whose instances cannot change, or need not be followed.
_STABLE = frozenset(
    (
        "_contextvars",
        "_queue",
        "_struct",
        "_thread",
        "_weakref",
        "abc",
        "_abc",
        "contextvars",
        "dataclasses",
        "datetime",
        "decimal",
        "fractions",
        "ipaddress",
        "logging",
        "operator",
        "pathlib",
        "pathlib._local",
        "re",
        "threading",
        "typing",
        "typing_extensions",
        "uuid",
        "zoneinfo",
    )
)
_STABLE_KINDS = frozenset(
    (
        object,
        range,
        slice,
        types.BuiltinFunctionType,
        types.GetSetDescriptorType,
        types.GenericAlias,
        types.MemberDescriptorType,
        types.MethodDescriptorType,
        types.ModuleType,
        types.UnionType,
        types.WrapperDescriptorType,
    )
)


class Looks(NamedTuple):
    """What a value is made of.

    Attributes:
        parts: The objects in it, compared by identity.
        copies: By the ids of the flat containers among them, copies of these.
        sums: By the ids of the arrays among them, what their contents come to.
    """

    parts: list[Any]
    copies: dict[int, Any]
    sums: dict[int, Any]


def looks_of(value: object) -> Looks | None:
    """What a value looks like now; None if only its pickle can tell."""
    looker = _Looker(None)
    return looker.looks if looker.look_at(value) else None


def unchanged(looks: Looks | None, value: object) -> bool:
    """Whether a value still looks as it did; False if that cannot be told."""
    if looks is None:
        return False
    looker = _Looker(looks)
    return looker.look_at(value) and _are_same(looks.parts, looker.looks.parts)


def _are_same(before: Sequence[Any], now: Sequence[Any]) -> bool:
    return len(before) == len(now) and all(map(is_, before, now))


def _has_same(container: Any, before: Any) -> bool:
    """Whether a container has what it had when it was copied."""
    if container is before:  # it cannot change
        return True
    if len(container) != len(before):
        return False
    if len(before) > LONG:  # to compare is quicker; so 1 and True are the same there
        try:
            return bool(container == before)
        except Exception:  # noqa: BLE001 - there is something else in it now
            return False
    if type(before) is dict:
        return _are_same([*before, *before.values()], [*container, *container.values()])
    return _are_same(list(before), list(container))


class _Looker:
    """Takes a value apart, guided by what it looked like before."""

    def __init__(self, before: Looks | None) -> None:
        self.looks = Looks([], {}, {})
        self._parts = self.looks.parts
        self._before = before
        self._seen: set[int] = set()

    def look_at(self, value: object) -> bool:
        """Note a value and what it is made of; False if that cannot be told."""
        kind = type(value)
        self._parts.append(value)
        if kind in _CONSTANTS or kind in _STABLE_KINDS or id(value) in self._seen:
            return True
        if len(self._parts) > MOST_PARTS:
            return False
        self._seen.add(id(value))
        return self._look_inside(value, kind)

    def _look_inside(self, value: Any, kind: type) -> bool:
        if kind is types.FunctionType:
            return self._all(_parts_of_function(value))
        if isinstance(value, type):
            if value.__module__ not in NAMES:
                return True
            parts = (*value.__bases__, *vars(value).values(), *_registered_with(value))
            return self._all(parts)
        if kind in _FLAT:
            return self._container(value)
        if kind in _WRAPPERS:
            return self._all(_WRAPPERS[kind](value))
        if kind is bytearray or kind.__module__ in _OF_ARRAYS:
            return self._array(value)
        if kind.__module__ in _STABLE:
            return True
        if kind.__module__.partition(".")[0] == "parallelize":
            return self._all((getattr(value, "__wrapped__", None),))
        if kind.__module__ in NAMES and _is_plain(kind):
            return self._all((kind, *vars(value), *vars(value).values()))
        return False

    def _container(self, value: Any) -> bool:
        known = None if self._before is None else self._before.copies.get(id(value))
        if known is not None:
            return _has_same(value, known)
        items = value.values() if type(value) is dict else value
        if _CONSTANTS.issuperset(map(type, items)):
            self.looks.copies[id(value)] = copy.copy(value)
            return True
        if len(value) > MOST_PARTS:
            return False
        if type(value) is dict:
            items = [each for pair in value.items() for each in pair]
        return self._all(items)

    def _array(self, value: Any) -> bool:
        known = None if self._before is None else self._before.sums.get(id(value))
        found = _sum_of(value)
        self.looks.sums[id(value)] = found
        return found is not None and (self._before is None or found == known)

    def _all(self, values: Iterable[object]) -> bool:
        return all(map(self.look_at, values))


def _registered_with(cls: Any) -> list[Any]:
    """The classes that were registered with an abstract base class."""
    if "_abc_impl" not in vars(cls):
        return []
    import abc

    dump: Any = getattr(abc, "_get_dump", None)
    return [] if dump is None else sorted((ref() for ref in dump(cls)[0]), key=id)


def _sum_of(array: Any) -> tuple[Any, ...] | None:
    """What the contents of an array come to; None if they are no plain numbers."""
    from zlib import crc32

    try:
        with memoryview(array) as view:
            return view.format, view.shape, view.strides, crc32(view)
    except (TypeError, ValueError, BufferError):
        return None


def _parts_of_function(fn: types.FunctionType) -> Iterable[Any]:
    if fn.__module__ not in NAMES and "<" not in fn.__qualname__:
        return ()
    cells = [content for cell in fn.__closure__ or () for content in contents(cell)]
    more = [each for pair in (fn.__kwdefaults__ or {}).items() for each in pair]
    attributes = [each for pair in vars(fn).items() for each in pair]
    return fn.__code__, *(fn.__defaults__ or ()), *cells, *more, *attributes


def contents(cell: types.CellType) -> tuple[Any, ...]:
    """What is in a cell, or nothing."""
    try:
        return (cell.cell_contents,)
    except ValueError:  # it is empty
        return ()


_WRAPPERS: dict[type, Any] = {
    types.CodeType: lambda _: (),
    staticmethod: lambda method: (method.__func__,),
    classmethod: lambda method: (method.__func__,),
    property: lambda prop: (prop.fget, prop.fset, prop.fdel),
    functools.partial: lambda partial: (
        partial.func,
        *partial.args,
        *partial.keywords.values(),
    ),
    types.MethodType: lambda method: (method.__func__, method.__self__),
    functools._lru_cache_wrapper: lambda cache: (cache.__wrapped__,),
}


def _is_plain(kind: type) -> bool:
    """Whether instances have their attributes in a dictionary, and nothing else."""
    if kind.__dictoffset__ == 0:
        return False
    for each in kind.__mro__[:-1]:
        if "__slots__" in vars(each) and vars(each)["__slots__"]:
            return False
        if not each.__flags__ & (1 << 9):  # a builtin, which has more inside
            return False
    return has_default_reduce(kind)
