"""What a script has put into other modules: `json.JSONEncoder.default = mine`.

A worker of the standard library has it because it runs the script. Here it is found by
the text of the script, which names what it sets (`main_texts`), and by the functions
and classes of the script that containers of the user's own modules have, such as
registries that decorators fill. All of it is read when a pool starts its first worker.
What the text names is compared at each call from then on, see `main_watch`.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.serialize.changes import imported, texts
from parallelize.serialize.changes import registered as main_registered
from parallelize.serialize.changes.registered import is_of_script
from parallelize.serialize.changes.texts import FILL, REGISTER, SET
from parallelize.serialize.reducers import replica
from parallelize.serialize.reducers.replica import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from parallelize.serialize.changes.texts import Target

    #: The module, the dotted name in it, and what that is to be; or what fills itself.
    Patch = tuple[str, str, object]

_NOT_SENT = frozenset(("parallelize", "threading", "multiprocessing"))
#: What of `sys` is each process's own.
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
#: Means that there is nothing at a place, or nothing that is sent.
NOWHERE = object()


def take(space: Mapping[str, Any]) -> Iterator[Patch]:
    """What the script has set in other modules, as it is now."""
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


# ------------------------------------------------------------------ what a target means


class Place(NamedTuple):
    """Where a target is: the module, the dotted name in it, and what is done to it."""

    module: str
    path: str
    how: str


def place_of(target: Target, space: Mapping[str, Any]) -> Place | None:
    """Where a target is, if that is in another module."""
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
    """The module and the name in it of what ``patch("module.name")`` means."""
    module, _, last = dotted.rpartition(".")
    path = last
    while module and module not in sys.modules:
        module, _, last = module.rpartition(".")
        path = f"{last}.{path}"
    return (module, path) if module else None


def _checked(module: str, path: str, how: str) -> Place | None:
    if not path or module in NAMES or module not in sys.modules:
        return None
    if module.partition(".")[0] in _NOT_SENT:
        return None
    if module == "logging" and path.partition(".")[0] == "root":
        return None  # the program's handlers get what workers log
    if module == "sys" and (path.partition(".")[0] in _OF_PROCESS or how != SET):
        return None
    return Place(module, path, how)


def now_at(place: Place) -> object:
    """What is at a place; `NOWHERE` if that is not sent."""
    found: Any = sys.modules.get(place.module)
    for part in place.path.split("."):
        found = replica.attribute(found, part, NOWHERE)
    if place.how == FILL and type(found) not in (dict, list, set):
        return NOWHERE
    if place.how == REGISTER:
        registered = _registered_with(found)
        return (found, *registered) if registered else NOWHERE
    return found


def patches(place: Place, now: Any) -> Iterator[Patch]:
    """What makes a place in a worker what it is here."""
    if place.how == SET:
        yield place.module, place.path, now
    elif place.how == FILL:
        yield place.module, "", imported.Contents(now, place[:2])
    else:
        for cls, *more in now[1:]:
            call = main_registered.Call(replica.register, now[0], cls, *more)
            yield place.module, "", call


def _registered_with(obj: Any) -> list[tuple[Any, ...]]:
    """What of the script was registered: with an abstract class, a generic function."""
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
