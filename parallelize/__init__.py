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
#   api/          the public API: decorators, maps of plain functions, `use`
#   registry/     which executor a name stands for, and the shared executors
#   clusters/     executors on third-party engines
#   insight/      traces, dumps, reports
#   executors/    one file per kind of executor, over the base in executors/base
#   interpreters/ interpreters beside the main one
#   process/      the process engine: parent, start, worker, memory, wire
#   threads/, loops/, streams/    the thread engine; async calls; generators
#   mapping/, tracing/    the one map; the recorder used by the engines
#   inside/       what a call can ask of the worker that runs it
#   calls/        how a call gets to its executor
#   serialize/    pickling of values and functions
#   futures/      the results of calls, and how to wait for them
#   errors/       the errors
#   runtime/      the base of everything else
#
# Imports go from the top of this list to its end, never back.
#
# Nothing is imported before it is used, so that importing parallelize and
# decorating a function cost next to nothing. Type checkers see real imports.

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builtins import TimeoutError  # noqa: A004 - the same object
    from concurrent.futures import (
        ALL_COMPLETED,
        FIRST_COMPLETED,
        FIRST_EXCEPTION,
        BrokenExecutor,
        CancelledError,
        InvalidStateError,
    )

    from parallelize.api.decorators import (
        interpreted,
        parallelized,
        processed,
        threaded,
    )
    from parallelize.api.function import ParallelFunction
    from parallelize.api.maps import parallel_map, process_map, thread_map
    from parallelize.api.stream_function import StreamFunction
    from parallelize.api.use import use, using
    from parallelize.calls.stats import Stats
    from parallelize.clusters.dask import DaskExecutor
    from parallelize.clusters.ray import RayExecutor
    from parallelize.errors import (
        CheckpointError,
        ClusterLost,
        MissingExtraError,
        ParallelizeError,
        PerWorkerError,
        QueueFull,
        RemoteError,
        RemoteTraceback,
        SerializationError,
        TaskKilled,
        TaskTimeout,
        WorkerDied,
        WorkerStartError,
    )
    from parallelize.executors.base import Executor
    from parallelize.executors.interpreter import InterpreterPoolExecutor
    from parallelize.executors.process import ProcessPoolExecutor
    from parallelize.executors.serial import SerialExecutor
    from parallelize.executors.thread import ThreadPoolExecutor
    from parallelize.futures.future import Future
    from parallelize.futures.gather import gather
    from parallelize.futures.group import TaskGroup
    from parallelize.futures.wait import as_completed, wait
    from parallelize.inside.per_worker import PerWorker, per_worker
    from parallelize.inside.stopping import check_stop, stopping
    from parallelize.inside.worker import Worker, worker
    from parallelize.insight.dump import dump, dump_on_signal
    from parallelize.insight.observe import Event, observe
    from parallelize.insight.trace import trace
    from parallelize.mapping import MapIterator
    from parallelize.pace.rate import RateLimit
    from parallelize.pace.waits import backoff, retry_after
    from parallelize.process.memory.shared import Shared, share
    from parallelize.registry.draining import drain_on_signal
    from parallelize.registry.kinds import register_executor
    from parallelize.registry.shared_pools import shutdown
    from parallelize.registry.shared_stats import stats
    from parallelize.runtime.cpus import cpu_count
    from parallelize.runtime.options import Limit
    from parallelize.streams.stream import Stream

