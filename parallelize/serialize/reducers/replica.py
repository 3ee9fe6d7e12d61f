"""A worker's `__main__`: a replica of the program's, updated by changes.

A worker never runs the program's script. It receives the script's global names in
*units*: pickles that define one name, or several names that share objects. Each unit is
sent to a worker once, before the first task that needs it, and again when its value in
the program has changed.

```
 program's __main__                units                      worker's __main__
 ┌──────────────────┐   ┌─ unit 7: MISSING, get ─┐          ┌──────────────────┐
 │ MISSING, get ... │──▶│ unit 8: model          │─ frames ▶│ waiting: model   │
 │ model = None     │   │ unit 9: work           │          │ built: get, work │
 └──────────────────┘   └────────────────────────┘          └──────────────────┘
```

A unit is kept as bytes until a call needs it: because a function being built mentions
one of its names, because an unpickled object refers to it, or because code looks it up
in the module. So a worker has one `__main__`, like the program: later calls see what an
initializer sets, and a class is the same class each time. A worker's value of a name
stays until the program's own value changes.

The program's side, which creates the units, is `main.picture`. Pickles refer to
functions of this module by name.
"""

from __future__ import annotations

import _pickle as pickle
import marshal
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
    #: means that the program has deleted these names.
    Unit = tuple[int, tuple[str, ...], bytes]

#: The first bytes of functions encoded by their name in `__main__`, or by value.
OF_MAIN, BY_VALUE = b"@@", b"="
_MOST_WRAPPERS = 16

#: The first byte of a parcel with units; no pickle begins with it.
MARK = b"M"

#: The names of the program's main module: the second one in a child process of
#: multiprocessing, where both find it.
NAMES = origins.MAINS

#: Contained in each pickle that refers to it by either name.
TRACE = b"_main__"

_SENTINEL = b"\x8c\x06object\x94\x93"  # a reference to `object`, in a pickle
_LENGTH = 8  # size of the units' length, after the mark

# Guards the state below while units are stored and built: a worker's loop and threads
# of a task may look up names, too. Unpickling under it may run user code.
_building = locks.reentrant("building", native.RLock)()
_latest: dict[str, int] = {}  # name -> number of the unit received last
_waiting: dict[str, Unit] = {}  # name -> the unit that will define it
_needed: set[str] = set()  # names looked up, or mentioned by functions
_due: dict[str, None] = {}  # names to build before the next call
_wished: dict[str, None] = {}  # likewise, but errors are ignored
_own: set[str] = set()  # names inherited by a fork of the program
_depth = 0  # number of units being built, nested in each other
_everything = False  # a function was built that may access any name

#: Incremented when a built name changes: references to it may be outdated.
generation: int = 0


def concerns(data: bytes) -> bool:
    """Whether a pickle refers to `__main__`, or contains a possible sentinel."""
    # Not ``in``, which takes several times as long.
    return data.find(TRACE) >= 0 or data.find(_SENTINEL) >= 0


def body_of(parcel: bytes | bytearray | memoryview) -> memoryview:
    """Store the units of a parcel; return the pickle that follows them."""
    view = memoryview(parcel)
    at = len(MARK) + _LENGTH
    end = at + int.from_bytes(view[len(MARK) : at], "little")
    receive(view[at:end])
    return view[end:]


def parcel(units: Sequence[Unit], body: bytes) -> bytes:
    """Prefix a pickle with the units that it needs, for `body_of`."""
    if not units:
        return body
    head = pickle.dumps(units, 5)
    return b"".join((MARK, len(head).to_bytes(_LENGTH, "little"), head, body))


