"""Finds the type parameters of a script, such as `T` of ``def first[T](items)``.

They are reachable only through their owner: a function, class, method or alias.
"""

from __future__ import annotations

import types

from parallelize.serialize.main import reducers
from parallelize.serialize.reducers import replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    #: The name of the owner, and the index among its parameters.
    Place = tuple[str, int]


def places(space: Mapping[str, Any]) -> dict[int, Place]:
    """Return, by id, the places of the type parameters in a script's top level."""
    found: dict[int, Place] = {}
    for name, value in list(space.items()):
        for path, owner in _owners(name, value):
            parameters = getattr(owner, "__type_params__", None)
            if type(parameters) is tuple:  # else the descriptor of `type`
                for place, each in enumerate(parameters):
                    found.setdefault(id(each), (path, place))
    return found


def _owners(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what may have type parameters: a value, and a class's attributes."""
    if replica.is_decorated(value):
        name, value = f"{name}.__wrapped__", value.__wrapped__
    if reducers.is_of_typing(value):
        yield name, value
    if not isinstance(value, (types.FunctionType, type)):
        return
    if value.__module__ not in replica.NAMES:
        return
    yield name, value
    if isinstance(value, type):
        for inner, each in list(vars(value).items()):
            if inner[:2] != "__" and each is not value:
                yield from _owners(f"{name}.{inner}", replica.bare(each))
