"""How decorated functions are pickled: by the name under which they are found.

Whatever pickler is used, the receiver should get the function that has this name there.
A name in ``__main__`` exists in children of multiprocessing, but nowhere else, so such
a function has both forms at once: pickle writes the name, cloudpickle the function.
Both meet a *carrier*: a plain function that has the value as an attribute, and that is
named like an attribute of the decorated function. While the carrier is being pickled,
pickle looks up that name and finds the carrier; when it loads, it finds the attribute's
usual value. Cloudpickle, and picklers built on it, pickle a function of ``__main__`` by
value.
"""

from __future__ import annotations

import sys
import threading
import weakref
from types import FunctionType
from typing import Any

__all__ = ("Place", "found_by_name", "name_or_value", "place_of", "value_of")

#: The largest number of decorators to unwrap in the search.
MOST_WRAPPERS = 16


class Place:
    """Where a function is found: in a module, maybe below other decorators."""

    __slots__ = ("module", "qualname", "steps")

    def __init__(self, module: str, qualname: str, steps: int) -> None:
        """Create a place.

        Args:
            module: The name of the module.
            qualname: The qualified name of the outermost decorator's result.
            steps: The number of ``__wrapped__`` steps from there to the function.
        """
        self.module: str = module
        self.qualname: str = qualname
        self.steps: int = steps

    def __reduce__(self) -> tuple[Any, ...]:
        return Place, (self.module, self.qualname, self.steps)

    @property
    def found(self) -> Any:
        """The object found there in this process.

        Raises:
            AttributeError: There is none.
        """
        import importlib

        found: Any = importlib.import_module(self.module)
        try:
            for part in self.qualname.split("."):
                found = getattr(found, part)
            for _ in range(self.steps):
                found = found.__wrapped__
        except AttributeError as error:
            msg = (
                f"the module {self.module!r} of this process has no decorated "
                f"{self.qualname!r}, which was pickled by that name"
            )
            raise AttributeError(msg) from error
        return found


def place_of(fn: Any) -> Place | None:  # any callable with `__wrapped__`
    """Return where a decorated function is found, or None.

    The object there may be another wrapper of the same plain function.
    """
    module = fn.__module__
    if module == "__mp_main__":  # `__main__` in a child of multiprocessing
        module = "__main__"
    here = sys.modules.get(module)
    found: Any = here
    for part in fn.__qualname__.split("."):
        found = getattr(found, part, None)
    for steps in range(MOST_WRAPPERS):
        if found is fn or (type(found) is type(fn) and _are_alike(found, fn)):
            return Place(module, fn.__qualname__, steps)
        found = getattr(found, "__wrapped__", None)
        if found is None:
            break
    for name, value in list(getattr(here, "__dict__", {}).items()):
        if value is fn:
            return Place(module, name, 0)
    return None


class PlainFunction:
    """The plain function of a decorated one, for pickling by any pickler.

    A pickler would find the decorated function under its name. The receiver gets the
    plain function itself.
    """

    __slots__ = ("_fn", "_place")

    def __init__(self, fn: Any, place: Place) -> None:
        """Wrap the plain function of the decorated one at a place."""
        self._fn = fn
        self._place = place

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._fn(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._fn)

    def __reduce__(self) -> tuple[Any, ...]:
        return value_of, (name_or_value(self._place, "_plain", self._fn, self._fn),)


def may_need_value(module: str) -> bool:
    """Whether names of a module may be unknown to other processes."""
    if module in ("__main__", "__mp_main__"):
        return True
    origins = sys.modules.get("parallelize.serialize.reducers.origins")
    if origins is not None and origins.way_of(module):
        return True
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    return module in getattr(cloudpickle, "_PICKLE_BY_VALUE_MODULES", ())


def plain_function(fn: Any) -> Any:  # any callable
    """Return the function, or a stand-in for it that any pickler can pickle."""
    if type(fn) is not FunctionType:
        return fn
    module = "__main__" if fn.__module__ == "__mp_main__" else fn.__module__
    found: Any = sys.modules.get(module)
    for part in fn.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is fn:
        return fn
    for steps in range(MOST_WRAPPERS):
        inner = getattr(found, "__wrapped__", None)
        if bare(inner) is fn and hasattr(found, "_plain"):
            return PlainFunction(fn, Place(module, fn.__qualname__, steps))
        found = inner
    return fn


def bare(found: Any) -> Any:
    """Return the function of a bound (class) method, else the object itself."""
    return getattr(found, "__func__", found)


def _are_alike(one: Any, other: Any) -> bool:
    return bool(one.__wrapped__ == other.__wrapped__)


def found_by_name(place: Place) -> Any:
    """Return the object at a place; pickles refer to this function by name."""
    return place.found


def name_or_value(place: Place, name: str, value: object, key: object) -> FunctionType:
    """Return a carrier, which pickle pickles by name and cloudpickle by value.

    Args:
        place: Where the decorated function is found.
        name: An attribute of it that calls `carrier_of`.
        value: What `value_of` returns if the carrier was pickled by value.
        key: The object by whose identity the attribute recognises its carrier.
    """
    carrier = FunctionType(_CODE, {"__name__": place.module}, name)
    carrier.__module__ = place.module
    steps = ["__wrapped__"] * place.steps
    carrier.__qualname__ = ".".join((place.qualname, *steps, name))
    vars(carrier)[_VALUE] = value
    vars(_local)[name] = id(key), weakref.ref(carrier)
    return carrier


def _carry() -> None:
    """Provide the code object of carriers."""


# Marked as that of a nested function: without the GIL any other function is released
# only when garbage is collected, and a carrier has to be gone when pickling has ended.
_CODE = _carry.__code__.replace(co_flags=_carry.__code__.co_flags | 0x10)  # CO_NESTED


_VALUE = "_parallelize_value"
_local = threading.local()  # what this thread is pickling


def carrier_of(name: str, key: object) -> FunctionType | None:
    """Return the carrier being pickled in place of an attribute, or None."""
    number, carrier = vars(_local).get(name, (0, None))
    return carrier() if carrier is not None and number == id(key) else None


def value_of(given: Any) -> Any:
    """Undo `name_or_value` after unpickling: return the attribute or the value."""
    values = vars(given) if type(given) is FunctionType else {}
    return values.get(_VALUE, given)
