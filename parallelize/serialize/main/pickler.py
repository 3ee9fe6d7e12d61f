"""Picklers for values that need `__main__`, and for the names of `__main__` themselves.

In a value, objects that a name of the script finds are pickled by that name. The
definition of a name is pickled by value, by `Definitions`, which also handles objects
that each process has to create for itself.
"""

from __future__ import annotations

import _pickle as pickle
import contextlib
import functools
import importlib
import io
import marshal
import re
import sys
import threading
import types
from types import MappingProxyType

from parallelize.serialize.changes import imported as main_imported
from parallelize.serialize.changes.looks import contents
from parallelize.serialize.changes.units import Pickled
from parallelize.serialize.main import compiled
from parallelize.serialize.main import reducers as main_reducers
from parallelize.serialize.reducers import by_value, origins, placeholders, replica
from parallelize.serialize.reducers.replica import NAMES, find, meaning_of, registered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Container,
        Generator,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from typing import Any

    from parallelize.serialize.reducers.replica import Keep

    _Pickler = pickle.Pickler  # mixed into cloudpickle's or the plain one
else:
    _Pickler = object

#: Pickles with more objects than this are not searched for shared objects.
MOST_HELD = 100_000


class Alone:
    """A pickle by value, without the names of `__main__` that it needs.

    Attributes:
        body: The pickle.
        names: The names that a worker must have.
        everything: Whether code in it may access any name.
        referred: Values of the script that are pickled by their names.
        modules: The number of loaded modules, if code in it names submodules.
    """

    __slots__ = (
        "body",
        "everything",
        "modules",
        "names",
        "referred",
    )

    def __init__(
        self,
        body: bytes,
        names: tuple[str, ...],
        everything: bool = False,
        referred: Sequence[tuple[str, object]] = (),
        modules: int | None = None,
    ) -> None:
        self.body: bytes = body
        self.names: tuple[str, ...] = names
        self.everything: bool = everything
        self.referred: Sequence[tuple[str, object]] = referred
        self.modules: int | None = modules

    def holds(self, space: Mapping[str, Any]) -> bool:
        """Whether the names and modules have not changed."""
        if self.modules is not None and self.modules != len(sys.modules):
            return False
        return all(meaning_of(name, space) is value for name, value in self.referred)


def encode_alone(value: object, space: dict[str, Any]) -> Alone:
    """Pickle a value that has no name, plainly if possible."""
    try:
        data = pickle.dumps(value, 5)
        if not replica.concerns(data) and origins.is_plain(data):
            return Alone(data, ())
    except Exception:  # noqa: BLE001 - cloudpickle succeeds or reports more
        pass
    return pickle_alone(value, space)


def pickle_alone(
    value: object,
    space: dict[str, Any],
    keep_inside: Keep | None = None,
    reducers: Mapping[type, Callable[..., Any]] = MappingProxyType({}),
) -> Alone:
    """Pickle a value by value, but objects of the script by name.

    Args:
        value: A value that cloudpickle can pickle.
        space: The namespace of the script.
        keep_inside: Decides for each large buffer whether it stays in the pickle.
        reducers: Reducers for further types.
    """
    if _may_be_simple() and not reducers:
        with contextlib.suppress(by_value.Beyond):
            return _alone(_simple_pickler(), value, space, keep_inside)
    kind = _forward_pickler()
    if reducers:  # pickle reads the class's table, not an instance's
        table = {**kind.dispatch_table, **reducers}
        kind = type("Forward", (kind,), {"dispatch_table": table})
    return _alone(kind, value, space, keep_inside)


def _alone(
    kind: Any, value: object, space: dict[str, Any], keep_inside: Keep | None
) -> Alone:
    with io.BytesIO() as file:
        pickler = kind(file, 5, buffer_callback=keep_inside)
        pickler.begin(space)
        pickler.dump(value)
        return Alone(
            origins.headed(file.getvalue()),
            tuple(pickler.wanted),
            pickler.looks_around,
            [(name, meaning_of(name, space)) for name in pickler.referred],
            pickler.modules,
        )


