"""A worker's `__main__`: a picture of the program's, brought up to date by changes.

A worker never runs the program's script. What stands at the top of the script reaches
it in *units*: pickles that define one name, or several names that hold objects in
common. Each unit goes to a worker once, ahead of the first task that was made with it,
and again when what it means in the program has changed.

```
 program's __main__                units                      worker's __main__
 ┌──────────────────┐   ┌─ unit 7: MISSING, get ─┐          ┌──────────────────┐
 │ MISSING, get ... │──▶│ unit 8: model          │─ frames ▶│ waiting: model   │
 │ model = None     │   │ unit 9: work           │          │ built: get, work │
 └──────────────────┘   └────────────────────────┘          └──────────────────┘
```

A unit waits as bytes until a call needs it: because a function that is built mentions
one of its names, because something that is unpickled refers to it, or because code
asks the module for it. So there is one `__main__` in a worker, as there is one in the
program: what an initializer sets, a later call finds, and a class is the same class
each time. What a worker has made of a name stays until the program's own meaning of
the name changes.

The program's side, which takes the picture, is `main.picture`. Pickles name the
functions of this file.
"""

from __future__ import annotations

import marshal
import pickle
import sys
import types

from parallelize.runtime import locks, native
from parallelize.serialize.reducers import origins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    Keep = Callable[[pickle.PickleBuffer], bool]
    #: The number of a unit, the names that it defines, and its pickle; an empty pickle
    #: says that the program has these names no more.
    Unit = tuple[int, tuple[str, ...], bytes]

#: What a function begins with that goes by its name in `__main__`, or by value.
OF_MAIN, BY_VALUE = b"@@", b"="
_MOST_WRAPPERS = 16

#: What a parcel with units begins with; no pickle begins so.
MARK = b"M"

#: What the program's main module may be called: the second in a child process of
#: multiprocessing, where both names lead to it.
NAMES = origins.MAINS

#: What a pickle contains that refers to it by either name.
TRACE = b"_main__"

_SENTINEL = b"\x8c\x06object\x94\x93"  # a reference to `object`, in a pickle
_LENGTH = 8  # bytes of the number behind the mark: how long the units are

# Guards the state below while units are stored and built: a worker's loop and threads
# of a task may ask for names, too. What is unpickled under it may run user code.
_building = locks.reentrant("building", native.RLock)()
_latest: dict[str, int] = {}  # name -> number of the unit that was received last
_waiting: dict[str, Unit] = {}  # name -> the unit that will define it
_needed: set[str] = set()  # names that were asked for, or that functions mention
_due: dict[str, None] = {}  # names to be built before the next call begins
_wished: dict[str, None] = {}  # the same, but only if it can be done
_own: set[str] = set()  # names that the worker has as a fork of the program
_depth = 0  # how many units are being built, one for the sake of another
_everything = False  # a function was built that may look at any name

#: Grows with each change to what has been built: what refers to it may be outdated.
generation: int = 0


def concerns(data: bytes) -> bool:
    """Whether a pickle mentions `__main__`, or has what it may hold by identity."""
    # Not ``in``, which takes several times as long.
    return data.find(TRACE) >= 0 or data.find(_SENTINEL) >= 0


def body_of(parcel: bytes | bytearray | memoryview) -> memoryview:
    """Receive the units of a parcel; return the pickle that follows them."""
    view = memoryview(parcel)
    at = len(MARK) + _LENGTH
    end = at + int.from_bytes(view[len(MARK) : at], "little")
    receive(view[at:end])
    return view[end:]


def parcel(units: Sequence[Unit], body: bytes) -> bytes:
    """Head a pickle with the units that it needs, for `body_of`."""
    if not units:
        return body
    head = pickle.dumps(units, 5)
    return b"".join((MARK, len(head).to_bytes(_LENGTH, "little"), head, body))


