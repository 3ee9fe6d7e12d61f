"""The names of the kinds of executors, and the making of executors by name.

Where an executor is wanted, a user may give one of these names, an executor of this
library, or any other PEP 3148 executor. `adapt` reduces them to the first two.
"""

from __future__ import annotations

import sys
import weakref

from parallelize.runtime import locks
from parallelize.runtime.options import check_callable, check_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable
    from typing import Any, Literal, TypeAlias

    from parallelize.executors.base import Executor
    from parallelize.process.start.early import Prestart

    Kind: TypeAlias = Literal[
        "threads",
        "processes",
        "interpreters",
        "serial",
        "dask",
        "ray",
        "thread",
        "process",
        "interpreter",
    ]
    AnyExecutor: TypeAlias = concurrent.futures.Executor | Kind

_new_lock = locks.reentrant("adopting")

#: Third-party engines: the name alone, or followed by the address of a cluster.
_ENGINES = ("dask", "ray")

#: The kinds of executors on this machine,
_LOCAL = ("threads", "processes", "interpreters", "serial")

#: and the words that are accepted for them, the singular ones without being shown.
KINDS = {
    **{kind: kind for kind in _LOCAL},
    "thread": "threads",
    "process": "processes",
    "interpreter": "interpreters",
}

_OURS = frozenset((*KINDS, *_ENGINES))


# ------------------------------------------------------- what the user may name


def adapt(executor: object) -> Executor | str:
    """Return an executor of this library, or the canonical name of a kind.

    Args:
        executor: Any PEP 3148 executor, or the name of a kind.

    Raises:
        TypeError: It is neither an executor nor a string.
        ValueError: It is a string, but names no kind.
    """
    if isinstance(executor, str):
        # The name of an engine, with or without an address, is canonical.
        kind = executor if is_engine(executor) else KINDS.get(executor)
        if kind is None:
            raise ValueError(_no_executor(executor))
        return kind
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        raise TypeError(_no_executor(executor))
    return _ours(executor)


def _no_executor(given: object) -> str:
    return f"executor must be an executor or one of {valid_names()}, not {given!r}"


def is_engine(word: str) -> bool:
    """Whether a name stands for a third-party engine, with or without an address."""
    name, scheme, address = word.partition("://")
    return name in _ENGINES and bool(scheme) == bool(address)


def valid_names() -> str:
    """Return the names of all kinds, as an error lists them."""
    addresses = (f"'{name}://host:port'" for name in _ENGINES)
    return ", ".join(
        [*map(repr, (*_LOCAL, *_ENGINES)), *addresses, *map(repr, _registered)]
    )


# Guards _foreign. Reentrant, as making a wrapper may trigger a garbage collection, and
# finalizers may call decorated functions.
_adopting = _new_lock()
locks.renew_in_child(globals(), "_adopting", _new_lock)

# The wrappers of foreign executors in use, by the id of the executor. A wrapper keeps
# its executor alive, so that no other object can have that id meanwhile.
_foreign: weakref.WeakValueDictionary[int, Executor] = weakref.WeakValueDictionary()


def _ours(executor: Any) -> Executor:  # Any: anything with a submit
    from parallelize.executors.base import Executor

    if isinstance(executor, Executor):
        return executor
    from parallelize.executors.foreign import ForeignExecutor

    with _adopting:
        wrapper = _foreign.get(id(executor))
        if wrapper is None:
            _foreign[id(executor)] = wrapper = ForeignExecutor(executor)
        return wrapper


# ------------------------------------------------------------- kinds of a user's own

#: What makes the executors of each registered kind; they are in `KINDS`, too.
_registered: dict[str, Callable[[int | None], concurrent.futures.Executor]] = {}


def register_executor(
    name: str, make: Callable[[int | None], concurrent.futures.Executor]
) -> None:
    """Give executors of your own a name, as ``"threads"`` is one of the thread pools.

    From now on `use`, `using`, ``PARALLELIZE_EXECUTOR`` and the ``executor`` option
    take it. As for each kind, the calls share one executor, which is made by the first
    of them and shut down by `shutdown` or when the program ends.

    Args:
        name: The name. If it was registered before, executors that are made from now
            on are the new ones.
        make: Makes an executor, any of PEP 3148, for a number of workers; for None it
            chooses the number. A class of executors whose first argument is
            ``max_workers`` will do.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: The name is one of parallelize's own, or an address.

    Example:
        >>> import concurrent.futures
        >>> from parallelize import processed, register_executor, using
        >>> register_executor("plain-threads", concurrent.futures.ThreadPoolExecutor)
        >>> @processed
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> with using("plain-threads"):
        ...     double(21).result()
        42
    """
    check_text(name, "name")
    check_callable(make, "make")
    if not name or name != name.strip() or "://" in name or name in _OURS:
        msg = f"name must be a new one, other than {valid_names()}, not {name!r}"
        raise ValueError(msg)
    _registered[name] = make
    KINDS[name] = name


