"""What stands in `__main__` travels by name, together with what the name means.

A worker never runs the program's script, so its `__main__` begins empty. It is
filled as calls need it: whatever is sent by value names the functions and classes
of `__main__` that it uses, and is headed by their definitions, and by those of all
global names that their code mentions.

```
 program's __main__            one parcel                        worker's __main__
 ┌───────────────┐   ┌─ definitions ────┬─ value ──────┐         ┌───────────────┐
 │ model = None  │──▶│ work: code       │ (find, work) │── ─ ─ ─▶│ work          │
 │ def work ...  │   │ model: None      │              │         │ model         │
 └───────────────┘   └──────────────────┴──────────────┘         └───────────────┘
```

So there is one `__main__` in a worker, as there is one in the program: what an
initializer sets, a later call finds, and a class is the same class each time. A
name is set when it first arrives, and again when what it means in the program has
changed. Else a worker keeps what it has made of it.
"""

from __future__ import annotations

import functools
import io
import marshal
import operator
import pickle
import sys
import types
from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeGuard

    import cloudpickle

    Keep = Callable[[pickle.PickleBuffer], bool]
    Definitions = dict[str, bytes]

#: What a parcel with definitions begins with; no pickle begins so.
MARK = b"M"

_LENGTH = 8  # bytes of the number behind the mark: how long the definitions are

# In a worker: what was received for each name, the names that are being received,
# and those that it had from the start, as a fork of the program.
_received: Definitions = {}
_pending: Definitions = {}
_own: set[str] = set()

#: The head of the parcel that was received last: all that it says still holds.
latest: bytes = b""


def encode(
    value: object,
    keep_inside: Keep | None = None,
    reducers: Mapping[type, Callable[..., Any]] = MappingProxyType({}),
) -> bytes:
    """Pickle a value by value, headed by what it needs of `__main__`.

    Args:
        value: Whatever cloudpickle can pickle.
        keep_inside: Tells of each large buffer whether it stays in the pickle.
        reducers: For more types, how they are pickled.
    """
    pickler = _forward_pickler()
    if reducers:  # the class's table is read, not that of an instance
        table = {**pickler.dispatch_table, **reducers}
        pickler = type("Forward", (pickler,), {"dispatch_table": table})
    body, wanted = _pickled(pickler, value, "", keep_inside)
    definitions: Definitions = {}
    while wanted:
        name, _ = wanted.popitem()
        if name not in definitions and name in _space():
            definitions[name], more = _pickled(pickler, _space()[name], name, None)
            wanted |= more
    if not definitions:
        return body
    head = pickle.dumps(dict(sorted(definitions.items())), 5)
    return b"".join((MARK, len(head).to_bytes(_LENGTH, "little"), head, body))


def encode_back(value: object, keep_inside: Keep | None = None) -> bytes:
    """Pickle a value in a worker, for the program: that has its own `__main__`."""
    with io.BytesIO() as file:
        pickler = _backward_pickler()(file, 5, buffer_callback=keep_inside)
        pickler.dump(value)
        return file.getvalue()


def body_of(parcel: bytes | bytearray | memoryview) -> memoryview:
    """Receive the definitions of a parcel; return the pickle that follows them."""
    global latest
    view = memoryview(parcel)
    at = len(MARK) + _LENGTH
    end = at + int.from_bytes(view[len(MARK) : at], "little")
    _receive(pickle.loads(view[at:end]))
    latest = bytes(view[:end])
    return view[end:]


def begin_empty() -> None:
    """In a worker: begin with a `__main__` that has nothing of ours in it."""
    sys.modules["__main__"] = types.ModuleType("__main__")


def begin_as_copy() -> None:
    """In a worker that is a copy of the program: note what it has already."""
    _own.update(_space())


def _space() -> dict[str, Any]:
    return vars(sys.modules["__main__"])


# The program's side: what was sent before.


class Witness:
    """What a function of `__main__` was like when it was pickled.

    While all of that is the same, so is the pickle. There is one only for functions
    that mention nothing but functions, modules and values that cannot change.
    """

    def __init__(self, fn: types.FunctionType) -> None:
        self._modules = len(sys.modules)
        self._names: dict[str, object] = {}
        self._functions = [(fn, _looks(fn))]
        self.is_whole: bool = all(map(self._look_at, self._functions))

    def _look_at(self, seen: tuple[types.FunctionType, tuple[Any, ...]]) -> bool:
        """Note what a function mentions; False if that may change unnoticed."""
        _, (code, defaults, has_more, *contents) = seen
        values = [*(defaults or ()), *contents]
        for name in _global_names(code):
            if name not in self._names:
                self._names[name] = value = _space().get(name, _ABSENT)
                if _is_function_of_main(value):
                    self._functions.append((value, _looks(value)))
                else:
                    values.append(value)
        return not has_more and all(map(_never_changes, values))

    def holds(self) -> bool:
        """Whether it would be pickled in the same way now."""
        if len(sys.modules) != self._modules:  # `_submodules` may find others
            return False
        get = _space().get
        for name, value in self._names.items():
            if get(name, _ABSENT) is not value:
                return False
        return all(_is_same(looks, _looks(fn)) for fn, looks in self._functions)