__all__ = (
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenExecutor",
    "CancelledError",
    "CheckpointError",
    "ClusterLost",
    "DaskExecutor",
    "Event",
    "Executor",
    "Future",
    "InterpreterPoolExecutor",
    "InvalidStateError",
    "Limit",
    "MapIterator",
    "MissingExtraError",
    "ParallelFunction",
    "ParallelizeError",
    "PerWorker",
    "PerWorkerError",
    "ProcessPoolExecutor",
    "QueueFull",
    "RateLimit",
    "RayExecutor",
    "RemoteError",
    "RemoteTraceback",
    "SerialExecutor",
    "SerializationError",
    "Shared",
    "Stats",
    "Stream",
    "StreamFunction",
    "TaskGroup",
    "TaskKilled",
    "TaskTimeout",
    "ThreadPoolExecutor",
    "TimeoutError",
    "Worker",
    "WorkerDied",
    "WorkerStartError",
    "as_completed",
    "backoff",
    "check_stop",
    "cpu_count",
    "drain_on_signal",
    "dump",
    "dump_on_signal",
    "gather",
    "interpreted",
    "observe",
    "parallel_map",
    "parallelized",
    "per_worker",
    "process_map",
    "processed",
    "register_executor",
    "retry_after",
    "share",
    "shutdown",
    "stats",
    "stopping",
    "thread_map",
    "threaded",
    "trace",
    "use",
    "using",
    "wait",
    "worker",
)

# The module of each public name, which is imported when the name is used.
_HOMES = {
    "builtins": ("TimeoutError",),  # the standard library's package has it, too
    "concurrent.futures": (
        "ALL_COMPLETED",
        "FIRST_COMPLETED",
        "FIRST_EXCEPTION",
        "BrokenExecutor",
        "CancelledError",
        "InvalidStateError",
    ),
    "parallelize.api.use": ("use", "using"),
    "parallelize.runtime.cpus": ("cpu_count",),
    "parallelize.api.decorators": (
        "interpreted",
        "parallelized",
        "processed",
        "threaded",
    ),
    "parallelize.errors": (
        "CheckpointError",
        "ClusterLost",
        "MissingExtraError",
        "ParallelizeError",
        "PerWorkerError",
        "QueueFull",
        "RemoteError",
        "RemoteTraceback",
        "SerializationError",
        "TaskKilled",
        "TaskTimeout",
        "WorkerDied",
        "WorkerStartError",
    ),
    "parallelize.executors.base": ("Executor",),
    "parallelize.clusters.dask": ("DaskExecutor",),
    "parallelize.executors.interpreter": ("InterpreterPoolExecutor",),
    "parallelize.executors.process": ("ProcessPoolExecutor",),
    "parallelize.clusters.ray": ("RayExecutor",),
    "parallelize.executors.serial": ("SerialExecutor",),
    "parallelize.executors.thread": ("ThreadPoolExecutor",),
    "parallelize.api.function": ("ParallelFunction",),
    "parallelize.futures.future": ("Future",),
    "parallelize.futures.gather": ("gather",),
    "parallelize.futures.group": ("TaskGroup",),
    "parallelize.inside.per_worker": ("PerWorker", "per_worker"),
    "parallelize.inside.stopping": ("check_stop", "stopping"),
    "parallelize.inside.worker": ("Worker", "worker"),
    "parallelize.insight.dump": ("dump", "dump_on_signal"),
    "parallelize.insight.observe": ("Event", "observe"),
    "parallelize.insight.trace": ("trace",),
    "parallelize.api.maps": ("parallel_map", "process_map", "thread_map"),
    "parallelize.futures.wait": ("as_completed", "wait"),
    "parallelize.mapping": ("MapIterator",),
    "parallelize.runtime.options": ("Limit",),
    "parallelize.pace.rate": ("RateLimit",),
    "parallelize.pace.waits": ("backoff", "retry_after"),
    "parallelize.registry.draining": ("drain_on_signal",),
    "parallelize.registry.kinds": ("register_executor",),
    "parallelize.registry.shared_pools": ("shutdown",),
    "parallelize.registry.shared_stats": ("stats",),
    "parallelize.calls.stats": ("Stats",),
    "parallelize.process.memory.shared": ("Shared", "share"),
    "parallelize.api.stream_function": ("StreamFunction",),
    "parallelize.streams.stream": ("Stream",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            from functools import partial
            from importlib import import_module

            from parallelize.runtime import uncollected

            module = uncollected(partial(import_module, home))
            value: object = getattr(module, name)
            globals()[name] = value  # further look-ups do not get here
            return value
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
