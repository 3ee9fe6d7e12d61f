"""Which executor runs a call: the decorator's, or that of `using`, `use`, ...

A call of a decorated function or a helper goes to the executor that the first of
these names:

1. the ``executor`` (or ``max_workers``, ``initializer``) given to the decorator or
   the helper;
2. `using`, within its block; else `use`, for the whole program;
3. the environment variable ``PARALLELIZE_EXECUTOR``;
4. the kind of the decorator or helper itself.

Inside a worker process, process calls run in place: workers that wait for workers of
their own could soon be waiting for themselves.
"""

from __future__ import annotations

import os
import sys
import weakref
from contextvars import ContextVar
from functools import wraps

from parallelize.registry import shared_pools
from parallelize.registry.kinds import (
    KINDS,
    adapt,
    is_engine,
    make_executor,
    valid_names,
)
from parallelize.registry.shared_pools import (
    ExecutorSource,
    FixedSource,
    Global,
    PrivatePool,
)
from parallelize.runtime import locks
from parallelize.runtime.typed import NamedTuple, ParamSpec, TypeVar, cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType
    from typing import Any

    from parallelize.executors.base import Executor
    from parallelize.registry.kinds import AnyExecutor

_new_lock = locks.reentrant("choosing")

#: The environment variable that redirects the calls of the whole program.
KIND_VARIABLE = "PARALLELIZE_EXECUTOR"

P = ParamSpec("P")
T = TypeVar("T")


# ---------------------------------------------- the executor of one function


class DefaultSource(ExecutorSource):
    """The global pool of a kind, unless `using`, `use` or the environment differ."""

    __slots__ = ("_default",)

    def __init__(self, kind: str) -> None:
        self._default = Global(kind)

    def executor(self) -> Executor:
        """Return that of `use`, else of the environment, else the pool of the kind."""
        return self._now().executor()

    def replacement(self, refused: Executor) -> Executor | None:
        """Ask the source whose executor refused the call."""
        return self._now().replacement(refused)

    def _now(self) -> ExecutorSource:
        blocks = _blocks.get()
        choice = blocks[-1].choice if blocks else _programs_choice
        if choice is None:
            choice = _environment.choice()
        return self._default if choice is None else choice


