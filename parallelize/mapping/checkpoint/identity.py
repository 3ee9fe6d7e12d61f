"""Which function a checkpoint belongs to: its name, and a digest of its code."""

from __future__ import annotations

import functools
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.calls.targets import names_of
from parallelize.mapping.checkpoint.digest import UndigestibleError, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("FunctionIdentity", "identity_of")

_DEFAULTS = ("__defaults__", "__kwdefaults__")

_HAS_DOC = 0x4000000  # of a code object, from Python 3.14 on


class FunctionIdentity(NamedTuple):
    """What a file knows of the function whose results it holds.

    Attributes:
        name: Its module and qualified name.
        code: A digest of what it does, as hexadecimal digits; empty if it has no code
            of Python's.
        python: The version of Python that compiled it, which the code depends on.
    """

    name: str
    code: str
    python: str

    def differs_from(self, written: FunctionIdentity) -> str | None:
        """Compare it with the one that has written a file.

        Returns:
            None if it may be the same function, else ``"name"`` or ``"code"``.
        """
        if self.name.rpartition(":")[2] != written.name.rpartition(":")[2]:
            return "name"  # the module of a script depends on how it is started
        if not (self.code and written.code):
            same = bool(self.code or written.code) or self.name == written.name
            return None if same else "name"
        if self.python != written.python:
            return None  # the code of one function differs, too
        return None if self.code == written.code else "code"


def identity_of(fn: Callable[..., Any]) -> FunctionIdentity:
    """Return the identity of a function as a map has it."""
    layers = list(_layers(fn))
    _, qualname, module = names_of(layers[-1])
    parts = [part for each in layers for part in _parts(each)]
    code = digest_of(tuple(parts)).hex() if parts else ""
    return FunctionIdentity(f"{module}:{qualname}", code, sys.implementation.cache_tag)


def _layers(fn: Any) -> Iterator[Any]:
    """Yield the function and what it wraps, the innermost last."""
    for _ in range(100):  # a chain of __wrapped__ may be circular
        yield fn
        inner = _inner(fn)
        if inner is None:
            return
        fn = inner


def _inner(fn: Any) -> Any:
    if isinstance(fn, functools.partial):
        return fn.func
    if isinstance(fn, (types.MethodType, staticmethod, classmethod)):
        return fn.__func__
    # What workers call in place of a decorated function has `wraps`.
    name = "wraps" if hasattr(type(fn), "wraps") else "__wrapped__"
    wrapped = getattr(fn, name, None)
    return wrapped if callable(wrapped) else None


def _parts(fn: Any) -> list[Any]:
    """Return what tells a function from others of its name, as values with a digest."""
    if isinstance(fn, functools.partial):
        return _digestible([fn.args, fn.keywords])
    holder = fn if hasattr(fn, "__code__") else getattr(type(fn), "__call__", None)  # noqa: B004
    code = getattr(holder, "__code__", None)
    if not isinstance(code, types.CodeType) or _is_ours(fn):
        return []
    defaults = [getattr(holder, name, None) for name in _DEFAULTS]
    return [_code(code), *_digestible(defaults)]


def _is_ours(fn: Any) -> bool:
    """Whether it is a decorated function, or what workers call in place of one."""
    return hasattr(type(fn), "_row_target") or hasattr(type(fn), "wraps")


def _digestible(values: list[Any]) -> list[Any]:
    try:
        digest_of(tuple(values))
    except UndigestibleError:
        return []
    return values


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """Return what a code object does, without its place and documentation."""
    constants = code.co_consts[_is_documented(code) :]
    inner = [_code(c) if isinstance(c, types.CodeType) else c for c in constants]
    return code.co_code, code.co_names, code.co_varnames, tuple(_digestible_each(inner))


def _digestible_each(values: list[Any]) -> Iterator[Any]:
    for value in values:
        yield value if _digestible([value]) else repr(type(value))


def _is_documented(code: types.CodeType) -> bool:
    """Whether the first constant is the docstring."""
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & _HAS_DOC)
    return (
        not code.co_name.startswith("<")
        and type(next(iter(code.co_consts), None)) is str
    )
