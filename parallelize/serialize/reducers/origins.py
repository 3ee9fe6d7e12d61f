"""Detects modules that only this process can import, and records their origins.

A value pickled by name is useless to a process that cannot import the name, or that
finds another module under it. So each module of `sys.modules` is compared, once, with
what a fresh interpreter would find on the workers' `sys.path`:

* found in the same file: pickled by name, like nearly all modules;
* loaded from a file elsewhere (a plug-in, pytest's ``--import-mode=importlib``):
  pickled by name, with its origin in the parcel's head, see `finders`;
* without a file that a worker could load (created by hand, ``runpy.run_path``, a custom
  loader): its contents are pickled by value, see `by_value`.

```
 parcel:  ┌ N ─ length ─ (sys.path?, {module: origin}) ┐┌─ pickle that names them ─┐
```

Only pickles that contain names are searched, and only for the names of such modules, of
which there are usually none.
"""

from __future__ import annotations

import _pickle as pickle
import os
import sys
import weakref
from types import FunctionType, ModuleType

from parallelize.runtime import locks, native
from parallelize.serialize.reducers import finders, reductions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from typing import Any

    from parallelize.serialize.reducers.finders import Origin

#: The first byte of a parcel with a head of origins; no pickle begins with it.
MARK = b"N"

#: A pickle without this byte (the opcode STACK_GLOBAL) contains no names. It is a
#: number, because ``in`` takes several times as long to search for bytes.
NAMES_SOMETHING = 0x93

#: How objects of a module are pickled.
BY_NAME, HEADED, EITHER, BY_VALUE = range(4)

_LENGTH = 8  # size of the head's length, after the mark
_MOST_PATHS = 8  # the largest number of recorded paths
_MOST_RELATED = 200  # the largest number of modules in one head

#: The names of the main module; the second one in children of multiprocessing.
MAINS = ("__main__", "__mp_main__")
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_PACKAGES = ("site-packages", "dist-packages")
_LOADERS = ("_frozen_importlib_external", "importlib._bootstrap_external", "zipimport")
_CYTHON = ("cython_runtime", "_cython_")  # internal modules of Cython
_REWRITER = "_pytest.assertion.rewrite"  # it loads the same source file

# Held during a survey of modules: a second thread waits for the result, which it needs,
# too.
_new_lock = locks.reentrant("modules", native.RLock)
_lock = _new_lock()
locks.renew_in_child(globals(), "_lock", _new_lock)
_paths: list[list[str]] = []  # each `sys.path` with which workers were started

#: Caches elsewhere that depend on names; cleared when workers get another path.
memories: list[Any] = []  # dictionaries and the like


def _nothing() -> None:
    """Represent a module that was not examined."""


def _weakly(module: object) -> Callable[[], object]:
    try:
        return weakref.ref(module)
    except TypeError:  # sys.modules may contain anything
        return lambda: module


