"""The decorated function: a callable whose calls run elsewhere.

A `ParallelFunction` is at once the declared type of a decorated function and the
object itself. It knows the plain function (``__wrapped__``), a `pools.Source`
that says which executor takes a call, and the options of a call, checked when
the decorator ran; so a call is a look-up and a hand-over.

What is handed over is the plain function itself wherever it can be (executors
send it by its name, and remember it); a bound method goes as its function, with
the object as the first argument. Only what needs more is wrapped in a `_Target`.
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
    from parallelize.registry.shared_pools import Source
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
R = TypeVar("R")  # what the future holds: W, or what a coroutine W comes to

__all__ = ("ParallelFunction", "row_target")


class ParallelFunction(Generic[P, R, W]):
    """A function whose calls run in a worker and return futures.

    Made by `threaded`, `processed` and `parallelized`; look there for what the
    options mean. Its name, signature, docstring and attributes are those of the
    plain function, which is ``__wrapped__``.

    Annotate a parameter that takes such a function with what it does,
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

    # _where     where calls run, as the decorator was told
    # _source    ... and who finds the executor for each of them
    # _options   how a call is run
    # _target    the function to hand over; None: an _AsyncTarget made for each call
    # _is_method whether that is a bound method, made at a look-up
    # _owner     the object or class that a bound method was looked up on
    # _attribute the name by which it was found there, if it differs

    def __init__(
        self, fn: Callable[P, W], where: Placement, options: CallOptions
    ) -> None:
        functools.update_wrapper(self, fn, updated=())
        # It leads to the whole class of a method, which would be in every pickle of
        # this. The plain function has it, and is asked for it, see `_is_shown`.
        self.__dict__.pop("__annotate__", None)
        if not hasattr(fn, "__name__"):
            self.__name__, self.__qualname__, self.__module__ = names_of(fn)
        if getattr(fn, "__isabstractmethod__", False) is True:
            self.__isabstractmethod__ = True
        self._where = where
        self._source: Source = where.source()
        self._options = options
        self._target: Callable[..., Any] | None = None if is_async(fn) else fn
        self._is_method = False
        self._owner: Any = None
        self._attribute: str | None = None
        self._show_signature()

    if not TYPE_CHECKING:
        # The class's own annotations would pass for those of its functions.
        del __annotations__  # noqa: F821

        def __class_getitem__(cls, params: Any) -> Any:
            # W has a default, which the TypeVars of Python before 3.13 do not know.
            if isinstance(params, tuple) and len(params) == 2:
                params = (*params, Any)
            return super().__class_getitem__(params)

        def __getattr__(self, name: str) -> Any:
            # Attributes that somebody gave the function, or that a callable object
            # has, and those by which inspect knows a function; but not what would
            # make it take this for a coroutine function.
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
                # Somebody may have shut the pool down since it was looked up.
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
            *iterables: The arguments. They are read a bounded window ahead. Some may
                be asynchronous; then the results are for ``async for`` alone.
            timeout: Seconds from now in which each result must come. (The
                ``timeout`` of the decorator is another: it bounds each call.)
            chunksize: Calls handed to a worker at once; None measures and adapts.
            buffersize: Calls begun ahead of the reader; None fits the workers.
            ordered: Give results in the order of the input, else as completed.
            return_exceptions: Give a call's error as its item, instead of raising.
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
            rows: The arguments of each call: a tuple. They may come asynchronously.
            timeout: As in `map`, like the keywords after it.
            chunksize: Calls handed to a worker at once; None measures and adapts.
            buffersize: Calls begun ahead of the reader; None fits the workers.
            ordered: Give results in the order of the input, else as completed.
            return_exceptions: Give a call's error as its item, instead of raising.
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

        Only those given change; the rest, a ``limit`` and a pool of its own
        among them, is shared with the original. An executor takes the place of
        a pool of its own, and the other way round.

        Args:
            max_workers: As in `threaded` and `processed`, like all that follow.
            executor: An executor or the word for a kind.
            timeout: Seconds that each attempt of a call may run.
            retries: How many times more a failed call is started.
            retry_on: The errors after which it is.
            limit: How many calls of this function run at once, at most; or a `Limit`,
                that several functions share.
            cancel: Whether cancelling a task that awaits a call kills the call.
            initializer: Called in each worker of its own pool, when it starts.
            initargs: The arguments of ``initializer``.
            name: What errors call the function.

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
        """The function for a map: it takes what the caller gives and no more."""
        if self._target is None:
            return _AsyncTarget(self)
        return _Target(self) if self._is_method else self._target

    def _wrapped_target(self) -> Callable[..., Any]:
        """The same for where a name has to find it among other values."""
        return _Target(self) if self._target is not None else _AsyncTarget(self)

    def _named_options(self) -> CallOptions:
        if self._options.name is not None:
            return self._options
        return self._options._replace(name=self._full_name())

    def _full_name(self) -> str:
        return f"{self.__module__}.{self.__qualname__}"

    # Methods. Five cases, told apart by what the first parameter accepts. `self` is
    # typed as a callable, not as ParallelFunction[...], whose arguments type
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
        """Bind as the function does (also inside a static or class method)."""
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
        # unittest.mock reads the signature of `f.__call__`, and that of the class
        # says nothing. (A call looks in the class alone, so this costs none of them.)
        copy = self._copy()  # lest there be a cycle to collect
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
        return self  # as a function's copy is the function

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
        if self._is_method:  # of a copied object now
            copy._owner = fn.__self__
        copy._show_signature()
        return copy

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle by name where a name finds the function, else with its parts."""
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
        if isinstance(fn, types.MethodType):  # whose own pickle looks up the name
            state["__wrapped__"] = fn.__func__, fn.__self__
        if self._is_method:
            del state["_target"]  # likewise
        return state

    # Attributes that have another meaning while this is pickled, see `references`.

    @property
    def _by_name(self) -> Any:  # this function, or what is pickled in its place
        return self._or_carrier("_by_name", self, self)

    @property
    def _no_state(self) -> Any:  # the same for what is left to do when it is found
        return self._or_carrier("_no_state", self, None)

    @property
    def _plain(self) -> Any:  # the same for the plain function
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


#: By these inspect takes an object for a function, whatever its class.
_FUNCTION_LIKE = (
    "__annotate__",
    "__annotations__",
    "__code__",
    "__defaults__",
    "__kwdefaults__",
)


def _is_shown(fn: object, name: str) -> bool:
    """Whether an attribute of a plain function is one of the decorated one, too."""
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
    # its decorated self (as a recursive one in __main__ does).
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
    """The plain function of a decorated one, as a worker is to call it.

    It stands in where the plain function itself will not do: for bound methods in
    a map. It travels as the decorated function, which a name finds where it would
    not find the plain one.
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
    """The coroutine function of a decorated one; it travels as a `_Target` does."""

    __slots__ = ()

    def coroutine(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._fn.__wrapped__(*args, **kwargs)


class _CallAttribute:
    """What ``f.__call__`` gives: it calls, and shows the function's signature."""

    __slots__ = ("_bound", "_function")

    def __init__(self, function: ParallelFunction[..., Any, Any], bound: bool) -> None:
        self._function = function  # a copy, lest there be a cycle to collect
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
    """The same of a method, made at each look-up: so it notes how, and no more."""

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
    """What tells functions apart; a callable may compare and hash as it likes."""
    if type(fn) is types.MethodType:  # there is a new one at each look-up
        return id(fn.__self__), id(fn.__func__)
    return (id(fn),)


def _is_same(fn: Any, other: Any) -> bool:
    return _identity_of(fn) == _identity_of(other)


def row_target(fn: Callable[..., Any]) -> tuple[Callable[..., Any], CallOptions]:
    """Return what a map over ``fn`` hands over, and the options of its calls.

    Args:
        fn: Any callable, plain or decorated.
    """
    if isinstance(fn, ParallelFunction):
        return fn._row_target(), fn._named_options()
    if undecorated(fn) is not None:
        return fn, DEFAULTS  # a map knows what to do with these
    if is_async(fn):
        _, qualname, module = names_of(fn)
        name = f"{module}.{qualname}"
        return AsyncTarget(fn), DEFAULTS._replace(name=name)
    return fn, DEFAULTS
