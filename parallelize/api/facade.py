"""The function that a decorated one appears to be: its names, binding and pickling.

The plain function itself is submitted wherever possible (executors send it by name,
and cache that); a bound method is submitted as its function, with the object as the
first argument. Only what needs more is wrapped in a `_Target`.
"""

from __future__ import annotations

import functools
import sys
import types

from parallelize.calls.targets import AsyncTarget, is_async, names_of, uncoroutined
from parallelize.runtime.typed import Generic, ParamSpec, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self

P = ParamSpec("P")
W = TypeVar("W")  # what the plain function returns

__all__ = ("CallAttribute", "CoroutineTarget", "FunctionFacade")


class FunctionFacade(Generic[P, W]):
    """An object like the function in it: names, signature, methods, copies, pickles.

    A subclass can be called, and adds its settings.
    """

    __wrapped__: Callable[P, W]
    __name__: str
    __qualname__: str
    _not_pickled: ClassVar[tuple[str, ...]] = ("__call__",)

    # _target    the function to submit; None: a CoroutineTarget made for each call
    # _is_method whether _target is a bound method, made by attribute access
    # _owner     the object or class that a bound method was looked up on
    # _attribute the name by which it was found there, if it differs

    def __init__(self, fn: Callable[P, W]) -> None:
        shown: Any = self  # a subclass lets it be called
        functools.update_wrapper(shown, fn, updated=())
        # It refers to the whole class of a method, which would be in every pickle
        # of this object. The plain function has it, see `_is_shown`.
        self.__dict__.pop("__annotate__", None)
        if not hasattr(fn, "__name__"):
            self.__name__, self.__qualname__, self.__module__ = names_of(fn)
        if getattr(fn, "__isabstractmethod__", False) is True:
            self.__isabstractmethod__ = True
        self._target: Callable[..., Any] | None = None if is_async(fn) else fn
        self._is_method = False
        self._owner: Any = None
        self._attribute: str | None = None
        self._show_signature()

    if not TYPE_CHECKING:
        # inspect would take the class's annotations for those of its instances.
        del __annotations__  # noqa: F821

        def __getattr__(self, name: str) -> Any:
            # Attributes set on the function, those of a callable object, and those
            # by which inspect recognises a function; but none that would make
            # inspect take this object for a coroutine function.
            fn = self.__dict__.get("__wrapped__")
            if fn is None or not _is_shown(fn, name):
                msg = f"{type(self).__name__!r} object has no attribute {name!r}"
                raise AttributeError(msg, name=name, obj=self)
            value = getattr(fn, name)
            return uncoroutined(value) if name == "__code__" else value

    def _settings(self) -> tuple[Any, Any]:
        """What distinguishes it from others of its function, as `_variant` takes it."""
        raise NotImplementedError

    def _variant(self, where: Any, options: Any, /) -> Self:
        """Return a copy with other settings."""
        raise NotImplementedError

    def _copy(self, **changes: Any) -> Self:  # attributes of every type
        copy = object.__new__(type(self))
        copy.__dict__ = self.__dict__ | changes
        return copy

    def _full_name(self) -> str:
        return f"{self.__module__}.{self.__qualname__}"

    def _refuse_lost_class(self, attribute: str) -> None:
        if self._owner is None and "." in self.__qualname__:
            from parallelize.api.lost_class import refuse_lost_class

            refuse_lost_class(self, attribute)

    def _row_target(self) -> Callable[..., Any]:
        """The function for a map: it takes the items as arguments and no more."""
        if self._target is None:
            return CoroutineTarget(self)
        return _Target(self) if self._is_method else self._target

    def _wrapped_target(self) -> Callable[..., Any]:
        """The function for a map whose name must be found among other values."""
        return _Target(self) if self._target is not None else CoroutineTarget(self)

    def __get__(self, instance: object, owner: Any = None, /) -> Any:
        """Bind as the function does (also within a static or class method)."""
        fn = self.__wrapped__
        bind: Any = getattr(type(fn), "__get__", None)
        bound: Any = fn if bind is None else bind(fn, instance, owner)
        if bound is fn:
            return self
        if type(bound) is not types.MethodType:
            if not isinstance(bound, types.MethodType):  # of a static method, or in C
                return self._bound_otherwise(bound, instance, owner)
            # Nuitka's methods are of a type of their own.
            bound = types.MethodType(bound.__func__, bound.__self__)
        shown = _BoundCall(self, instance, owner)
        copy = self._copy(__wrapped__=bound, _owner=bound.__self__, __call__=shown)
        if copy._target is not None:
            copy._target, copy._is_method = bound, True
        return copy

    def _bound_otherwise(self, bound: Any, instance: object, owner: Any) -> Any:
        target = None if self._target is None else bound
        owner = type(instance) if owner is None else owner
        shown = _BoundCall(self, instance, owner)
        return self._copy(
            __wrapped__=bound, _target=target, _owner=owner, __call__=shown
        )

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = name
        if isinstance(self.__wrapped__, types.FunctionType):
            self._show_signature(bound=True)

    def _show_signature(self, *, bound: bool = False) -> None:
        # unittest.mock reads the signature of `f.__call__`, and the one defined in
        # the class is generic. (Calls look in the class only, so this costs nothing.)
        copy = self._copy()  # a reference to self would be a cycle
        copy.__dict__.pop("__call__", None)
        self.__dict__["__call__"] = CallAttribute(copy, bound)

    # An object like the function: equality, copies, pickles.

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FunctionFacade):
            return NotImplemented
        if not _is_same(self.__wrapped__, other.__wrapped__):
            return False
        return self._settings() == other._settings()

    def __hash__(self) -> int:
        return hash(_identity_of(self.__wrapped__))

    def __repr__(self) -> str:
        return f"<parallel {self.__wrapped__!r}>"

    def __copy__(self) -> Self:
        return self  # as copying a function returns the function

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        from copy import deepcopy

        if isinstance(self.__wrapped__, (staticmethod, classmethod)):
            return self
        fn: Any = deepcopy(self.__wrapped__, memo)
        if fn is self.__wrapped__:
            return self
        copy = self._copy(__wrapped__=fn)
        if self._target is not None:
            copy._target = fn
        if self._is_method:  # fn is a method of the copied object
            copy._owner = fn.__self__
        copy._show_signature()
        return copy

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle by name where a name finds the function, else by its parts."""
        if self._owner is not None:
            return self._reduced_method()
        from parallelize.calls import references

        place = references.place_of(self)
        if place is None:
            return self._parts()
        found = place.found
        if found is not self:
            return _variant_of, (found, *self._settings())
        if references.may_need_value(self.__module__):
            carry = references.name_or_value
            made = carry(place, "_by_name", type(self), self)
            return (
                _found_or_blank,
                (made,),
                carry(place, "_no_state", self._state(), self),
            )
        if place.steps:
            return references.found_by_name, (place,)
        return place.qualname

    def _reduced_method(self) -> tuple[Any, ...]:
        name = self._attribute or self.__name__
        found = _parallel(getattr(self._owner, name, None))
        if found is None or not _is_same(found.__wrapped__, self.__wrapped__):
            return self._parts()
        if found == self:
            return getattr, (self._owner, name)
        return _variant_of, (found, *self._settings())

    def _parts(self) -> tuple[Any, ...]:
        return _blank, (type(self),), self._state()

    def _state(self) -> dict[str, Any]:
        hidden = self._not_pickled
        state = {k: v for k, v in self.__dict__.items() if k not in hidden}
        fn = self.__wrapped__
        if isinstance(fn, types.MethodType):  # its own pickle would look up the name
            state["__wrapped__"] = fn.__func__, fn.__self__
        if self._is_method:
            del state["_target"]  # likewise
        return state

    # Attributes with another meaning while this is being pickled, see `references`.

    @property
    def _by_name(self) -> Any:  # this function, or what is pickled in its place
        return self._or_carrier("_by_name", self, self)

    @property
    def _no_state(self) -> Any:  # None, or what is pickled in place of the state
        return self._or_carrier("_no_state", self, None)

    @property
    def _plain(self) -> Any:  # the plain function, or what is pickled in its place
        fn = getattr(self.__wrapped__, "__func__", self.__wrapped__)
        return self._or_carrier("_plain", fn, fn)

    def _or_carrier(self, name: str, key: object, value: object) -> Any:
        references = sys.modules.get("parallelize.calls.references")
        carrier = None if references is None else references.carrier_of(name, key)
        return value if carrier is None else carrier

    def __setstate__(self, given: Any) -> None:  # see `references.name_or_value`
        from parallelize.calls.references import value_of

        state = value_of(given)
        if state is None:  # it was found by its name
            return
        self.__dict__.update(state)
        fn: Any = self.__wrapped__
        if isinstance(fn, tuple):
            self.__wrapped__ = types.MethodType(*fn)
        if self._is_method:
            self._target = self.__wrapped__
        self._unpickled()

    def _unpickled(self) -> None:
        """Make again what is not pickled."""
        self._show_signature()


#: inspect takes an object with these for a function, whatever its class.
_FUNCTION_LIKE = (
    "__annotate__",
    "__annotations__",
    "__code__",
    "__defaults__",
    "__kwdefaults__",
)


def _is_shown(fn: object, name: str) -> bool:
    """Whether an attribute of a plain function is visible on the decorated one."""
    if name.startswith("__"):
        in_dict = name in getattr(fn, "__dict__", ())
        return in_dict or (name in _FUNCTION_LIKE and hasattr(fn, name))
    return not name.startswith("_is_coroutine")


def _parallel(found: object) -> FunctionFacade[..., Any] | None:
    return found if isinstance(found, FunctionFacade) else None


def _blank(
    kind: type[FunctionFacade[..., Any]],
) -> FunctionFacade[..., Any]:
    # A pickle makes this first and fills it last, so that a function may refer to
    # itself in its decorated form (as a recursive one in __main__ does).
    return object.__new__(kind)


def _found_or_blank(given: Any) -> Any:  # see `references.name_or_value`
    from parallelize.calls.references import value_of

    value = value_of(given)
    return _blank(value) if isinstance(value, type) else value


def _variant_of(function: Any, where: Any, options: Any) -> Any:
    return function._variant(where, options)


class _Target:
    """The plain function of a decorated one, as a worker calls it.

    Used where the plain function itself cannot be submitted: for bound methods in
    a map. It is pickled as the decorated function, which can be found by name where
    the plain one cannot.
    """

    __slots__ = ("_function",)

    def __init__(self, function: FunctionFacade[..., Any]) -> None:
        self._function = function

    @property
    def wraps(self) -> FunctionFacade[..., Any]:
        """The decorated function."""
        return self._function

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._function.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._function)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Target, (self._function,)


class CoroutineTarget(AsyncTarget):
    """The coroutine function of a decorated one; pickled as a `_Target` is."""

    __slots__ = ()

    def coroutine(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function."""
        return self._fn.__wrapped__(*args, **kwargs)


