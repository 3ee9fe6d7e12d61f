"""What may be decorated: told from what a call would run, without calling it.

`inspect` knows all this too, but importing it takes longer than all the rest.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.runtime.options import check_callable

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.runtime.options import CallOptions

__all__ = (
    "AsyncTarget",
    "Undecorated",
    "check_function",
    "innermost",
    "is_async",
    "is_generator",
    "names_of",
    "run_coroutine",
    "uncoroutined",
    "undecorated",
)

_COROUTINE = 0x80  # the flags of code objects, as inspect has them
_GENERATORS = 0x20 | 0x200

_PLACE: object = getattr(functools, "Placeholder", object())


def check_function(fn: object) -> None:
    """Raise a TypeError that says why, if ``fn`` cannot be decorated."""
    if isinstance(fn, type):
        msg = (
            f"the class {fn.__qualname__} cannot be decorated: decorate a function "
            "that makes the object"
        )
        raise TypeError(msg)
    if not isinstance(fn, classmethod):  # which is no callable itself
        check_callable(fn, "what is decorated")


def is_async(fn: Any) -> bool:  # any callable
    """Whether ``fn`` is a coroutine function, or says that it wraps one."""
    seen = 0
    while fn is not None and seen < 100:  # a chain of __wrapped__ may be a ring
        if _flags(fn) & _COROUTINE:
            return True
        fn, seen = getattr(fn, "__wrapped__", None), seen + 1
    return False


def is_generator(fn: object) -> bool:
    """Whether ``fn`` is a generator function, sync or async.

    What merely wraps one is not: it may do with the generator what it likes.
    """
    return bool(_flags(fn) & _GENERATORS)


def innermost(fn: Any) -> Any:
    """Return what a partial, a static or class method or a bound method is made of."""
    while True:
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, (staticmethod, classmethod, types.MethodType)):
            fn = fn.__func__
        else:
            return fn


def uncoroutined(code: types.CodeType) -> types.CodeType:
    """Return the code without the note that a call gives a coroutine or generator."""
    if not code.co_flags & (_COROUTINE | _GENERATORS):
        return code
    return code.replace(co_flags=code.co_flags & ~(_COROUTINE | _GENERATORS))


def _flags(fn: Any) -> int:
    """The flags of the code that a call of ``fn`` runs; 0 where there is none."""
    fn = innermost(fn)
    of_class = getattr(type(fn), "__call__", None)  # noqa: B004 - not to call it
    for holder in (fn, of_class):
        code = getattr(holder, "__code__", None)
        if isinstance(code, types.CodeType):
            return code.co_flags
    return 0


def names_of(fn: Any) -> tuple[str, str, str]:
    """Name what has no name: a partial as its function, an object as its class."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    named = fn if hasattr(fn, "__name__") else type(fn)
    qualname = getattr(named, "__qualname__", named.__name__)
    return named.__name__, qualname, getattr(named, "__module__", None) or "builtins"


class AsyncTarget:
    """A coroutine function, as executors are given it.

    Those that have loops run what `coroutine` returns on one of them. Others call it:
    then the coroutine has a loop of its own.
    """

    __slots__ = ("_fn",)

    def __init__(self, fn: Any) -> None:
        """Stand for a function, or for what a subclass knows to call."""
        self._fn = fn

    def coroutine(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function; what it returns is to be awaited, if it can be."""
        return self._fn(*args, **kwargs)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the coroutine to its end, in a loop of its own."""
        return run_coroutine(self.coroutine, *args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._fn)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._fn,)


class Undecorated(NamedTuple):
    """What something calls that is made of a decorated function.

    Attributes:
        function: The decorated function.
        fn: The function for workers, as its `_row_target` gives it.
        args: Positional arguments that come before those of the caller.
        kwargs: Keyword arguments, likewise.
        options: How the decorated function has its calls run.
    """

    function: Any  # a ParallelFunction, which imports this
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: CallOptions

    def alone(self) -> Callable[..., Any]:
        """The function with these arguments in it."""
        _, fn, args, kwargs, _ = self
        if not args and not kwargs:
            return fn
        if isinstance(fn, AsyncTarget):
            return AsyncTarget(functools.partial(fn.coroutine, *args, **kwargs))
        return functools.partial(fn, *args, **kwargs)


def undecorated(fn: Any) -> Undecorated | None:  # any callable
    """Look into partials, bound methods and callable objects for a decorated function.

    A call of these gives a future, as one of the decorated function does; a worker is
    to call the plain one.

    Returns:
        None if ``fn`` is not made of one.
    """
    if hasattr(type(fn), "_row_target"):
        if not fn._gives_futures:
            return None
        return Undecorated(fn, fn._row_target(), (), {}, fn._named_options())
    inside, args, kwargs = _opened(fn)
    found = None if inside is None else undecorated(inside)
    if found is None or not (args or kwargs):
        return found
    if inside is found.function:  # a name finds that, and not the plain one
        found = found._replace(fn=found.function._wrapped_target())
    found = found._replace(args=found.args + args, kwargs=found.kwargs | kwargs)
    if any(each is _PLACE for each in args):  # which the caller is to fill
        return found._replace(fn=found.alone(), args=(), kwargs={})
    return found


def _opened(fn: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """What it calls, with which arguments before those of the caller."""
    if isinstance(fn, functools.partial):
        return fn.func, fn.args, fn.keywords
    if isinstance(fn, types.MethodType):
        return fn.__func__, (fn.__self__,), {}
    if isinstance(fn, (types.FunctionType, types.BuiltinFunctionType, type)):
        return None, (), {}
    if hasattr(type(fn), "_parallel_function"):  # the `__call__` of a decorated one
        return fn._parallel_function(), (), {}
    call = getattr(type(fn), "__call__", None)  # noqa: B004 - not to call it
    if hasattr(type(call), "_row_target"):
        return call, (fn,), {}
    return None, (), {}


def run_coroutine(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call ``fn`` and run the coroutine that it returns, in a loop of its own.

    Args:
        fn: A coroutine function; what returns no coroutine is just called.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Returns:
        What the coroutine comes to.
    """
    from collections.abc import Coroutine

    from parallelize.runtime.loop_thread import apart, run_to_end

    result = fn(*args, **kwargs)
    if not isinstance(result, Coroutine):
        return result
    coroutine: Coroutine[Any, Any, Any] = result
    # A loop runs here already in the caller's own thread, by `using("serial")`.
    return apart(lambda: run_to_end(coroutine))
