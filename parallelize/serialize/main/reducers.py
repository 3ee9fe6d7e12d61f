"""Reducers for objects of a script that cannot be pickled, or that pickle by name.

Three kinds:

* objects other than functions and classes that pickle as a name of `__main__`, such as
  an `lru_cache`, a `NewType` or a singleton: these are re-created. A cache arrives
  empty;
* objects that a script creates for each process, such as locks, events and context
  variables: the worker gets a fresh one, as if it had run the script;
* objects that belong to one process, such as files, sockets and connections: they are
  replaced by an object that refuses every use, see `replica.Unusable`.

The first kind may be sent in any value, the others only as names of `__main__`.
"""

from __future__ import annotations

import functools
import io
import sys
import threading
import types
import weakref

from parallelize.serialize.reducers import origins, replica
from parallelize.serialize.reducers.replica import NAMES, Unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Reduced = tuple[Any, ...]


# --------------------------------------------------- objects that pickle by their name


def as_name(obj: Any) -> Any:
    """Return what the object's own ``__reduce__`` returns, if its class has one.

    Returns:
        Its name in `__main__` or another result of ``__reduce__``; NotImplemented if
        its class has none.
    """
    kind = type(obj)
    if replica.has_default_reduce(kind):
        return NotImplemented
    return member(obj) or obj.__reduce_ex__(5)


def member(obj: Any) -> Reduced | None:
    """Reduce a member of an enumeration that pickles by its value to its name.

    The value may be a function, whose copy is not the value of any member.
    """
    enum: Any = sys.modules.get("enum")
    if enum is None or not isinstance(obj, enum.Enum):
        return None
    kind, name = type(obj), obj._name_
    by_value = kind.__reduce_ex__ is enum.Enum.__reduce_ex__
    is_named = by_value and kind.__members__.get(name) is obj
    return (getattr, (kind, name)) if is_named else None


def decorated(obj: Any) -> Reduced:
    """Reduce a decorated function whose own name is being defined to its parts."""
    is_bound = replica.attribute(obj, "_owner") is not None
    reduced: Reduced = obj.__reduce_ex__(5) if is_bound else obj._parts()
    return reduced


def is_of_main(obj: Any) -> bool:
    """Whether an object's ``__module__`` is the main module."""
    return replica.attribute(obj, "__module__") in NAMES


def rebuild(obj: Any) -> Reduced:
    """Reduce an object that pickles itself as a name to its re-creation."""
    kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
    for name, reduce in _REBUILT.items():
        if kind == name:
            return reduce(obj)
    if isinstance(obj, types.BuiltinFunctionType):
        msg = f"cannot pickle {obj!r}"
        raise TypeError(msg)
    # A singleton, whose class pickles it by name.
    return make_instance, (type(obj),), object.__getstate__(obj)


def make_instance(cls: type) -> Any:
    """Create an instance without the class's own ``__new__`` and ``__init__``."""
    return object.__new__(cls)


def replaced_function(obj: Any) -> Reduced | None:
    """Reduce a C function whose name the script has given to another function."""
    module = getattr(obj.__self__, "__name__", None)
    if type(obj.__self__) is not types.ModuleType or module not in sys.modules:
        return None
    if getattr(sys.modules[module], obj.__name__, obj) is obj:
        return None
    return replica.original, (module, obj.__name__)


def replaced(obj: Any, space: dict[str, Any]) -> Reduced | None:
    """Reduce a function or class whose name the script has given to its own."""
    if obj.__module__ in NAMES or obj.__module__ not in sys.modules:
        return None
    found: Any = sys.modules[obj.__module__]
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    of_script = getattr(found, "__globals__", None) is space or (
        isinstance(found, type) and found.__module__ in NAMES
    )
    if found is obj or not of_script:
        return None
    return replica.original, (obj.__module__, obj.__qualname__)


def _cache(obj: Any) -> Reduced:
    parameters = obj.cache_parameters()
    more = {k: v for k, v in vars(obj).items() if k not in _OF_WRAPPER}
    more.pop("cache_parameters", None)
    return (
        make_cache,
        (obj.__wrapped__, parameters["maxsize"], parameters["typed"]),
        more,
    )