def _may_be_simple() -> bool:
    """Whether to try without cloudpickle, which takes milliseconds to import.

    If it is loaded, the program may have registered modules with it.
    """
    return "cloudpickle" not in sys.modules and not _is_child_of_multiprocessing()


def define(values: dict[str, Any], space: dict[str, Any]) -> Pickled:
    """Pickle the values of names of `__main__`."""
    if all(type(value) in _UNNAMED for value in values.values()):
        nothing: frozenset[str] = frozenset()
        data = pickle.dumps(values, 5)
        return Pickled(data, nothing, nothing, {}, looks_around=False)
    try:
        return _defined(values, space)
    except Exception as error:  # noqa: BLE001 - uses of the name will raise
        if _is_of_depth(error):
            with contextlib.suppress(Exception), _deeper():
                return _defined(values, space)
        return _defined(
            {n: _Refused(value, error, n) for n, value in values.items()}, space
        )


def _is_of_depth(error: BaseException) -> bool:
    """Whether a value was nested too deeply; cloudpickle raises its own error."""
    return isinstance(error, RecursionError) or isinstance(
        error.__cause__, RecursionError
    )


#: The recursion limit for C calls on Python 3.11: these take less stack than as many
#: Python calls took before 3.11.
_DEEPEST = 10_000