class Survey:
    """What is known of the modules, valid while these and `sys.path` do not change.

    It is complete and immutable once other threads can see it.

    Attributes:
        ways: How to pickle objects of modules for which a name alone does not suffice.
        origins: The origins of those that have a file.
        marks: The byte strings to search for in pickles.
        marks_back: Those to search for in a worker's pickles for the program.
    """

    def __init__(self) -> None:
        self.ways: dict[str, int] = {}
        self.origins: dict[str, Origin] = {}
        self.marks: tuple[bytes, ...] = ()
        self.marks_back: tuple[bytes, ...] = ()
        self._heads: dict[tuple[bool, frozenset[str]], bytes] = {}
        self._count = -1
        self._reducers = 0  # number of types with reducers
        self._path = list(sys.path)
        # Weak references, so that a program's modules are released as usual.
        self._seen: dict[str, Callable[[], object]] = {}
        self._folders: dict[str, Sequence[str]] = {}  # where submodules are found

    def holds(self) -> bool:
        """Whether the survey is still valid."""
        return (
            len(sys.modules) == self._count
            and sys.path == self._path
            and len(reductions.registered) == self._reducers
        )

    def has_seen(self, name: str) -> bool:
        """Whether a module is the one that was examined."""
        seen = self._seen.get(name, _nothing)()
        return seen is not None and seen is sys.modules.get(name)

    def renewed(self) -> Survey:
        """Return a survey that is valid now."""
        new = Survey()
        modules = dict(sys.modules)
        if new._path == self._path:
            new._take_over(self, modules)
        for name, module in modules.items():
            if name not in new._seen:
                new._look_at(name, module)
        theirs = finders.is_of_program
        back = [name.encode() for name in new.ways if not theirs(name)]
        reduced = reductions.marks()
        new.marks = (*map(str.encode, new.ways), *reduced)
        new.marks_back = (*back, *reduced)
        new._reducers = len(reductions.registered)
        new._count = len(modules)
        return new

    def _take_over(self, old: Survey, modules: dict[str, ModuleType]) -> None:
        """Copy what is known of modules that still exist, with their packages."""
        gone = {n for n, seen in old._seen.items() if modules.get(n) is not seen()}
        self._seen = {
            name: seen
            for name, seen in old._seen.items()
            if name in modules and (not gone or gone.isdisjoint(_lineage(name)))
        }
        self.ways = {n: way for n, way in old.ways.items() if n in self._seen}
        self.origins = {n: each for n, each in old.origins.items() if n in self._seen}
        self._folders = {n: each for n, each in old._folders.items() if n in self._seen}

    # Heads.

    def head(self, names: Iterable[str], *, back: bool = False) -> bytes:
        """Return the head for a parcel that names objects of these modules."""
        key = back, frozenset(names)
        known = self._heads.get(key)
        if known is None:
            path = self._path if _is_new(self._path) and not back else None
            places = {name: self.origins[name] for name in self._related(key[1])}
            data = pickle.dumps((path, places), 5)
            known = b"".join((MARK, len(data).to_bytes(_LENGTH, "little"), data))
            self._heads[key] = known
        return known

    def _related(self, names: Iterable[str]) -> list[str]:
        """Return modules with origins: these, their packages, those they refer to."""
        found: dict[str, None] = {}
        waiting = list(names)
        while waiting and len(found) < _MOST_RELATED:
            for name in _lineage(waiting.pop()):
                if name in self.origins and name not in found:
                    found[name] = None
                    waiting.extend(_mentioned(name))
        return list(found)

    # Examining modules.

    def _look_at(self, name: str, module: object) -> None:
        self._seen[name] = _weakly(module)
        try:
            way = self._way(name, module)
        except Exception:  # noqa: BLE001 - specs and finders may be the user's
            return
        if way != BY_NAME:
            self.ways[name] = way

    def _way(self, name: str, module: object) -> int:
        space = _space_of(module)
        spec = space.get("__spec__")
        if name in MAINS or not space or space.get("__name__", name) != name:
            return BY_NAME  # or a module under another name
        if spec is None:
            return self._way_without_file(name, space)
        origin = spec.origin
        if origin in ("built-in", "frozen") or _is_of_library(origin):
            return BY_NAME
        if self._is_found(name, spec) or _is_compiled_in(space):
            return BY_NAME
        if spec.has_location and _can_be_loaded(spec):
            folders = _texts(space.get("__path__"))
            self.origins[name] = origin, folders, _root(name, origin)
            return HEADED
        return self._way_without_file(name, space, spec.loader)

    def _way_without_file(
        self, name: str, space: dict[str, Any], loader: object = None
    ) -> int:
        if _is_bare_package(name, space, loader):
            self.origins[name] = None, _texts(space["__path__"]), None
            return HEADED
        parent = name.rpartition(".")[0]
        if not parent or not self._is_by_name(parent):
            return BY_NAME if name.startswith(_CYTHON) else BY_VALUE
        return EITHER if any(map(_is_python, space.values())) else BY_NAME

    def _is_by_name(self, name: str) -> bool:
        if name in sys.modules and name not in self._seen:
            self._look_at(name, sys.modules[name])
        return name in self._seen and name not in self.ways

    def _is_found(self, name: str, spec: ModuleSpec) -> bool:
        """Whether a fresh interpreter would find the module in the same file."""
        parent = name.rpartition(".")[0]
        if not parent:
            paths = (*_paths, self._path)
            return all(self._is_found_on(_absolute(p), name, spec) for p in paths)
        if not self._is_by_name(parent) and parent not in self.origins:
            return False
        folders = self._folders_of(parent)
        if _lies_in(folders, name, spec.origin):
            self._folders[name] = [os.path.dirname(spec.origin or "")]
            return True
        return self._is_found_on(folders, name, spec)

    def _folders_of(self, package: str) -> Sequence[str]:
        known = self._folders.get(package)
        if known is not None:
            return known
        if package in self.origins:
            return self.origins[package][1] or ()
        spec = _space_of(sys.modules.get(package)).get("__spec__")
        return list(getattr(spec, "submodule_search_locations", None) or ())

    def _is_found_on(self, path: Sequence[str], name: str, spec: ModuleSpec) -> bool:
        from importlib.machinery import PathFinder

        found = PathFinder.find_spec(name, path)
        if found is None:
            return False
        mine, its = spec.origin, found.origin
        if mine != its and not (mine and its and _is_same_file(mine, its)):
            return False
        self._folders[name] = list(found.submodule_search_locations or ())
        return found.has_location == spec.has_location