_OF_WRAPPER = ("__wrapped__",)


def make_cache(fn: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """Create an empty cache for a function."""
    return functools.lru_cache(maxsize=maxsize, typed=typed)(fn)


def _new_type(obj: Any) -> Reduced:
    return make_new_type, (
        obj.__name__,
        obj.__supertype__,
        obj.__module__,
        obj.__qualname__,
    )


def make_new_type(name: str, supertype: Any, module: str, qualname: str) -> Any:
    """Create a `typing.NewType`."""
    import typing

    made: Any = typing.NewType(name, supertype)  # type: ignore[misc]
    made.__module__, made.__qualname__ = module, qualname
    return made


def is_type_parameter(obj: Any) -> bool:
    """Whether an object is a parameter of a generic class, function or alias.

    Its ``__module__`` is `typing`, which has no such name.
    """
    kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
    if kind not in _PARAMETERS or obj.__module__ != "typing":
        return False
    import typing

    return getattr(typing, obj.__name__, None) is not obj


_PARAMETERS = ("typing.TypeVar", "typing.ParamSpec", "typing.TypeVarTuple")


def is_of_typing(obj: Any) -> bool:
    """Whether an object is a type variable, a new type or an alias, not a class."""
    kind = type(obj)
    return kind.__module__ in ("typing", "typing_extensions") and (
        f"{kind.__module__}.{kind.__qualname__}" in _REBUILT
    )


def _parameter(obj: Any) -> Reduced:
    about: dict[str, Any] = {}
    for name in ("__bound__", "__constraints__", "__default__"):
        try:
            about[name] = getattr(obj, name, None)
        except Exception:  # noqa: BLE001 - it mentions an undefined name
            pass
    if not getattr(obj, "has_default", lambda: False)():
        about.pop("__default__", None)
    has = [name for name, value in about.items() if value]
    about = {name: about[name] for name in has}
    args = type(obj).__name__, obj.__name__, tuple(has), len(about.get(_SEVERAL, ()))
    return make_parameter, args, _Contents(about), None, None, fill_parameter


_SEVERAL = "__constraints__"


def make_parameter(kind: str, name: str, has: tuple[str, ...], several: int) -> Any:
    """Create a type parameter, whose bound is evaluated lazily."""
    each = ", ".join(f"_contents[-1]['{_SEVERAL}'][{n}]" for n in range(several))
    bound = f": ({each})" if several else ""
    if "__bound__" in has:
        bound = ": _contents[-1]['__bound__']"
    default = " = _contents[-1]['__default__']" if "__default__" in has else ""
    space: dict[str, Any] = {"__name__": "__main__", "_contents": []}
    text = f"type alias[{_STARS[kind]}{name}{bound}{default}] = None"
    exec(text, space)  # noqa: S102 - a name from its definition
    (made,) = space["alias"].__type_params__
    _contents_of[id(made)] = space
    return made


def fill_parameter(parameter: Any, contents: _Contents) -> None:
    """Set the bound, constraints and default of a type parameter."""
    _contents_of.pop(id(parameter))["_contents"].append(contents.value)


def _type_variable(obj: Any) -> Reduced:
    if is_type_parameter(obj):
        return _parameter(obj)
    return make_type_variable, (type(obj), obj.__name__, _about(obj), obj.__module__)


def _about(obj: Any) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if type(obj).__name__ != "TypeVarTuple":
        about = {
            "bound": obj.__bound__,
            "covariant": obj.__covariant__,
            "contravariant": obj.__contravariant__,
        }
    if getattr(obj, "__constraints__", ()):
        about["constraints"] = obj.__constraints__
        del about["bound"]
    if getattr(obj, "__infer_variance__", False):
        about["infer_variance"] = True
    if getattr(obj, "has_default", lambda: False)():
        about["default"] = obj.__default__
    return about


def make_type_variable(kind: Any, name: str, about: dict[str, Any], module: str) -> Any:
    """Create a TypeVar, ParamSpec or TypeVarTuple."""
    made = kind(name, *about.pop("constraints", ()), **about)
    made.__module__ = module
    return made


def _type_alias(obj: Any) -> Reduced:
    value, parameters = obj.__value__, obj.__type_params__
    if parameters and not _mentions(value, obj):
        return make_generic_alias, (type(obj), obj.__name__, value, parameters)
    names = [_STARS[type(each).__name__] + each.__name__ for each in parameters]
    args = obj.__name__, f"[{', '.join(names)}]" if names else ""
    return make_alias, args, _Contents(value), None, None, fill_alias


_STARS = {"TypeVar": "", "TypeVarTuple": "*", "ParamSpec": "**"}


def _mentions(value: Any, alias: object) -> bool:
    if value is alias or getattr(value, "__origin__", None) is alias:
        return True
    inside = value if isinstance(value, list) else getattr(value, "__args__", ())
    return any(_mentions(each, alias) for each in inside)


class _Contents:
    """The value of an alias, pickled separately as it may mention the alias."""

    def __init__(self, value: object) -> None:
        self.value = value


def make_generic_alias(kind: Any, name: str, value: Any, parameters: Any) -> Any:
    """Create the alias of ``type name[parameters] = value``."""
    about = {"kind": kind, "given": (name, value), "of": parameters}
    space = {"__name__": "__main__", **about}  # the module it is created in
    return eval("kind(*given, type_params=of)", space)  # noqa: S307 - a constant


def make_alias(name: str, parameters: str = "") -> Any:
    """Create the alias of ``type name = ...``, whose value is evaluated lazily."""
    space: dict[str, Any] = {"__name__": "__main__", "_contents": []}
    text = f"type {name}{parameters} = _contents[-1]"
    exec(text, space)  # noqa: S102 - names from its definition
    _contents_of[id(space[name])] = space
    return space[name]


_contents_of: dict[int, dict[str, Any]] = {}


def fill_alias(alias: Any, contents: _Contents) -> None:
    """Set the value of an alias."""
    _contents_of.pop(id(alias))["_contents"].append(contents.value)


_REBUILT: dict[str, Callable[[Any], Reduced]] = {
    "functools._lru_cache_wrapper": _cache,
    "typing.NewType": _new_type,
    "typing.TypeVar": _type_variable,
    "typing.ParamSpec": _type_variable,
    "typing.TypeVarTuple": _type_variable,
    "typing.TypeAliasType": _type_alias,
    "typing_extensions.NewType": _new_type,
    "typing_extensions.TypeVarTuple": _type_variable,
    "typing_extensions.ParamSpec": _type_variable,
}


def is_generic_function(fn: types.FunctionType) -> bool:
    """Whether a function was created by `functools.singledispatch`."""
    return hasattr(fn, "registry") and fn.__code__ is _dispatcher_code()


@functools.cache
def _dispatcher_code() -> types.CodeType:
    code: types.CodeType = functools.singledispatch(len).__code__  # type: ignore[attr-defined]
    return code


def generic_function(fn: Any) -> Reduced:
    """Reduce a function of `functools.singledispatch` to its re-creation."""
    registry = dict(fn.registry)
    more = {
        k: v
        for k, v in vars(fn).items()
        if k not in ("registry", "dispatch", "register", "_clear_cache", "__wrapped__")
    }
    default = registry.pop(object)
    return make_generic_function, (default,), (registry, more), None, None, fill_generic


def generic_elsewhere(fn: Any) -> Reduced | None:
    """Reduce another module's generic function to a lookup, with additions."""
    name = fn.__module__
    if name in NAMES or origins.way_of(name) not in (origins.BY_NAME, origins.HEADED):
        return None
    found: Any = sys.modules.get(name)
    for part in fn.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is not fn:
        return None
    pairs = {k: v for k, v in fn.registry.items() if is_of_main(k) or is_of_main(v)}
    place = name, fn.__qualname__
    return replica.of_module, place, (pairs, {}), None, None, fill_generic


def make_generic_function(default: Callable[..., Any]) -> Any:
    """Create a generic function that has only its default."""
    return functools.singledispatch(default)


def fill_generic(fn: Any, state: tuple[dict[Any, Any], dict[str, Any]]) -> None:
    """Register the implementations of a generic function."""
    registry, more = state
    for cls, implementation in registry.items():
        fn.register(cls, implementation)
    vars(fn).update(more)


# ----------------------------------------------- objects that each process creates


def fresh(obj: Any) -> Reduced | None:
    """Reduce a script's global object to a fresh one; None if that is not known."""
    for kind in type(obj).__mro__:
        reduce = _FRESH.get(f"{kind.__module__}.{kind.__qualname__}")
        if reduce is not None:
            reduced: Reduced | None = reduce(obj)
            return reduced
    return None


def _same(obj: Any) -> Reduced:
    return type(obj), ()


def _condition(obj: Any) -> Reduced:
    return type(obj), (obj._lock,)


def _event(obj: Any) -> Reduced:
    return make_event, (type(obj), obj.is_set())


def make_event(kind: Callable[[], Any], is_set: bool) -> Any:
    """Create an event in a given state."""
    made = kind()
    if is_set:
        made.set()
    return made


def _semaphore(obj: Any) -> Reduced:
    return type(obj), (getattr(obj, "_initial_value", obj._value),)


def _barrier(obj: Any) -> Reduced:
    return type(obj), (obj._parties, obj._action, obj._timeout)


def _queue(obj: Any) -> Reduced:
    return make_queue, (type(obj), obj.maxsize, list(obj.queue))


def make_queue(kind: Callable[[int], Any], maxsize: int, items: list[Any]) -> Any:
    """Create a queue with the given items."""
    made = kind(maxsize)
    for item in items:
        made.put_nowait(item)
    return made


def _context_variable(obj: Any) -> Reduced:
    from contextvars import Context

    try:
        default: tuple[Any, ...] = (Context().run(obj.get),)
    except LookupError:
        default = ()
    return make_context_variable, (obj.name, default, _set_at_the_top(obj))


def _set_at_the_top(variable: Any) -> tuple[Any, ...]:
    """Return the value that a script has set for all its calls, in a tuple; or ()."""
    if threading.current_thread() is not threading.main_thread():
        return ()
    asyncio: Any = sys.modules.get("asyncio.events")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return ()
    from contextvars import copy_context

    value = copy_context().get(variable, _NOT_SET)
    return () if value is _NOT_SET else (value,)


_NOT_SET = object()


def make_context_variable(
    name: str, default: tuple[Any, ...], value: tuple[Any, ...] = ()
) -> Any:
    """Create a context variable, with its default and the value set by the script."""
    from contextvars import ContextVar

    made: Any = ContextVar(name, default=default[0]) if default else ContextVar(name)
    if value:
        made.set(value[0])
    return made


def is_class_method(method: types.MethodType | types.BuiltinMethodType) -> bool:
    """Whether a method's class finds it by name, so that it can be pickled by name.

    By value it would bring its function, which another name of the script would seem to
    share.
    """
    cls = method.__self__
    return isinstance(cls, type) and getattr(cls, method.__name__, None) == method


def partial_method(obj: Any) -> Reduced:
    """Reduce a `functools.partialmethod` to its re-creation."""
    return make_partial_method, (obj.func, obj.args, obj.keywords)


def make_partial_method(
    func: Any, args: tuple[Any, ...], keywords: dict[str, Any]
) -> Any:
    """Create a `functools.partialmethod`."""
    return functools.partialmethod(func, *args, **keywords)


def _struct(obj: Any) -> Reduced:
    return type(obj), (obj.format,)


def _counter(obj: Any) -> Reduced:
    import itertools

    numbers = repr(obj).partition("(")[2].rstrip(")").split(", ")
    return itertools.count, tuple(map(_number, numbers))


def _number(text: str) -> Any:
    import ast

    return ast.literal_eval(text)


def _weak_values(obj: Any) -> Reduced:
    return make_weak, (type(obj), dict(obj))


def make_weak(kind: Callable[[Any], Any], contents: Any) -> Any:
    """Create a weak container; items without other references vanish at once."""
    return kind(contents)


def _weak_set(obj: Any) -> Reduced:
    return make_weak, (type(obj), list(obj))


def _weak_reference(obj: Any) -> Reduced:
    return make_reference, (obj(),)


def make_reference(target: Any) -> Any:
    """Create a weak reference; one to None is dead from the start."""
    if target is None:
        return weakref.ref(_Gone())
    return weakref.ref(target)


class _Gone:
    """The target of dead references, which is collected at once."""


def _handler(obj: Any) -> Reduced:
    state = {k: v for k, v in vars(obj).items() if k != "lock"}
    if "baseFilename" in state:  # it opens its file on first use
        state["stream"], state["mode"] = None, "a"
    return make_handler, (type(obj),), state, None, None, fill_handler


def make_handler(kind: Any) -> Any:
    """Create a `logging` handler that has only its lock."""
    made = kind.__new__(kind)
    made.createLock()
    return made


def fill_handler(handler: Any, state: dict[str, Any]) -> None:
    """Set the attributes that a handler has in the program."""
    vars(handler).update(state)


def _standard_stream(obj: Any) -> Reduced | None:
    for name in ("stdin", "stdout", "stderr"):
        if obj is getattr(sys, name, None) or obj is getattr(sys, f"__{name}__", None):
            return getattr, (sys, name)
    return None


def _key_of_comparison(obj: Any) -> Reduced | None:
    """Reduce a result of `functools.cmp_to_key`; only `gc` shows its function."""
    import gc

    inside = (each for each in gc.get_referents(obj) if each is not type(obj))
    functions = [each for each in inside if callable(each)]
    return (functools.cmp_to_key, (functions[0],)) if len(functions) == 1 else None


def _match(obj: Any) -> Reduced | None:
    """Reduce a match to a search that finds it again."""
    for name in ("match", "fullmatch", "search"):
        for start in (obj.pos, obj.start()):
            find = getattr(obj.re, name)
            found = find(obj.string, start, obj.endpos)
            if found is not None and found.regs == obj.regs:
                return find, (obj.string, start, obj.endpos)
    return None


def _library(obj: Any) -> Reduced | None:
    """Reduce a library to loading it again and declaring its functions' types."""
    if type(obj).__module__ != "ctypes":
        return None
    functions = {
        name: (value.argtypes, value.restype)
        for name, value in vars(obj).items()
        if name[:1] != "_" and hasattr(value, "argtypes")
    }
    return type(obj), (obj._name,), functions, None, None, fill_library


def fill_library(library: Any, functions: dict[str, tuple[Any, Any]]) -> None:
    """Set the argument and result types of a library's functions."""
    for name, (arguments, result) in functions.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result


_FRESH: dict[str, Callable[[Any], Any]] = {
    "_thread.lock": lambda _: (threading.Lock, ()),
    "_thread.RLock": lambda _: (threading.RLock, ()),
    "threading._RLock": lambda _: (threading.RLock, ()),
    "_thread._local": _same,
    "_threading_local.local": _same,
    "threading.Condition": _condition,
    "threading.Event": _event,
    "threading.Semaphore": _semaphore,
    "threading.Barrier": _barrier,
    "queue.Queue": _queue,
    "_queue.SimpleQueue": _same,
    "_contextvars.ContextVar": _context_variable,
    "contextvars.ContextVar": _context_variable,
    "_struct.Struct": _struct,
    "itertools.count": _counter,
    "weakref.WeakValueDictionary": _weak_values,
    "weakref.WeakKeyDictionary": _weak_values,
    "_weakrefset.WeakSet": _weak_set,
    "weakref.ReferenceType": _weak_reference,
    "weakref.weakref": _weak_reference,
    "logging.Handler": _handler,
    "_io._IOBase": _standard_stream,
    "functools.KeyWrapper": _key_of_comparison,
    "re.Match": _match,
    "ctypes.CDLL": _library,
}


# ------------------------------------------------- objects of the program's process


def is_open_file(obj: Any) -> bool:
    """Whether an object is a file of the operating system."""
    return isinstance(obj, _FILES) or is_temporary_file(obj)


_FILES = (
    io.TextIOWrapper,
    io.BufferedReader,
    io.BufferedWriter,
    io.BufferedRandom,
    io.FileIO,
)


def is_temporary_file(obj: Any) -> bool:
    """Whether an object deletes a file of the program when it is released."""
    return type(obj).__module__ == "tempfile" and hasattr(obj, "file")


def refuse_file(obj: Any) -> None:
    """Raise the error of pickle for files; cloudpickle would send their contents."""
    msg = f"cannot pickle {type(obj).__qualname__!r} object"
    raise TypeError(msg)


def unusable(obj: Any, error: BaseException, name: str) -> Reduced:
    """Reduce an object to a replacement that refuses every use, with the reason.

    Args:
        obj: The object.
        error: Why it cannot be pickled.
        name: The script's name for it; empty if it is inside another object.
    """
    kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
    what = f"{name!r} of __main__, a {kind}," if name else f"a {kind} in __main__"
    why = f"{type(error).__name__}: {error}"
    text = f"{what} belongs to the program's own process and was not sent ({why})"
    return Unusable, (f"{text}; {advice_for(obj)}",)


def advice_for(leaf: object) -> str:
    """Return advice about an object that cannot be pickled."""
    for kind in type(leaf).__mro__:
        advice = _ADVICE.get(f"{kind.__module__}.{kind.__qualname__}")
        if advice is not None:
            return advice
    return _GENERAL


_GENERAL = (
    "make it in the call or in an initializer, leave it out by __getstate__, or run "
    "the call in a thread (@threaded)"
)
_OF_ONE_PROCESS = (
    "a lock holds within one process: make it where it is used, leave it out by "
    "__getstate__, or run the call in a thread (@threaded)"
)
_CONNECTION = "connect in the worker: in the call, or once in an initializer"
_AT_THE_START = "pass it among the initargs of a pool, to an initializer that keeps it"
_ADVICE = {
    "_thread.lock": _OF_ONE_PROCESS,
    "_thread.RLock": _OF_ONE_PROCESS,
    "_thread._local": "make it in the worker, it is of one thread anyway",
    "_io._IOBase": "pass the path, and open the file in the call",
    "socket.socket": _CONNECTION,
    "_socket.socket": _CONNECTION,
    "ssl.SSLContext": _CONNECTION,
    "sqlite3.Connection": _CONNECTION,
    "builtins.generator": "pass a list of what it gives",
    "builtins.coroutine": "await it first, or decorate the async function itself",
    "builtins.async_generator": "pass a list of what it gives",
    "builtins.frame": "pass what is needed of it, as text",
    "builtins.traceback": "pass its text: traceback.format_exception",
    "multiprocessing.synchronize.SemLock": _AT_THE_START,
    "multiprocessing.queues.Queue": _AT_THE_START,
    "multiprocessing.queues.SimpleQueue": _AT_THE_START,
    "multiprocessing.sharedctypes.SynchronizedBase": _AT_THE_START,
    "_asyncio.Future": "await it first, and pass what it comes to",
    "_asyncio.Task": "await it first, and pass what it comes to",
    "parallelize.futures.future.Future": (
        "make it an argument of the call, or pass its result"
    ),
    "concurrent.futures._base.Future": "pass its result, or a future of parallelize",
}


def _is_enumeration(cls: type) -> bool:
    enum: Any = sys.modules.get("enum")
    return enum is not None and isinstance(cls, enum.EnumMeta)


def members_of(cls: Any) -> dict[str, dict[str, Any]]:
    """Return extra attributes of an enumeration's members, by member name."""
    if not _is_enumeration(cls):
        return {}
    members = {name: _own_attributes(each) for name, each in cls.__members__.items()}
    return {name: attributes for name, attributes in members.items() if attributes}


def with_all_members(cls: Any, args: Any, state: Any) -> tuple[Any, Any]:
    """Include an enumeration's aliases, combined flags and function members.

    Args:
        cls: Any class.
        args: cloudpickle's arguments for its creation; for an enumeration the fourth
            has the members.
        state: cloudpickle's state for it.
    """
    enum: Any = sys.modules.get("enum")
    if enum is None or not isinstance(cls, enum.EnumMeta):
        return args, state
    values = {name: each._value_ for name, each in cls.__members__.items()}
    members = {
        name: enum.member(value) if hasattr(value, "__get__") else value
        for name, value in values.items()
    }
    contents, *more = state
    contents = {k: v for k, v in contents.items() if k not in members}
    return (*args[:3], members, *args[4:]), (contents, *more)


def _own_attributes(member: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(member).items()
        if name not in ("_value_", "_name_", "__objclass__", "_sort_order_")
    }


#: In a worker: the attribute names of the program's classes, as last received.
_filled: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()


def complete(cls: Any, state: tuple[Any, ...]) -> None:
    """Fill a class, and set the attributes that cloudpickle leaves out."""
    fill, contents, more, members = state
    names = frozenset(contents[0] if isinstance(contents, tuple) else contents)
    for name in _filled.get(cls, names) - names:  # the script has deleted it
        if name in vars(cls):
            delattr(cls, name)
    _filled[cls] = names
    fill(cls, contents)
    for name, value in more.items():
        setattr(cls, name, value)
    for name, attributes in members.items():
        vars(cls.__members__[name]).update(attributes)


def without_instances(cls: type, state: Any) -> tuple[Any, dict[str, Any]]:
    """Split attributes that hold objects of the script's classes off a class's state.

    These may be of the class itself, and can only be unpickled when it has its methods,
    such as `__setstate__`. In the state there is None for each, or an empty container,
    for a `__new__` that notes what it makes.
    """
    if not isinstance(state, tuple) or _is_enumeration(cls):
        return state, {}
    contents, *rest = state
    held = {name: value for name, value in contents.items() if holds_instance(value)}
    empty = {n: type(v)() if type(v) in _HOLDERS else None for n, v in held.items()}
    return ({**contents, **empty}, *rest), held


_HOLDERS = frozenset(
    (
        list,
        tuple,
        set,
        frozenset,
        dict,
        weakref.WeakKeyDictionary,
        weakref.WeakSet,
        weakref.WeakValueDictionary,
    )
)


def holds_instance(value: Any, depth: int = 3) -> bool:
    """Whether a value is an object of a class of the script, or a container of such."""
    if type(value) is types.MethodType:
        return _is_instance(value.__self__)
    if type(value) not in _HOLDERS:
        return _is_instance(value)
    has_values = type(value) in (dict, weakref.WeakValueDictionary)
    inside = list(value.values() if has_values else value) if depth else []
    return any(holds_instance(each, depth - 1) for each in inside)


def _is_instance(value: object) -> bool:
    kind = type(value)
    is_descriptor = hasattr(kind, "__get__") or hasattr(kind, "__set__")
    return (
        kind.__module__ in NAMES and not is_descriptor and not isinstance(value, type)
    )


class Completion:
    """Pickles as a call of `complete`, made before what follows is unpickled."""

    def __init__(self, *args: object) -> None:
        self._args = args

    def __reduce__(self) -> Reduced:
        return complete, self._args


def add_instances(cls: type, state: tuple[object, dict[str, Any]]) -> None:
    """Set the attributes that `without_instances` has split off."""
    for name, value in state[1].items():
        setattr(cls, name, value)


def ctypes_class(cls: Any) -> Reduced | None:
    """Reduce a class of `ctypes`: its metaclass re-creates the field descriptors."""
    if type(cls).__module__ != "_ctypes" or cls.__module__ not in NAMES:
        return None
    made = ("_objects", "__dict__", "__weakref__", *_field_names(cls))
    own = {k: v for k, v in vars(cls).items() if k not in made and not _is_field(v)}
    late = {"_fields_": own.pop("_fields_")} if "_fields_" in own else {}
    args = cls.__name__, cls.__bases__, own
    return make_ctypes_class, args, late, None, None, fill_class


def make_ctypes_class(name: str, bases: tuple[Any, ...], own: dict[str, Any]) -> Any:
    """Create a class with the metaclass of its base, which has no public name."""
    return type(bases[0])(name, bases, own)


def _field_names(cls: Any) -> tuple[str, ...]:
    return tuple(field[0] for field in vars(cls).get("_fields_", ()))


def _is_field(value: object) -> bool:
    return type(value).__qualname__ == "CField"


def fill_class(cls: type, attributes: dict[str, Any]) -> None:
    """Set attributes that may refer to the class itself, such as its fields."""
    for name, value in attributes.items():
        setattr(cls, name, value)
