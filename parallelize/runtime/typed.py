"""What modules need of `typing` while they load, without loading it.

A program that makes a call loads some hundred modules, and none of them does anything
with types at run time. But `typing` alone takes as long as twenty of them, and so do
its named tuples and generic classes. Type checkers see the originals.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        Any,
        ClassVar,
        Generic,
        NamedTuple,
        NoReturn,
        ParamSpec,
        Protocol,
        TypeAlias,
        TypeVar,
        cast,
        overload,
    )
else:
    from _collections import _tuplegetter
    from types import GenericAlias

    Any = ClassVar = NoReturn = Protocol = TypeAlias = object

    def TypeVar(name, **_):  # noqa: N802 - the name of the original
        return name

    ParamSpec = TypeVar

    def cast(_, value):
        return value

    def overload(fn):
        return fn

    class Generic:
        """A class that can be subscripted, as in ``Future[int]``."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

    class _Fields(type):
        """Makes attributes of the annotations of a named tuple."""

        def __new__(cls, name, bases, space):
            fields = tuple(space.get("__annotations__", ()))
            defaults = {field: space[field] for field in fields if field in space}
            getters = {each: _tuplegetter(at, "") for at, each in enumerate(fields)}
            names = {"_fields": fields, "_defaults": defaults, "__slots__": ()}
            return super().__new__(cls, name, bases, space | getters | names)

    class NamedTuple(tuple, metaclass=_Fields):
        """A tuple with a name for each item, and defaults for the last of them."""

        def __new__(cls, *values, **named):
            if named or len(values) != len(cls._fields):
                values = cls._completed(values, named)
            return tuple.__new__(cls, values)

        @classmethod
        def _completed(cls, values, named):
            left = cls._fields[len(values) :]
            named = cls._defaults | named
            if len(values) > len(cls._fields) or not named.keys() >= {*left}:
                msg = f"{cls.__name__} takes {cls._fields}, not {values} and {named}"
                raise TypeError(msg)
            return *values, *[named[field] for field in left]

        def _replace(self, **named):
            return type(self)(**dict(zip(self._fields, self, strict=True)) | named)

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            pairs = zip(self._fields, self, strict=True)
            items = ", ".join(f"{name}={value!r}" for name, value in pairs)
            return f"{type(self).__name__}({items})"


__all__ = (
    "Any",
    "ClassVar",
    "Generic",
    "NamedTuple",
    "NoReturn",
    "ParamSpec",
    "Protocol",
    "TypeAlias",
    "TypeVar",
    "cast",
    "overload",
)
