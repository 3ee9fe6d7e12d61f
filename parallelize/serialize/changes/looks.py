"""Detects changes of values of `__main__` by comparing their parts.

Most values of a script are functions, classes, modules and constants: their parts are
compared one by one, by identity. Lists and dicts of constants are compared with a copy,
arrays and other values that can be pickled by a checksum (`sums`). All other values
cannot be compared, and are pickled again for each call.
"""

from __future__ import annotations

import functools
import types
import weakref
from operator import is_

from parallelize.serialize.reducers.replica import NAMES, has_default_reduce

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from parallelize.serialize.changes.sums import Sum

    Read = Callable[[Any], Sequence[Any]]
    Node = tuple[Any, Read, Sequence[Any]]

#: For values of more parts than this, pickling is better than comparing.
MOST_PARTS = 5_000

#: For values with more checksums than this, one for the whole value is quicker.
MOST_SUMS = 16

#: Containers of more items than this are compared by value.
LONG = 1_000

_OF_ARRAYS = frozenset(("numpy", "array", "numpy.ma"))
_CONSTANTS = frozenset((int, float, complex, bool, str, bytes, type(None), type(...)))
_FROZEN = frozenset((tuple, frozenset))
_FLAT = _FROZEN | frozenset((list, dict, set))

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
        types.CodeType,
        types.GetSetDescriptorType,
        types.GenericAlias,
        types.MemberDescriptorType,
        types.MethodDescriptorType,
        types.ModuleType,
        types.UnionType,
        types.WrapperDescriptorType,
    )
)


class Looks:
    """The parts of a value.

    Attributes:
        nodes: Objects that can change, each with the function that reads its parts, and
            these.
        copies: Containers of constants only, with their copies.
        sums: Checksums of arrays and pickles.
    """

    __slots__ = (
        "copies",
        "nodes",
        "sums",
    )

    def __init__(
        self,
        nodes: list[Node],
        copies: list[tuple[Any, Any]],
        sums: list[Sum],
    ) -> None:
        self.nodes: list[Node] = nodes
        self.copies: list[tuple[Any, Any]] = copies
        self.sums: list[Sum] = sums

    def hold(self) -> bool:
        """Whether the value has not changed."""
        return unchanged(self)

    def size(self) -> int:
        """Return the number of parts that can change."""
        return len(self.nodes) + len(self.copies) + len(self.sums)


def looks_of(value: object) -> Looks | None:
    """Return the current parts of a value; None if they cannot be compared."""
    ways = _Looker.look_at, _Looker.look_at_pickle
    looks = next(filter(None, (_looks_by(way, value) for way in ways)), None)
    if looks is not None:
        nodes = looks.nodes
        nodes[:] = [_weakly(*node) if node[0] is value else node for node in nodes]
    return looks


def _looks_by(way: Callable[[_Looker, object], bool], value: object) -> Looks | None:
    looker = _Looker()
    try:
        return looker.looks if way(looker, value) else None
    except RecursionError:  # nested too deeply
        return None


def _weakly(value: Any, read: Read, parts: Sequence[Any]) -> Node:
    """Return a node that does not keep its value alive, if possible."""
    try:
        return weakref.ref(value), functools.partial(_read_alive, read), parts
    except TypeError:
        return value, read, parts


def _read_alive(read: Read, ref: Callable[[], Any]) -> Sequence[Any]:
    value = ref()
    return () if value is None else read(value)


def unchanged(looks: Looks | None) -> bool:
    """Whether a value has not changed; False if it cannot be compared."""
    if looks is None:
        return False
    for node, read, parts in looks.nodes:
        now = read(node)
        if len(now) != len(parts) or not all(map(is_, now, parts)):
            return False
    if not all(_has_same(container, copy) for container, copy in looks.copies):
        return False
    return all(each.holds() for each in looks.sums)


def _are_same(before: Sequence[Any], now: Sequence[Any]) -> bool:
    return len(before) == len(now) and all(map(is_, before, now))


def _has_same(container: Any, before: Any) -> bool:
    """Whether a container still has the items of its copy."""
    if len(container) != len(before):
        return False
    if len(before) > LONG:  # == is quicker, but takes 1 and True as equal
        try:
            return bool(container == before)
        except Exception:  # noqa: BLE001 - it now has other items
            return False
    if type(before) is dict:
        return _are_same(_items(before), _items(container))
    return _are_same(list(before), list(container))


