"""Early imports for first calls, where importing would block an event loop.

Modules are imported on first use, so that decorating functions does not slow down the
start of a program. But a coroutine may make the first call, and then its loop would
block while some forty modules are imported. So if asyncio is loaded they are imported
when a function is decorated or a pool is created, before the loop runs.
"""

from __future__ import annotations

import sys

from parallelize.calls.targets import is_async, is_generator

__all__ = ("load", "load_for")

#: For calls and maps, by kind of executor. Modules imported by these are not listed.
_CALLS = {
    "threads": ("executors.thread",),
    "processes": (
        "executors.process",
        "process.parent.pool",
        "process.parent.tasks.batch",
        "calls.references",
    ),
}
_ALL_CALLS = ("futures.aio", "runtime.cpus", "mapping.reader", "mapping.order")

#: For streams, and for calls of async functions.
_STREAMS = {
    "threads": ("streams.stream", "streams.inline", "streams.local", "streams.pump"),
    "processes": ("streams.stream", "streams.inline"),
}
_COROUTINES = {"threads": ("loops.pool", "runtime.timer")}

#: For functions of the script itself, which other processes cannot import.
_BY_VALUE = (
    "cloudpickle",
    "parallelize.serialize.main.encoding",
    "parallelize.serialize.main.executors",
    "parallelize.serialize.main.parameters",
    "parallelize.serialize.changes.sums",
    "parallelize.serialize.main.watch",
    "parallelize.serialize.reducers.by_value",
)


def load(kind: str, *more: str) -> None:
    """Import what the first call needs, if asyncio is loaded.

    Args:
        kind: The kind of executor; for unknown kinds nothing is imported.
        *more: Further modules to import.
    """
    if "asyncio" not in sys.modules or kind not in _CALLS:
        return
    from importlib import import_module

    for name in (*_CALLS[kind], *_ALL_CALLS, *more):
        import_module(name if name in _BY_VALUE else f"parallelize.{name}")


def load_for(fn: object, kind: str) -> None:
    """Import what the first call of a function needs, if asyncio is loaded."""
    more: tuple[str, ...] = ()
    if is_generator(fn):
        more = _STREAMS.get(kind, ())
    elif is_async(fn):
        more = _COROUTINES.get(kind, ())
    if kind == "processes" and getattr(fn, "__module__", None) == "__main__":
        more += _BY_VALUE
    load(kind, *more)
