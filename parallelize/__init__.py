"""Decorators and executors that make functions run in parallel.

Example:
    >>> from parallelize import processed, threaded
    >>> @threaded
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> double(21).result()
    42
    >>> list(double.map([1, 2, 3]))
    [2, 4, 6]
"""

# General layout:
#
#   decorators, helpers   what users write: decorators, and maps of plain functions
#   function, settings    the decorated function, and the options it was given
#   mapping               the one map: window, chunks, order, errors
#   streams/              generators that run in a worker while they are read
#   pools                 which executor takes a call: the global pools
#   executors/            one backend a file over the base in executors/base
#   process/              the process engine, both ends of the wire
#   sharing               what is put into memory once for all processes
#   insight/              what a run shows of itself
#   calls, dependencies   the road of a call to its executor
#   futures, proxies      what a call gives
#   gathering, groups     many of them: one future of all, a block that awaits them
#   callables, options, cpus, errors, lifecycle    known to all, knowing nobody
#
# Imports go from the top of this list to its end, never back.
#
# Nothing is imported before it is used, so that importing parallelize and
# decorating a function cost next to nothing. Type checkers see true imports.

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builtins import TimeoutError  # noqa: A004 - the very one
    from concurrent.futures import BrokenExecutor

    from parallelize.choice import use, using
    from parallelize.cpus import cpu_count
    from parallelize.decorators import interpreted, parallelized, processed, threaded
    from parallelize.errors import (
        ClusterLost,
        MissingExtraError,
        ParallelizeError,
        RemoteError,
        RemoteTraceback,
        SerializationError,
        TaskKilled,
        TaskTimeout,
        WorkerDied,
        WorkerStartError,
    )
    from parallelize.executors.base import Executor
    from parallelize.executors.dask import DaskExecutor
    from parallelize.executors.interpreter import InterpreterPoolExecutor
    from parallelize.executors.process import ProcessPoolExecutor
    from parallelize.executors.ray import RayExecutor
    from parallelize.executors.serial import SerialExecutor
    from parallelize.executors.thread import ThreadPoolExecutor
    from parallelize.function import ParallelFunction
    from parallelize.futures import (
        ALL_COMPLETED,
        FIRST_COMPLETED,
        FIRST_EXCEPTION,
        CancelledError,
        Future,
        InvalidStateError,
    )
    from parallelize.gathering import gather
    from parallelize.groups import TaskGroup
    from parallelize.helpers import parallel_map, process_map, thread_map
    from parallelize.insight.dump import dump, dump_on_signal
    from parallelize.insight.trace import trace
    from parallelize.joining import as_completed, wait
    from parallelize.mapping import MapIterator
    from parallelize.options import Limit
    from parallelize.pools import shutdown
    from parallelize.sharing import Shared, share
    from parallelize.streams.function import StreamFunction
    from parallelize.streams.stream import Stream

__all__ = (
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenExecutor",
    "CancelledError",
    "ClusterLost",
    "DaskExecutor",
    "Executor",
    "Future",
    "InterpreterPoolExecutor",
    "InvalidStateError",
    "Limit",
    "MapIterator",
    "MissingExtraError",
    "ParallelFunction",
    "ParallelizeError",
    "ProcessPoolExecutor",
    "RayExecutor",
    "RemoteError",
    "RemoteTraceback",
    "SerialExecutor",
    "SerializationError",
    "Shared",
    "Stream",
    "StreamFunction",
    "TaskGroup",
    "TaskKilled",
    "TaskTimeout",
    "ThreadPoolExecutor",
    "TimeoutError",
    "WorkerDied",
    "WorkerStartError",
    "as_completed",
    "cpu_count",
    "dump",
    "dump_on_signal",
    "gather",
    "interpreted",
    "parallel_map",
    "parallelized",
    "process_map",
    "processed",
    "share",
    "shutdown",
    "thread_map",
    "threaded",
    "trace",
    "use",
    "using",
    "wait",
)

# Where each public name comes from, when somebody asks for it.
_HOMES = {
    "builtins": ("TimeoutError",),  # which the standard library's package has, too
    "concurrent.futures": ("BrokenExecutor",),
    "parallelize.choice": ("use", "using"),
    "parallelize.cpus": ("cpu_count",),
    "parallelize.decorators": ("interpreted", "parallelized", "processed", "threaded"),
    "parallelize.errors": (
        "ClusterLost",
        "MissingExtraError",
        "ParallelizeError",
        "RemoteError",
        "RemoteTraceback",
        "SerializationError",
        "TaskKilled",
        "TaskTimeout",
        "WorkerDied",
        "WorkerStartError",
    ),
    "parallelize.executors.base": ("Executor",),
    "parallelize.executors.dask": ("DaskExecutor",),
    "parallelize.executors.interpreter": ("InterpreterPoolExecutor",),
    "parallelize.executors.process": ("ProcessPoolExecutor",),
    "parallelize.executors.ray": ("RayExecutor",),
    "parallelize.executors.serial": ("SerialExecutor",),
    "parallelize.executors.thread": ("ThreadPoolExecutor",),
    "parallelize.function": ("ParallelFunction",),
    "parallelize.futures": (
        "ALL_COMPLETED",
        "FIRST_COMPLETED",
        "FIRST_EXCEPTION",
        "CancelledError",
        "Future",
        "InvalidStateError",
    ),
    "parallelize.gathering": ("gather",),
    "parallelize.groups": ("TaskGroup",),
    "parallelize.insight.dump": ("dump", "dump_on_signal"),
    "parallelize.insight.trace": ("trace",),
    "parallelize.helpers": ("parallel_map", "process_map", "thread_map"),
    "parallelize.joining": ("as_completed", "wait"),
    "parallelize.mapping": ("MapIterator",),
    "parallelize.options": ("Limit",),
    "parallelize.pools": ("shutdown",),
    "parallelize.sharing": ("Shared", "share"),
    "parallelize.streams.function": ("StreamFunction",),
    "parallelize.streams.stream": ("Stream",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            value: object = getattr(import_module(home), name)
            globals()[name] = value  # from now on it is found without asking
            return value
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