class Memory:
    """What was made of functions, by either side: bounded in number and in bytes."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._made: dict[Any, Any] = {}
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0

    def get(self, key: object) -> Any:
        """What was kept under a key; None if nothing was."""
        return self._made.get(key)

    def pop(self, key: object) -> None:
        """Forget what was kept under a key."""
        self._made.pop(key, None)

    def put(self, key: object, value: object, size: int) -> None:
        """Keep what was made, unless it is large; forget all where that is too much."""
        if size > self._most_bytes // 4:
            return
        self._bytes += size
        if len(self._made) >= self._most or self._bytes > self._most_bytes:
            self._made.clear()
            self._bytes = size
        self._made[key] = value

    def clear(self) -> None:
        """Forget all."""
        self._made.clear()
        self._bytes = 0


def remember() -> Memory:
    """A memory for functions."""
    return Memory(512, 1 << 24)


# ---------------------------------------------------------------- a worker's beginning


class _Main(types.ModuleType):
    """The main module of a worker: it builds what waits when it is asked for it."""

    def __getattr__(self, name: str) -> Any:
        with _building:
            if name in _waiting:
                build(name)
                settle()
                if name in vars(self):
                    return vars(self)[name]
        msg = f"module {self.__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)

    def __dir__(self) -> list[str]:
        waiting = (name for name in _waiting if OF_MODULE not in name)
        return sorted({*vars(self), *waiting})


def begin_empty() -> None:
    """In a worker: begin with a `__main__` that has nothing of ours in it."""
    sys.modules["__main__"] = sys.modules["__mp_main__"] = _Main("__main__")


def begin_as_copy() -> None:
    """In a worker that is a copy of the program: note what it has already."""
    _own.update(_space())
    module: Any = sys.modules["__main__"]
    if type(module) is types.ModuleType:
        module.__class__ = _Main
    sys.modules.setdefault("__mp_main__", sys.modules["__main__"])


def _space() -> dict[str, Any]:
    return vars(sys.modules["__main__"])


def own_space() -> dict[str, Any]:
    """In a worker: the names that its `__main__` has."""
    return _space()


# ---------------------------------------------------------------- receiving, building


def receive(encoded: bytes | bytearray | memoryview) -> None:
    """Take units, of which some may have been received before."""
    with _building:
        for unit in pickle.loads(encoded):
            _store(unit)


def _store(unit: Unit) -> None:
    global generation
    number, names, data = unit
    if all(_latest.get(name) == number for name in names):
        return
    replaces = any(map(_is_needed, names))
    for name in names:
        _latest[name] = number
        if data:
            _waiting[name] = unit
        else:
            _waiting.pop(name, None)
            _space().pop(name, None)
    if replaces:
        generation += 1
    if data and (replaces or OF_MODULE in names[0]):
        _due[names[0]] = None
    elif data and _everything:
        _wished[names[0]] = None


def _is_needed(name: str) -> bool:
    """Whether what has been built here mentions a name, or is it."""
    return name in _needed or name in _own


def is_settled() -> bool:
    """Whether all that the functions here mention has been built."""
    return not (_due or _wished)


def settle() -> None:
    """Build what is due."""
    if _depth:  # the unit that is being built outermost will do it
        return
    with _building:
        while _due:
            name = next(iter(_due))
            _due.pop(name)
            if name in _waiting:
                _build_or_refuse(name)
        while _wished:
            _build_if_possible(_wished.popitem()[0])
        if _later:
            _patch_later()


def _build_or_refuse(name: str) -> None:
    """Build a name that code mentions; if that fails, its use fails."""
    try:
        build(name)
    except Exception as error:  # noqa: BLE001 - of what the user's code may raise
        text = f"{name!r} of __main__ cannot be built in this worker"
        refused = Unusable(f"{text}: {type(error).__name__}: {error}", error)
        names = (each for each in _waiting[name][1] if OF_MODULE not in each)
        _space().update(dict.fromkeys(names, refused))


def _build_if_possible(name: str) -> None:
    """Build a name that code might ask for; if it does, it meets what is wrong."""
    if name in _waiting:
        try:
            build(name)
        except BaseException:  # noqa: BLE001 - whatever the user's code raises
            pass


def build(name: str) -> None:
    """Define a name for which a unit waits, and those that share objects with it."""
    global _depth
    unit = _waiting[name]
    _, names, data = unit
    for each in names:
        _waiting.pop(each, None)
    _needed.update(names)
    _depth += 1
    try:
        made = pickle.loads(origins.opened(data))
        if OF_MODULE not in names[0]:
            _space().update(made)
    except BaseException:
        for each in names:
            _waiting.setdefault(each, unit)
        raise
    finally:
        _depth -= 1


#: What stands in the name of a unit that patches a module, behind the module's name.
OF_MODULE = ":"

#: What follows a name where the plain function is meant that it has, decorated. So a
#: worker that only runs this builds no decorated function, and loads nothing for it.
INSIDE = "~"

_NOWHERE = object()


def attribute(obj: Any, name: str, default: Any = None) -> Any:
    """An attribute of an object of the user's; its class may raise what it likes."""
    try:
        return getattr(obj, name, default)
    except Exception:  # noqa: BLE001 - a dictionary with attributes raises KeyError
        return default


