"""Finds what a script changes in other modules: `json.JSONEncoder.default = mine`.

Workers of the standard library have these changes because they run the script. Here
they are found through the text of the script, which names what it sets (see `texts`),
and through functions and classes of the script in containers of user modules, such as
registries that decorators fill. All of them are read when a pool starts its first
worker. What the text names is compared at each call from then on, see `main.watch`.
"""

from __future__ import annotations

import sys
import types

from parallelize.runtime.typed import NamedTuple
from parallelize.serialize.changes import imported, texts
from parallelize.serialize.changes import registered as main_registered
from parallelize.serialize.changes.registered import is_of_script
from parallelize.serialize.changes.texts import FILL, REGISTER, SET
from parallelize.serialize.reducers import replica
from parallelize.serialize.reducers.replica import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from parallelize.serialize.changes.texts import Target

    #: The module, the dotted name in it, and its value; if the name is empty, an object
    #: whose unpickling has the effect.
    Patch = tuple[str, str, object]

_NOT_SENT = frozenset(("parallelize", "threading", "multiprocessing"))
#: The attributes of `sys` that belong to each process.
_OF_PROCESS = frozenset(
    (
        "argv",
        "displayhook",
        "excepthook",
        "flags",
        "meta_path",
        "modules",
        "orig_argv",
        "path",
        "path_hooks",
        "path_importer_cache",
        "ps1",
        "ps2",
        "stderr",
        "stdin",
        "stdout",
    )
)
_MOST_ITEMS = 1_000
#: Means that there is nothing at a place, or nothing to send.
NOWHERE = object()


def take(space: Mapping[str, Any]) -> Iterator[Patch]:
    """Yield patches for what the script has changed in other modules so far."""
    text = texts.text_of(space)
    yield from main_registered.take(text, space)
    for target in texts.targets(text):
        place = place_of(target, space)
        if place is not None and (now := now_at(place)) is not NOWHERE:
            yield from patches(place, now)
    for module, path, container in imported.containers():
        if _has_of_script(container):
            contents = imported.Contents(container, (module, path))
            yield module, "", contents


def _has_of_script(container: Any) -> bool:
    """Whether a container has functions or classes of the script."""
    if len(container) > _MOST_ITEMS:
        return False
    items = list(container.values() if isinstance(container, dict) else container)
    return any(map(is_of_script, items))


# ------------------------------------------------------------------ places of targets


class PatchedPlace(NamedTuple):
    """A target's module, the dotted name in it, and the kind of change."""

    module: str
    path: str
    how: str


def place_of(target: Target, space: Mapping[str, Any]) -> PatchedPlace | None:
    """Return the place of a target if it is in another module."""
    if not target.first:
        found = _split(target.path)
        return None if found is None else _checked(*found, target.how)
    root = space.get(target.first, NOWHERE)
    path = f".{target.path}" if target.path else ""
    if isinstance(root, types.ModuleType):
        return _checked(root.__name__, path[1:], target.how)
    if isinstance(root, (type, types.FunctionType)):
        return _checked(root.__module__, f"{root.__qualname__}{path}", target.how)
    if root is NOWHERE or type(root).__module__ == "builtins":
        return None
    place = imported.place_of(root)
    return place and _checked(place[0], f"{place[1]}{path}", target.how)


def _split(dotted: str) -> tuple[str, str] | None:
    """Split the argument of ``patch("module.name")`` into module and name."""
    module, _, last = dotted.rpartition(".")
    path = last
    while module and module not in sys.modules:
        module, _, last = module.rpartition(".")
        path = f"{last}.{path}"
    return (module, path) if module else None


def _checked(module: str, path: str, how: str) -> PatchedPlace | None:
    if not path or module in NAMES or module not in sys.modules:
        return None
    is_hook = (module, path) == ("threading", "excepthook")
    if module.partition(".")[0] in _NOT_SENT and not is_hook:
        return None
    if module == "logging" and path.partition(".")[0] == "root":
        return None  # workers' records go to the program's handlers
    if module == "sys" and (path.partition(".")[0] in _OF_PROCESS or how != SET):
        return None
    return PatchedPlace(module, path, how)


def now_at(place: PatchedPlace) -> object:
    """Return the current value at a place; `NOWHERE` if it is not sent."""
    found: Any = sys.modules.get(place.module)
    for part in place.path.split("."):
        found = replica.attribute(found, part, NOWHERE)
    if place.how == FILL and type(found) not in (dict, list, set):
        return NOWHERE
    if place.how == REGISTER:
        registered = _registered_with(found)
        return (found, *registered) if registered else NOWHERE
    return found


def patches(place: PatchedPlace, now: Any) -> Iterator[Patch]:
    """Yield the patches that give a place in a worker its current value."""
    if place.how == SET:
        yield place.module, place.path, now
    elif place.how == FILL:
        yield place.module, "", imported.Contents(now, place[:2])
    else:
        for cls, *more in now[1:]:
            call = main_registered.RegisteringCall(replica.register, now[0], cls, *more)
            yield place.module, "", call


def _registered_with(obj: Any) -> list[tuple[Any, ...]]:
    """Return the script's registrations with an abstract class or generic function."""
    if isinstance(obj, type):
        import abc

        dump: Any = getattr(abc, "_get_dump", None)
        if dump is None or "_abc_impl" not in vars(obj):
            return []
        classes = (ref() for ref in dump(obj)[0])
        return [(each,) for each in classes if is_of_script(each)]
    registry = replica.attribute(obj, "registry")
    if not isinstance(registry, types.MappingProxyType):
        return []
    pairs = list(registry.items())
    return [pair for pair in pairs if any(map(is_of_script, pair))]