class CallAttribute:
    """The value of ``f.__call__``: it calls, and has the function's signature."""

    __slots__ = ("_bound", "function")

    def __init__(self, function: FunctionFacade[..., Any], bound: bool) -> None:
        self.function: Any = function  # a copy: f itself would be a cycle
        self._bound = bound

    def _parallel_function(self) -> Any:  # a subclass of FunctionFacade
        return self.function

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        import inspect

        signature = inspect.signature(self.function)
        if not self._bound:
            return signature
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class _BoundCall:
    """``__call__`` of a bound method, made by each look-up; it binds when used."""

    __slots__ = ("_function", "_instance", "_owner")

    def __init__(
        self, function: FunctionFacade[..., Any], instance: object, owner: Any
    ) -> None:
        self._function = function
        self._instance = instance
        self._owner = owner

    def _parallel_function(self) -> Any:  # a subclass of FunctionFacade
        return self._function.__get__(self._instance, self._owner)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._parallel_function()(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        import inspect

        return inspect.signature(self._parallel_function())


def _identity_of(fn: Any) -> tuple[int, ...]:
    """What distinguishes functions; a callable may define comparison and hash."""
    if type(fn) is types.MethodType:  # each look-up makes a new one
        return id(fn.__self__), id(fn.__func__)
    return (id(fn),)


def _is_same(fn: Any, other: Any) -> bool:
    return _identity_of(fn) == _identity_of(other)