class Memory:
    """A cache for encoded or decoded functions, bounded in number and bytes."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._made: dict[Any, Any] = {}
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0

    def get(self, key: object) -> Any:
        """Return the value of a key; None if there is none."""
        return self._made.get(key)

    def pop(self, key: object) -> None:
        """Remove a key."""
        self._made.pop(key, None)

    def put(self, key: object, value: object, size: int) -> None:
        """Store a value, unless it is large; clear the cache first if it is full."""
        if size > self._most_bytes // 4:
            return
        self._bytes += size
        if len(self._made) >= self._most or self._bytes > self._most_bytes:
            self._made.clear()
            self._bytes = size
        self._made[key] = value

    def clear(self) -> None:
        """Remove all keys."""
        self._made.clear()
        self._bytes = 0


def remember() -> Memory:
    """Return a new cache for functions."""
    return Memory(512, 1 << 24)


# ------------------------------------------------------------------ start of a worker


class _Main(types.ModuleType):
    """The main module of a worker, which builds names when they are looked up."""

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


def begin_empty(file: str | None = None) -> None:
    """In a worker: replace `__main__` by a module that has only its file."""
    main = sys.modules["__main__"] = sys.modules["__mp_main__"] = _Main("__main__")
    if file is not None:
        main.__file__ = file


def begin_as_copy() -> None:
    """In a worker that is a fork of the program: keep its names, and record them."""
    _own.update(_space())
    module: Any = sys.modules["__main__"]
    if type(module) is types.ModuleType:
        module.__class__ = _Main
    sys.modules.setdefault("__mp_main__", sys.modules["__main__"])


def _space() -> dict[str, Any]:
    return vars(sys.modules["__main__"])


def own_space() -> dict[str, Any]:
    """In a worker: return the namespace of its `__main__`."""
    return _space()


# ---------------------------------------------------- receiving and building of units


def receive(encoded: bytes | bytearray | memoryview) -> None:
    """Store units, some of which may have been received before."""
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
    """Whether a name has been built here, or something built mentions it."""
    return name in _needed or name in _own


def is_settled() -> bool:
    """Whether all names that functions here mention have been built."""
    return not (_due or _wished)


def settle() -> None:
    """Build the names that are due."""
    if _depth:  # the outermost build will do it
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
    """Build a name that code mentions; on an error, every use of it fails."""
    try:
        build(name)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        text = f"{name!r} of __main__ cannot be built in this worker"
        refused = Unusable(f"{text}: {type(error).__name__}: {error}", error)
        names = (each for each in _waiting[name][1] if OF_MODULE not in each)
        _space().update(dict.fromkeys(names, refused))


def _build_if_possible(name: str) -> None:
    """Build a name that code might use; on an error, a lookup will raise it again."""
    if name in _waiting:
        try:
            build(name)
        except BaseException:  # noqa: BLE001 - the user's code may raise anything
            pass


def build(name: str) -> None:
    """Unpickle the unit of a name, which defines all names of the unit.

    That may run code of the script, such as `__setstate__`, which misses names that its
    functions mention: then it is repeated when these have been built.
    """
    for _ in range(_MOST_REPEATS):
        try:
            _unpickle(name)
        except NameError:
            if _depth or not _due:
                raise
            settle()
        if name not in _waiting:
            return
    _unpickle(name)


_MOST_REPEATS = 3


def _unpickle(name: str) -> None:
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


#: Follows the module's name in the names of units that patch a module.
OF_MODULE = ":"

#: Suffix of a name that means the plain function inside the decorated one. So a worker
#: that only runs the plain function need not build the decorated one.
INSIDE = "~"

_NOWHERE = object()


def attribute(obj: Any, name: str, default: Any = None) -> Any:
    """Return an attribute of a user's object, whose class may raise anything."""
    try:
        return getattr(obj, name, default)
    except Exception:  # noqa: BLE001 - attribute access may raise KeyError
        return default


def meaning_of(name: str, space: Mapping[str, Any], absent: object = None) -> Any:
    """Return the value of a name of the script, which may have the suffix `INSIDE`."""
    if name[-1:] != INSIDE or name in space:
        return space.get(name, absent)
    return attribute(space.get(name[:-1]), "__wrapped__", absent)