_now = Survey()


def _look(*, again: bool = False) -> Survey:
    """Return a valid survey; examine new modules if needed."""
    if again or not _now.holds():
        locks.held(_lock, _renew, again)
    return _now


def _renew(again: bool) -> None:
    global _now
    if again or not _now.holds():
        _now = _now.renewed()


def _forget() -> None:
    locks.held(_lock, _begin_anew)


def _begin_anew() -> None:
    global _now
    _now = Survey()


# Queries.


def begin_worker(*, is_copy: bool) -> None:
    """Record that this process is a worker, maybe a fork of the program."""
    finders.begin_worker(is_copy=is_copy)
    if is_copy:
        reductions.begin_copy()
    _forget()


def workers_have(path: Sequence[str]) -> None:
    """Record the `sys.path` with which a worker is started."""
    if path not in _paths:
        _paths.append(list(path))
        del _paths[:-_MOST_PATHS]
        _forget()
        for each in memories:
            each.clear()


def _is_new(path: Sequence[str]) -> bool:
    """Whether some workers may have been started with another path."""
    return any(each != path for each in _paths)


def is_plain(data: bytes) -> bool:
    """Whether a worker can import all that a pickle names."""
    for mark in _look().marks:  # noqa: SIM110 - called for each value
        if data.find(mark) >= 0:
            return False
    return True


def is_plain_back(data: bytes) -> bool:
    """Whether the program can import all that a worker's pickle names."""
    for mark in _look().marks_back:  # noqa: SIM110
        if data.find(mark) >= 0:
            return False
    return True


def way_of(module: object, *, back: bool = False) -> int:
    """Return how objects of a module are pickled, such as `BY_NAME`.

    Args:
        module: Its name, as in the ``__module__`` of functions and classes.
        back: Whether they are pickled in a worker for the program.
    """
    if type(module) is not str:
        return BY_NAME
    now = _look()
    if module in sys.modules and not now.has_seen(module):
        now = _look(again=True)
    way = now.ways.get(module, BY_NAME)
    return BY_NAME if back and way and finders.is_of_program(module) else way


def headed(data: bytes, *, back: bool = False) -> bytes:
    """Prefix a parcel or pickle with the origins of the modules that it names."""
    now = _look()
    names = [
        name
        for name, way in now.ways.items()
        if way == HEADED
        and data.find(name.encode()) >= 0
        and not (back and finders.is_of_program(name))
    ]
    return now.head(names, back=back) + data if names else data


def head_for(module: str) -> bytes:
    """Return the head for names in a module; empty if none is needed."""
    now = _look()
    names = [each for each in _lineage(module) if now.ways.get(each) == HEADED]
    return now.head(names) if names else b""


