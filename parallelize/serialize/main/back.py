"""From a worker to the program: objects of the program's `__main__` go by name.

So a class, function, sentinel or type variable of the script that a call returns is the
script's own object in the program.
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
    """Pickle a value in a worker for the program, which has its own `__main__`."""
    with io.BytesIO() as file:
        pickler = _backward_pickler()(file, 5, buffer_callback=keep_inside)
        pickler.dump(value)
        return file.getvalue()


_pickler: Any = None  # checkers have no name for a class created on first use


# Defined on first use, because it loads cloudpickle.
def _backward_pickler() -> Any:
    global _pickler
    if _pickler is not None:
        return _pickler
    from parallelize.serialize.reducers import by_value

    class Backward(by_value.pickler(back=True)):  # type: ignore[misc]
        """Pickles objects of the program's `__main__` by name."""

        def reducer_override(self, obj: Any) -> Any:
            name = _name_in_program(obj)
            if name:
                return replica.find, (name,)
            if reducers.is_type_parameter(obj):
                return _parameter(obj) or reducers.rebuild(obj)
            return reducers.member(obj) or super().reducer_override(obj)

    _pickler = Backward
    return Backward


def _name_in_program(obj: Any) -> str:
    """Return the program's name for an object of the script, or ""."""
    space = replica.own_space()
    if isinstance(obj, (types.FunctionType, type)):
        name = replica.qualified_name(obj, space)
    elif replica.is_sentinel(obj) or reducers.is_of_typing(obj):
        name = next((n for n, each in space.items() if each is obj), "")
    else:
        return ""
    return name if replica.is_in_program(name) else ""


def _parameter(obj: Any) -> Any:
    """Reduce a type parameter to a lookup in the program; None if not found there."""
    place = parameters.places(replica.own_space()).get(id(obj))
    if place is None or not replica.is_in_program(place[0]):
        return None
    return replica.find_parameter, place
