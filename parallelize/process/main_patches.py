"""What a script has put into other modules: `json.JSONEncoder.default = mine`.

A worker of the standard library has it because it runs the script. Here it is found by
the text of the script, which names what it sets, and by the functions and classes of
the script that containers of the user's own modules have, such as registries that
decorators fill. It is read when a pool starts its first worker.
"""

from __future__ import annotations

import re
import sys
import types
from typing import TYPE_CHECKING, Any

from parallelize.process import main_imported, main_module
from parallelize.process.main_module import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    #: The module, the dotted name in it, and what that is to be; or what fills itself.
    Patch = tuple[str, str, object]

#: An assignment to an attribute, or to an item of one.
_SET = re.compile(
    r"^[ \t]*([^\W\d]\w*(?:\.\w+)+)(\[.*\])?[ \t]*(?::.*)?=[^=]", re.MULTILINE
)
_NOT_SENT = frozenset(("sys", "parallelize", "threading", "multiprocessing"))
_MOST_ITEMS = 1_000
_LONGEST = 1 << 20  # characters of a script that are searched


def take(space: Mapping[str, Any]) -> Iterator[Patch]:
    """What the script has set in other modules, as it is now."""
    yield from _set_by_text(_text_of(space), space)
    for module, path, container in main_imported.containers():
        if _has_of_script(container):
            contents = main_imported.Contents(container, (module, path))
            yield module, "", contents


def _text_of(space: Mapping[str, Any]) -> str:
    try:
        with open(space["__file__"], encoding="utf-8") as file:
            return file.read(_LONGEST)
    except (KeyError, OSError, TypeError, ValueError):
        return ""


def _set_by_text(text: str, space: Mapping[str, Any]) -> Iterator[Patch]:
    for match in dict.fromkeys(_SET.findall(text)):
        first, _, path = match[0].partition(".")
        root = space.get(first)
        if isinstance(root, type) and root.__module__ not in NAMES:
            path = f"{root.__qualname__}.{path}"
            root = sys.modules.get(root.__module__)
        if isinstance(root, types.ModuleType):
            yield from _patch_of(root, path, has_item=bool(match[1]))


def _patch_of(root: types.ModuleType, path: str, *, has_item: bool) -> Iterator[Patch]:
    name = root.__name__
    if name in NAMES or name.partition(".")[0] in _NOT_SENT:
        return
    try:
        value = main_module.of_module(name, path)
    except (AttributeError, KeyError, ImportError):
        return  # a function sets it that was not called
    if not has_item:
        yield name, path, value
    elif type(value) in (dict, list, set):
        yield name, "", main_imported.Contents(value, (name, path))


def _has_of_script(container: Any) -> bool:
    """Whether a container has functions or classes of the script."""
    if len(container) > _MOST_ITEMS:
        return False
    items = list(container.values() if isinstance(container, dict) else container)
    return any(_is_of_script(each) for each in items)


def _is_of_script(value: object) -> bool:
    is_definition = isinstance(value, (types.FunctionType, type))
    if not is_definition and not main_module.is_decorated(value):
        return False
    try:
        return getattr(value, "__module__", None) in NAMES
    except Exception:  # noqa: BLE001 - metaclasses of the user's may raise anything
        return False