def meaning_of(name: str, space: Mapping[str, Any], absent: object = None) -> Any:
    """What a name of the script means; one of the plain function in it as well."""
    if name[-1:] != INSIDE or name in space:
        return space.get(name, absent)
    return attribute(space.get(name[:-1]), "__wrapped__", absent)


def find(name: str) -> Any:
    """What stands in `__main__` under a name."""
    top, *parts = name.split(".")
    with _building:
        if top in _waiting:
            build(top)
            settle()
        found = meaning_of(top, _finding_space(), _NOWHERE)
        if found is _NOWHERE:
            msg = f"the program's __main__ has no {top!r}"
            raise AttributeError(msg)
    for part in parts:
        found = getattr(found, part)
    return found


#: Gives the names among which the program finds what comes back by name.
_finding_space: Callable[[], dict[str, Any]] = _space


def find_in(space: Callable[[], dict[str, Any]]) -> None:
    """In the program: find names in what this returns; it may not be `__main__`."""
    global _finding_space
    _finding_space = space


def find_function(name: str) -> Callable[..., Any]:
    """The function that a name and a number of wrappers lead to."""
    qualname, wrappers = name.rsplit(":", 1)
    found = find(qualname)
    for _ in range(int(wrappers)):
        found = found.__wrapped__
    fn: Callable[..., Any] = bare(found)
    return fn


def wrappers_round(fn: Callable[..., Any], found: Any) -> int | None:
    """How many ``__wrapped__`` lead from what a name finds to a function, if any do."""
    for wrappers in range(_MOST_WRAPPERS):
        if bare(found) is fn:
            return wrappers
        found = attribute(found, "__wrapped__")
    return None


def bare(found: Any) -> Any:
    """The function inside a bound (class) method, or what was given."""
    return attribute(found, "__func__", found)


def need(names: Iterable[str], *, everything: bool = False) -> None:
    """Have names built before the next call begins, as a function mentions them."""
    global _everything
    if everything and not _everything:
        _everything = True
        _wished.update(dict.fromkeys(_waiting))
    for name in names:
        _needed.add(name)
        if name in _waiting:
            _due[name] = None
    settle()


# ------------------------------------------------------------- what pickles of it name


