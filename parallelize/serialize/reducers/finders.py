"""Finds modules that the other process has loaded from outside of `sys.path`.

A pickle may name modules that an import here would not find, or would take from another
file: a plug-in that was loaded by its path, or a module whose directory is no longer on
`sys.path`. So parcels begin with a head, which has the origins of these modules. They
are recorded here, and a finder imports the modules from there on first use.

A program never replaces a module of its own by that of a worker. A worker does, because
its names should have the same meaning as the program's.
"""

from __future__ import annotations

import _pickle as pickle
import contextlib
import os
import sys
from types import FunctionType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from typing import Any

    #: File, a package's directories, and the path entry from which its name leads to
    #: the file.
    Origin = tuple[str | None, tuple[str, ...] | None, str | None]
    Head = tuple[Sequence[str] | None, Mapping[str, Origin]]

#: The largest number of decoded heads that are cached.
MOST_HEADS = 256

is_worker: bool = False

#: The origins of the other process's modules, by name.
origins: dict[str, Origin] = {}

#: Modules without a file that were created here as replicas of the program's.
made: dict[str, ModuleType] = {}

#: In a fork of the program: the modules that it had.
inherited: dict[str, ModuleType] = {}

_globals: dict[str, dict[str, bytes]] = {}  # of such modules, as last received
_roots: list[str] = []
_heads: dict[bytes, Head] = {}
# Modules that were replaced by others of the same name.
_aside: dict[tuple[str, str | None], ModuleType] = {}


def begin_worker(*, is_copy: bool) -> None:
    """Record that this process is a worker, maybe a fork of the program."""
    global is_worker
    is_worker = True
    if is_copy:
        inherited.update(sys.modules)


def is_of_program(name: str) -> bool:
    """Whether the program has the same module under a name as this worker."""
    module = sys.modules.get(name)
    if name in origins or module is None:
        return is_worker
    return _is_image(name, module)


def receive(head: bytes) -> None:
    """Record the contents of a parcel's head."""
    known = _heads.get(head)
    if known is None:
        if len(_heads) >= MOST_HEADS:
            _heads.clear()
        known = _heads[head] = pickle.loads(head)
    path, places = known
    if path is not None and is_worker:
        _add_to_path(path)
    for name, origin in places.items():
        if origins.get(name) != origin and (is_worker or name not in sys.modules):
            _adopt(name, origin)


def _add_to_path(path: Sequence[str]) -> None:
    """Make `sys.path` start with the program's; keep entries that were added here."""
    if sys.path[: len(path)] == path:
        return
    sys.path[:] = [*path, *(each for each in sys.path if each not in path)]
    _look_again()


def _adopt(name: str, origin: Origin) -> None:
    origins[name] = origin
    _, _, root = origin
    if is_worker and root is not None and root not in _roots:
        _roots.append(root)
    _install()
    present = sys.modules.get(name)
    if present is not None and not _is_from(present, origin):
        _make_room(name, origin, present)
    _look_again()


def _install() -> None:
    import importlib

    # The finders need this module, and so cannot find it themselves.
    importlib.import_module("importlib.util")
    if _FIRST not in sys.meta_path:
        sys.meta_path.insert(0, _FIRST)
    if _LAST not in sys.meta_path:
        sys.meta_path.append(_LAST)


def _make_room(name: str, origin: Origin, present: ModuleType) -> None:
    _aside[name, _file_of(present)] = present
    del sys.modules[name]
    again = _aside.get((name, origin[0]))
    if again is None:
        return
    sys.modules[name] = again
    _put_into_package(name, again)


def _is_from(module: ModuleType, origin: Origin) -> bool:
    mine, its = _file_of(module), origin[0]
    if mine is None or its is None:
        return mine == its
    return mine == its or os.path.realpath(mine) == os.path.realpath(its)


def _file_of(module: ModuleType) -> str | None:
    spec = getattr(module, "__spec__", None)
    file = getattr(spec, "origin", None) if getattr(spec, "has_location", 0) else None
    return file or getattr(module, "__file__", None)


def _look_again() -> None:
    """Let finders see files that are newer than their caches."""
    import importlib

    importlib.invalidate_caches()


class _First:
    """Finds modules with a recorded origin, before other finders."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of a module; None if no origin is recorded."""
        origin = origins.get(name)
        return None if origin is None else _spec_of(name, origin)


