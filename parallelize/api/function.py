"""The decorated function: a callable whose calls run elsewhere.

A `ParallelFunction` is both the declared type of a decorated function and the
object itself. It holds the plain function (``__wrapped__``), a `shared_pools.Source`
that names the executor for each call, and the options of a call, which were checked
when the decorator ran; so a call is one look-up and one submit.

The plain function itself is submitted wherever possible (executors send it by name,
and cache that); a bound method is submitted as its function, with the object as the
first argument. Only what needs more is wrapped in a `_Target`.
"""

from __future__ import annotations

import functools
import sys
import types
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar, overload

from parallelize.api.options import UNCHANGED, changed_options, changed_where
from parallelize.calls.targets import (
    AsyncTarget,
    is_async,
    names_of,
    uncoroutined,
    undecorated,
)
from parallelize.runtime.options import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable
    from typing import Concatenate, Literal, Self, TypeVarTuple, Unpack

    from typing_extensions import TypeVar as DefaultTypeVar

    from parallelize.api.use import Placement
    from parallelize.futures.future import Future
    from parallelize.mapping import MapIterator
    from parallelize.mapping.iterator import MapOptions
    from parallelize.registry.kinds import AnyExecutor
    from parallelize.registry.shared_pools import ExecutorSource
    from parallelize.runtime.options import CallOptions, Limit

    A = TypeVar("A")
    B = TypeVar("B")
    C = TypeVar("C")
    D = TypeVar("D")
    Q = ParamSpec("Q")  # P without the bound first parameter
    Ts = TypeVarTuple("Ts")
    W = DefaultTypeVar("W", default=Any)  # what the plain function returns
else:
    W = TypeVar("W")

P = ParamSpec("P")
R = TypeVar("R")  # what the future holds: W, or the result of a coroutine W

__all__ = ("ParallelFunction", "row_target")