_ABSENT = object()
_CONSTANTS = (int, float, complex, str, bytes, type(None), types.ModuleType)


def _looks(fn: types.FunctionType) -> tuple[Any, ...]:
    """What a function has that may become something else: attributes, for one."""
    cells = [content for cell in fn.__closure__ or () for content in _contents(cell)]
    more_defaults = (
        each for pair in (fn.__kwdefaults__ or {}).items() for each in pair
    )
    return fn.__code__, fn.__defaults__, bool(vars(fn)), *cells, *more_defaults


def _is_same(looks: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    return len(looks) == len(now) and all(map(operator.is_, looks, now))


def _is_function_of_main(value: object) -> TypeGuard[types.FunctionType]:
    return type(value) is types.FunctionType and value.__globals__ is _space()


def _never_changes(value: object) -> bool:
    if value is _ABSENT:
        return True
    if isinstance(value, types.BuiltinFunctionType):  # of an object: that may change
        return isinstance(value.__self__, (type(None), types.ModuleType, type))
    if isinstance(value, _NAMED):  # of another module: it travels as a name
        module = getattr(value, "__module__", None)
        return module != "__main__" and "<" not in value.__qualname__
    return type(value) in _CONSTANTS or type(value) is bool


# The program's side: pickling.


def _pickled(
    kind: Any, value: object, name: str, keep_inside: Keep | None
) -> tuple[bytes, dict[str, None]]:
    """Pickle a value; return with it the names in `__main__` that it needs."""
    with io.BytesIO() as file:
        pickler = kind(file, 5, buffer_callback=keep_inside)
        pickler.defined, pickler.wanted, pickler.spaces = name, {}, {}
        pickler.dump(value)
        return file.getvalue(), pickler.wanted


# Defined when first needed, as cloudpickle is loaded then.
@functools.cache
def _forward_pickler() -> Any:  # a class that is made here has no name for checkers
    from cloudpickle import Pickler

    class Forward(Pickler):
        """Pickles what is found in `__main__` as a name, and notes the name.

        Attributes:
            defined: The name whose value is pickled: that itself goes by value.
            wanted: The names, in the order in which they were met.
            spaces: By the id of a class's dictionary, what travels of that.
        """

        defined: str
        wanted: dict[str, None]
        spaces: dict[int, dict[str, Any]]

        def reducer_override(self, obj: Any) -> Any:
            if not isinstance(obj, _NAMED):
                return super().reducer_override(obj)
            name = _name_of(obj)
            top = name.partition(".")[0]
            if top and top != self.defined:
                self.wanted[top] = None
                return find, (name,)
            if isinstance(obj, types.FunctionType) and obj.__globals__ is _space():
                reduced = self._function(obj)
            else:
                reduced = super().reducer_override(obj)
            if name != self.defined or not isinstance(reduced, tuple):
                return reduced
            make, args, *rest = reduced
            return _registered, (name, make, args), *rest

        def _function(self, fn: types.FunctionType) -> tuple[Any, ...]:
            code = fn.__code__
            self.wanted.update(dict.fromkeys(_global_names(code)))
            args = marshal.dumps(code), len(fn.__closure__ or ())
            state = _state_of(fn, self.spaces), _submodules(code)
            return _blank_function, args, state, None, None, _fill_function

    return Forward


_NAMED = (types.FunctionType, type)


@functools.cache
def _backward_pickler() -> type[cloudpickle.Pickler]:
    from cloudpickle import Pickler

    class Backward(Pickler):
        """Pickles what the program has in its `__main__` as a name."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, _NAMED):
                name = _name_of(obj)
                top = name.partition(".")[0]
                if top in _received or top in _own:
                    return find, (name,)
            return super().reducer_override(obj)

    return Backward


def _name_of(obj: Any) -> str:
    """The name by which `__main__` has a function or class; empty if by none."""
    if getattr(obj, "__module__", None) != "__main__":
        return ""
    found: Any = sys.modules["__main__"]
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return obj.__qualname__ if found is obj else ""


@functools.lru_cache(maxsize=512)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    """The global names that code mentions, and the code inside it."""
    from dis import get_instructions

    names = {
        str(each.argval): None
        for each in get_instructions(code)
        if each.opname in _GLOBAL_OPERATIONS
    }
    for inner in _inner(code):
        names.update(dict.fromkeys(_global_names(inner)))
    return tuple(names)


_GLOBAL_OPERATIONS = frozenset(
    (
        "LOAD_GLOBAL",
        "STORE_GLOBAL",
        "DELETE_GLOBAL",
        "LOAD_NAME",  # in the body of a class
        "LOAD_FROM_DICT_OR_GLOBALS",
    )
)


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    return (each for each in code.co_consts if isinstance(each, types.CodeType))


def _submodules(code: types.CodeType) -> list[str]:
    """The loaded submodules of packages that code names as attributes.

    ``import a`` gives a worker no ``a.b`` that the program has loaded elsewhere.
    """
    space = _space()
    packages = [
        value.__name__
        for name in _global_names(code)
        if isinstance(value := space.get(name), types.ModuleType)
        and hasattr(value, "__path__")
    ]
    if not packages:
        return []
    attributes = set(_attributes(code))
    return sorted(
        name
        for name in list(sys.modules)
        for package in packages
        if name.startswith(package + ".")
        and attributes.issuperset(name[len(package) + 1 :].split("."))
    )


def _attributes(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in _inner(code):
        yield from _attributes(inner)


_ATTRIBUTES = (
    "__name__",
    "__qualname__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    # From Python 3.14 on annotations are evaluated when somebody asks for them.
    "__annotate__" if sys.version_info >= (3, 14) else "__annotations__",
    *(["__type_params__"] if sys.version_info >= (3, 12) else []),
)


def _state_of(
    fn: types.FunctionType, spaces: dict[int, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    attributes = {name: getattr(fn, name) for name in _ATTRIBUTES}
    cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)
    contents = [
        _class_space(cell, spaces) if name == "__classdict__" else _contents(cell)
        for name, cell in cells
    ]
    return attributes, vars(fn).copy(), contents


def _class_space(
    cell: types.CellType, spaces: dict[int, dict[str, Any]]
) -> tuple[Any, ...]:
    """What travels of the class whose names an annotation may mention.

    The descriptors that every class has belong to `object` from Python 3.15 on, which
    does not give them away: a pickle cannot find them there.
    """
    contents = _contents(cell)
    for space in contents:
        if id(space) not in spaces:  # the functions of a class have one together
            spaces[id(space)] = {
                name: value
                for name, value in space.items()
                if name not in ("__dict__", "__weakref__")
            }
    return tuple(spaces[id(space)] for space in contents)


def _contents(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # it is empty
        return ()


# The worker's side: building what was pickled. Pickles name these functions.


def find(name: str) -> Any:
    """What stands in `__main__` under a name."""
    top, *parts = name.split(".")
    if top in _pending:
        _define(top)
    found = _space()[top]
    for part in parts:
        found = getattr(found, part)
    return found


def _registered(name: str, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Make a function or class, and let it be found before it is whole.

    It may refer to itself, or to others that refer to it.
    """
    made = _space()[name] = make(*args)
    return made


def _blank_function(code: bytes, cells: int) -> types.FunctionType:
    closure = tuple(types.CellType() for _ in range(cells))
    space = _space()
    space.setdefault("__builtins__", __builtins__)
    loaded = marshal.loads(code)  # noqa: S302 - from the program, as all pickles are
    return types.FunctionType(loaded, space, closure=closure)


def _fill_function(fn: types.FunctionType, state: tuple[Any, list[str]]) -> None:
    (attributes, more, cells), submodules = state
    for name, value in attributes.items():
        setattr(fn, name, value)
    fn.__module__ = "__main__"
    vars(fn).update(more)
    for cell, contents in zip(fn.__closure__ or (), cells, strict=True):
        if contents:
            (cell.cell_contents,) = contents
    for name in submodules:
        __import__(name)


def _receive(definitions: Definitions) -> None:
    """Take definitions that are new, or other than before."""
    fresh = {n: data for n, data in definitions.items() if _received.get(n) != data}
    _pending.update(fresh)
    try:
        for name in fresh:
            if name in _pending:
                _define(name)
    finally:
        _pending.clear()


def _define(name: str) -> None:
    data = _pending.pop(name)
    if name in _own and name not in _received and not _is_code(_space().get(name)):
        _received[name] = data  # it has that from the program, and maybe changed it
        return
    _received[name] = data
    try:
        _space()[name] = pickle.loads(data)
    except BaseException:
        del _received[name]
        raise


def _is_code(value: object) -> bool:
    return isinstance(value, _NAMED)
