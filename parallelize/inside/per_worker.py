"""`per_worker`: objects that each worker makes for itself, and keeps."""

from __future__ import annotations

import os
import types
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from parallelize.calls import references
from parallelize.calls.targets import (
    is_async,
    is_async_generator,
    is_generator,
    names_of,
    undecorated,
)
from parallelize.errors import PerWorkerError
from parallelize.inside import kept
from parallelize.inside.worker import worker
from parallelize.runtime.options import check_callable

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Coroutine,
        Generator,
        Iterator,
    )
    from typing import Protocol

    class Closable(Protocol):
        """An object that functions return like any other, though it may iterate."""

        @property
        def close(self) -> Callable[..., Any]: ...

    K = TypeVar("K", bound=Closable)

__all__ = ("PerWorker", "per_worker")

T = TypeVar("T")

#: All that exist, by token, so that each is itself again when it is unpickled.
_known: weakref.WeakValueDictionary[str, PerWorker[Any]] = weakref.WeakValueDictionary()


class PerWorker(Generic[T]):
    """Returns an object that each worker makes once; `per_worker` makes these."""

    def __init__(self, fn: Callable[[], Any]) -> None:
        self._token: str = os.urandom(8).hex()
        self._fill(fn)
        _known[self._token] = self

    def _fill(self, fn: Callable[[], Any]) -> None:
        self.__wrapped__: Callable[[], Any] = fn
        name, qualname, module = names_of(fn)
        self.__name__: str = name
        self.__qualname__, self.__module__ = qualname, module
        self.__doc__ = getattr(fn, "__doc__", None)

    def __call__(self) -> T:
        """Return the object of the worker in which this runs.

        The first call in a worker makes it, and others wait for that. If that fails,
        the next call tries again.

        Returns:
            The object; of an asynchronous function a coroutine, to be awaited.

        Raises:
            PerWorkerError: The function failed; its error is the cause.
        """
        fn, name = self.__wrapped__, self.__qualname__
        made: Any
        if self._is_async():
            made = kept.get_on_loop(self._token, name, partial(_make_async, fn, name))
        else:
            make = partial(_make, fn, name)
            made = kept.kept_here().get(self._token, name, make)
        return made  # type: ignore[no-any-return]

    def _is_async(self) -> bool:
        return is_async(self.__wrapped__) or is_async_generator(self.__wrapped__)

    def __repr__(self) -> str:
        return f"<per worker {self.__wrapped__!r}>"

    def __copy__(self) -> PerWorker[T]:
        return self

    def __deepcopy__(self, _: object) -> PerWorker[T]:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle by name where workers find the name, else by value."""
        place = references.place_of(self)
        if place is None or references.may_need_value(self.__module__):
            return self._parts()
        return references.found_by_name, (place,)

    def _parts(self) -> tuple[Any, ...]:
        return _again, (self._token,), self.__wrapped__

    def __setstate__(self, fn: Callable[[], Any]) -> None:
        self._fill(fn)


def _again(token: str) -> PerWorker[Any]:
    """Return the object with a token, which is filled next if it is new."""
    found = _known.get(token)
    if found is None:
        found = PerWorker.__new__(PerWorker)
        found._token = token
        _known[token] = found
    return found


# Making an object.


def _make(fn: Callable[[], Any], name: str) -> tuple[Any, Callable[[], object] | None]:
    try:
        made = fn()
        if not is_generator(fn):
            return made, None
        try:
            return next(made), partial(_finish, made, name)
        except StopIteration:
            raise _without_item(name) from None
    except kept.PASSED:
        raise
    except Exception as error:
        raise PerWorkerError(name, _place(), error) from error


def _finish(generator: Generator[Any, Any, Any], name: str) -> None:
    try:
        next(generator)
    except StopIteration:
        return
    generator.close()
    raise _more_items(name)


async def _make_async(
    fn: Callable[[], Any], name: str
) -> tuple[Any, Callable[[], Coroutine[Any, Any, Any]] | None]:
    try:
        if not is_async_generator(fn):
            return await fn(), None
        generator = fn()
        try:
            made = await kept.begun_apart(generator)
            return made, partial(_finish_async, generator, name)
        except StopAsyncIteration:
            raise _without_item(name) from None
    except kept.PASSED:
        raise
    except Exception as error:
        raise PerWorkerError(name, _place(), error) from error


async def _finish_async(generator: AsyncGenerator[Any, Any], name: str) -> None:
    try:
        await anext(generator)
    except StopAsyncIteration:
        return
    await generator.aclose()
    raise _more_items(name)


def _place() -> str:
    here = worker()
    if here.kind == "none":
        return "outside of a worker"
    return f"in worker {here.index} of {here.count} ({here.kind})"


def _without_item(name: str) -> RuntimeError:
    msg = f"{name}() is made per worker: it must yield once, not never"
    return kept.UsageError(msg)


def _more_items(name: str) -> RuntimeError:
    return RuntimeError(f"{name}() is made per worker: it must yield once, not again")


# The decorator.


@overload
def per_worker(
    fn: Callable[[], Coroutine[Any, Any, T]], /
) -> PerWorker[Coroutine[Any, Any, T]]: ...
@overload
def per_worker(  # pyright: ignore[reportOverlappingOverload]
    fn: Callable[[], Generator[T, Any, Any]], /
) -> PerWorker[T]: ...
@overload
def per_worker(
    fn: Callable[[], AsyncGenerator[T, Any]], /
) -> PerWorker[Coroutine[Any, Any, T]]: ...
@overload  # a file or a cursor is an iterator, too, but is not a generator
def per_worker(fn: Callable[[], K], /) -> PerWorker[K]: ...
@overload  # most generator functions are annotated like this
def per_worker(fn: Callable[[], Iterator[T]], /) -> PerWorker[T]: ...
@overload
def per_worker(
    fn: Callable[[], AsyncIterator[T]], /
) -> PerWorker[Coroutine[Any, Any, T]]: ...
@overload
def per_worker(fn: Callable[[], T], /) -> PerWorker[T]: ...
def per_worker(fn: Callable[[], Any], /) -> PerWorker[Any]:
    """Make a function return an object that each worker makes once, and keeps.

    For what is costly to make and cannot be sent: a model, a connection, a device.
    The function is called by the first call in a worker that needs the object. Each
    thread of a pool has its own, so has each worker process and each interpreter; there
    is one for the program in serial calls and outside of calls. On event loops a
    plain function's object belongs to the thread or process of the loop.

    A generator function yields the object. What follows its ``yield`` runs when the
    worker leaves: after it was idle for long or has run its number of calls, when its
    pool is shut down, and when the program ends; not if it is killed or dies. What was
    made last is cleaned up first. Errors in it are logged.

    If the function raises an error, the call that needs the object gets a
    `PerWorkerError` with it as cause. The next call tries again.

    Args:
        fn: A function without required arguments: plain, a generator function that
            yields once, a coroutine function, or an asynchronous generator function.
            The object of the last two belongs to an event loop and is awaited:
            ``await session()``.

    Returns:
        A callable without arguments that returns the object.

    Raises:
        TypeError: ``fn`` is not callable, needs arguments, or is decorated already.

    Example:
        >>> from collections.abc import Iterator
        >>> from parallelize import per_worker, threaded
        >>> @per_worker
        ... def numbers() -> Iterator[dict[str, int]]:
        ...     yield {"one": 1}      # made once in each worker
        ...     print("cleaned up")   # when the worker leaves
        >>> @threaded(max_workers=1)
        ... def number(name: str) -> int:
        ...     return numbers()[name]
        >>> number("one").result()
        1
    """
    check_callable(fn, "what is decorated")
    if isinstance(fn, PerWorker) or undecorated(fn) is not None:
        msg = f"{fn!r} is decorated already: per_worker takes the plain function"
        raise TypeError(msg)
    missing = _required(fn)
    if missing:
        msg = (
            f"{names_of(fn)[1]}() needs the argument {missing!r}, but per_worker takes "
            "a function without required arguments, as each worker calls it by itself"
        )
        raise TypeError(msg)
    return PerWorker(fn)


def _required(fn: Any) -> str:  # any callable
    """Return the name of the first required parameter of a function; "" if none."""
    plain = getattr(fn, "__func__", fn)
    if not isinstance(plain, types.FunctionType):
        return ""
    code, defaults = plain.__code__, plain.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount - len(defaults)]
    names = names[1:] if plain is not fn else names  # a bound method has its instance
    end = code.co_argcount + code.co_kwonlyargcount
    keywords = code.co_varnames[code.co_argcount : end]
    has = plain.__kwdefaults__ or {}
    return next(iter((*names, *(each for each in keywords if each not in has))), "")