@contextlib.contextmanager
def _deeper() -> Generator[None, None, None]:
    """Raise the recursion limit where it applies to C calls, too.

    From Python 3.12 on C calls have a separate limit.
    """
    before = sys.getrecursionlimit()
    own_stack = threading.stack_size() == 0 and sys.platform == "linux"
    if sys.version_info >= (3, 12) or before >= _DEEPEST or not own_stack:
        yield
        return
    sys.setrecursionlimit(_DEEPEST)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class _Refused:
    """Pickles as an object that refuses every use."""

    def __init__(self, value: object, error: BaseException, name: str) -> None:
        self._reduced = main_reducers.unusable(value, error, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def _defined(values: dict[str, Any], space: dict[str, Any]) -> Pickled:
    if _may_be_simple():
        with contextlib.suppress(by_value.Beyond):
            return _defined_by(_simple_pickler(), values, space)
    return _defined_by(_definitions_pickler(), values, space)


def _defined_by(kind: Any, values: dict[str, Any], space: dict[str, Any]) -> Pickled:
    with io.BytesIO() as file:
        pickler = kind(file, 5)
        pickler.begin(space, frozenset(values))
        # Classes first: an object that contains its class again is made twice.
        ordered = sorted(values.items(), key=lambda item: not isinstance(item[1], type))
        given = {name: main_imported.or_contents(value) for name, value in ordered}
        pickler.dump(given)
        data = origins.headed(file.getvalue())
    referred = frozenset(pickler.referred)
    return Pickled(
        data,
        referred.union(pickler.wanted) - values.keys(),
        referred - values.keys(),
        _held(pickler, given, values),
        pickler.looks_around,
        pickler.modules,
        pickler.is_refused,
    )


_NEVER_SHARED = frozenset(
    (
        str,
        bytes,
        bytearray,
        int,
        float,
        complex,
        tuple,
        frozenset,
        types.BuiltinFunctionType,
        types.CodeType,
        types.ModuleType,
    )
)


def _held(
    pickler: Any, given: dict[str, Any], values: dict[str, Any]
) -> dict[int, object]:
    """Return, by id, the objects in a pickle that other names may share."""
    memo = pickler.memo.copy()
    if len(memo) > MOST_HELD:
        objects: Iterable[Any] = values.values()
    else:
        objects = (each for _, each in memo.values() if each is not given)
    own = set(map(id, values.values()))  # the caller keeps them alive
    held: dict[int, object] = {
        id(each): None if id(each) in own else each
        for each in objects
        if type(each) not in _NEVER_SHARED and not _travels_as_name(each, pickler)
    }
    for name, value in values.items():
        if given[name] is not value:  # pickled as a reference to a module's object
            held[id(value)] = None
    return held


def _travels_as_name(obj: Any, pickler: Any) -> bool:
    is_named = id(obj) in pickler.named
    if isinstance(obj, (types.FunctionType, type)):
        return is_named or obj.__module__ not in NAMES
    return id(obj) in pickler.looked_up or (is_named and replica.is_decorated(obj))


class Forward(_Pickler):
    """Pickles objects of `__main__` by name, and records the names.

    Attributes:
        wanted: The names that a worker must have, in order of occurrence.
        referred: Those of them to which the pickle itself refers.
        looks_around: Whether there was code that may access any name.
        named: The script's names of functions, classes and sentinels, by id.
        looked_up: The ids of objects that were pickled by name.
        defined: The names that are pickled by value.
        cells: The ids of cells in closures of the script's functions.
        sent: The types whose descriptors are sent; set by the other base class.
    """

    sent: Any

    def begin(
        self, space: dict[str, Any], defined: frozenset[str] = frozenset()
    ) -> None:
        _send_main_by_value()
        self.space: dict[str, Any] = space
        self.defined: frozenset[str] = defined
        self.named: dict[int, str] = _named(space)
        self.looked_up: set[int] = set()
        self.wanted: dict[str, None] = {}
        self.referred: dict[str, None] = {}
        self.looks_around: bool = False
        self.modules: int | None = None
        self.parameters: Mapping[int, tuple[str, int]] | None = None
        self.class_spaces: dict[int, dict[str, Any]] = {}
        self.cells: set[int] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type):
            return self._class(obj)
        if isinstance(obj, types.FunctionType):
            return self._any_function(obj)
        return self._object(obj)

    # Objects with names.

    def _by_name(self, obj: Any, name: str) -> tuple[Any, ...] | None:
        top = name.partition(".")[0]
        if not top or top in self.defined:
            return None
        self.wanted[top] = self.referred[top] = None
        self.looked_up.add(id(obj))
        return find, (name,)

    def _name_of(self, obj: Any) -> str:
        return replica.qualified_name(obj, self.space) or self.named.get(id(obj), "")

    def _class(self, cls: Any) -> Any:
        name = self._name_of(cls)
        by_name = self._by_name(cls, name)
        if by_name is not None:
            return by_name
        reduced: Any = main_reducers.replaced(cls, self.space)
        if reduced is not None:
            return reduced
        reduced = main_reducers.ctypes_class(cls)
        if reduced is None:
            reduced = super().reducer_override(cls)
        if not isinstance(reduced, tuple) or cls.__module__ not in NAMES:
            return reduced
        self._want(_names_in_annotations(cls))
        make, args, *rest = _with_all(cls, reduced, self.space)
        make, args = replica.make_class, (make, *args)
        if name in self.defined:
            make, args = registered, (name, make, args)
        return make, args, *rest

    def _any_function(self, fn: types.FunctionType) -> Any:
        name = self._name_of(fn)
        if name.endswith(".__annotate__"):
            name = ""  # a part of its function, whose name may have another value there
        by_name = self._by_name(fn, name)
        if by_name is not None:
            return by_name
        if compiled.is_compiled(fn):
            return compiled.name_of(fn)
        if main_reducers.is_generic_function(fn):
            elsewhere = main_reducers.generic_elsewhere(fn)
            return elsewhere or main_reducers.generic_function(fn)
        if fn.__globals__ is not self.space:
            replaced = main_reducers.replaced(fn, self.space)
            return replaced or super().reducer_override(fn)
        make, args, *rest = self._function(fn)
        if name in self.defined and fn.__qualname__ == name:
            make, args = registered, (name, make, args)
        return make, args, *rest

    def _function(self, fn: types.FunctionType) -> tuple[Any, ...]:
        code = fn.__code__
        names = [*global_names(code), *_names_in_annotations(fn)]
        around = _looks_around(code)
        self._want(names)
        self.looks_around = self.looks_around or around
        cells = fn.__closure__ or ()
        self.cells.update(map(id, cells))
        args = marshal.dumps(code), cells
        state = self._with_names(*_state_of(fn, self.class_spaces))
        all_of_it = state, self._submodules(code), names, around
        return (
            replica.blank_function,
            args,
            all_of_it,
            None,
            None,
            replica.fill_function,
        )

    def _with_names(
        self,
        attributes: dict[str, Any],
        more: dict[str, Any],
        cells: list[tuple[Any, ...]],
    ) -> tuple[Any, ...]:
        """Return a function's state, with references to values of the script."""
        if self.defined:  # the pickle's memo does that
            return attributes, more, cells
        or_names = self._or_names
        defaults, more_defaults = fn_defaults = (
            attributes["__defaults__"],
            attributes["__kwdefaults__"],
        )
        if any(fn_defaults):
            attributes["__defaults__"] = defaults and tuple(or_names(defaults))
            attributes["__kwdefaults__"] = more_defaults and dict(
                zip(more_defaults, or_names(more_defaults.values()), strict=True)
            )
        more = dict(zip(more, or_names(more.values()), strict=True))
        return attributes, more, [tuple(or_names(inside)) for inside in cells]

    def _or_names(self, values: Iterable[Any]) -> list[Any]:
        return [self._or_name(value) for value in values]

    def _or_name(self, value: Any) -> Any:
        """Return the value, or a reference to the script's name for it."""
        if type(value) in _UNNAMED or isinstance(value, (types.FunctionType, type)):
            return value
        if type(value) in self.sent:  # a connection is sent itself
            return value
        if _leaves_a_gap(value):
            return value
        for name, each in self.space.items():
            if each is value:
                return _Named(name)
        return value

    def _submodules(self, code: types.CodeType) -> list[Any]:
        """Return the modules that code needs besides its globals."""
        packages = _packages(code, self.space)
        made = _made_modules(code)
        if not packages:
            return made
        self.modules = len(sys.modules)
        return [*made, *_submodules(code, packages)]

    def _want(self, names: Iterable[str]) -> None:
        self.wanted.update(dict.fromkeys(names))

    # Other objects.

    def _object(self, obj: Any) -> Any:
        if type(obj) is _Named:
            return self._by_name(obj, obj.name)
        if id(obj) in self.cells:  # filled by their functions
            return types.CellType, ()
        if type(obj) is types.BuiltinFunctionType:
            replaced = main_reducers.replaced_function(obj)
            if replaced is not None:
                return replaced
        name = self.named.get(id(obj), "")
        imported = main_imported.reduced(obj, with_state=bool(self.defined))
        if imported is not None:
            return imported
        is_decorated = replica.is_decorated(obj)
        if name and name not in self.defined:
            if is_decorated or self._goes_by_name(obj):
                return self._by_name(obj, name)
        elif name and is_decorated:
            return main_reducers.decorated(obj)
        kind = type(obj)
        if type(obj) is types.MethodType and main_reducers.is_class_method(obj):
            return getattr, (obj.__self__, obj.__name__)
        if kind is functools.partial and not self.defined:
            return self._partial(obj)
        if kind is functools.partialmethod:
            return main_reducers.partial_method(obj)
        if kind in self.dispatch_table and kind.__qualname__ != "TypeVar":
            return NotImplemented
        reduced = main_reducers.as_name(obj)
        if main_reducers.is_type_parameter(obj):
            return self._parameter(obj) or main_reducers.rebuild(obj)
        if not isinstance(reduced, str) or not main_reducers.is_of_main(obj):
            return reduced
        return self._by_name(obj, self._place_of(obj, reduced)) or (
            main_reducers.rebuild(obj)
        )

    def _parameter(self, obj: Any) -> tuple[Any, ...] | None:
        """Reduce a type parameter that a name of the script owns to a lookup."""
        if self.parameters is None:
            from parallelize.serialize.main import parameters

            self.parameters = parameters.places(self.space)
        place = self.parameters.get(id(obj))
        if place is None or self._by_name(obj, place[0]) is None:
            return None
        return replica.find_parameter, place

    def _partial(self, obj: Any) -> tuple[Any, ...]:
        args = tuple(self._or_names(obj.args))
        values = self._or_names(obj.keywords.values())
        keywords = dict(zip(obj.keywords, values, strict=True))
        state = obj.func, args, keywords, vars(obj) or None
        return functools.partial, (obj.func,), state

    def _goes_by_name(self, obj: Any) -> bool:
        return replica.is_sentinel(obj)

    def _place_of(self, obj: Any, reduced: str) -> str:
        """Return the script's name for an object that pickles by name."""
        top, *parts = reduced.split(".")
        found = self.space.get(top)
        for part in parts:
            found = replica.attribute(found, part)
        return reduced if found is obj else self.named.get(id(obj), "")