def registered(name: str, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Make a function or class, and let it be found before it is whole.

    It may refer to itself, or to others that refer to it.
    """
    made = _space()[name] = make(*args)
    return made


def make_class(make: Callable[..., Any], *args: Any) -> Any:
    """Make a class without running what the script runs for each new class.

    That has been run in the program: what it did is part of the picture.
    """
    known = _made_before(make, args)
    if known is not None:
        return known
    bases = next((each for each in args if isinstance(each, tuple)), ())
    hooks = list(_hooks_of(bases, args[0] if args else type))
    for owner, name, _ in hooks:
        if name == "__init_subclass__":
            type.__setattr__(owner, name, _NOTHING)
        else:
            type.__delattr__(owner, name)
    try:
        return make(*args)
    finally:
        for owner, name, hook in hooks:
            type.__setattr__(owner, name, hook)


def _made_before(make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """The class that has been made of the same, so that there is no second subclass.

    It may be met once more while its base is filled, and comes again when it changed.
    """
    known = getattr(sys.modules.get(make.__module__), _KNOWN, None)
    return None if known is None else known.get(args[-2])


#: Where cloudpickle keeps the classes that it has made, by numbers of theirs.
_KNOWN = "_DYNAMIC_CLASS_TRACKER_BY_ID"


def _do_nothing(*_: object, **__: object) -> None:
    """Take the place of `__init_subclass__`."""


_NOTHING: Any = classmethod(_do_nothing)


def _hooks_of(
    bases: tuple[Any, ...], metaclass: object
) -> Iterator[tuple[type, str, Any]]:
    for base in bases:
        for each in getattr(base, "__mro__", ()):
            if each.__module__ in NAMES and "__init_subclass__" in vars(each):
                yield each, "__init_subclass__", vars(each)["__init_subclass__"]
    for each in getattr(metaclass, "__mro__", ()):
        if each.__module__ in NAMES and issubclass(each, type):
            for name in ("__new__", "__init__", "__prepare__"):
                if name in vars(each):
                    yield each, name, vars(each)[name]


def blank_function(code: bytes, closure: tuple[Any, ...]) -> types.FunctionType:
    """Make a function of `__main__` that has nothing yet but its code and empty cells.

    Functions that have a cell in common have it in common here, too.
    """
    space = _space()
    space.setdefault("__builtins__", __builtins__)
    loaded = marshal.loads(code)  # noqa: S302 - from the program, as all pickles are
    return types.FunctionType(loaded, space, closure=closure)


def fill_function(fn: types.FunctionType, state: tuple[Any, ...]) -> None:
    """Give such a function all the rest, and have built what it mentions."""
    (attributes, more, cells), submodules, mentioned, looks_around = state
    for name, value in attributes.items():
        setattr(fn, name, value)
    vars(fn).update(more)
    for cell, contents in zip(fn.__closure__ or (), cells, strict=True):
        if contents:
            (cell.cell_contents,) = contents
    for name in submodules:
        if isinstance(name, str):  # a module itself is there once it is unpickled
            __import__(name)
    need(mentioned, everything=looks_around)


def of_module(module: str, name: str) -> Any:
    """What another module has under a dotted name."""
    __import__(module)
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def patch(load: Callable[[Any], Any], module: str, name: str, data: Any) -> None:
    """Set what the script has set in another module, or will be when it is imported.

    Args:
        load: What loads a pickle.
        module: The module.
        name: The dotted name in it; empty if what is loaded fills something by itself.
        data: What it is to be, pickled.
    """
    if module not in sys.modules and not _is_quick(module):
        _later.append((load, module, name, data))
        return
    __import__(module)
    if not name:
        load(data)
        return
    owner, _, last = name.rpartition(".")
    holder = of_module(module, owner) if owner else sys.modules[module]
    if (module, name) in _originals:  # what is loaded may be that, by its name
        setattr(holder, last, _originals[module, name])
    value = load(data)
    before = getattr(holder, last, None)
    if before is not value:
        _originals.setdefault((module, name), before)
        setattr(holder, last, value)


def only_value(data: bytes) -> Any:
    """Load the value of a pickle that defines one name."""
    (value,) = pickle.loads(origins.opened(data)).values()
    return value


def call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call what registers something."""
    fn(*args, **kwargs)


def _is_quick(module: str) -> bool:
    """Whether a module is none of an installed library, which may be large."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(top)
    return spec is None or "site-packages" not in (spec.origin or "")


def _patch_later() -> None:
    """Set what waited for modules that have been imported."""
    due = [each for each in _later if each[1] in sys.modules]
    for each in due:
        _later.remove(each)
        try:
            patch(*each)
        except Exception:  # noqa: BLE001 - a call that needs it will fail
            pass


#: What is to be set in modules that are not imported yet.
_later: list[tuple[Callable[[Any], Any], str, str, Any]] = []

#: What other modules had where the script has set something.
_originals: dict[tuple[str, str], Any] = {}


def original(module: str, name: str) -> Any:
    """What another module had under a name, before the script replaced that."""
    if (module, name) in _originals:
        return _originals[module, name]
    return of_module(module, name)


def register(registry: Any, *given: Any) -> None:
    """Register with an abstract class or a generic function."""
    registry.register(*given)


def bring_up(obj: Any, contents: Any) -> None:
    """Bring an object that a module made here to what it is in the program."""
    if isinstance(obj, list):
        obj[:] = contents
    elif isinstance(obj, dict):
        for key in [key for key in obj if key not in contents]:
            del obj[key]
        obj.update(contents)
    elif isinstance(obj, set):
        obj.clear()
        obj.update(contents)
    else:
        vars(obj).update(contents)


class Unusable:
    """Stands for what belongs to the program's process; every use of it is refused."""

    __slots__ = ("_parallelize_cause", "_parallelize_text")

    def __init__(self, text: str, cause: BaseException | None = None) -> None:
        object.__setattr__(self, "_parallelize_text", text)
        object.__setattr__(self, "_parallelize_cause", cause)

    def _refuse(self, *_: object, **__: object) -> Any:
        from parallelize.errors import SerializationError

        cause: BaseException | None = object.__getattribute__(
            self, "_parallelize_cause"
        )
        raise SerializationError(self._parallelize_text) from cause

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by protocols, which can do without
            raise AttributeError(name)
        self._refuse()

    def __repr__(self) -> str:
        return f"<not in this process: {self._parallelize_text}>"

    def __reduce__(self) -> Any:
        return Unusable, (self._parallelize_text,)


#: What asks for these of an object uses it.
_USES = (
    "setattr delattr call bool len iter next contains getitem setitem delitem enter "
    "exit aenter aexit await aiter anext add sub mul truediv int float"
)
for _use in _USES.split():
    setattr(Unusable, f"__{_use}__", Unusable._refuse)


# ------------------------------------------------------------ what the program has, too


def is_in_program(name: str) -> bool:
    """In a worker: whether the program has sent what a dotted name begins with."""
    top = name.partition(".")[0]
    return top in _latest or top in _own


def find_parameter(name: str, place: int) -> Any:
    """The type parameter at a place of what stands in `__main__` under a name."""
    return find(name).__type_params__[place]


def qualified_name(obj: Any, space: dict[str, Any]) -> str:
    """The name by which a main module has a function or class; empty if by none."""
    if attribute(obj, "__module__") not in NAMES:
        return ""
    top, *parts = obj.__qualname__.split(".")
    found: Any = space.get(top)
    for part in parts:
        found = attribute(found, part)
    qualname: str = obj.__qualname__
    return qualname if found is obj else ""


def is_decorated(obj: Any) -> bool:
    """Whether an object is a function that parallelize has decorated."""
    return type(obj).__module__.startswith("parallelize.") and hasattr(
        obj, "__wrapped__"
    )


def is_sentinel(obj: Any) -> bool:
    """Whether an object of the script has nothing but its identity."""
    kind = type(obj)
    if kind is object:
        return True
    return (
        kind.__module__ in NAMES
        and has_default_reduce(kind)
        and is_of_python(kind)
        and obj.__getstate__() is None
    )


def has_default_reduce(kind: Any) -> bool:
    """Whether instances of a class are pickled as those of most classes are."""
    return (
        kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__getstate__ is object.__getstate__
    )


def is_of_python(kind: type) -> bool:
    """Whether a class is made by Python code alone: its objects hide nothing."""
    flags = (each.__flags__ for each in kind.__mro__ if each is not object)
    return all(each & _HEAP_TYPE and not each & _IMMUTABLE_TYPE for each in flags)


# The flags of classes that are made when a program runs, and of those among them that
# extension modules make: a lock is an object of one.
_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8