class _Looker:
    """Collects the parts of a value."""

    def __init__(self) -> None:
        self.looks = Looks([], [], [])
        self._seen: set[int] = set()

    def look_at(self, value: object) -> bool:
        """Add a value and its parts; return False if they cannot be compared."""
        kind = type(value)
        if kind in _CONSTANTS or kind in _STABLE_KINDS or id(value) in self._seen:
            return True
        self._seen.add(id(value))
        return len(self._seen) <= MOST_PARTS and self._look_inside(value, kind)

    def look_at_pickle(self, value: object) -> bool:
        """Add the checksum of a value's pickle; return False if that is not enough."""
        if isinstance(value, (types.FunctionType, type)):
            return False  # pickled by value
        from parallelize.serialize.changes import sums

        found = sums.of_pickle(value, self.look_at)
        if found is not None:
            self.looks.sums.append(found)
        return found is not None

    def _look_inside(self, value: Any, kind: type) -> bool:
        if kind is types.FunctionType:
            return not _is_of_script(value) or self._apart(value, _parts_of_function)
        if isinstance(value, type):
            return value.__module__ not in NAMES or self._apart(value, _parts_of_class)
        if kind in _FLAT:
            return self._container(value)
        if kind in _WRAPPERS:
            return self._apart(value, _WRAPPERS[kind])
        if kind is bytearray or kind.__module__ in _OF_ARRAYS:
            return self._array(value)
        if kind.__module__ in _STABLE:
            return True
        if kind.__module__.partition(".")[0] == "parallelize":
            return self._apart(value, _parts_of_decorated)
        if kind.__module__ in NAMES and _is_plain(kind):
            return self._apart(value, _parts_of_instance)
        return len(self.looks.sums) < MOST_SUMS and self.look_at_pickle(value)

    def _apart(self, value: Any, read: Read) -> bool:
        parts = read(value)
        self.looks.nodes.append((value, read, parts))
        return all(map(self.look_at, parts))

    def _container(self, value: Any) -> bool:
        kind = type(value)
        if _CONSTANTS.issuperset(map(type, value.values() if kind is dict else value)):
            if kind not in _FROZEN:
                self.looks.copies.append((value, value.copy()))
            return True
        if len(value) > MOST_PARTS:
            return False
        return self._apart(value, _items if kind is dict else list)

    def _array(self, value: Any) -> bool:
        from parallelize.serialize.changes import sums

        found = sums.of_array(value)
        if found is not None:
            self.looks.sums.append(found)
        return found is not None


def _items(values: dict[Any, Any]) -> list[Any]:
    return [*values, *values.values()]


def _is_of_script(fn: types.FunctionType) -> bool:
    """Whether other processes cannot find a function by its name."""
    return fn.__module__ in NAMES or "<" in fn.__qualname__


def _parts_of_class(cls: Any) -> Sequence[Any]:
    return *cls.__bases__, *vars(cls).values(), *_registered_with(cls)


def _parts_of_instance(value: Any) -> Sequence[Any]:
    return [type(value), *_items(vars(value))]


def _parts_of_decorated(value: Any) -> Sequence[Any]:
    return (getattr(value, "__wrapped__", None),)


def _registered_with(cls: Any) -> list[Any]:
    """Return the classes that were registered with an abstract base class."""
    if "_abc_impl" not in vars(cls):
        return []
    import abc

    dump: Any = getattr(abc, "_get_dump", None)
    return [] if dump is None else sorted((ref() for ref in dump(cls)[0]), key=id)


def _parts_of_function(fn: types.FunctionType) -> Sequence[Any]:
    closure, keywords, attributes = fn.__closure__, fn.__kwdefaults__, fn.__dict__
    if not (closure or keywords or attributes):
        return fn.__code__, fn.__defaults__
    cells = [content for cell in closure or () for content in contents(cell)]
    more = [*_items(keywords or {}), *_items(attributes)]
    return fn.__code__, fn.__defaults__, *cells, *more


def contents(cell: types.CellType) -> tuple[Any, ...]:
    """Return the contents of a cell in a tuple, empty for an empty cell."""
    try:
        return (cell.cell_contents,)
    except ValueError:  # the cell is empty
        return ()


def _parts_of_method(method: Any) -> Sequence[Any]:
    return (method.__func__,)


def _parts_of_bound(method: Any) -> Sequence[Any]:
    return method.__func__, method.__self__


def _parts_of_property(prop: Any) -> Sequence[Any]:
    return prop.fget, prop.fset, prop.fdel


def _parts_of_partial(partial: Any) -> Sequence[Any]:
    return partial.func, *partial.args, *partial.keywords.values()


def _parts_of_builtin(fn: Any) -> Sequence[Any]:
    owner = fn.__self__  # a module, or the instance of a method
    return () if isinstance(owner, (type(None), types.ModuleType, type)) else (owner,)


_WRAPPERS: dict[type, Read] = {
    types.BuiltinFunctionType: _parts_of_builtin,
    staticmethod: _parts_of_method,
    classmethod: _parts_of_method,
    property: _parts_of_property,
    functools.partial: _parts_of_partial,
    types.MethodType: _parts_of_bound,
    functools._lru_cache_wrapper: _parts_of_decorated,
}


def _is_plain(kind: type) -> bool:
    """Whether the only state of instances is a dict of attributes."""
    if kind.__dictoffset__ == 0:
        return False
    for each in kind.__mro__[:-1]:
        if "__slots__" in vars(each) and vars(each)["__slots__"]:
            return False
        if not each.__flags__ & (1 << 9):  # a builtin class with more state
            return False
    return has_default_reduce(kind)
