"""The global pools: one of each kind, made on first use, redirected by `use`.

Who calls a decorated function or a helper gets the executor that the first of
these names:

1. the ``executor`` (or ``max_workers``, ``initializer``) that the decorator or
   the helper was given;
2. `use`: within ``with use(...)``, else for the whole program;
3. the environment variable ``PARALLELIZE_EXECUTOR``;
4. the kind of the decorator or helper itself.

A function holds a `Source`, which answers that question for each call anew: the
pools behind it come and go (`shutdown`, `os.fork`), the function stays. Inside a
worker process, process calls run in place: workers that wait for workers of
workers would soon wait for themselves.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

# Here, not at first use: a fork while another thread imports it would leave the
# child waiting for that import for ever.
from parallelize import lifecycle

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable
    from contextvars import Token
    from typing import Literal, TypeAlias

    from parallelize.executors.base import Executor

    Kind: TypeAlias = Literal[
        "thread",
        "threads",
        "process",
        "processes",
        "interpreter",
        "interpreters",
        "serial",
    ]
    AnyExecutor: TypeAlias = concurrent.futures.Executor | Kind

__all__ = ("Where", "adapt", "executor_for", "make_executor", "shutdown", "use")

#: The environment variable that redirects the calls of a whole program.
KIND_VARIABLE = "PARALLELIZE_EXECUTOR"

_KINDS = {
    "thread": "thread",
    "threads": "thread",
    "process": "process",
    "processes": "process",
    "interpreter": "interpreter",
    "interpreters": "interpreter",
    "serial": "serial",
}


# ------------------------------------------------------------ where calls run


class Source(ABC):
    """Says, call by call, which executor takes the calls of a function."""

    __slots__ = ("__weakref__",)

    @abstractmethod
    def executor(self) -> Executor:
        """Return the executor for a call that is made now."""

    def replacement(self, refused: Executor) -> Executor | None:
        """Return another executor after one refused a call; None if it stands."""
        return None

    def open_executor(self) -> Executor:
        """Return the executor for a map, which cannot change it once it has begun."""
        executor = self.executor()
        if not _is_closed(executor):
            return executor
        return self.replacement(executor) or executor


class Global(Source):
    """The global pool of a kind, whatever `use` says."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind: str = kind

    def executor(self) -> Executor:
        """Return the global pool, made now if there is none."""
        return _pools.get(self.kind) or _make_global(self.kind)

    def replacement(self, refused: Executor) -> Executor | None:
        """Return a fresh global pool if the old one was shut down meanwhile."""
        with _lock:
            if _pools.get(self.kind) is refused:
                if not _is_closed(refused):
                    return None
                del _pools[self.kind]
        return None if lifecycle.is_ending() else self.executor()


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


class Given(Source):
    """An executor that somebody else made and will shut down."""

    __slots__ = ("_executor",)

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def executor(self) -> Executor:
        """Return it."""
        return self._executor


class Own(Source):
    """A pool for one function alone, made at its first call.

    It ends with the global pools, or when the function is forgotten: an executor
    that nobody holds finishes what it has and ends.
    """

    __slots__ = ("_executor", "_where")

    def __init__(self, where: Where) -> None:
        self._where = where
        self._executor: Executor | None = None

    def executor(self) -> Executor:
        """Return the pool, made now if there is none."""
        return self._executor or self._make()

    def replacement(self, refused: Executor) -> Executor | None:
        """Return a fresh pool if the old one was shut down meanwhile."""
        with _lock:
            if self._executor is refused:
                if not _is_closed(refused):
                    return None
                self._executor = None
        return None if lifecycle.is_ending() else self.executor()

    def take(self) -> Executor | None:
        """Give the pool away, without making a new one; the caller holds the lock."""
        executor, self._executor = self._executor, None
        return executor

    def _make(self) -> Executor:
        lifecycle.refuse_when_ending()
        _watch_forks()
        with _lock:
            if self._executor is None:
                self._executor = self._where.make()
                _own.add(self)
            return self._executor


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
            return Own(self)
        if self.executor is not None:
            return Global(self.executor)
        return Redirected(self.kind)

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
            executor = _KINDS.get(executor.kind)
        return Where, (self.kind, executor, *self[2:])