def find(name: str) -> Any:
    """Return the object that a dotted name finds in `__main__`."""
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


#: Returns the namespace in which objects that workers send by name are found.
_finding_space: Callable[[], dict[str, Any]] = _space


def find_in(space: Callable[[], dict[str, Any]]) -> None:
    """In the program: set the namespace for lookups; it may not be `__main__`'s."""
    global _finding_space
    _finding_space = space


def find_function(name: str) -> Callable[..., Any]:
    """Return the function at a name and a number of ``__wrapped__`` steps."""
    qualname, wrappers = name.rsplit(":", 1)
    found = find(qualname)
    for _ in range(int(wrappers)):
        found = found.__wrapped__
    fn: Callable[..., Any] = bare(found)
    return fn


def wrappers_round(fn: Callable[..., Any], found: Any) -> int | None:
    """Return the number of ``__wrapped__`` steps to a function, None if not found."""
    for wrappers in range(_MOST_WRAPPERS):
        if bare(found) is fn:
            return wrappers
        found = attribute(found, "__wrapped__")
    return None


def bare(found: Any) -> Any:
    """Return the function of a bound (class) method, else the object itself."""
    return attribute(found, "__func__", found)


def need(names: Iterable[str], *, everything: bool = False) -> None:
    """Request names that a function mentions, to be built before the next call."""
    global _everything
    if everything and not _everything:
        _everything = True
        _wished.update(dict.fromkeys(_waiting))
    for name in names:
        _needed.add(name)
        if name in _waiting:
            _due[name] = None
    settle()


# ------------------------------------------------- functions to which pickles refer


