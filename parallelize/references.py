"""How a decorated function is pickled: by the name under which it is found.

Whatever pickles it, the function at the far side is to be the one that stands there.
What stands in ``__main__`` is there in the children of multiprocessing, but nowhere
else, so it has two forms in one: pickle writes the name, cloudpickle the function. Both
meet a bound method in the pickle. Pickle stores the object of a method and the name
of its function, and looks that up when it loads: here the object is a `Place`, which
looks the function up. Cloudpickle (as dill does) stores the object and the function.
"""

from __future__ import annotations

import sys
from types import MethodType
from typing import Any

__all__ = ("Place", "found_by_name", "name_or_value", "place_of")

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
        self.module = module
        self.qualname = qualname
        self.steps = steps

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

    @property
    def state(self) -> None:
        """What is found is whole already."""


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


def _are_alike(one: Any, other: Any) -> bool:
    return bool(one.__wrapped__ == other.__wrapped__)


def found_by_name(place: Place) -> Any:
    """Return what stands at a place; pickles name this function."""
    return place.found


class Kept:
    """A value in a bound method: by value it travels, by name `Place` has it."""

    def __init__(self, name: str, value: object) -> None:
        self.__name__ = name
        self.value = value

    def __call__(self) -> None:
        """Be a callable, as the function of a method is."""


def name_or_value(place: Place, name: str, value: object) -> MethodType:
    """Return what pickle pickles as an attribute of a place, others as the value.

    Args:
        place: The place.
        name: Its attribute.
        value: What `value_of` gives where the method has travelled by value.
    """
    return MethodType(Kept(name, value), place)


def value_of(given: Any) -> Any:
    """Return what came of `name_or_value`: the attribute, or the value."""
    kept: Any = given.__func__ if type(given) is MethodType else None
    return kept.value if type(kept) is Kept else given
