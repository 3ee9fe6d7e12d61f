"""Pickling by value for modules that no other process can import.

Cloudpickle does that for functions and classes that no name finds. Here it is also used
for those of modules created by hand, for instance (see `origins`). In a worker their
functions share the globals of one module, as they do in the program.
"""

from __future__ import annotations

import _pickle as pickle
import functools
import importlib
import io
import sys
from types import (
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    ModuleType,
)

from parallelize.serialize.reducers import finders, origins, reductions
from parallelize.serialize.reducers.origins import BY_NAME, BY_VALUE, EITHER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Beyond(Exception):
    """The value contains something that requires cloudpickle."""


class Named(pickle.Pickler):
    """Pickles functions and classes by name, without cloudpickle.

    Raises:
        Beyond: A function or class has no name that finds it in every process.
    """

    sent: Any = reductions.Table(far=False)
    dispatch_table: Any = MappingProxyType({})

    def reducer_override(self, obj: Any) -> Any:
        module = obj.__module__
        if (
            module in origins.MAINS
            or origins.way_of(module) != BY_NAME
            or not _is_named(obj)
        ):
            raise Beyond
        return NotImplemented


def module_by_name(module: ModuleType) -> Any:
    """Reduce a module that every worker can import; raise Beyond for others."""
    name = module.__name__
    if origins.way_of(name) != BY_NAME or origins.module_of(name) is not module:
        raise Beyond
    return importlib.import_module, (name,)


class _ByValue:
    """Pickles by value what other processes cannot find by name.

    What there is to it beside cloudpickle's pickler, which comes behind it.

    Attributes:
        back: Whether it pickles for the program, in a worker.
        far: Whether it pickles for other machines, which lack such modules and files.
        plain_table: The dispatch table without the reducers that send descriptors.
        sent: These reducers.
    """

    back: bool
    far: bool
    plain_table: Any  # untyped, like cloudpickle's
    sent: Any  # typed too strictly for a ChainMap

    @classmethod
    def way_of(cls, module: object) -> int:
        """Return how functions and classes of a module are pickled."""
        way = origins.way_of(module, back=cls.back)
        return BY_VALUE if cls.far and way else way

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (FunctionType, type)):
            way = self.way_of(getattr(obj, "__module__", None))
            is_named = way != BY_NAME and _is_named(obj)
            if way == BY_VALUE or (way == EITHER and not is_named):
                return _by_value(self, obj)
            if is_named:
                if way == EITHER:
                    return _either(obj)
                return finders.named, (obj.__module__, obj.__qualname__)
        parent: Any = super()  # cloudpickle's, which is untyped
        reduced = parent.reducer_override(obj)
        return _with_slots(obj, reduced) if isinstance(obj, type) else reduced

    def _dynamic_function_reduce(self, func: FunctionType) -> tuple[Any, ...]:
        parent: Any = super()  # as above
        make, args, state, *more, fill = parent._dynamic_function_reduce(func)
        name: Any = func.__globals__.get("__name__")  # users may set any value
        space = getattr(origins.module_of(name), "__dict__", None)
        is_shared = space is func.__globals__ and self.way_of(name) == BY_VALUE
        if self.far or self.back or not is_shared:
            return make, args, state, *more, fill
        args = args[0], _Space(name), *args[2:]
        return make, args, state, *more, finders.fill_function


# Defined on first use, because it loads cloudpickle.
@functools.cache
def pickler(*, back: bool = False, far: bool = False) -> Any:
    """Return a subclass of cloudpickle's pickler, see `_ByValue` for the arguments."""
    from collections import ChainMap

    from cloudpickle import Pickler

    class ByValue(_ByValue, Pickler):
        sent: Any = reductions.Table(far=far)

    ByValue.back, ByValue.far = back, far
    # Any, because each reducer takes its own type, and the table holds all.
    reducers: Any = {ModuleType: functools.partial(_reduce_module, ByValue)}
    theirs: Any = Pickler.dispatch_table
    ByValue.plain_table = ChainMap(reducers, theirs)
    ByValue.dispatch_table = ChainMap(reducers, ByValue.sent, theirs)
    return ByValue


def _reduce_module(kind: type[_ByValue], module: ModuleType) -> Any:
    from cloudpickle import Pickler

    name = module.__name__
    way = kind.way_of(name)
    if way not in (BY_VALUE, EITHER) or origins.module_of(name) is not module:
        reduced: Any = Pickler.dispatch_table[ModuleType](module)
        if reduced[1] != (name,):  # it cannot be imported by name
            return reduced
        return importlib.import_module, (name,)  # the receiver needs no cloudpickle
    values = {k: v for k, v in vars(module).items() if k not in _OWN}
    args = name, way == EITHER
    return finders.module_for, args, values, None, None, finders.fill_module


_OWN = ("__builtins__", "__loader__", "__spec__", "__name__")


def dumps(value: object, keep_inside: Callable[[pickle.PickleBuffer], bool]) -> bytes:
    """Pickle a value for other machines."""
    with io.BytesIO() as file:
        pickler(far=True)(file, 5, buffer_callback=keep_inside).dump(value)
        return file.getvalue()


class _Space:
    """Represents a module's globals in the pickles of its functions."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return finders.space_for, (self._name,)


def _is_named(obj: Any) -> bool:
    """Whether its name finds the object, without an import of its packages."""
    found: Any = origins.module_of(obj.__module__)
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def _by_value(pickler: Any, obj: Any) -> Any:
    if isinstance(obj, FunctionType):
        return pickler._dynamic_function_reduce(obj)
    from cloudpickle import cloudpickle

    inner: Any = cloudpickle  # this function has no types
    return _with_slots(obj, inner._dynamic_class_reduce(obj))


def _with_slots(cls: Any, reduced: Any) -> Any:
    """Have a class re-created with its slots, which cloudpickle leaves out.

    Otherwise its instances would have a ``__dict__``, and could not be sent back.
    """
    has_slots = "__slots__" in vars(cls) and not _is_enumeration(cls)
    if not has_slots or not isinstance(reduced, tuple) or len(reduced) != 6:
        return reduced
    make, (*args, last), (attributes, *more), *rest = reduced
    bases, kwargs = args[2:4]
    if any(isinstance(b, FunctionType) for b in bases):
        attributes = {k: v for k, v in attributes.items() if k != "__class_getitem__"}
        return make, (*args, last), (attributes, *more), *rest  # NamedTuple creates it
    slots = [k for k, v in vars(cls).items() if isinstance(v, MemberDescriptorType)]
    own = [name for name in ("__dict__", "__weakref__") if _has_slot(cls, name)]
    args[3] = {**kwargs, "__slots__": (*slots, *own)}
    attributes = {k: v for k, v in attributes.items() if k not in slots}
    return make, (*args, last), (attributes, *more), *rest


def _is_enumeration(cls: type) -> bool:
    enum: Any = sys.modules.get("enum")
    return enum is not None and isinstance(cls, enum.EnumMeta)


def _has_slot(cls: type, name: str) -> bool:
    return isinstance(vars(cls).get(name), GetSetDescriptorType)


def _either(obj: Any) -> Any:
    """Pickle by name and by value: importing its package may create the module."""
    try:
        with io.BytesIO() as file:
            pickler(far=True)(file, 5).dump(obj)
            value = file.getvalue()
    except Exception:  # noqa: BLE001 - then only its name can find it
        return NotImplemented
    return finders.named_or, (obj.__module__, obj.__qualname__, value)