_UNNAMED = frozenset((str, bytes, int, float, complex, bool, type(None), type(...)))


class _Named:
    """A reference to the value of a script's name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Definitions(Forward):
    """Pickles values of names, as a worker that ran the script would have them.

    Attributes:
        is_refused: Whether the whole value of a name is refused.
    """

    is_refused: bool = False

    def _object(self, obj: Any) -> Any:
        if isinstance(obj, types.ModuleType):
            return NotImplemented
        from parallelize.serialize.main import executors

        fresh = main_reducers.fresh(obj) or executors.fresh(obj)
        if fresh is not None:
            return fresh
        try:
            if main_reducers.is_open_file(obj):
                main_reducers.refuse_file(obj)
            reduced = super()._object(obj)
            if reduced is NotImplemented and self._has_default_way(obj):
                reduced = obj.__reduce_ex__(5)
        except RecursionError:
            raise  # not the fault of the innermost object
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            name = self._global_name(obj)
            self.is_refused = self.is_refused or name in self.defined
            return main_reducers.unusable(obj, error, name)
        return reduced

    def _global_name(self, obj: Any) -> str:
        names = (name for name, each in self.space.items() if each is obj)
        return next(names, "")

    def _has_default_way(self, obj: Any) -> bool:
        kind = type(obj)
        return kind not in self.dispatch_table and kind not in _copyreg_table()

    def _goes_by_name(self, obj: Any) -> bool:
        return False  # names that share an object form a unit


class _Simple(Forward):
    """Pickles functions, and what plain pickle supports; most scripts need no more.

    Raises:
        Beyond: There is another kind of object.
    """

    is_refused: bool = False

    def _object(self, obj: Any) -> Any:
        if isinstance(obj, types.ModuleType):
            return by_value.module_by_name(obj)
        if type(obj) is _Named or id(obj) in self.cells or _is_decorators(obj):
            return super()._object(obj)
        raise by_value.Beyond


def _is_decorators(obj: Any) -> bool:
    """Whether an object is a decorated function, or belongs to its options."""
    if replica.is_decorated(obj):
        return True
    return isinstance(obj, tuple) and type(obj).__module__.startswith("parallelize.")


# Defined on first use, because it loads cloudpickle.
@functools.cache
def _forward_pickler() -> Any:  # checkers have no name for this class
    return type("Forward", (Forward, by_value.pickler()), {})


@functools.cache
def _definitions_pickler() -> Any:
    base = by_value.pickler()
    table = {"dispatch_table": base.plain_table}
    return type("Definitions", (Definitions, base), table)


@functools.cache
def _simple_pickler() -> Any:
    return type("Simple", (_Simple, by_value.Named), {})


def _send_main_by_value() -> None:
    """Have cloudpickle pickle the main module's other name by value, too."""
    if _is_child_of_multiprocessing():
        import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules["__mp_main__"])


