"""From a worker, backwards: what the program has in its `__main__` goes as a name.

So what a call returns of the script is in the program what the script has: the same
class, function, sentinel, or type variable.
"""

from __future__ import annotations

import io
import types

from parallelize.serialize.main import parameters, reducers
from parallelize.serialize.reducers import replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from parallelize.serialize.reducers.replica import Keep


def encode(value: object, keep_inside: Keep | None = None) -> bytes:
    """Pickle a value in a worker, for the program: that has its own `__main__`."""
    with io.BytesIO() as file:
        pickler = _backward_pickler()(file, 5, buffer_callback=keep_inside)
        pickler.dump(value)
        return file.getvalue()


_pickler: Any = None  # a class that is made at first use has no name for checkers


# Defined when first needed, as cloudpickle is loaded then.
def _backward_pickler() -> Any:
    global _pickler
    if _pickler is not None:
        return _pickler
    from parallelize.serialize.reducers import by_value

    class Backward(by_value.pickler(back=True)):  # type: ignore[misc]
        """Pickles what the program has in its `__main__` as a name."""

        def reducer_override(self, obj: Any) -> Any:
            name = _name_in_program(obj)
            if name:
                return replica.find, (name,)
            if reducers.is_type_parameter(obj):
                return _parameter(obj) or reducers.rebuild(obj)
            return super().reducer_override(obj)

    _pickler = Backward
    return Backward


def _name_in_program(obj: Any) -> str:
    """The name by which the program has an object of the script, or none."""
    space = replica.own_space()
    if isinstance(obj, (types.FunctionType, type)):
        name = replica.qualified_name(obj, space)
    elif replica.is_sentinel(obj) or reducers.is_of_typing(obj):
        name = next((n for n, each in space.items() if each is obj), "")
    else:
        return ""
    return name if replica.is_in_program(name) else ""


def _parameter(obj: Any) -> Any:
    """How the program finds a type parameter that it has; None if it has none such."""
    place = parameters.places(replica.own_space()).get(id(obj))
    if place is None or not replica.is_in_program(place[0]):
        return None
    return replica.find_parameter, place