class Placement(NamedTuple):
    """Where a function's calls run, as given to its decorator.

    Attributes:
        kind: The kind of the decorator itself.
        executor: An executor or a kind given explicitly; it is not redirected.
        max_workers: The size of a private pool.
        initializer: The initializer of the workers of a private pool.
        initargs: The arguments of the initializer.
        pool: Names and values of the other options of a private pool.
    """

    kind: str
    executor: Executor | str | None = None
    max_workers: int | None = None
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()  # the types are the initializer's
    pool: tuple[tuple[str, Any], ...] = ()  # each of a type of its own

    def source(self) -> ExecutorSource:
        """Make the source of executors for a function with this placement."""
        if not (self.executor is None or isinstance(self.executor, str)):
            return FixedSource(self.executor)
        if self.wants_own_pool():
            return PrivatePool(self.make)
        if self.executor is not None:
            return Global(self.executor)
        return DefaultSource(self.kind)

    def word(self) -> str:
        """The kind of the executor, unless the calls are redirected."""
        if self.executor is None:
            return self.kind
        given = self.executor
        return given if isinstance(given, str) else given.kind

    def wants_own_pool(self) -> bool:
        """Whether the calls need a private pool."""
        given = self.max_workers is not None or self.initializer is not None
        return given or bool(self.pool)

    def make(self) -> Executor:
        """Make the private pool."""
        kind = self.executor if isinstance(self.executor, str) else self.kind
        return make_executor(
            kind, self.max_workers, self.initializer, self.initargs, **dict(self.pool)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Executors cannot be pickled: the copy uses an executor of the same kind.
        executor = self.executor
        if executor is not None and not isinstance(executor, str):
            executor = KINDS.get(executor.kind)
        return Placement, (self.kind, executor, *self[2:])


def executor_for(kind: str) -> Executor:
    """Return the executor for calls of a kind that name no executor."""
    return DefaultSource(kind).executor()


# ---------------------------------------------- the choice for the whole program


class _Environment:
    """The choice of PARALLELIZE_EXECUTOR, read again after each `shutdown`."""

    def __init__(self) -> None:
        self._choice: ExecutorSource | None = None
        self._read_for = -1  # the generation of pools it was read for

    def choice(self) -> ExecutorSource | None:
        generation = shared_pools.generation
        if self._read_for != generation:
            self._choice = self._read()
            self._read_for = generation
        return self._choice

    def _read(self) -> ExecutorSource | None:
        word = os.environ.get(KIND_VARIABLE, "").strip()
        if not word:
            return None
        if word not in KINDS and not is_engine(word):
            msg = (
                f"the environment variable {KIND_VARIABLE} must be one of "
                f"{valid_names()}, not {word!r}"
            )
            raise ValueError(msg)
        return Global(KINDS.get(word, word))


_environment = _Environment()


# Guards the two names below. Reentrant, as entries may be garbage collected while it
# is held, and finalizers may call decorated functions.
_choosing = _new_lock()
locks.renew_in_child(globals(), "_choosing", _new_lock)

# The blocks that this context is in, the innermost last. Not restored by tokens of
# the variable, so that blocks may end in any order.
_blocks: ContextVar[tuple[Using, ...]] = ContextVar("parallelize.using", default=())

# The choices of `use` for the whole program, oldest first; the last one counts.
# An entry is removed when its `Use` is entered as a context manager.
_program: list[tuple[weakref.ref[Use], ExecutorSource | None]] = []
_programs_choice: ExecutorSource | None = None


class Using:
    """Returned by `using`: the choice for a ``with`` block, or for a function.

    It is reusable and reentrant, also from several threads.
    """

    def __init__(self, choice: ExecutorSource | None) -> None:
        self.choice: ExecutorSource | None = choice

    def __enter__(self) -> None:
        _blocks.set((*_blocks.get(), self))

    def __exit__(self, *_: object) -> None:
        blocks = _blocks.get()
        for index in reversed(range(len(blocks))):
            if blocks[index] is self:
                _blocks.set(blocks[:index] + blocks[index + 1 :])
                return

    def __call__(self, fn: Callable[P, T]) -> Callable[P, T]:
        """Return a function whose body is such a block."""
        import inspect

        wrong = inspect.isgeneratorfunction, inspect.isasyncgenfunction
        if any(is_wrong(fn) for is_wrong in wrong):
            msg = "a generator function is not decorated by using: use it inside"
            raise TypeError(msg)
        if inspect.iscoroutinefunction(fn):
            return cast("Callable[P, T]", self._around_coroutine(fn))

        @wraps(fn)
        def within(*args: P.args, **kwargs: P.kwargs) -> T:
            with self:
                return fn(*args, **kwargs)

        return within

    def _around_coroutine(
        self,
        fn: Callable[P, Coroutine[Any, Any, T]],  # Any: as `Coroutine` is typed
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(fn)
        async def within(*args: P.args, **kwargs: P.kwargs) -> T:
            with self:
                return await fn(*args, **kwargs)

        return within


class Use(Using):
    """Returned by `use`; as a context manager, it is a block as of `using`.

    Args:
        choice: The source of executors that was chosen.
        for_block: Whether it is about to be entered: then the program's choice
            does not change, not even for a moment.
    """

    def __init__(self, choice: ExecutorSource | None, *, for_block: bool) -> None:
        super().__init__(choice)
        if for_block:
            return
        with _choosing:
            _drop_buried()
            _program.append((weakref.ref(self), choice))
            _settle_program()

    def __enter__(self) -> None:
        with _choosing:
            _program[:] = [entry for entry in _program if entry[0]() is not self]
            _settle_program()
        super().__enter__()


def _drop_buried() -> None:
    """Drop entries that cannot count again: those below one that cannot be removed."""
    for index in range(len(_program) - 1, -1, -1):
        if _program[index][0]() is None:
            del _program[:index]
            break
    if _program and _program[0][0]() is None and _program[0][1] is None:
        del _program[0]  # it has no effect


def _settle_program() -> None:
    global _programs_choice
    _programs_choice = _program[-1][1] if _program else None


def _source(executor: AnyExecutor | str | None) -> ExecutorSource | None:
    if executor is None:
        return None
    chosen = adapt(executor)
    return Global(chosen) if isinstance(chosen, str) else FixedSource(chosen)


def _is_entered_next(caller: FrameType) -> bool:
    """Whether the call that a frame is making is the subject of a ``with``."""
    from opcode import opname

    code = caller.f_code.co_code
    after = [opname[op] for op in code[caller.f_lasti + 2 :: 2][:_LONGEST_CALL]]
    names = [name for name in after if name != "CACHE"]
    # Up to Python 3.13, and since 3.14.
    return names[:1] == ["BEFORE_WITH"] or names[:2] == ["COPY", "LOAD_SPECIAL"]


#: More than a call's instructions, its inline caches included.
_LONGEST_CALL = 12


# A string, as the address of a cluster is one.
def using(executor: AnyExecutor | str | None) -> Using:
    """Choose the executor for the decorated calls and helpers of a block.

    It applies to calls made in the block, in this thread or asyncio task only, and
    to what the block starts in its context: asyncio tasks, and calls in threads of
    this library. Blocks may end in any order. As a decorator it makes the body of a
    function, or of an ``async def``, such a block.

    A function or helper that was given an executor, a kind or a number of
    workers keeps it.

    Args:
        executor: As for `use`; None restores the default for the block.

    Returns:
        A context manager, which may be entered more than once.

    Raises:
        TypeError: If it is neither an executor nor a string.
        ValueError: If the string names no kind.

    Example:
        >>> from parallelize import processed, using
        >>> @processed
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> with using("serial"):  # for the debugger
        ...     double(21).result()
        42
    """
    return Using(_source(executor))


def use(executor: AnyExecutor | str | None = None) -> Use:
    """Choose the executor for decorated calls and helpers that were given none.

    It applies to the whole program, in all its threads, from now on::

        parallelize.use("serial")

    For a block of code there is `using`. ``with use(...):`` does the same; but if
    the object is entered after the statement that calls `use`, for example by
    `contextlib.ExitStack`, the choice applies to the whole program until then.

    A function or helper that was given an executor, a kind or a number of
    workers keeps it.

    Args:
        executor: An executor of parallelize, any other PEP 3148 executor, or
            one of the names "serial", "threads", "processes" and (since Python 3.14)
            "interpreters", which stand for the shared pools;
            "dask://host:8786" and "ray://host:10001" for that cluster, "dask" for a
            local one and "ray" for the one that the program has initialised. None,
            the default, undoes the choice.

    Returns:
        A context manager; it may be ignored.

    Raises:
        TypeError: If it is neither an executor nor a string.
        ValueError: If the string names no kind.

    Example:
        >>> import parallelize
        >>> _ = parallelize.use("threads")
        >>> _ = parallelize.use(None)
    """
    chosen = _source(executor)
    return Use(chosen, for_block=_is_entered_next(sys._getframe(1)))