def executor_for(kind: str) -> Executor:
    """Return the executor for calls of a kind that were not given one."""
    return Redirected(kind).executor()


def make_executor(
    kind: str,
    max_workers: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Executor:
    """Make a new executor of a kind; inside a worker process, not one of processes.

    Inside an interpreter beside the main one all is serial: it may have no threads
    that end with the program.
    """
    from parallelize.cpus import workers_from_environment

    if kind == "serial" or _inside_interpreter():
        from parallelize.executors.serial import SerialExecutor

        return SerialExecutor()
    if kind == "process" and _inside_worker():
        from parallelize.executors.in_place import InPlaceExecutor

        return InPlaceExecutor()
    workers = workers_from_environment() if max_workers is None else max_workers
    if kind == "thread":
        from parallelize.executors.thread import ThreadPoolExecutor

        return ThreadPoolExecutor(workers, "parallelize", initializer, initargs)
    if kind == "interpreter":
        from parallelize.executors.interpreter import InterpreterPoolExecutor

        return InterpreterPoolExecutor(workers, "parallelize", initializer, initargs)
    from parallelize.executors.process import ProcessPoolExecutor

    return ProcessPoolExecutor(workers, None, initializer, initargs)


def _inside_worker() -> bool:
    worker = sys.modules.get("parallelize.process.worker")
    return worker is not None and worker.inside_worker()


def _inside_interpreter() -> bool:
    serving = sys.modules.get("parallelize.interpreters.serving")
    return serving is not None and serving.inside_interpreter()


# ------------------------------------------------------- what the user may name


def adapt(executor: object, argument: str = "executor") -> Executor | str:
    """Return an executor of ours, or the plain word for a kind.

    Args:
        executor: An executor of ours, any PEP 3148 executor, or a kind.
        argument: How an error names what was given.

    Raises:
        TypeError: It is neither an executor nor a word.
        ValueError: It is a word, but no kind.
    """
    if isinstance(executor, str):
        return kind_named(executor, argument)
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        msg = f"{argument} must be an executor or one of {_words()}, not {executor!r}"
        raise TypeError(msg)
    return _ours(executor)


def kind_named(word: str, argument: str) -> str:
    """Return the plain word for a kind, or raise naming the argument."""
    kind = _KINDS.get(word)
    if kind is None:
        msg = f"{argument} must be an executor or one of {_words()}, not {word!r}"
        raise ValueError(msg)
    return kind


def _words() -> str:
    return ", ".join(map(repr, _KINDS))


# The wrapper of each foreign executor that is in use, by the executor's id; as
# long as there is a wrapper, it keeps its executor alive and so the id its own.
_foreign: weakref.WeakValueDictionary[int, Executor] = weakref.WeakValueDictionary()


def _ours(executor: Any) -> Executor:  # anything with a submit
    from parallelize.executors.base import Executor

    if isinstance(executor, Executor):
        return executor
    from parallelize.executors.foreign import ForeignExecutor

    with _lock:
        wrapper = _foreign.get(id(executor))
        if wrapper is None:
            _foreign[id(executor)] = wrapper = ForeignExecutor(executor)
        return wrapper


# ------------------------------------------------------------- the global pools

# Guards everything below that changes. It is reentrant because making a pool may
# collect garbage, whose finalisers may call decorated functions.
_lock = threading.RLock()

_pools: dict[str, Executor] = {}
_own: weakref.WeakSet[Own] = weakref.WeakSet()


def _make_global(kind: str) -> Executor:
    lifecycle.refuse_when_ending()
    _watch_forks()
    with _lock:
        pool = _pools.get(kind)
        if pool is None:
            pool = _pools.setdefault(kind, make_executor(kind))
        return pool


def shutdown(wait: bool = True, *, cancel_futures: bool = False) -> None:
    """Shut down the global pools, and the pools that functions have of their own.

    Executors that you made yourself are yours to shut down. The next call of a
    decorated function or a helper makes fresh pools; the environment is read
    again then.

    Args:
        wait: Return when all that was submitted has run and the workers are gone.
        cancel_futures: Cancel the calls that have not begun.

    Example:
        >>> import parallelize
        >>> parallelize.shutdown()
    """
    with _lock:
        pools = [*_pools.values(), *(own.take() for own in list(_own))]
        _pools.clear()
        _environment.forget()
    closing = [pool for pool in pools if pool is not None]
    for pool in closing:  # all are told before the first is waited for
        pool.shutdown(wait=False, cancel_futures=cancel_futures)
    if wait:
        for pool in closing:
            pool.shutdown(wait=True, cancel_futures=cancel_futures)


def _is_closed(executor: Executor) -> bool:
    return bool(getattr(executor, "_closed", False))


#: A fork waits so many seconds for a pool that another thread is making.
LONGEST_PAUSE = 5.0

_watches_forks = False
_of_parents: list[Executor | None] = []


class _Pauses(threading.local):
    """Whether this thread, which forks, got the lock; once for each registration."""

    def __init__(self) -> None:
        self.hold_lock: list[bool] = []


_pauses = _Pauses()


def _watch_forks() -> None:
    """Have the pools forgotten in forked children; at exit they end by themselves."""
    global _watches_forks
    with _lock:
        if _watches_forks or not hasattr(os, "register_at_fork"):
            return
        # What is registered last is called first. We have to come before `logging`,
        # which takes its own lock for a fork: who makes a pool may want that one.
        _register_at_fork()
        import logging  # noqa: F401  # pyright: ignore[reportUnusedImport]

        _register_at_fork()
        _watches_forks = True


def _register_at_fork() -> None:
    os.register_at_fork(
        before=_pause, after_in_parent=_resume, after_in_child=_forget_in_child
    )


def _pause() -> None:
    # No fork while a thread makes a pool: what that thread imports would stay
    # locked for ever in the child. But rather so than no fork at all.
    _pauses.hold_lock.append(_lock.acquire(timeout=LONGEST_PAUSE))


def _resume() -> None:
    if _pauses.hold_lock and _pauses.hold_lock.pop():
        _lock.release()


def _forget_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _pauses.hold_lock.clear()
    # They are kept, not collected: their finalisers would take locks of theirs.
    _of_parents.extend(_pools.values())
    _of_parents.extend(own.take() for own in list(_own))
    _pools.clear()


# ------------------------------------------------- what the program has chosen


class _Environment:
    """What PARALLELIZE_EXECUTOR says, read when it is first asked for."""

    def __init__(self) -> None:
        self._choice: Source | None = None
        self._is_read = False

    def choice(self) -> Source | None:
        if not self._is_read:
            self._choice = self._read()
            self._is_read = True
        return self._choice

    def forget(self) -> None:
        self._is_read = False

    def _read(self) -> Source | None:
        word = os.environ.get(KIND_VARIABLE, "").strip()
        if not word:
            return None
        if word not in _KINDS:
            msg = (
                f"the environment variable {KIND_VARIABLE} must be one of "
                f"{_words()}, not {word!r}"
            )
            raise ValueError(msg)
        return Global(_KINDS[word])


_environment = _Environment()


class _Unset(Source):
    """Stands for: no `use` in this context."""

    __slots__ = ()

    def executor(self) -> Executor:
        raise NotImplementedError


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
        with _lock:
            _drop_buried()
            _program.append((weakref.ref(self), choice))
            _settle_program()

    def __enter__(self) -> None:
        with _lock:
            _program[:] = [entry for entry in _program if entry[0]() is not self]
            _settle_program()
        self._tokens.append(_scoped.set(self._choice))

    def __exit__(self, *_: object) -> None:
        _scoped.reset(self._tokens.pop())


def _drop_buried() -> None:
    """Drop entries that can never count again: those below one that cannot leave."""
    for index in range(len(_program) - 1, -1, -1):
        if _program[index][0]() is None:
            del _program[:index]
            return


def _settle_program() -> None:
    global _programs_choice
    _programs_choice = _program[-1][1] if _program else None


def use(executor: AnyExecutor | None) -> Use:
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
            on) "interpreters", which stand for the global pools; None takes the
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
