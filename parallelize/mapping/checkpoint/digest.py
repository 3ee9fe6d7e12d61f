"""The key of a row: a digest of its arguments that is the same in every run.

A pickle would not do: its bytes depend on which of the values are the same object, and
on the order of sets. So a row becomes a text instead, in which a value is written as it
would be in Python, and an object by what its class says for pickling: the names of
classes and functions, with arguments and state.
"""

from __future__ import annotations

import copyreg
import types
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("UndigestibleError", "digest_of")

#: Types of which `ascii` shows the whole value, the same in every version of Python.
_PLAIN = frozenset((str, int, float, bool, bytes, complex, type(None)))

_BRACKETS: dict[type, tuple[str, str]] = {tuple: ("(", ",)"), list: ("[", "]")}

_NAMED = (type, types.FunctionType, types.BuiltinFunctionType)

#: In a text, longer values are replaced by their digest: so it stays short even if
#: values in it share others many times over.
_LONGEST = 64


class UndigestibleError(Exception):
    """A value has no digest that would be the same in another run."""


def digest_of(row: tuple[Any, ...]) -> bytes:
    """Return 16 bytes that tell these arguments from others.

    Raises:
        UndigestibleError: The text says which value has no digest, and why.
    """
    try:
        text = ascii(row) if _PLAIN.issuperset(map(type, row)) else _Texts().of(row)
    except ValueError:  # an int with more digits than Python converts
        text = _Texts().of(row)
    return blake2b(text.encode("ascii"), digest_size=16).digest()


class _Texts:
    """Writes the values of one row."""

    def __init__(self) -> None:
        # Texts by the id of their value, which is kept alive; None while it is written.
        self._known: dict[int, tuple[Any, str | None]] = {}

    def of(self, value: Any) -> str:
        """Return the text of a value; the same for equal values of the same types."""
        kind = type(value)
        if kind in _PLAIN:
            return _short(hex(value) if kind is int else ascii(value))
        if id(value) in self._known:
            known = self._known[id(value)][1]
            if known is None:
                msg = f"{_kind(value)} that refers to itself"
                raise UndigestibleError(msg)
            return known
        self._known[id(value)] = value, None
        text = _short(self._written(value, kind))
        self._known[id(value)] = value, text
        return text

    def _written(self, value: Any, kind: type) -> str:
        if kind in _BRACKETS:
            begin, end = _BRACKETS[kind]
            return begin + ",".join(map(self.of, value)) + end
        if kind is dict:
            return "{" + self._pairs(value.items()) + "}"
        if kind in (set, frozenset):
            return f"{kind.__name__}<{','.join(sorted(map(self.of, value)))}>"
        if isinstance(value, _NAMED):
            return _name(value)
        return self._reduced(value, kind)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> str:
        # In their order, which a function may rely on.
        return ",".join(f"{self.of(key)}:{self.of(each)}" for key, each in pairs)

    def _reduced(self, value: Any, kind: type) -> str:
        reduce = copyreg.dispatch_table.get(kind)
        parts: Any  # a name or a tuple, whose end may be missing
        try:
            parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception as error:
            msg = f"{_kind(value)}: {error}"
            raise UndigestibleError(msg) from error
        if isinstance(parts, str):  # the name of a global object
            return f"@{kind.__module__!a}.{parts!a}"
        given = [*parts, None, None, None]
        text = f"{self.of(given[0])}({self.of(given[1])},{self.of(given[2])}"
        items, pairs = given[3:5]
        text += f",[{','.join(map(self.of, items or ()))}]"
        return text + ",{" + self._pairs(pairs or ()) + "})"


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return "#" + blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def _name(value: Any) -> str:
    """Return the text of a class or function, which stands for itself by its name."""
    owner = getattr(value, "__self__", None)
    name, module = value.__qualname__, value.__module__
    if owner is not None and not isinstance(owner, (types.ModuleType, type)):
        msg = f"{_kind(value)}, a method of an object"
        raise UndigestibleError(msg)
    if "<" in name:
        msg = f"{name}, a name that does not find it again"
        raise UndigestibleError(msg)
    return f"@{module!a}.{name!a}"


def _kind(value: object) -> str:
    kind = type(value)
    return f"an object of type {kind.__module__}.{kind.__qualname__}".replace(
        "builtins.", ""
    )