def _make_registered(
    kind: str, max_workers: int | None, initializer: Callable[..., object] | None
) -> Executor:
    if initializer is not None:
        msg = f"initializer cannot be set for {kind!r}: its executor makes its workers"
        raise ValueError(msg)
    from parallelize.executors.base import Executor
    from parallelize.executors.foreign import ForeignExecutor

    made = _registered[kind](max_workers)
    return made if isinstance(made, Executor) else ForeignExecutor(made, owned=True)


# ------------------------------------------------------------- making executors


def make_executor(
    kind: str,
    max_workers: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    early: Prestart | None = None,
    **pool: Any,  # each of a type of its own
) -> Executor:
    """Make a new executor of a kind; inside a worker process, one without processes.

    Inside an interpreter beside the main one every kind is serial, as it may not have
    daemon threads.

    Args:
        kind: The kind.
        max_workers: As for the executor itself.
        initializer: Likewise.
        initargs: Likewise.
        early: The result of `prestart` for this kind.
        **pool: Other arguments of the executor, if it takes them.
    """
    if is_engine(kind):
        return _make_engine(kind, max_workers, initializer)
    from parallelize.runtime.cpus import workers_from_environment

    if kind == "serial" or inside_interpreter():
        from parallelize.executors.serial import SerialExecutor

        return SerialExecutor()
    if kind in _registered:
        return _make_registered(kind, max_workers, initializer)
    if kind == "processes" and inside_worker():
        from parallelize.executors.in_place import InPlaceExecutor

        return InPlaceExecutor()
    workers = workers_from_environment() if max_workers is None else max_workers
    if kind == "threads":
        from parallelize.executors.thread import ThreadPoolExecutor

        return ThreadPoolExecutor(workers, "parallelize", initializer, initargs, **pool)
    if kind == "interpreters":
        from parallelize.executors.interpreter import InterpreterPoolExecutor

        return InterpreterPoolExecutor(
            workers, "parallelize", initializer, initargs, **pool
        )
    from parallelize.executors.process import ProcessPoolExecutor

    context = pool.pop("mp_context", None)
    executor = ProcessPoolExecutor(workers, context, initializer, initargs, **pool)
    executor._early = early
    return executor


def prestart(kind: str) -> Prestart | None:
    """Start the server of a kind, if it has one, before the executor is loaded."""
    if kind != "processes" or inside_worker() or inside_interpreter():
        return None
    from parallelize.process.start.early import prestart_default

    return prestart_default()


def _make_engine(
    kind: str, max_workers: int | None, initializer: Callable[..., object] | None
) -> Executor:
    if inside_worker():  # the cluster is the parent program's to use
        return make_executor("processes")
    if initializer is not None or (max_workers is not None and kind != "dask"):
        argument = "max_workers" if initializer is None else "initializer"
        msg = f"{argument} cannot be set for {kind!r}: the cluster defines its workers"
        raise ValueError(msg)
    if kind.startswith("dask"):
        from parallelize.clusters.dask import DaskExecutor

        if kind != "dask":
            return DaskExecutor(kind)
        from parallelize.runtime.cpus import workers_from_environment

        workers = workers_from_environment() if max_workers is None else max_workers
        return DaskExecutor(max_workers=workers)
    from parallelize.clusters.ray import RayExecutor

    return RayExecutor(kind if kind != "ray" else None)


def inside_worker() -> bool:
    """Whether this is a worker process, of this library or of a third-party engine."""
    return any(
        module is not None and module.inside_worker()
        for module in map(sys.modules.get, _WORKERS)
    )


_WORKERS = ("parallelize.process.worker.main", "parallelize.clusters.payloads")


def inside_interpreter() -> bool:
    """Whether this is a worker of this library in a subinterpreter."""
    serving = sys.modules.get("parallelize.interpreters.inner")
    return serving is not None and serving.inside_interpreter()
