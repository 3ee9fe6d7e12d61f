"""What can be compared to see that a value of `__main__` has not changed.

Most values of a script are functions, classes, modules and constants: what these are
made of is looked at, object by object, by identity. Lists and dictionaries of constants
are compared with a copy. For all else there is no look, and only its pickle tells.
"""

from __future__ import annotations

import functools
import types
from operator import is_
from typing import TYPE_CHECKING, Any

from parallelize.process.main_module import NAMES, has_default_reduce

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    #: What a value is made of, and the flat containers among that.
    Looks = tuple[list[Any], list[Any]]

#: A value of more parts than this is better pickled than looked at.
MOST_PARTS = 5_000

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


def looks_of(value: object) -> Looks | None:
    """What a value looks like now; None if only its pickle can tell."""
    looker = _Looker()
    if not looker.look_at(value):
        return None
    copies = [
        list(each.items()) if type(each) is dict else list(each) for each in looker.flat
    ]
    return [*looker.parts, *looker.flat], copies


def unchanged(looks: Looks | None, value: object) -> bool:
    """Whether a value still looks as it did; False if that cannot be told."""
    if looks is None:
        return False
    looker = _Looker()
    if not looker.look_at(value):
        return False
    parts, copies = looks
    if not _are_same(parts, [*looker.parts, *looker.flat]):
        return False
    return all(map(_has_same, looker.flat, copies))


def _are_same(before: Sequence[Any], now: Sequence[Any]) -> bool:
    return len(before) == len(now) and all(map(is_, before, now))


def _has_same(container: Any, copy: Sequence[Any]) -> bool:
    if type(container) is not dict:
        return _are_same(copy, list(container))
    if len(container) != len(copy):
        return False
    return all(
        key is known and value is content
        for (key, value), (known, content) in zip(container.items(), copy, strict=True)
    )


class _Looker:
    """Takes a value apart."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.flat: list[Any] = []
        self._seen: set[int] = set()

    def look_at(self, value: object) -> bool:
        """Note a value and what it is made of; False if that cannot be told."""
        kind = type(value)
        self.parts.append(value)
        if kind in _CONSTANTS or kind in _STABLE_KINDS or id(value) in self._seen:
            return True
        if len(self.parts) > MOST_PARTS:
            return False
        self._seen.add(id(value))
        return self._look_inside(value, kind)

    def _look_inside(self, value: Any, kind: type) -> bool:
        if kind is types.FunctionType:
            return self._all(_parts_of_function(value))
        if isinstance(value, type):
            if value.__module__ not in NAMES:
                return True
            return self._all((*value.__bases__, *vars(value).values()))
        if kind in _FLAT:
            return self._container(value)
        if kind in _WRAPPERS:
            return self._all(_WRAPPERS[kind](value))
        if kind.__module__ in _STABLE:
            return True
        if kind.__module__.partition(".")[0] == "parallelize":
            return self._all((getattr(value, "__wrapped__", None),))
        if kind.__module__ in NAMES and _is_plain(kind):
            return self._all((kind, *vars(value), *vars(value).values()))
        return False

    def _container(self, value: Any) -> bool:
        items = value.values() if type(value) is dict else value
        if _CONSTANTS.issuperset(map(type, items)):
            self.flat.append(value)
            return True
        if len(value) > MOST_PARTS:
            return False
        if type(value) is dict:
            items = [each for pair in value.items() for each in pair]
        return self._all(items)

    def _all(self, values: Iterable[object]) -> bool:
        return all(map(self.look_at, values))


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
    if kind.__dictoffset__ == 0 or "__getstate__" in vars(kind):
        return False
    for each in kind.__mro__[:-1]:
        if "__slots__" in vars(each) and vars(each)["__slots__"]:
            return False
        if not each.__flags__ & (1 << 9):  # a builtin, which has more inside
            return False
    return has_default_reduce(kind)