def _is_child_of_multiprocessing() -> bool:
    module = sys.modules.get("__mp_main__")
    return module is not None and module.__name__ == "__mp_main__"


def _copyreg_table() -> Mapping[type, Any]:
    import copyreg

    return copyreg.dispatch_table


def _leaves_a_gap(value: object) -> bool:
    """Whether a value is a future among the arguments of a call."""
    if not placeholders.collecting():
        return False
    from parallelize.futures.future import Future

    return issubclass(type(value), Future)


def _named(space: dict[str, Any]) -> dict[int, str]:
    """Return, by id, the first name of each function, class and sentinel."""
    named: dict[int, str] = {}
    for name, value in list(space.items()):
        if type(value) in _UNNAMED:
            continue
        if isinstance(value, (types.FunctionType, type)):
            if value.__module__ in NAMES:
                named.setdefault(id(value), name)
        elif replica.is_sentinel(value) or main_reducers.is_of_main(value):
            named.setdefault(id(value), name)
            inside = replica.attribute(value, "__wrapped__")
            if type(inside) is types.FunctionType and inside.__globals__ is space:
                named.setdefault(id(inside), name + replica.INSIDE)
    return named


def _with_all(
    cls: Any, reduced: tuple[Any, ...], space: dict[str, Any]
) -> tuple[Any, ...]:
    """Add the parts of a class that cloudpickle leaves out.

    These are its qualified name, extra attributes of an enumeration's members, and from
    Python 3.14 on its annotations.
    """
    if len(reduced) != 6:
        return reduced
    make, args, state, items, pairs, fill = reduced
    args, state = main_reducers.with_all_members(cls, args, _in_order(cls, state))
    more: dict[str, Any] = {"__qualname__": cls.__qualname__}
    annotate = vars(cls).get("__annotate_func__")
    if getattr(annotate, "__globals__", None) is space:
        more["__annotate__"] = annotate
    elif annotate is not None:  # created by a library
        more["__annotations__"] = _annotations(cls)
    members = main_reducers.members_of(cls)
    state, instances = main_reducers.without_instances(cls, state)
    whole: Any = fill, state, more, members
    complete: Any = main_reducers.complete
    if instances:
        whole = main_reducers.Completion(cls, whole), instances
        complete = main_reducers.add_instances
    return make, args, whole, items, pairs, complete