def registered(name: str, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Create a function or class, and let it be found before it is complete.

    It may refer to itself, or to others that refer to it.
    """
    made = _space()[name] = make(*args)
    return made


def make_class(make: Callable[..., Any], *args: Any) -> Any:
    """Create a class without running the script's hooks for new classes.

    They ran in the program, and their effects are part of the units.
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
    """Return the class already created from the same arguments, or None.

    Otherwise a base would have two such subclasses. A class may occur again while its
    base is filled, and is sent again when it has changed.
    """
    known = getattr(sys.modules.get(make.__module__), _KNOWN, None)
    return None if known is None else known.get(args[-2])


#: Where cloudpickle keeps the classes that it has created, by its own ids.
_KNOWN = "_DYNAMIC_CLASS_TRACKER_BY_ID"


def _do_nothing(*_: object, **__: object) -> None:
    """Replace `__init_subclass__`."""


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
    """Create a function of `__main__` from its code and empty cells only.

    Functions that share a cell share it here, too.
    """
    space = _space()
    space.setdefault("__builtins__", __builtins__)
    loaded = marshal.loads(code)  # noqa: S302 - from the program, like all pickles
    return types.FunctionType(loaded, space, closure=closure)


def fill_function(fn: types.FunctionType, state: tuple[Any, ...]) -> None:
    """Complete a function of `blank_function`, and request the names it mentions."""
    (attributes, more, cells), submodules, mentioned, looks_around = state
    for name, value in attributes.items():
        setattr(fn, name, value)
    vars(fn).update(more)
    for cell, contents in zip(fn.__closure__ or (), cells, strict=True):
        if contents:
            (cell.cell_contents,) = contents
    for name in submodules:
        if isinstance(name, str):  # unpickling imports modules themselves
            __import__(name)
    need(mentioned, everything=looks_around)


def of_module(module: str, name: str) -> Any:
    """Return the object that a dotted name finds in another module."""
    __import__(module)
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def patch(load: Callable[[Any], Any], module: str, name: str, data: Any) -> None:
    """Repeat an assignment of the script in a module, now or once that is imported.

    Args:
        load: Unpickles ``data``.
        module: The module.
        name: The dotted name in it; empty if unpickling has the effect by itself.
        data: The pickled value.
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
    if (module, name) in _originals:  # unpickling may look up the original by this name
        setattr(holder, last, _originals[module, name])
    value = load(data)
    before = getattr(holder, last, None)
    if before is not value:
        _originals.setdefault((module, name), before)
        setattr(holder, last, value)


def only_value(data: bytes) -> Any:
    """Unpickle the value of a unit that defines one name."""
    (value,) = pickle.loads(origins.opened(data)).values()
    return value


def call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call a function that registers something."""
    fn(*args, **kwargs)


def _is_quick(module: str) -> bool:
    """Whether a module is not of an installed library, which may be large."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(top)
    return spec is None or "site-packages" not in (spec.origin or "")


def _patch_later() -> None:
    """Apply pending patches to modules that have been imported."""
    due = [each for each in _later if each[1] in sys.modules]
    for each in due:
        _later.remove(each)
        try:
            patch(*each)
        except Exception:  # noqa: BLE001 - a call that needs it will fail
            pass


#: Pending patches of modules that are not imported yet.
_later: list[tuple[Callable[[Any], Any], str, str, Any]] = []

#: The original values in other modules that patches have replaced.
_originals: dict[tuple[str, str], Any] = {}


def original(module: str, name: str) -> Any:
    """Return another module's original value of a name that the script replaced."""
    if (module, name) in _originals:
        return _originals[module, name]
    return of_module(module, name)


def register(registry: Any, *given: Any) -> None:
    """Register with an abstract base class or a generic function."""
    registry.register(*given)


def bring_up(obj: Any, contents: Any) -> None:
    """Update an object created by a module here to its state in the program."""
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
    """Replaces an object that belongs to the program's process; every use raises."""

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
        if name.startswith("__"):  # looked up by protocols that accept its absence
            raise AttributeError(name)
        self._refuse()

    def __repr__(self) -> str:
        return f"<not in this process: {self._parallelize_text}>"

    def __reduce__(self) -> Any:
        return Unusable, (self._parallelize_text,)


#: Looking up one of these methods is a use of the object.
_USES = (
    "setattr delattr call bool len iter next contains getitem setitem delitem enter "
    "exit aenter aexit await aiter anext add sub mul truediv int float"
)
for _use in _USES.split():
    setattr(Unusable, f"__{_use}__", Unusable._refuse)


# ------------------------------------------------------- objects known to the program


def is_in_program(name: str) -> bool:
    """In a worker: whether the program has the first part of a dotted name."""
    top = name.partition(".")[0]
    return top in _latest or top in _own


def find_parameter(name: str, place: int) -> Any:
    """Return a type parameter, by its index, of the object of a name in `__main__`."""
    return find(name).__type_params__[place]


def qualified_name(obj: Any, space: dict[str, Any]) -> str:
    """Return the name that finds a function or class in a main module; "" if none."""
    if attribute(obj, "__module__") not in NAMES:
        return ""
    top, *parts = obj.__qualname__.split(".")
    found: Any = space.get(top)
    for part in parts:
        found = attribute(found, part)
    qualname: str = obj.__qualname__
    return qualname if found is obj else ""


def is_decorated(obj: Any) -> bool:
    """Whether an object is a function decorated by parallelize."""
    return type(obj).__module__.startswith("parallelize.") and hasattr(
        obj, "__wrapped__"
    )


def is_sentinel(obj: Any) -> bool:
    """Whether an object of the script has only its identity."""
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
    """Whether instances of a class are pickled in the default way."""
    return (
        kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__getstate__ is object.__getstate__
    )


def is_of_python(kind: type) -> bool:
    """Whether a class is pure Python, so that its instances have no hidden state."""
    flags = (each.__flags__ for each in kind.__mro__ if each is not object)
    return all(each & _HEAP_TYPE and not each & _IMMUTABLE_TYPE for each in flags)


# The flags of classes created at run time, and of those among them that extension
# modules create, such as the class of locks.
_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8
