"""How a decorated function is pickled: by the name under which it is found.

Whatever pickles it, the function at the far side is to be the one that stands there.
What stands in ``__main__`` is there in the children of multiprocessing, but nowhere
else, so it has two forms in one: pickle writes the name, cloudpickle the function. Both
meet a *carrier*: a plain function that has the value as an attribute, and whose name
is that of an attribute of the decorated one. Pickle looks there and finds the carrier,
as long as that is being pickled; when it loads, it finds what the attribute is then.
Cloudpickle, and what is built upon it, takes a function of ``__main__`` as it is.
"""

from __future__ import annotations

import sys
import threading
import weakref
from types import FunctionType
from typing import Any

__all__ = ("Place", "found_by_name", "name_or_value", "place_of", "value_of")

#: The most decorators above the one that is looked for.
MOST_WRAPPERS = 16


class Place:
    """Where a function stands: in a module, maybe below other decorators."""

    __slots__ = ("module", "qualname", "steps")

    def __init__(self, module: str, qualname: str, steps: int) -> None:
        """Note a place.

        Args:
            module: The name of the module.
            qualname: Where the outermost decorator's result stands in it.
            steps: How many times ``__wrapped__`` leads from there to the function.
        """
        self.module: str = module
        self.qualname: str = qualname
        self.steps: int = steps

    def __reduce__(self) -> tuple[Any, ...]:
        return Place, (self.module, self.qualname, self.steps)

    @property
    def found(self) -> Any:
        """What stands there in this process.

        Raises:
            AttributeError: Nothing does.
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
    """Return where a decorated function stands, if its name leads there.

    What stands there may be another one around the same plain function.
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
    """The plain function of a decorated one, for picklers that know nothing of either.

    Under its name they would find the decorated one. At the far side there is the
    function itself.
    """

    __slots__ = ("_fn", "_place")

    def __init__(self, fn: Any, place: Place) -> None:
        """Stand for the function that is decorated at a place."""
        self._fn = fn
        self._place = place

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._fn(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._fn)

    def __reduce__(self) -> tuple[Any, ...]:
        return value_of, (name_or_value(self._place, "_plain", self._fn, self._fn),)


def may_need_value(module: str) -> bool:
    """Whether other processes may have no use for a name in a module."""
    if module in ("__main__", "__mp_main__"):
        return True
    origins = sys.modules.get("parallelize.serialize.reducers.origins")
    if origins is not None and origins.way_of(module):
        return True
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    return module in getattr(cloudpickle, "_PICKLE_BY_VALUE_MODULES", ())


def plain_function(fn: Any) -> Any:  # any callable
    """Return a function, or what any pickler pickles in its place."""
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
    """The function inside a bound (class) method, or what was given."""
    return getattr(found, "__func__", found)


def _are_alike(one: Any, other: Any) -> bool:
    return bool(one.__wrapped__ == other.__wrapped__)


def found_by_name(place: Place) -> Any:
    """Return what stands at a place; pickles name this function."""
    return place.found


def name_or_value(place: Place, name: str, value: object, key: object) -> FunctionType:
    """Return what pickle pickles as a name, and cloudpickle as a value.

    Args:
        place: Where the decorated function stands.
        name: An attribute of it, that asks `carrier_of`.
        value: What `value_of` gives where it has travelled by value.
        key: By what the attribute knows that this is meant.
    """
    carrier = FunctionType(_carry.__code__, {"__name__": place.module}, name)
    carrier.__module__ = place.module
    steps = ["__wrapped__"] * place.steps
    carrier.__qualname__ = ".".join((place.qualname, *steps, name))
    vars(carrier)[_VALUE] = value
    vars(_local)[name] = id(key), weakref.ref(carrier)
    return carrier


def _carry() -> None:
    """Have a code, as every function has."""


_VALUE = "_parallelize_value"
_local = threading.local()  # what this thread pickles just now


def carrier_of(name: str, key: object) -> FunctionType | None:
    """Return what is being pickled in the place of an attribute, if anything is."""
    number, carrier = vars(_local).get(name, (0, None))
    return carrier() if carrier is not None and number == id(key) else None


def value_of(given: Any) -> Any:
    """Return what came of `name_or_value`: the attribute, or the value."""
    values = vars(given) if type(given) is FunctionType else {}
    return values.get(_VALUE, given)
