"""Encodes values and functions that need the script's `__main__`.

A function is encoded by its name if the script has one for it, else by value. What
either needs of `__main__` is recorded for the current task, which sends it
(`picture.noting`); if there is none, it precedes the encoded value.
"""

from __future__ import annotations

import types
from types import MappingProxyType

from parallelize.serialize.changes.looks import looks_of, unchanged
from parallelize.serialize.main import compiled, pickler
from parallelize.serialize.main.picture import note, world
from parallelize.serialize.reducers import placeholders, replica
from parallelize.serialize.reducers.replica import TRACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from parallelize.serialize.changes.looks import Looks
    from parallelize.serialize.main.pickler import Alone
    from parallelize.serialize.main.picture import Needs
    from parallelize.serialize.reducers.replica import Keep


class _Known:
    """An encoded function, and the conditions under which it is current.

    Attributes:
        encoded: The function as bytes.
        alone: The pickle, with the names of `__main__` that it needs.
        looks: The parts to compare for changes; None if it is encoded by name.
        qualname: Its name in `__main__`.
    """

    __slots__ = (
        "alone",
        "encoded",
        "looks",
        "qualname",
    )

    def __init__(
        self,
        encoded: bytes,
        alone: Alone,
        looks: Looks | None,
        qualname: str,
    ) -> None:
        self.encoded: bytes = encoded
        self.alone: Alone = alone
        self.looks: Looks | None = looks
        self.qualname: str = qualname


_NOTHING = pickler.Alone(b"", ())

_known = replica.remember()  # functions -> `_Known`


def known(fn: Any) -> tuple[bytes, Needs | None] | None:
    """Return the encoding and needs of a function if cached and unchanged."""
    found = _current(fn)
    if found is None:
        return None
    alone = found.alone
    return found.encoded, world.needs(alone.names, everything=alone.everything)


def _current(fn: Any) -> _Known | None:
    known: _Known | None = _known.get(fn)
    if known is None:
        return None
    space = world.space()
    if fn.__globals__ is not space:
        world.enter(fn.__globals__)
        space = world.space()
    if known.looks is None:
        if replica.meaning_of(known.qualname, space) is fn:  # the usual case
            return known
        if _key(fn, known.qualname) == known.encoded:
            return known
    elif known.alone.holds(space) and unchanged(known.looks):
        return known
    _known.pop(fn)
    return None


def encode_function(fn: Any) -> bytes:
    """Encode a function that no importable module has by name."""
    known = _current(fn) if type(fn) is types.FunctionType else None
    if known is None:
        known = _encoded(fn)
    alone = known.alone
    return with_units(known.encoded, alone.names, everything=alone.everything)


def with_everything(encoded: bytes) -> bytes:
    """Add all names of the script to a module's function that accesses them."""
    return with_units(encoded, world.definitions(), everything=True)


def with_units(encoded: bytes, names: Iterable[str], *, everything: bool) -> bytes:
    """Return the bytes, prefixed with the units they need unless a task sends these."""
    if compiled.is_program or note(names, everything=everything):
        return encoded
    units = world.units_for(names, everything=everything)
    return replica.parcel(units, encoded)


def encode(
    value: object,
    keep_inside: Keep | None = None,
    reducers: Mapping[type, Callable[..., Any]] = MappingProxyType({}),
) -> bytes:
    """Pickle a value by value, but objects of the script by name.

    Args:
        value: A value that cloudpickle can pickle.
        keep_inside: Decides for each large buffer whether it stays in the pickle.
        reducers: Reducers for further types.
    """
    alone = pickler.pickle_alone(value, world.space(), keep_inside, reducers)
    names = alone.names
    if not names and TRACE in alone.body:  # maybe in bytes that a call will unpickle
        names = tuple(world.definitions())
    return with_units(alone.body, names, everything=alone.everything)


def _encoded(fn: Any) -> _Known:
    if compiled.is_compiled(fn):
        return _by_name_alone(fn)
    if type(fn) is not types.FunctionType:
        return _by_value(fn)
    if fn.__globals__.get("__name__") not in replica.NAMES:
        return _by_value(fn)
    world.enter(fn.__globals__)
    known = _by_name(fn)
    if known is None:
        looks = looks_of(fn)  # before pickling: it may change meanwhile
        gaps_before = placeholders.left()
        known = _by_value(fn)
        known.looks = looks
        if looks is None or not unchanged(looks) or placeholders.left() != gaps_before:
            return known
    _known.put(fn, known, len(known.encoded))
    return known


def _by_name(fn: types.FunctionType) -> _Known | None:
    for qualname in (fn.__qualname__, *_aliases(fn)):
        key = _key(fn, qualname)
        if key is None:
            continue
        name = qualname
        if key.endswith(b":1") and "." not in name:
            name = qualname + replica.INSIDE
            key = replica.OF_MAIN + f"{name}:0".encode()
        alone = pickler.Alone(b"", (name.partition(".")[0],))
        return _Known(key, alone, None, name)
    return None


def _by_name_alone(fn: Any) -> _Known:
    qualname = compiled.name_of(fn)
    key = _key(fn, qualname) if fn.__module__ in replica.NAMES else None
    return _by_value(fn) if key is None else _Known(key, _NOTHING, None, qualname)


def _aliases(fn: types.FunctionType) -> Iterator[str]:
    return (name for name, value in list(world.space().items()) if value is fn)


def _key(fn: types.FunctionType, qualname: str) -> bytes | None:
    top, *parts = qualname.split(".")
    found = world.space().get(top)
    for part in parts:
        found = replica.attribute(found, part)
    wrappers = replica.wrappers_round(fn, found)
    if wrappers is None:
        return None
    return replica.OF_MAIN + f"{qualname}:{wrappers}".encode()


def _by_value(fn: Any) -> _Known:
    alone = pickler.encode_alone(fn, world.space())
    return _Known(replica.BY_VALUE + alone.body, alone, None, "")
