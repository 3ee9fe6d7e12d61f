"""Classification of callables by the code that a call would run.

`inspect` can do this, too, but importing it would take longer than everything else.
"""

from __future__ import annotations

import functools
import types

from parallelize.runtime.options import check_callable
from parallelize.runtime.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from parallelize.runtime.options import CallOptions

__all__ = (
    "AsyncTarget",
    "Undecorated",
    "check_function",
    "innermost",
    "is_async",
    "is_async_generator",
    "is_generator",
    "names_of",
    "run_coroutine",
    "uncoroutined",
    "undecorated",
)

_COROUTINE = 0x80  # flags of code objects, as in inspect
_ASYNC_GENERATOR = 0x200
_GENERATORS = 0x20 | _ASYNC_GENERATOR

_PLACE: object = getattr(functools, "Placeholder", object())


def check_function(fn: object) -> None:
    """Raise a TypeError with the reason if ``fn`` cannot be decorated."""
    if isinstance(fn, type):
        msg = (
            f"the class {fn.__qualname__} cannot be decorated: decorate a function "
            "that makes the object"
        )
        raise TypeError(msg)
    if not isinstance(fn, classmethod):  # which is not callable itself
        check_callable(fn, "what is decorated")


def is_async(fn: Any) -> bool:  # any callable
    """Whether ``fn`` is a coroutine function, or wraps one by ``__wrapped__``."""
    seen = 0
    while fn is not None and seen < 100:  # a __wrapped__ chain may be circular
        if _flags(fn) & _COROUTINE:
            return True
        fn, seen = getattr(fn, "__wrapped__", None), seen + 1
    return False


def is_generator(fn: object) -> bool:
    """Whether ``fn`` is a generator function, sync or async.

    A wrapper of one is not: it may do anything with the generator.
    """
    return bool(_flags(fn) & _GENERATORS)


def is_async_generator(fn: object) -> bool:
    """Whether ``fn`` is an asynchronous generator function."""
    return bool(_flags(fn) & _ASYNC_GENERATOR)


def innermost(fn: Any) -> Any:
    """Return the function inside partials, static, class and bound methods."""
    while True:
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, (staticmethod, classmethod, types.MethodType)):
            fn = fn.__func__
        else:
            return fn


def uncoroutined(code: types.CodeType) -> types.CodeType:
    """Return the code without the flags that make calls coroutines or generators."""
    if not code.co_flags & (_COROUTINE | _GENERATORS):
        return code
    return code.replace(co_flags=code.co_flags & ~(_COROUTINE | _GENERATORS))


def _flags(fn: Any) -> int:
    """Return the flags of the code that a call of ``fn`` runs; 0 if there is none."""
    fn = innermost(fn)
    of_class = getattr(type(fn), "__call__", None)  # noqa: B004 - not to call it
    for holder in (fn, of_class):
        code = getattr(holder, "__code__", None)
        if isinstance(code, types.CodeType):
            return code.co_flags
    return 0


def names_of(fn: Any) -> tuple[str, str, str]:
    """Return name, qualified name and module, for unnamed callables, too."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    named = fn if hasattr(fn, "__name__") else type(fn)
    qualname = getattr(named, "__qualname__", named.__name__)
    return named.__name__, qualname, getattr(named, "__module__", None) or "builtins"


class AsyncTarget:
    """A coroutine function in the form that executors take.

    Executors with event loops run what `coroutine` returns on one of them. Others call
    the object, which runs the coroutine in a new loop.
    """

    __slots__ = ("_fn",)

    def __init__(self, fn: Any) -> None:
        """Wrap a function, or whatever a subclass calls."""
        self._fn = fn

    @property
    def wraps(self) -> Any:  # any callable
        """The function."""
        return self._fn

    def coroutine(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function; the caller awaits the result if it is awaitable."""
        return self._fn(*args, **kwargs)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the coroutine to completion in a new event loop."""
        return run_coroutine(self.coroutine, *args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._fn)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._fn,)


class Undecorated(NamedTuple):
    """The call that a callable makes which wraps a decorated function.

    Attributes:
        function: The decorated function.
        fn: The function for workers, as its `_row_target` gives it.
        args: Positional arguments that precede the caller's.
        kwargs: Keyword arguments, which the caller's override.
        options: The options of the decorated function.
    """

    function: Any  # a ParallelFunction, which imports this
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: CallOptions

    def alone(self) -> Callable[..., Any]:
        """Return the function with these arguments bound."""
        _, fn, args, kwargs, _ = self
        if not args and not kwargs:
            return fn
        if isinstance(fn, AsyncTarget):
            return AsyncTarget(functools.partial(fn.coroutine, *args, **kwargs))
        return functools.partial(fn, *args, **kwargs)


def undecorated(fn: Any) -> Undecorated | None:  # any callable
    """Find a decorated function inside partials, methods and callable objects.

    A call of these returns a future, like a call of the decorated function; a worker
    has to call the plain function.

    Returns:
        None if ``fn`` does not wrap one.
    """
    if hasattr(type(fn), "_row_target"):
        if not fn._gives_futures:
            return None
        return Undecorated(fn, fn._row_target(), (), {}, fn._named_options())
    inside, args, kwargs = _opened(fn)
    found = None if inside is None else undecorated(inside)
    if found is None or not (args or kwargs):
        return found
    if inside is found.function:  # its name leads to that, not to the plain one
        found = found._replace(fn=found.function._wrapped_target())
    found = found._replace(args=found.args + args, kwargs=found.kwargs | kwargs)
    if any(each is _PLACE for each in args):  # to be filled by the caller
        return found._replace(fn=found.alone(), args=(), kwargs={})
    return found


def _opened(fn: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return what a call of ``fn`` calls, and the arguments that it adds."""
    if isinstance(fn, functools.partial):
        return fn.func, fn.args, fn.keywords
    if isinstance(fn, types.MethodType):
        return fn.__func__, (fn.__self__,), {}
    if isinstance(fn, (types.FunctionType, types.BuiltinFunctionType, type)):
        return None, (), {}
    if hasattr(type(fn), "_parallel_function"):  # `f.__call__` of a decorated f
        return fn._parallel_function(), (), {}
    call = getattr(type(fn), "__call__", None)  # noqa: B004 - not to call it
    if hasattr(type(call), "_row_target"):
        return call, (fn,), {}
    return None, (), {}


def run_coroutine(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call ``fn`` and run the coroutine that it returns in a new event loop.

    Args:
        fn: A coroutine function; other functions are simply called.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Returns:
        The result of the coroutine.
    """
    from collections.abc import Coroutine

    from parallelize.runtime.loop_thread import apart, run_to_end

    result = fn(*args, **kwargs)
    if not isinstance(result, Coroutine):
        return result
    coroutine: Coroutine[Any, Any, Any] = result
    # With `using("serial")` a loop may already run in the caller's thread.
    return apart(lambda: run_to_end(coroutine))
