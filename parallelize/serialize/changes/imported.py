"""Objects that a script has imported from other modules, found there in a worker.

``from config import SETTINGS`` gives a script a name for an object that functions of
`config` use, too. In a worker the name refers to the object that importing `config`
creates there, updated to its state in the program.
"""

from __future__ import annotations

import sys
from types import MappingProxyType

from parallelize.serialize.reducers import origins, replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType
    from typing import Any

    Place = tuple[str, str]
    Reduced = tuple[Any, ...]

_PLAIN = frozenset((str, bytes, int, float, complex, bool, type(None), type(...)))
_CONTAINERS = (dict, list, set)


class _Index:
    """Where user modules hold the objects that a script may import from them.

    It caches a search of `sys.modules`; what is found here is verified.
    """

    def __init__(self) -> None:
        self._modules = -1  # number at the last search
        self._places: dict[int, Place] = {}

    def place_of(self, obj: object) -> Place | None:
        """Return the module that holds an object, and its name there; or None."""
        if self._modules != len(sys.modules):
            modules = list(sys.modules.items())
            self._places = dict(_placed(modules))
            self._modules = len(modules)
        place = self._places.get(id(obj))
        if place is None or not _is_found(place[0]):
            return None
        module = sys.modules.get(place[0])
        return place if getattr(module, place[1], None) is obj else None


_index: _Index = _Index()


def place_of(obj: object) -> Place | None:
    """Return the user module that holds an object, and its name there; or None."""
    return _index.place_of(obj)


def _beside_its_class(obj: object) -> Place | None:
    """Return the place of a sentinel in its class's module, for instance a library."""
    name = type(obj).__module__
    module = sys.modules.get(name)
    if module is None or not _is_found(name):
        return None
    names = (n for n, each in list(vars(module).items()) if each is obj)
    return next(((name, n) for n in names), None)


def _placed(modules: list[tuple[str, ModuleType]]) -> Iterator[tuple[int, Place]]:
    for name, module in modules:
        if _is_of_user(name, module):
            for attribute, value in list(vars(module).items()):
                if type(value) not in _PLAIN and attribute[:2] != "__":
                    yield id(value), (name, attribute)


def containers() -> Iterator[tuple[str, str, Any]]:
    """Yield the containers in user modules, as module, dotted name and value."""
    for name, module in list(sys.modules.items()):
        if _is_of_user(name, module) and _is_found(name):
            for path, value in _inside(vars(module), name, depth=1):
                yield name, path, value


_USUAL = ("builtins", "collections")


def _inside(
    space: Mapping[str, Any], module: str, *, depth: int
) -> Iterator[tuple[str, Any]]:
    for name, value in list(space.items()):
        if name[:2] == "__":
            continue
        if isinstance(value, _CONTAINERS) and type(value).__module__ in _USUAL:
            yield name, value
        kind = value if isinstance(value, type) else type(value)
        if depth and kind.__module__ == module:
            for path, inner in _inside(_space_of(value), module, depth=depth - 1):
                yield f"{name}.{path}", inner


def _space_of(value: object) -> Mapping[str, Any]:
    space = replica.attribute(value, "__dict__")
    return space if isinstance(space, (dict, MappingProxyType)) else {}


def _is_of_user(name: str, module: object) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("parallelize", *replica.NAMES):
        return False
    file = getattr(module, "__file__", None)
    return file is not None and "site-packages" not in file


def _is_found(module: str) -> bool:
    """Whether a worker can import a module, and so has its own copy."""
    if module in replica.NAMES or module.partition(".")[0] == "parallelize":
        return False
    return origins.way_of(module) in (origins.BY_NAME, origins.HEADED)


def reduced(obj: Any, *, with_state: bool) -> Reduced | None:
    """Reduce an instance that a module holds to a lookup there; None if none does.

    Args:
        obj: Any object.
        with_state: Whether it may have a state; else only sentinels are found.
    """
    kind = type(obj)
    if not replica.has_default_reduce(kind) or not replica.is_of_python(kind):
        return None
    state = replica.attribute(obj, "__dict__") or {}
    has_state = bool(state) or obj.__getstate__() is not None
    if has_state and not with_state:
        return None
    place = place_of(obj) or (None if has_state else _beside_its_class(obj))
    if place is None:
        return None
    more = {name: value for name, value in state.items() if _is_sent(value)}
    return replica.of_module, place, more or None, None, None, replica.bring_up


def _is_sent(value: object) -> bool:
    """Whether a value may replace what importing the module creates in a worker."""
    kind = type(value)
    if kind in _PLAIN or kind in (tuple, *_CONTAINERS) or isinstance(value, type):
        return True
    return replica.is_of_python(kind) and replica.has_default_reduce(kind)


class Contents:
    """Pickles as a list, dict or set found in a module, and its contents."""

    def __init__(self, obj: Any, place: Place) -> None:
        self._reduced = replica.of_module, place, _copy_of(obj), None, None
        self._fill = replica.bring_up

    def __reduce__(self) -> Reduced:
        return *self._reduced, self._fill


def _copy_of(obj: Any) -> Any:
    return next(kind(obj) for kind in _CONTAINERS if isinstance(obj, kind))


def or_contents(value: object) -> object:
    """Return the value, or its `Contents` if a module holds it."""
    if not isinstance(value, _CONTAINERS):
        return value
    place = place_of(value)
    return value if place is None else Contents(value, place)
