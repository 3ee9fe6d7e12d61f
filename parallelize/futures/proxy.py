"""Stand-ins for results, returned by `Future.proxy`, which wait on first use.

The stand-in is wrapt's lazy object proxy, which forwards all operations. This module
adds what results need: copying and pickling yield the value, numpy gets the value (of
any type), ``+=`` and the like leave other references to the stand-in unchanged, and
once the value is available the stand-in lacks the methods that the value lacks, so that
`isinstance` gives the same answers for both.

wrapt creates a class for every proxy, so each can be fitted to its value.

Code that checks the real type of an object, as much C code does, is beyond any
stand-in: `Future.proxy` lists examples. `callable` is one, too, and objects of a class
without ``__call__`` cannot be called, so a proxy has one until its value is known.
"""

from __future__ import annotations

import contextlib
import operator
import os
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wrapt import LazyObjectProxy

from parallelize.serialize.reducers.placeholders import collecting, reduce_stand_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import ClassVar, Self, TypeAlias

    # As in wrapt's types: the value determines what ``p += x`` gives.
    _InPlace: TypeAlias = Callable[[Any, Any], Any]

__all__ = ("proxy_of",)

T = TypeVar("T")


def proxy_of(future: Future[T]) -> T:
    """Return a stand-in for the future's result; see `Future.proxy`.

    Args:
        future: The future that it waits for on first use.
    """
    # A stand-in for a T is used like a T, which no type can express.
    return cast("T", ResultProxy(future))


class _Special:
    """A special method; None if the value lacks it, as Python does."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, proxy: Any, owner: type) -> Any:
        if proxy is None:
            return self
        return getattr(proxy.__wrapped__, self._name, None)


def _in_place(change: _InPlace) -> _InPlace:
    # ``p += x`` rebinds only p to the result; other references keep the proxy.
    def changed(self: Any, other: Any) -> Any:
        return change(self.__wrapped__, _value_of(other))

    return changed


# wrapt types its proxies by the value, whose type is unknown here.
class ResultProxy(LazyObjectProxy[Any]):
    """Behaves like the result of a future, and waits for it on first use."""

    _self_future: Future[Any]

    def __new__(cls, future: Future[Any]) -> Self:
        """Create a proxy with its own class, callable until the value is known."""
        proxy = super().__new__(cls)
        setattr(type(proxy), "__call__", _call)  # noqa: B010 - checkers know better
        return proxy

    def __init__(self, future: Future[Any]) -> None:
        own_class = type(self)

        def value() -> Any:
            value = future.result()
            while _is_proxy(value):  # a loop: chains may exceed Python's stack
                value = value._self_future.result()
            _fit(own_class, value)
            return value

        super().__init__(value)
        self._self_future = future
        ended = future.done() and not future.cancelled()
        if ended and future.exception() is None:
            self.__wrapped__  # noqa: B018 - fits the class to the value

    @property  # type: ignore[misc]  # one without a setter
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The class of the value; the proxy's own while call arguments are pickled."""
        if collecting():
            return type(self)
        return self.__wrapped__.__class__

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    # Pickling: as the value, or as the future among the arguments of a call.

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if collecting():
            return reduce_stand_in(self._self_future)
        return _same, (self.__wrapped__,)

    def __copy__(self) -> Any:
        return copy(self.__wrapped__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return deepcopy(self.__wrapped__, memo)

    # Iterators, coroutines and paths.

    __iter__: Any = _Special()
    __next__: Any = _Special()
    __await__: Any = _Special()
    __aiter__: Any = _Special()
    __anext__: Any = _Special()

    def __length_hint__(self) -> int:
        return operator.length_hint(self.__wrapped__)

    def __fspath__(self) -> Any:  # str or bytes, like the value's
        return os.fspath(self.__wrapped__)

    # Numpy would otherwise make arrays of dtype object.

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np

        if copy is None:
            return np.asarray(self.__wrapped__, dtype)
        return np.array(self.__wrapped__, dtype, copy=copy)

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any
    ) -> Any:
        return getattr(ufunc, method)(*_values_in(inputs), **_values_in(kwargs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return func(*_values_in(args), **_values_in(kwargs))

    # In-place operators.

    __iadd__: ClassVar[_InPlace] = _in_place(operator.iadd)
    __isub__: ClassVar[_InPlace] = _in_place(operator.isub)
    __imul__: ClassVar[_InPlace] = _in_place(operator.imul)
    __imatmul__: ClassVar[_InPlace] = _in_place(operator.imatmul)
    __itruediv__: ClassVar[_InPlace] = _in_place(operator.itruediv)
    __ifloordiv__: ClassVar[_InPlace] = _in_place(operator.ifloordiv)
    __imod__: ClassVar[_InPlace] = _in_place(operator.imod)
    __ipow__: ClassVar[_InPlace] = _in_place(operator.ipow)
    __ilshift__: ClassVar[_InPlace] = _in_place(operator.ilshift)
    __irshift__: ClassVar[_InPlace] = _in_place(operator.irshift)
    __iand__: ClassVar[_InPlace] = _in_place(operator.iand)
    __ixor__: ClassVar[_InPlace] = _in_place(operator.ixor)
    __ior__: ClassVar[_InPlace] = _in_place(operator.ior)


#: The methods that abstract base classes of the standard library look for.
_TELLING = (
    "__len__",
    "__contains__",
    "__hash__",
    "__reversed__",
    "__iter__",
    "__next__",
    "__await__",
    "__aiter__",
    "__anext__",
    "__fspath__",
)


def _fit(own_class: type, value: object) -> None:
    """Remove from a proxy's class the special methods that its value lacks."""
    for name in _TELLING:
        if getattr(type(value), name, None) is None and not _is_path(name, value):
            setattr(own_class, name, None)  # None means "no such method"
    if not callable(value):
        with contextlib.suppress(AttributeError):  # another thread was first
            delattr(own_class, "__call__")


def _call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
    return self.__wrapped__(*args, **kwargs)


def _is_path(name: str, value: object) -> bool:
    # str and bytes are paths without the method; their proxies need it for open().
    return name == "__fspath__" and isinstance(value, (str, bytes))


def _same(value: T) -> T:
    return value


def _value_of(value: Any) -> Any:
    return value.__wrapped__ if _is_proxy(value) else value


def _is_proxy(value: object) -> bool:
    return issubclass(type(value), ResultProxy)  # isinstance() would check the value


def _values_in(given: Any) -> Any:
    """Replace proxies by their values, also inside lists, tuples and dicts."""
    if _is_proxy(given):
        return given.__wrapped__
    if type(given) is dict:
        return {key: _values_in(each) for key, each in given.items()}
    if type(given) in (list, tuple):
        return type(given)(map(_values_in, given))
    return given