def _in_order(cls: Any, state: Any) -> Any:
    """Restore the order of a class's attributes, which cloudpickle sorts by name."""
    if not isinstance(state, tuple):
        return state
    contents, *more = state
    order = [*(name for name in vars(cls) if name in contents), *contents]
    return {name: contents[name] for name in order}, *more


def _annotations(cls: Any) -> dict[str, Any]:
    try:
        return dict(cls.__annotations__)
    except Exception:  # noqa: BLE001 - they may mention undefined names
        library = importlib.import_module("annotationlib")  # new in Python 3.14
        return dict(library.get_annotations(cls, format=library.Format.STRING))


# Names that code mentions.


@functools.lru_cache(maxsize=512)
def global_names(code: types.CodeType) -> tuple[str, ...]:
    """Return the global names that code and the code nested in it mention."""
    names = _names_after(_GLOBAL_OPERATIONS, code)
    for inner in _inner(code):
        names.update(dict.fromkeys(global_names(inner)))
    return tuple(names)


def _names_after(operations: Container[str], code: types.CodeType) -> dict[str, None]:
    """Return the names that operations of code have, in its order."""
    if not code.co_names:
        return {}  # soon: a script's first function need not load `dis`
    from dis import get_instructions

    return {
        str(each.argval): None
        for each in get_instructions(code)
        if each.opname in operations
    }


_GLOBAL_OPERATIONS = frozenset(
    (
        "LOAD_GLOBAL",
        "STORE_GLOBAL",
        "DELETE_GLOBAL",
        "LOAD_NAME",  # in the body of a class
        "LOAD_FROM_DICT_OR_GLOBALS",
    )
)

#: The functions by which code may access any name of its module,
_LOOKING = frozenset(("globals", "eval", "exec"))
#: and the attributes and modules by which it may do so.
_WAYS = frozenset(
    (
        "__globals__",
        "__main__",
        "__mp_main__",
        "__subclasses__",
        "f_globals",
        "get_type_hints",
        "modules",
    )
)


@functools.lru_cache(maxsize=512)
def _looks_around(code: types.CodeType) -> bool:
    """Whether code may access names of its module that it does not mention."""
    if not _LOOKING.isdisjoint(global_names(code)):
        return True
    if not _WAYS.isdisjoint(code.co_names):
        return True
    if any(type(each) is str and each in NAMES for each in code.co_consts):
        return True
    return any(map(_looks_around, _inner(code)))