def body_of(parcel: bytes | bytearray | memoryview) -> memoryview:
    """Process the head of a parcel; return what follows it."""
    view = memoryview(parcel)
    end = end_of_head(view)
    finders.receive(bytes(view[len(MARK) + _LENGTH : end]))
    return view[end:]


def opened(data: bytes) -> bytes | memoryview:
    """Process the head of a pickle, if it has one; return the pickle."""
    return body_of(data) if data[:1] == MARK else data


def end_of_head(parcel: bytes | memoryview) -> int:
    """Return the offset at which a parcel's head ends."""
    at = len(MARK) + _LENGTH
    return at + int.from_bytes(parcel[len(MARK) : at], "little")


# Properties of one module.


def _absolute(path: Iterable[str]) -> list[str]:
    """Return path entries as a worker has them, which starts in this directory.

    The finders here know the directory in which they were first asked.
    """
    return [each if each[:1] == "/" else os.path.abspath(each) for each in path]


def module_of(name: object) -> ModuleType | None:
    """Return the module of a name, which may be any object."""
    return sys.modules.get(name) if isinstance(name, str) else None


def _lineage(name: str) -> Iterator[str]:
    """Return the names of a module's packages, outermost first, and its own."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _mentioned(name: str) -> Iterator[str]:
    for value in list(_space_of(sys.modules.get(name)).values()):
        if isinstance(value, ModuleType):
            yield str(_space_of(value).get("__name__"))
        elif isinstance(value, (FunctionType, type)):
            yield str(value.__module__)


def _space_of(module: object) -> dict[str, Any]:
    # getattr() on a lazy module might import it, or another one.
    if not issubclass(type(module), ModuleType):
        return {}
    space: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return space


def _texts(path: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if path is None else tuple(map(str, path))


def _is_of_library(origin: object) -> bool:
    if not isinstance(origin, str) or not origin.startswith(_LIBRARY):
        return False
    return not origin.startswith(_PACKAGES, len(_LIBRARY))


def _lies_in(folders: Sequence[str], name: str, file: str | None) -> bool:
    """Whether a file is where the import system looks first for a submodule."""
    if file is None or not folders:
        return False
    folder, last = os.path.split(file)
    stem = last.partition(".")[0]
    if stem == "__init__":
        folder, stem = os.path.split(folder)
    return stem == name.rpartition(".")[2] and folder == folders[0]


def _is_compiled_in(space: dict[str, Any]) -> bool:
    """Whether a module is part of a program that Nuitka has compiled.

    Workers of such a program are forks of it.
    """
    main = _space_of(sys.modules.get("__main__"))
    return "__compiled__" in space and "__compiled__" in main


def _is_bare_package(name: str, space: dict[str, Any], loader: object) -> bool:
    """Whether a module is only a package of others, without contents."""
    if space.get("__path__") is None or space.get("__file__"):
        return False
    if loader is not None:
        return type(loader).__module__ in _LOADERS
    own = filter(_is_python, list(space.values()))
    return all(getattr(each, "__module__", None) != name for each in own)


def _is_python(value: object) -> bool:
    return isinstance(value, FunctionType) or type(value) is type


def _is_same_file(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _can_be_loaded(spec: ModuleSpec) -> bool:
    """Whether another process can load a module from its file."""
    kind = type(spec.loader)
    if kind.__module__ not in _LOADERS and kind.__module__ != _REWRITER:
        return False  # a custom loader may transform the file
    origin = spec.origin or ""
    archive = getattr(spec.loader, "archive", None)
    return os.path.isfile(origin if archive is None else archive)


def _root(name: str, file: str) -> str | None:
    """Return the directory from which a module's name leads to its file, or None."""
    folder, last = os.path.split(file)
    stem = last.partition(".")[0]
    if stem == "__init__":
        folder, stem = os.path.split(folder)
    *packages, child = name.split(".")
    if stem != child:
        return None
    for package in reversed(packages):
        folder, last = os.path.split(folder)
        if last != package:
            return None
    return folder