class ParallelFunction(Generic[P, R, W]):
    """A function whose calls run in a worker and return futures.

    Made by `threaded`, `processed` and `parallelized`; their docstrings explain the
    options. Its name, signature, docstring and attributes are those of the
    plain function, which is ``__wrapped__``.

    Annotate a parameter that takes such a function by its behaviour,
    ``Callable[[int], Future[str]]``, rather than with this class.

    Example:
        >>> from parallelize import threaded
        >>> @threaded
        ... def power(base: int, exponent: int = 2) -> int:
        ...     return base**exponent
        >>> power(3).result()
        9
        >>> list(power.map([1, 2, 3]))
        [1, 4, 9]
        >>> power.__wrapped__(3)
        9
    """

    __wrapped__: Callable[P, W]
    __name__: str
    __qualname__: str
    _gives_futures: ClassVar[bool] = True

    # _where     where calls run, as given to the decorator
    # _source    finds the executor for each call
    # _options   how a call is run
    # _target    the function to submit; None: an _AsyncTarget made for each call
    # _is_method whether _target is a bound method, made by attribute access
    # _owner     the object or class that a bound method was looked up on
    # _attribute the name by which it was found there, if it differs

    def __init__(
        self, fn: Callable[P, W], where: Placement, options: CallOptions
    ) -> None:
        functools.update_wrapper(self, fn, updated=())
        # It refers to the whole class of a method, which would be in every pickle
        # of this object. The plain function has it, see `_is_shown`.
        self.__dict__.pop("__annotate__", None)
        if not hasattr(fn, "__name__"):
            self.__name__, self.__qualname__, self.__module__ = names_of(fn)
        if getattr(fn, "__isabstractmethod__", False) is True:
            self.__isabstractmethod__ = True
        self._where = where
        self._source: ExecutorSource = where.source()
        self._options = options
        self._target: Callable[..., Any] | None = None if is_async(fn) else fn
        self._is_method = False
        self._owner: Any = None
        self._attribute: str | None = None
        self._show_signature()

    if not TYPE_CHECKING:
        # inspect would take the class's annotations for those of its instances.
        del __annotations__  # noqa: F821

        def __class_getitem__(cls, params: Any) -> Any:
            # W has a default, which TypeVars before Python 3.13 do not support.
            if isinstance(params, tuple) and len(params) == 2:
                params = (*params, Any)
            return super().__class_getitem__(params)

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

    # Calls.

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Start a call and return its future at once."""
        target, options = self._target, self._options
        if target is None:
            target, options = _AsyncTarget(self), self._named_options()
        executor = self._source.executor()
        while True:
            try:
                return executor._entry(target, args, kwargs, options)
            except RuntimeError:
                # Another thread may have shut the pool down since the look-up.
                fresh = self._source.replacement(executor)
                if fresh is None:
                    raise
                executor = fresh

    @overload
    def map(
        self: Callable[[A], Future[R]],
        a: Iterable[A] | AsyncIterable[A],
        /,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[[A], Future[R]],
        a: Iterable[A] | AsyncIterable[A],
        /,
        *,
        return_exceptions: bool,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def map(
        self: Callable[[A, B], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[[A, B], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        return_exceptions: bool,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def map(
        self: Callable[[A, B, C], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[[A, B, C], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        return_exceptions: bool,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def map(
        self: Callable[[A, B, C, D], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        /,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[[A, B, C, D], Future[R]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        d: Iterable[D],
        /,
        *,
        return_exceptions: bool,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R | BaseException]: ...
    @overload  # five and more: unchecked, as in builtins.map
    def map(
        self,
        a: Iterable[Any] | AsyncIterable[Any],
        b: Iterable[Any] | AsyncIterable[Any],
        c: Iterable[Any] | AsyncIterable[Any],
        d: Iterable[Any] | AsyncIterable[Any],
        e: Iterable[Any] | AsyncIterable[Any],
        /,
        *more: Iterable[Any] | AsyncIterable[Any],
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R]: ...
    @overload
    def map(
        self: Callable[Concatenate[Any, Any, Any, Any, Any, Q], Future[R]],
        a: Iterable[Any] | AsyncIterable[Any],
        b: Iterable[Any] | AsyncIterable[Any],
        c: Iterable[Any] | AsyncIterable[Any],
        d: Iterable[Any] | AsyncIterable[Any],
        e: Iterable[Any] | AsyncIterable[Any],
        /,
        *more: Iterable[Any] | AsyncIterable[Any],
        return_exceptions: bool,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R | BaseException]: ...
    def map(
        self,
        *iterables: Iterable[Any] | AsyncIterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool | str = False,
    ) -> MapIterator[Any]:
        """Call the function with each item of the iterables, as `map` does.

        Args:
            *iterables: The arguments. They are read at most a bounded window ahead.
                If one is asynchronous, the results are for ``async for`` only.
            timeout: Seconds from now within which each result must arrive. (The
                ``timeout`` of the decorator is a different one: it bounds each call.)
            chunksize: Calls sent to a worker at once; None measures and adapts.
            buffersize: Calls started ahead of the reader; None: chosen automatically.
            ordered: Yield results in the order of the input, else as completed.
            return_exceptions: Yield a call's error as its item, instead of raising.
            progress: Show a progress bar; a string is its description.

        Returns:
            An iterator over the results, also for ``async for``.

        Example:
            >>> from parallelize import threaded
            >>> add = threaded(lambda a, b: a + b)
            >>> list(add.map([1, 2], [10, 20]))
            [11, 22]
        """
        from parallelize.mapping import start_map

        return start_map(
            self._source.open_executor(),
            self._row_target(),
            iterables,
            options=self._named_options(),
            timeout=timeout,
            chunksize=chunksize,
            buffersize=buffersize,
            ordered=ordered,
            return_exceptions=return_exceptions,
            progress=progress,
        )

    @overload
    def starmap(
        self: Callable[[A], Future[R]],
        rows: Iterable[tuple[A]] | AsyncIterable[tuple[A]],
        /,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R]: ...
    @overload
    def starmap(
        self: Callable[[A], Future[R]],
        rows: Iterable[tuple[A]] | AsyncIterable[tuple[A]],
        /,
        *,
        return_exceptions: bool,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def starmap(
        self: Callable[[A, B], Future[R]],
        rows: Iterable[tuple[A, B]] | AsyncIterable[tuple[A, B]],
        /,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R]: ...
    @overload
    def starmap(
        self: Callable[[A, B], Future[R]],
        rows: Iterable[tuple[A, B]] | AsyncIterable[tuple[A, B]],
        /,
        *,
        return_exceptions: bool,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R | BaseException]: ...
    @overload
    def starmap(
        self: Callable[[A, B, C], Future[R]],
        rows: Iterable[tuple[A, B, C]] | AsyncIterable[tuple[A, B, C]],
        /,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R]: ...
    @overload
    def starmap(
        self: Callable[[A, B, C], Future[R]],
        rows: Iterable[tuple[A, B, C]] | AsyncIterable[tuple[A, B, C]],
        /,
        *,
        return_exceptions: bool,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R | BaseException]: ...
    @overload  # any other arity
    def starmap(
        self: Callable[[*Ts], Future[R]],
        rows: Iterable[tuple[*Ts]] | AsyncIterable[tuple[*Ts]],
        /,
        *,
        return_exceptions: Literal[False] = False,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R]: ...
    @overload
    def starmap(
        self: Callable[[*Ts], Future[R]],
        rows: Iterable[tuple[*Ts]] | AsyncIterable[tuple[*Ts]],
        /,
        *,
        return_exceptions: bool,
        **options: Unpack[MapOptions],
    ) -> MapIterator[R | BaseException]: ...
    def starmap(
        self,
        rows: Iterable[tuple[Any, ...]] | AsyncIterable[tuple[Any, ...]],
        /,
        *,
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool | str = False,
    ) -> MapIterator[Any]:
        """Call the function with each row of arguments, as `itertools.starmap` does.

        Args:
            rows: Tuples, each the arguments of one call. May be asynchronous.
            timeout: As in `map`, like the keywords after it.
            chunksize: Calls sent to a worker at once; None measures and adapts.
            buffersize: Calls started ahead of the reader; None: chosen automatically.
            ordered: Yield results in the order of the input, else as completed.
            return_exceptions: Yield a call's error as its item, instead of raising.
            progress: Show a progress bar; a string is its description.

        Returns:
            An iterator over the results, also for ``async for``.

        Example:
            >>> from parallelize import threaded
            >>> add = threaded(lambda a, b: a + b)
            >>> list(add.starmap([(1, 10), (2, 20)]))
            [11, 22]
        """
        from parallelize.mapping import start_map

        return start_map(
            self._source.open_executor(),
            self._row_target(),
            (rows,),
            options=self._named_options(),
            timeout=timeout,
            chunksize=chunksize,
            buffersize=buffersize,
            ordered=ordered,
            return_exceptions=return_exceptions,
            progress=progress,
            star=True,
        )

    def options(
        self,
        *,
        max_workers: int | None = UNCHANGED,
        executor: AnyExecutor | None = UNCHANGED,
        timeout: float | None = UNCHANGED,
        retries: int = UNCHANGED,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = UNCHANGED,
        limit: int | Limit | None = UNCHANGED,
        cancel: Literal["kill"] | None = UNCHANGED,
        initializer: Callable[..., object] | None = UNCHANGED,
        initargs: tuple[Any, ...] = UNCHANGED,
        name: str | None = UNCHANGED,
    ) -> Self:
        """Return a copy of the function with other options.

        Options that are not given keep their values; a ``limit`` and a private pool
        are then shared with the original. An executor replaces a private pool, and
        vice versa.

        Args:
            max_workers: As in `threaded` and `processed`, like all the others.
            executor: An executor or the name of a kind.
            timeout: Seconds that each attempt of a call may run.
            retries: Number of retries after a failed attempt.
            retry_on: The error class, or a tuple of classes, that is retried.
            limit: The maximum number of calls of this function that run at once; or
                a `Limit` shared by several functions.
            cancel: Whether cancelling a task that awaits a call kills the call.
            initializer: Called in each worker of its private pool, when it starts.
            initargs: The arguments of ``initializer``.
            name: The name of the function in errors.

        Returns:
            The copy.

        Example:
            >>> from parallelize import threaded
            >>> double = threaded(lambda x: 2 * x)
            >>> patient = double.options(retries=3, timeout=60)
            >>> patient(21).result()
            42
        """
        where = changed_where(
            self._where,
            max_workers=max_workers,
            executor=executor,
            initializer=initializer,
            initargs=initargs,
        )
        options = changed_options(
            self._options,
            timeout=timeout,
            retries=retries,
            retry_on=retry_on,
            limit=limit,
            cancel=cancel,
            name=name,
        )
        return self._variant(where, options)

    def _variant(self, where: Placement, options: CallOptions) -> Self:
        copy = self._copy(_where=where, _options=options)
        if where is not self._where:
            copy._source = where.source()
        copy._show_signature()
        return copy

    def _copy(self, **changes: Any) -> Self:  # attributes of every type
        copy = object.__new__(type(self))
        copy.__dict__ = self.__dict__ | changes
        return copy

    def _row_target(self) -> Callable[..., Any]:
        """The function for a map: it takes the items as arguments and no more."""
        if self._target is None:
            return _AsyncTarget(self)
        return _Target(self) if self._is_method else self._target

    def _wrapped_target(self) -> Callable[..., Any]:
        """The function for a map whose name must be found among other values."""
        return _Target(self) if self._target is not None else _AsyncTarget(self)

    def _named_options(self) -> CallOptions:
        if self._options.name is not None:
            return self._options
        return self._options._replace(name=self._full_name())

    def _full_name(self) -> str:
        return f"{self.__module__}.{self.__qualname__}"

    # Methods: five cases, distinguished by what the first parameter accepts. `self`
    # is typed as a callable, not as ParallelFunction[...], whose arguments type
    # checkers compare by identity only.

    @overload  # anything at all: a static method
    def __get__(  # type: ignore[misc]
        self: Callable[Concatenate[object, ...], Any],
        instance: object,
        owner: Any = None,
        /,
    ) -> ParallelFunction[P, R, W]: ...
    @overload  # the class: a class method
    def __get__(  # type: ignore[misc]
        self: Callable[Concatenate[type[A], Q], Future[R]],
        instance: A | None,
        owner: type[A],
        /,
    ) -> ParallelFunction[Q, R, W]: ...
    @overload  # looked up on the class: not bound
    def __get__(self, instance: None, owner: Any, /) -> Self: ...
    @overload  # the instance: a method
    def __get__(
        self: Callable[Concatenate[A, Q], Future[R]],
        instance: A,
        owner: Any = None,
        /,
    ) -> ParallelFunction[Q, R, W]: ...
    @overload  # something else: a static method
    def __get__(self, instance: object, owner: Any = None, /) -> Self: ...
    def __get__(self, instance: object, owner: Any = None, /) -> Any:
        """Bind as the function does (also within a static or class method)."""
        fn = self.__wrapped__
        bind: Any = getattr(type(fn), "__get__", None)
        bound: Any = fn if bind is None else bind(fn, instance, owner)
        if bound is fn:
            return self
        if type(bound) is not types.MethodType:  # of a static method, or a C function
            target = None if self._target is None else bound
            owner = type(instance) if owner is None else owner
            shown = _BoundCall(self, instance, owner)
            return self._copy(
                __wrapped__=bound, _target=target, _owner=owner, __call__=shown
            )
        shown = _BoundCall(self, instance, owner)
        copy = self._copy(__wrapped__=bound, _owner=bound.__self__, __call__=shown)
        if copy._target is not None:
            copy._target, copy._is_method = bound, True
        return copy

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = name
        if isinstance(self.__wrapped__, types.FunctionType):
            self._show_signature(bound=True)

    def _show_signature(self, *, bound: bool = False) -> None:
        # unittest.mock reads the signature of `f.__call__`, and the one defined in
        # the class is generic. (Calls look in the class only, so this costs nothing.)
        copy = self._copy()  # a reference to self would be a cycle
        copy.__dict__.pop("__call__", None)
        self.__dict__["__call__"] = _CallAttribute(copy, bound)

    # An object like the function: equality, copies, pickles.

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ParallelFunction):
            return NotImplemented
        if not _is_same(self.__wrapped__, other.__wrapped__):
            return False
        return (self._options, self._where) == (other._options, other._where)

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
            return _variant_of, (found, self._where, self._options)
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
        return _variant_of, (found, self._where, self._options)

    def _parts(self) -> tuple[Any, ...]:
        return _blank, (type(self),), self._state()

    def _state(self) -> dict[str, Any]:
        hidden = ("_source", "__call__")
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
        self._source = self._where.source()
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


def _parallel(found: object) -> ParallelFunction[..., Any, Any] | None:
    return found if isinstance(found, ParallelFunction) else None


def _blank(
    kind: type[ParallelFunction[..., Any, Any]],
) -> ParallelFunction[..., Any, Any]:
    # A pickle makes this first and fills it last, so that a function may refer to
    # itself in its decorated form (as a recursive one in __main__ does).
    return object.__new__(kind)


def _found_or_blank(given: Any) -> Any:  # see `references.name_or_value`
    from parallelize.calls.references import value_of

    value = value_of(given)
    return _blank(value) if isinstance(value, type) else value


def _variant_of(
    function: ParallelFunction[P, R, W], where: Placement, options: CallOptions
) -> ParallelFunction[P, R, W]:
    return function._variant(where, options)


class _Target:
    """The plain function of a decorated one, as a worker calls it.

    Used where the plain function itself cannot be submitted: for bound methods in
    a map. It is pickled as the decorated function, which can be found by name where
    the plain one cannot.
    """

    __slots__ = ("_function",)

    def __init__(self, function: ParallelFunction[..., Any, Any]) -> None:
        self._function = function

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._function.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._function)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Target, (self._function,)


class _AsyncTarget(AsyncTarget):
    """The coroutine function of a decorated one; pickled as a `_Target` is."""

    __slots__ = ()

    def coroutine(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._fn.__wrapped__(*args, **kwargs)


class _CallAttribute:
    """The value of ``f.__call__``: it calls, and has the function's signature."""

    __slots__ = ("_bound", "_function")

    def __init__(self, function: ParallelFunction[..., Any, Any], bound: bool) -> None:
        self._function = function  # a copy: f itself would be a cycle
        self._bound = bound

    def _parallel_function(self) -> ParallelFunction[..., Any, Any]:
        return self._function

    def __call__(self, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        import inspect

        signature = inspect.signature(self._function)
        if not self._bound:
            return signature
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class _BoundCall:
    """``__call__`` of a bound method, made by each look-up; it binds when used."""

    __slots__ = ("_function", "_instance", "_owner")

    def __init__(
        self, function: ParallelFunction[..., Any, Any], instance: object, owner: Any
    ) -> None:
        self._function = function
        self._instance = instance
        self._owner = owner

    def _parallel_function(self) -> ParallelFunction[..., Any, Any]:
        # Any, as only overloads for each kind of method are typed.
        method: Any = self._function.__get__(self._instance, self._owner)
        bound: ParallelFunction[..., Any, Any] = method
        return bound

    def __call__(self, /, *args: Any, **kwargs: Any) -> Future[Any]:
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


def row_target(fn: Callable[..., Any]) -> tuple[Callable[..., Any], CallOptions]:
    """Return what a map over ``fn`` submits, and the options of its calls.

    Args:
        fn: Any callable, plain or decorated.
    """
    if isinstance(fn, ParallelFunction):
        return fn._row_target(), fn._named_options()
    if undecorated(fn) is not None:
        return fn, DEFAULTS  # a map handles these itself
    if is_async(fn):
        _, qualname, module = names_of(fn)
        name = f"{module}.{qualname}"
        return AsyncTarget(fn), DEFAULTS._replace(name=name)
    return fn, DEFAULTS