@functools.lru_cache(maxsize=512)
def mentions_main(code: types.CodeType) -> bool:
    """Whether code of another module accesses the main module."""
    if any(type(each) is str and each in NAMES for each in code.co_consts):
        return True
    return "__main__" in code.co_names or any(map(mentions_main, _inner(code)))


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    return (each for each in code.co_consts if isinstance(each, types.CodeType))


_NAME = re.compile(r"[^\W\d]\w*")


def _names_in_annotations(obj: Any) -> list[str]:
    """Return the names in annotations, which may be strings (PEP 563)."""
    # No getattr(): a metaclass may provide any attribute.
    annotate = obj.__annotate__ if sys.version_info >= (3, 14) else None
    if annotate is not None:
        return [
            *global_names(annotate.__code__),
            *_names_in(annotate.__code__.co_consts),
        ]
    own = (
        vars(obj) if isinstance(obj, type) else {"__annotations__": obj.__annotations__}
    )
    annotations = own.get("__annotations__") or own.get("__annotations_cache__") or {}
    return _names_in(annotations.values())


def _names_in(texts: Iterable[object]) -> list[str]:
    return [name for text in texts if type(text) is str for name in _NAME.findall(text)]


def _packages(code: types.CodeType, space: dict[str, Any]) -> list[str]:
    """Return the names of the packages that code mentions."""
    return [
        value.__name__
        for name in global_names(code)
        if isinstance(value := space.get(name), types.ModuleType)
        and hasattr(value, "__path__")
    ]


def _submodules(code: types.CodeType, packages: Iterable[str]) -> list[str]:
    """Return the loaded submodules of packages that code names as attributes.

    In a worker, ``import a`` does not import ``a.b``, which the program imported
    elsewhere.
    """
    attributes = set(_attributes(code))
    return sorted(
        name
        for name in list(sys.modules)
        for package in packages
        if name.startswith(package + ".")
        and attributes.issuperset(name[len(package) + 1 :].split("."))
    )


def _made_modules(code: types.CodeType) -> list[types.ModuleType]:
    """Return the modules that code imports and that only this process can import."""
    return [
        sys.modules[name]
        for name in _imported(code)
        if name in sys.modules and origins.way_of(name) == origins.BY_VALUE
    ]


@functools.lru_cache(maxsize=512)
def _imported(code: types.CodeType) -> tuple[str, ...]:
    names = _names_after(("IMPORT_NAME",), code)
    for inner in _inner(code):
        names.update(dict.fromkeys(_imported(inner)))
    return tuple(names)


def _attributes(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in _inner(code):
        yield from _attributes(inner)


# The parts of a function.

_ATTRIBUTES = (
    "__name__",
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    # From Python 3.14 on annotations are evaluated lazily.
    "__annotate__" if sys.version_info >= (3, 14) else "__annotations__",
    *(["__type_params__"] if sys.version_info >= (3, 12) else []),
)


def _state_of(
    fn: types.FunctionType, spaces: dict[int, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any], list[tuple[Any, ...]]]:
    attributes = {name: getattr(fn, name) for name in _ATTRIBUTES}
    if attributes.get("__annotate__", fn) is None:  # strings, under PEP 563
        attributes["__annotations__"] = fn.__annotations__
    cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)
    inside = [
        _class_space(cell, spaces) if name == "__classdict__" else contents(cell)
        for name, cell in cells
    ]
    return attributes, vars(fn).copy(), inside


def _class_space(
    cell: types.CellType, spaces: dict[int, dict[str, Any]]
) -> tuple[Any, ...]:
    """Return the class namespace that annotations may use, as it is pickled.

    From Python 3.15 on the descriptors that every class has belong to `object`, but are
    not its attributes, so a pickle cannot find them by name. Objects of the script's
    classes are left out: those of this class cannot be made before it is complete.
    """
    inside = contents(cell)
    for space in inside:
        if id(space) not in spaces:  # shared by a class's functions
            spaces[id(space)] = {
                name: value
                for name, value in space.items()
                if name not in ("__dict__", "__weakref__")
                and not main_reducers.holds_instance(value)
            }
    return tuple(spaces[id(space)] for space in inside)
