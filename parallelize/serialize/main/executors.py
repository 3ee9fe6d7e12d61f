"""Executors among a script's names: a worker creates its own, with equal options.

A copy would count threads and processes that do not exist, and its calls would wait for
them forever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.runtime.options import Args, Kwargs

    Reduced = tuple[Any, ...]


def fresh(obj: Any) -> Reduced | None:
    """Reduce an executor to the creation of an equal one; None for other objects."""
    for kind in type(obj).__mro__:
        reduce = _MADE.get(f"{kind.__module__}.{kind.__qualname__}")
        if reduce is not None:
            return make, (type(obj), kind, *reduce(obj)), _own_attributes(obj)
    return None


def make(kind: Any, base: Any, args: Args, kwargs: Kwargs | None = None) -> Any:
    """Create an executor of a class, but initialise only its known base."""
    made = kind.__new__(kind)
    base.__init__(made, *args, **kwargs or {})
    return made


def _own_attributes(obj: Any) -> dict[str, Any] | None:
    """Return the public attributes, which a user's class has set."""
    own = {name: value for name, value in vars(obj).items() if name[:1] != "_"}
    return own or None


def _standard_threads(obj: Any) -> Reduced:
    from_context = getattr(obj, "_create_worker_context", None)  # from Python 3.14 on
    source = obj if from_context is None else from_context()
    named = "initializer", "initargs"
    how = [getattr(source, n, getattr(source, f"_{n}", None)) for n in named]
    return ((obj._max_workers, obj._thread_name_prefix, how[0], how[1] or ()),)


def _standard_processes(obj: Any) -> Reduced:
    most = obj._max_tasks_per_child
    context = _Context(obj._mp_context.get_start_method())
    args = obj._max_workers, context, obj._initializer, obj._initargs
    return args, {"max_tasks_per_child": most} if most else {}


class _Context:
    """Pickles as a context of multiprocessing."""

    def __init__(self, method: str) -> None:
        self._method = method

    def __reduce__(self) -> Reduced:
        import multiprocessing

        return multiprocessing.get_context, (self._method,)


def _threads(obj: Any) -> Reduced:
    args = obj._max_workers, obj._thread_name_prefix, *obj._engine._initializer
    return args, {"idle_timeout": obj._idle_timeout}


def _processes(obj: Any) -> Reduced:
    settings = obj._settings
    names = "max_tasks_per_child", "max_memory_per_child", "idle_timeout"
    return settings[:4], {name: getattr(settings, name) for name in names}


def _thread_pool(obj: Any) -> Reduced:
    return ((obj._processes, obj._initializer, obj._initargs),)


_MADE: dict[str, Callable[[Any], Reduced]] = {
    "parallelize.executors.thread.ThreadPoolExecutor": _threads,
    "parallelize.executors.process.ProcessPoolExecutor": _processes,
    "concurrent.futures.thread.ThreadPoolExecutor": _standard_threads,
    "concurrent.futures.process.ProcessPoolExecutor": _standard_processes,
    "multiprocessing.pool.ThreadPool": _thread_pool,
}
