"""How calls start that are not made by `submit`, where a user has overridden it.

```
 f(...), rows of maps ──▶ _entry ───────────────────────▶ _submit     the usual path
                            └──▶ submit, the user's ──▶ Executor.submit ──▶ _submit
                                     the call's options are passed separately
```

The standard library's map calls `submit` for each call, so a subclass that overrides
it, or a wrapper that replaces it, gets all calls. Here decorated functions and maps
use a shorter path. Which path a class uses is decided when the class is made, and for
one object when its `submit` is set, so that the shorter path needs no check. No hook
reports that a class was assigned another `submit`, so each map checks that.
"""

from __future__ import annotations

import concurrent.futures
import threading
from types import MethodType

from parallelize.futures.future import Failure, Future, Outcome
from parallelize.runtime.options import DEFAULTS
from parallelize.runtime.typed import cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

    from parallelize.executors.base import Executor
    from parallelize.runtime.options import Args, CallOptions, Kwargs

__all__ = (
    "WithOwnSubmit",
    "adopted",
    "by_submit",
)


class _Passed(threading.local):
    """What is passed around the user's `submit`, in the thread that calls it."""

    executor: Executor | None = None
    options: CallOptions = DEFAULTS


_passed = _Passed()


class WithOwnSubmit:
    """An executor whose class, or which itself, may be given another `submit`."""

    _settled_for: ClassVar[object]  # the `submit` for which `_entry` was set
    _passes: ClassVar[bool]  # whether `_submit` has been wrapped for that

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        open_class(cast("type[Executor]", cls))  # there is no other subclass

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute; a new `submit` gets each call of a map, too."""
        super().__setattr__(name, value)
        if name == "submit":
            open_object(self)

    def __delattr__(self, name: str) -> None:
        """Delete an attribute."""
        super().__delattr__(name)
        if name == "submit":
            reopen_object(self)

    def _is_watched(self) -> bool:
        """Whether a user-defined `submit` must get each call of a map."""
        executor = cast("Executor", self)  # as above
        look_again(type(executor))
        return getattr(executor._entry, "__func__", None) is by_submit


def by_submit(
    executor: Executor,
    fn: Callable[..., Any],
    args: Args,
    kwargs: Kwargs,
    options: CallOptions,
) -> Future[Any]:
    """Start a call by the user's `submit`; a value of `_entry`."""
    outer = _passed.executor, _passed.options
    _passed.executor, _passed.options = executor, options
    try:
        return adopted(executor.submit(fn, *args, **kwargs))
    finally:
        _passed.executor, _passed.options = outer


def _options_for(executor: Executor, options: CallOptions) -> CallOptions:
    """Take the options that were passed separately, once."""
    if _passed.executor is not executor:
        return options
    _passed.executor = None
    return _passed.options


def open_class(kind: type[Executor]) -> None:
    """Decide how calls to the executors of a class start."""
    kind._settled_for = kind.submit
    if kind.submit is kind._own_submit:
        kind._entry = kind._submit
        return
    if "_passes" not in vars(kind):
        _pass_by_the_side(kind)
    kind._entry = by_submit  # type: ignore[assignment]  # self has another name


def look_again(kind: type[Executor]) -> None:
    """Decide again if the class, or a base of it, was assigned another submit."""
    if kind.submit is not kind._settled_for:
        open_class(kind)


def _pass_by_the_side(kind: type[Executor]) -> None:
    """Let a call made by the user's `submit` have the options of the original."""

    def _submit(
        self: Executor,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
    ) -> Future[Any]:
        return inner(self, fn, args, kwargs, _options_for(self, options))

    inner = kind._submit
    kind._submit = _submit  # type: ignore[method-assign]
    kind._passes = True


def open_object(executor: WithOwnSubmit) -> None:
    """Decide how calls start, for an executor whose `submit` was set."""
    vars(executor)["_entry"] = MethodType(by_submit, executor)
    vars(executor)["_submit"] = MethodType(_submit_of_class, executor)


def reopen_object(executor: WithOwnSubmit) -> None:
    """Let calls start as for the class of the executor."""
    vars(executor).pop("_entry", None)
    vars(executor).pop("_submit", None)


def _submit_of_class(
    executor: Executor,
    fn: Callable[..., Any],
    args: Args,
    kwargs: Kwargs,
    options: CallOptions,
) -> Future[Any]:
    options = _options_for(executor, options)
    return type(executor)._submit(executor, fn, args, kwargs, options)


# What the user's `submit` returns.


def adopted(theirs: Any) -> Future[Any]:
    """Return a future of this library for another, or for any object with `result`."""
    if isinstance(theirs, Future):
        return theirs
    if isinstance(theirs, concurrent.futures.Future):
        from parallelize.executors.foreign import Chained

        chained: Chained[Any] = Chained()
        chained.follow(theirs)
        return chained
    future: Future[Any] = Future()  # for example, of a stand-in in a test
    future._set_outcome(_Asked(theirs), failed=False)
    return future


class _Asked(Outcome):
    """The result of an object that is not a future, requested when it is read."""

    __slots__ = ("_theirs",)

    def __init__(self, theirs: Any) -> None:
        self._theirs = theirs

    def open(self) -> tuple[Any, BaseException | None]:
        try:
            return self._theirs.result(), None
        except BaseException as error:  # noqa: BLE001 - it belongs to the call
            return Failure(error).open()
