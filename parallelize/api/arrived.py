"""A decorated function that another package's process pool calls: it runs in place.

`pool.submit(decorated, 1)` on a pool of the standard library, loky, mpi4py or
executorlib pickles the decorated function, and a worker of that pool calls it. A future
would be of no use there, as it cannot be sent back. So a decorated function that has
been unpickled looks at the caller of each call, and if that is such a pool, runs in
place and returns the value. All other calls return futures, as everywhere.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.api.facade import CallAttribute
from parallelize.calls.references import Place, found_by_name
from parallelize.executors.in_place import InPlaceExecutor
from parallelize.registry.kinds import inside_worker
from parallelize.registry.shared_pools import ExecutorSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from parallelize.executors.base import Executor
    from parallelize.runtime.options import Args, CallOptions, Kwargs

__all__ = ("arrived", "arriving", "source_of_arrived")

#: The modules whose functions call what was submitted, in the workers of each pool.
_POOLS = (
    "concurrent.futures.process",
    "concurrent.futures.interpreter",
    "multiprocessing.",
    "loky.",
    "mpi4py.",
    "executorlib.",
)


def arriving(module: str, reduced: str | tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a reduction of a decorated function that calls `arrived`.

    Args:
        module: The module of the function.
        reduced: The function as its parts, or its name in the module.
    """
    if isinstance(reduced, str):
        reduced = found_by_name, (Place(module, reduced, 0),)
    make, args, *state = reduced
    return arrived, (make, *args), *state


def arrived(make: Callable[..., Any], *args: Any) -> Any:  # a decorated function
    """Return a decorated function that a pickle brings; pickles name this function."""
    function = make(*args)
    source = vars(function).get("_source")
    if source is not None and not inside_worker():  # None: its state is read later
        function._source = renewed = source_of_arrived(source)
        # Some pools call `f.__call__`, which is that of a copy; it shows a signature.
        shown = vars(function).get("__call__")
        if isinstance(shown, CallAttribute):
            shown.function._source = renewed
        else:
            vars(function)["__call__"] = partial(function)
    return function


def source_of_arrived(source: ExecutorSource) -> ExecutorSource:
    """Return the source for a function that has been unpickled in this process."""
    return source if type(source) is _Arrived else _Arrived(source)


class _Arrived(ExecutorSource):
    """The executor of the calls of a pool's worker is this thread."""

    __slots__ = ("_source",)

    def __init__(self, source: ExecutorSource) -> None:
        self._source = source

    def executor(self) -> Executor:
        return _Valued() if _is_called_by_pool() else self._source.executor()

    def replacement(self, refused: Executor) -> Executor | None:
        # An error of the function is no refusal.
        return None if type(refused) is _Valued else self._source.replacement(refused)

    def open_executor(self) -> Executor:
        return self._source.open_executor()


def _is_called_by_pool() -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module: str = frame.f_globals.get("__name__") or ""
        if not module.startswith("parallelize."):
            return module.startswith(_POOLS)
        frame = frame.f_back
    return False


class _Valued(InPlaceExecutor):
    """Returns the value of a call in place of its future."""

    def _submit(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Any:
        return super()._submit(fn, args, kwargs, options).result()
