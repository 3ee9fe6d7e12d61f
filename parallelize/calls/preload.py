"""What first calls need, loaded before them where a loop would have to wait for it.

Nothing is imported before it is used, so that a program that decorates functions
starts at once. But the first call may be made by a coroutine, and then its loop stands
still while some forty modules are loaded. So in a program that has asyncio they are
loaded when it decorates a function or makes a pool, before its loop runs.
"""

from __future__ import annotations

import sys

from parallelize.calls.targets import is_async, is_generator

__all__ = ("load", "load_for")

#: For calls and maps, by the kind of executor. What these import is not named.
_CALLS = {
    "thread": ("executors.thread",),
    "process": ("executors.process", "process.parent.pool", "calls.references"),
}
_ALL_CALLS = ("futures.aio", "runtime.cpus", "mapping.reader", "mapping.order")

#: For streams, and for calls of async functions.
_STREAMS = {
    "thread": ("streams.stream", "streams.inline", "streams.local", "streams.pump"),
    "process": ("streams.stream", "streams.inline"),
}
_COROUTINES = {"thread": ("loops.pool", "runtime.timer")}

#: For functions of the script itself, which other processes cannot import.
_BY_VALUE = (
    "cloudpickle",
    "parallelize.serialize.main.encoding",
    "parallelize.serialize.main.executors",
    "parallelize.serialize.changes.sums",
    "parallelize.serialize.main.watch",
    "parallelize.serialize.reducers.by_value",
)


def load(kind: str, *more: str) -> None:
    """Load what the first call needs, if the program has asyncio.

    Args:
        kind: The kind of executor; what is not known here is left to the call.
        *more: Modules that are needed besides.
    """
    if "asyncio" not in sys.modules or kind not in _CALLS:
        return
    from importlib import import_module

    for name in (*_CALLS[kind], *_ALL_CALLS, *more):
        import_module(name if name in _BY_VALUE else f"parallelize.{name}")


def load_for(fn: object, kind: str) -> None:
    """Load what the first call of a function needs, if the program has asyncio."""
    more: tuple[str, ...] = ()
    if is_generator(fn):
        more = _STREAMS.get(kind, ())
    elif is_async(fn):
        more = _COROUTINES.get(kind, ())
    if kind == "process" and getattr(fn, "__module__", None) == "__main__":
        more += _BY_VALUE
    load(kind, *more)