class _Last:
    """Finds modules that no other finder finds.

    These are modules beside one with a recorded origin, and packages that the program
    does not have itself, but whose names precede those of its modules.
    """

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of a module; None if it is not found."""
        from importlib.machinery import PathFinder

        spec = None
        if path is None and _roots:
            spec = PathFinder.find_spec(name, _roots)
        if spec is None and any(each.startswith(f"{name}.") for each in list(origins)):
            spec = _spec_of(name, (None, (), None))
        return spec


_FIRST: Any = _First()  # typeshed expects subclasses of abstract classes
_LAST: Any = _Last()


def _spec_of(name: str, origin: Origin) -> ModuleSpec | None:
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from importlib.util import spec_from_file_location

    file, locations, _ = origin
    folders = None if locations is None else list(locations)
    if file is None:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = folders
        return spec
    if not os.path.isfile(file):
        return _inside_archive(name, file)
    return spec_from_file_location(
        name, file, submodule_search_locations=folders
    ) or spec_from_file_location(  # its suffix is unknown to Python
        name, file, loader=SourceFileLoader(name, file)
    )


def _inside_archive(name: str, file: str) -> ModuleSpec:
    from importlib.machinery import PathFinder

    folder, last = os.path.split(file)
    if os.path.splitext(last)[0] == "__init__":
        folder = os.path.dirname(folder)
    spec = PathFinder.find_spec(name, [folder])
    if spec is None:
        side = "program" if is_worker else "worker"
        msg = (
            f"the {side} has the module {name!r} from {file!r}, where it cannot be "
            "loaded any more: keep the file, or put the module where every process "
            "can import it"
        )
        raise ModuleNotFoundError(msg, name=name, path=file)
    return spec


# Modules without a file. Pickles refer to these functions by name.


def module_for(name: str, may_import: bool = False) -> ModuleType:
    """Return the replica of a program's module that has no file.

    Args:
        name: Its name.
        may_import: Whether an import may create it here, too.
    """
    if may_import:
        import importlib

        with contextlib.suppress(Exception):  # importing runs user code
            return importlib.import_module(name)
    present = sys.modules.get(name)
    if present is not None and (_is_image(name, present) or not is_worker):
        return present
    if present is not None:
        _aside[name, _file_of(present)] = present
    module = made.get(name) or ModuleType(name)
    if is_worker:
        made[name] = sys.modules[name] = module
        _put_into_package(name, module)
    return module


def _put_into_package(name: str, module: ModuleType) -> None:
    parent, _, child = name.rpartition(".")
    if not parent:
        return
    package = module_for(parent, may_import=True)
    if not hasattr(package, "__path__"):
        package.__path__ = []
    setattr(package, child, module)


def fill_module(module: ModuleType, values: dict[str, Any]) -> None:
    """Update a replica with the program's values; leave other modules unchanged."""
    name = module.__name__
    if _is_image(name, module) or sys.modules.get(name) is not module:
        vars(module).update(values)


def _is_image(name: str, module: ModuleType) -> bool:
    return made.get(name) is module or inherited.get(name) is module


def space_for(name: str) -> dict[str, Any]:
    """Return the globals for functions of such a module.

    In the program each function gets globals of its own: the module's must not change.
    """
    if is_worker:
        return vars(module_for(name))
    return {"__name__": name}


def fill_function(fn: FunctionType, state: tuple[Any, dict[str, Any]]) -> None:
    """Set a function's state like cloudpickle, for shared globals.

    A global that has not changed since it was last received keeps the worker's value.
    """
    from cloudpickle import cloudpickle

    attributes, more = state
    space, values = fn.__globals__, more["__globals__"]
    if is_worker:
        last = _globals.setdefault(space["__name__"], {})
        values = {k: v for k, v in values.items() if _is_news(k, v, space, last)}
    inner: Any = cloudpickle  # this function has no types
    inner._function_setstate(fn, (attributes, {**more, "__globals__": values}))


def _is_news(
    name: str, value: object, space: dict[str, Any], last: dict[str, bytes]
) -> bool:
    if isinstance(value, (FunctionType, type)):
        return True
    try:
        data = pickle.dumps(value)
    except Exception:  # noqa: BLE001 - the value may be anything
        return name not in space
    before = last.get(name)
    last[name] = data
    if before is None and inherited.get(space["__name__"]) is not None:
        return name not in space  # inherited by fork, and maybe set since
    return before != data or name not in space


def named(name: str, qualname: str) -> Any:
    """Return the object that a name finds in a module."""
    import importlib

    found: Any = importlib.import_module(name)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def named_or(name: str, qualname: str, value: bytes) -> Any:
    """Return the object that a name finds here, else unpickle the value.

    For modules that importing another module may create.
    """
    try:
        return named(name, qualname)
    except Exception:  # noqa: BLE001 - importing runs user code
        return pickle.loads(value)
