"""The shared pools: one of each kind, made on first use, ended with the program.

A function holds an `ExecutorSource`, which names the executor for each call: the pools
behind it come and go (`shutdown`, `os.fork`), the function stays.
"""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from functools import partial

from parallelize.registry.kinds import make_executor, prestart

# At module level, not at first use: after a fork while another thread imports it, the
# child would wait for that import forever.
from parallelize.runtime import lifecycle, locks, uncollected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.executors.base import Executor

_new_lock = locks.reentrant("pools")


class ExecutorSource(ABC):
    """Names the executor for each call of a function."""

    __slots__ = ("__weakref__",)

    @abstractmethod
    def executor(self) -> Executor:
        """Return the executor for a call that is made now."""

    def replacement(self, refused: Executor) -> Executor | None:
        """Return another executor after one refused a call, None to accept that."""
        return None

    def open_executor(self) -> Executor:
        """Return the executor for a map, which keeps it from start to end."""
        executor = self.executor()
        if not _is_closed(executor):
            return executor
        fresh = self.replacement(executor)
        return executor if fresh is None else fresh


class Global(ExecutorSource):
    """The global pool of a kind, regardless of `use`."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind: str = kind

    def executor(self) -> Executor:
        """Return the global pool, made now if there is none."""
        pool = _pools.get(self.kind)
        return _make_global(self.kind) if pool is None else pool

    def replacement(self, refused: Executor) -> Executor | None:
        """Return a fresh global pool if the old one was shut down in the meantime."""
        with _lock:
            if _pools.get(self.kind) is refused:
                if not _is_closed(refused):
                    return None
                del _pools[self.kind]
        return None if lifecycle.is_ending() else self.executor()


class FixedSource(ExecutorSource):
    """An executor that the user made and will shut down."""

    __slots__ = ("_executor",)

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def executor(self) -> Executor:
        """Return that executor."""
        return self._executor


class PrivatePool(ExecutorSource):
    """A private pool of one function, made at its first call.

    It ends with the global pools, or when the function is garbage collected: an
    executor without references finishes what was submitted and ends.

    Args:
        make: Makes the pool.
    """

    __slots__ = ("_executor", "_make_one")

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make_one = make
        self._executor: Executor | None = None

    def executor(self) -> Executor:
        """Return the pool, made now if there is none."""
        pool = self._executor
        return self._make() if pool is None else pool

    def replacement(self, refused: Executor) -> Executor | None:
        """Return a fresh pool if the old one was shut down in the meantime."""
        with _lock:
            if self._executor is refused:
                if not _is_closed(refused):
                    return None
                self._executor = None
        return None if lifecycle.is_ending() else self.executor()

    def take(self) -> Executor | None:
        """Return the pool, if there is one, and forget it; call with the lock held."""
        executor, self._executor = self._executor, None
        return executor

    def _make(self) -> Executor:
        lifecycle.refuse_when_ending()
        _watch_forks()
        with _lock:
            if self._executor is None:
                self._executor = self._make_one()
                _own.add(self)
            return self._executor


# ------------------------------------------------------------- the global pools

# Guards everything below that changes. Reentrant, as making a pool may trigger a
# garbage collection, and finalizers may call decorated functions.
_lock = _new_lock()

#: Counts the calls of `shutdown`: what was looked up in an earlier generation is stale.
generation: int = 0

_pools: dict[str, Executor] = {}
_own: weakref.WeakSet[PrivatePool] = weakref.WeakSet()


def _make_global(kind: str) -> Executor:
    lifecycle.refuse_when_ending()
    with _lock:
        pool = _pools.get(kind)
        if pool is None:
            pool = _pools.setdefault(kind, uncollected(partial(_make_shared, kind)))
        return pool


def _make_shared(kind: str) -> Executor:
    early = prestart(kind)  # first, so that the server starts while the rest is loaded
    try:
        _watch_forks()
        return make_executor(kind, early=early)
    except BaseException:
        if early is not None:
            early.finish()
        raise


def shutdown(wait: bool = True, *, cancel_futures: bool = False) -> None:
    """Shut down the global pools and the private pools of functions.

    It does not shut down executors that you made yourself. The next call of a
    decorated function or a helper makes a fresh pool, and reads the environment
    again.

    Args:
        wait: Return when all that was submitted has run and the workers have ended.
        cancel_futures: Cancel the calls that have not started.

    Example:
        >>> import parallelize
        >>> parallelize.shutdown()
    """
    global generation
    with _lock:
        pools = [*_pools.values(), *(own.take() for own in locks.members(_own))]
        _pools.clear()
        generation += 1
    closing = [pool for pool in pools if pool is not None]
    for pool in closing:  # all begin to end before the first is waited for
        pool.shutdown(wait=False, cancel_futures=cancel_futures)
    if wait:
        for pool in closing:
            pool.shutdown(wait=True, cancel_futures=cancel_futures)


def existing() -> list[tuple[str, Executor]]:
    """Return the global pools and the private pools of functions, with their kinds."""
    with _lock:
        private = [own._executor for own in locks.members(_own)]
        owned = [(each.kind, each) for each in private if each is not None]
        return [*_pools.items(), *owned]


def _is_closed(executor: Executor) -> bool:
    return bool(getattr(executor, "_closed", False))


#: The seconds for which a fork waits for a pool that another thread is making.
LONGEST_PAUSE = 5.0

_watches_forks = False
_of_parents: list[Executor | None] = []


class _Pauses(threading.local):
    """Whether the forking thread acquired the lock, for each registration."""

    def __init__(self) -> None:
        self.hold_lock: list[bool] = []


_pauses = _Pauses()


def _watch_forks() -> None:
    """Drop the pools in forked children; at exit they end by themselves."""
    global _watches_forks
    with _lock:
        if _watches_forks:
            return
        # Handlers are called in reverse order of registration. Ours must be called
        # before that of `logging`, which acquires its own lock for the fork: a thread
        # that makes a pool may wait for that lock.
        _register_at_fork()
        import logging  # noqa: F401  # pyright: ignore[reportUnusedImport]

        _register_at_fork()
        _watches_forks = True


def _register_at_fork() -> None:
    locks.at_fork(
        before=_pause, after_in_parent=_resume, after_in_child=_forget_in_child
    )


def _pause() -> None:
    # No fork while a thread makes a pool: the locks of modules it imports would stay
    # locked forever in the child. After the timeout the fork goes ahead regardless.
    _pauses.hold_lock.append(_lock.acquire(timeout=LONGEST_PAUSE))


def _resume() -> None:
    if _pauses.hold_lock and _pauses.hold_lock.pop():
        _lock.release()


def _forget_in_child() -> None:
    global _lock
    _lock = _new_lock()
    _pauses.hold_lock.clear()
    # Kept, not garbage collected: their finalizers would acquire locks of theirs.
    _of_parents.extend(_pools.values())
    _of_parents.extend(own.take() for own in locks.members(_own))
    _pools.clear()
