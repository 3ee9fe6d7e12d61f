"""Which executor takes a call: what the decorator was told, `use`, the environment.

Who calls a decorated function or a helper gets the executor that the first of
these names:

1. the ``executor`` (or ``max_workers``, ``initializer``) that the decorator or
   the helper was given;
2. `use`: within ``with use(...)``, else for the whole program;
3. the environment variable ``PARALLELIZE_EXECUTOR``;
4. the kind of the decorator or helper itself.

Inside a worker process, process calls run in place: workers that wait for workers of
workers would soon wait for themselves.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize import pools
from parallelize.kinds import KINDS, adapt, is_engine, make_executor, words
from parallelize.pools import Given, Global, Own, Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from parallelize.executors.base import Executor
    from parallelize.kinds import AnyExecutor

#: The environment variable that redirects the calls of a whole program.
KIND_VARIABLE = "PARALLELIZE_EXECUTOR"


# -------------------------------------------------------------- of one function


class Redirected(Source):
    """The global pool of a kind, unless `use` or the environment names another."""

    __slots__ = ("_default",)

    def __init__(self, kind: str) -> None:
        self._default = Global(kind)

    def executor(self) -> Executor:
        """Return what `use` names, else the environment, else the kind's pool."""
        return self._now().executor()

    def replacement(self, refused: Executor) -> Executor | None:
        """Ask whoever named the executor that refused."""
        return self._now().replacement(refused)

    def _now(self) -> Source:
        choice = _scoped.get()
        if choice is _UNSET:
            choice = _programs_choice
        if choice is None:
            choice = _environment.choice()
        return self._default if choice is None else choice


class Where(NamedTuple):
    """Where a function's calls run, as its decorator was told.

    Attributes:
        kind: The kind of the decorator itself.
        executor: An executor or a kind given explicitly; it is not redirected.
        max_workers: For a pool of its own.
        initializer: Likewise.
        initargs: Likewise.
    """

    kind: str
    executor: Executor | str | None = None
    max_workers: int | None = None
    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()  # as the initializer likes them

    def source(self) -> Source:
        """Make what answers for a function that was told this."""
        if not (self.executor is None or isinstance(self.executor, str)):
            return Given(self.executor)
        if self.wants_own_pool():
            return Own(self.make)
        if self.executor is not None:
            return Global(self.executor)
        return Redirected(self.kind)

    def word(self) -> str:
        """The kind of the executor, unless the program redirects the calls."""
        if self.executor is None:
            return self.kind
        given = self.executor
        return given if isinstance(given, str) else given.kind

    def wants_own_pool(self) -> bool:
        """Whether the shared pools will not do."""
        return self.max_workers is not None or self.initializer is not None

    def make(self) -> Executor:
        """Make the pool of its own."""
        kind = self.executor if isinstance(self.executor, str) else self.kind
        return make_executor(kind, self.max_workers, self.initializer, self.initargs)

    def __reduce__(self) -> tuple[Any, ...]:
        # An executor does not travel. Where it ran calls, its kind does now.
        executor = self.executor
        if executor is not None and not isinstance(executor, str):
            executor = KINDS.get(executor.kind)
        return Where, (self.kind, executor, *self[2:])


def executor_for(kind: str) -> Executor:
    """Return the executor for calls of a kind that were not given one."""
    return Redirected(kind).executor()


# ------------------------------------------------- what the program has chosen


class _Environment:
    """What PARALLELIZE_EXECUTOR says, read anew when the pools were shut down."""

    def __init__(self) -> None:
        self._choice: Source | None = None
        self._read_for = -1  # which generation of pools

    def choice(self) -> Source | None:
        generation = pools.generation
        if self._read_for != generation:
            self._choice = self._read()
            self._read_for = generation
        return self._choice

    def _read(self) -> Source | None:
        word = os.environ.get(KIND_VARIABLE, "").strip()
        if not word:
            return None
        if word not in KINDS and not is_engine(word):
            msg = (
                f"the environment variable {KIND_VARIABLE} must be one of "
                f"{words()}, not {word!r}"
            )
            raise ValueError(msg)
        return Global(KINDS.get(word, word))


_environment = _Environment()


class _Unset(Source):
    """Stands for: no `use` in this context."""

    __slots__ = ()

    def executor(self) -> Executor:
        raise NotImplementedError


# Guards what the program has chosen. Reentrant, as an entry may be collected, whose
# finalisers may call decorated functions.
_choosing = threading.RLock()

_UNSET = _Unset()
_scoped: ContextVar[Source | None] = ContextVar("parallelize.use", default=_UNSET)

# What `use` was told for the whole program, oldest first; the last one counts.
# An entry leaves when its `Use` is entered as a context manager.
_program: list[tuple[weakref.ref[Use], Source | None]] = []
_programs_choice: Source | None = None


class Use:
    """What `use` returns: enter it to bound the choice to a ``with`` block."""

    def __init__(self, choice: Source | None) -> None:
        self._choice = choice
        self._tokens: list[Token[Source | None]] = []
        with _choosing:
            _drop_buried()
            _program.append((weakref.ref(self), choice))
            _settle_program()

    def __enter__(self) -> None:
        with _choosing:
            _program[:] = [entry for entry in _program if entry[0]() is not self]
            _settle_program()
        self._tokens.append(_scoped.set(self._choice))

    def __exit__(self, *_: object) -> None:
        _scoped.reset(self._tokens.pop())


def _forget_lock() -> None:
    """In a forked child: a thread of the parent may have held it."""
    global _choosing
    _choosing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


def _drop_buried() -> None:
    """Drop entries that can never count again: those below one that cannot leave."""
    for index in range(len(_program) - 1, -1, -1):
        if _program[index][0]() is None:
            del _program[:index]
            return


def _settle_program() -> None:
    global _programs_choice
    _programs_choice = _program[-1][1] if _program else None


# A string, for the address of a cluster is one.
def use(executor: AnyExecutor | str | None) -> Use:
    """Choose the executor for decorated calls and helpers that were given none.

    Called plainly, it holds for the whole program from now on::

        parallelize.use("serial")

    As a context manager it holds for the block, and only in this thread or
    asyncio task (and what they call)::

        with parallelize.use("serial"):
            ...

    Python evaluates ``use(...)`` before it enters the block, so that for this
    moment the choice holds for the whole program in the second form, too; then
    what had been chosen before holds again, also if several threads do this at
    once.

    A function or helper that was given an executor, a kind or a number of
    workers keeps to that.

    Args:
        executor: An executor of parallelize, any other PEP 3148 executor, or
            one of the words "serial", "threads", "processes" and (from Python 3.14
            on) "interpreters", which stand for the global pools;
            "dask://host:8786" and "ray://host:10001" for that cluster, "dask" for a
            local one and "ray" for what the program has initialised; None takes the
            choice back.

    Returns:
        A context manager; it may be dropped.

    Example:
        >>> from parallelize import processed, use
        >>> @processed
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> with use("serial"):  # for the debugger
        ...     double(21).result()
        42
    """
    if executor is None:
        return Use(None)
    chosen = adapt(executor)
    return Use(Global(chosen) if isinstance(chosen, str) else Given(chosen))
