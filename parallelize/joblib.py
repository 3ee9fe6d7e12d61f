"""A joblib backend on the process pool, for scikit-learn and other users of joblib.

    import joblib
    import parallelize.joblib  # registers the backend

    with joblib.parallel_config("parallelize", n_jobs=2):
        search.fit(X, y)

joblib only finds backends that were registered, so this module must be imported
first; it does nothing else.
"""

from __future__ import annotations

import sys
import weakref
from importlib import import_module
from typing import TYPE_CHECKING, Any

from parallelize.api.use import Placement, executor_for
from parallelize.process.memory.shared import Shared, share
from parallelize.registry.kinds import adapt
from parallelize.runtime import locks
from parallelize.runtime.options import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.executors.base import Executor
    from parallelize.futures.future import Future
    from parallelize.registry.kinds import AnyExecutor
    from parallelize.registry.shared_pools import ExecutorSource

_joblib: Any = import_module("joblib.parallel")  # it has no types

__all__ = ("ParallelizeBackend",)

#: The name of the backend in joblib.
NAME = "parallelize"

#: Arrays of at least this many bytes are put into shared memory once, as by joblib.
LEAST_SHARED = 1 << 20

# Pools of other sizes than the shared one, by their number of workers.
_sources: dict[int, ExecutorSource] = {}


if TYPE_CHECKING:

    class _Base:
        """The part of joblib's classes that is used here."""

        nesting_level: int | None

        def __init__(self, **options: Any) -> None: ...
        def reset_batch_stats(self) -> None: ...

else:

    class _Base(_joblib.AutoBatchingMixin, _joblib.ParallelBackendBase):
        """joblib's own classes: they size batches by measured time."""


class ParallelizeBackend(_Base):
    """Runs joblib's batches in processes.

    If the number of jobs is that of the workers of the shared pool, it uses that pool
    (or the executor that `parallelize.use` names), else a pool of that size, which is
    kept for later. `parallelize.shutdown` ends them all. Arrays of a megabyte and more
    among the arguments are read-only in the workers, as with joblib's own backend.

    Args:
        executor: Where to run instead: an executor, or the name of a kind.
        **options: Those of joblib's backends.
    """

    supports_retrieve_callback = True

    def __init__(self, executor: AnyExecutor | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._given = None if executor is None else adapt(executor)
        self._running: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        self._shared: dict[int, tuple[Any, Shared[Any]]] = {}
        self._executor: Executor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return the number of jobs that run at once, given the user's number."""
        if n_jobs == 0:
            msg = "n_jobs == 0 in Parallel has no meaning"
            raise ValueError(msg)
        if n_jobs is None:
            return 1
        if n_jobs < 0:
            return max(self._default()._max_workers + 1 + n_jobs, 1)
        return n_jobs

    def _default(self) -> Executor:
        if self._given is None:
            return executor_for("processes")
        return Placement("processes", executor=self._given).source().open_executor()

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: object) -> int:
        """Choose the executor for a call of ``Parallel``."""
        jobs = self.effective_n_jobs(n_jobs)
        executor = self._default()
        if jobs == 1 or executor.kind == "serial":
            level = self.nesting_level
            raise _joblib.FallbackToBackend(_joblib.SequentialBackend(level))
        if self._given is None and executor.kind == "processes":
            executor = _of_size(jobs, executor)
        self.parallel: Any = parallel
        self._executor = executor
        return jobs

    def submit(
        self, func: Any, callback: Callable[[Any], object] | None = None
    ) -> Future[Any]:
        """Start a batch of calls."""
        assert self._executor is not None  # joblib has called configure
        items = [self._without_arrays(*item) for item in func.items]
        task = _Batch(func, items)
        future = self._executor._submit(task.run, (), {}, DEFAULTS)
        self._running.add(future)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def _without_arrays(
        self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """Replace large arrays by handles."""
        array = getattr(sys.modules.get("numpy"), "ndarray", None)
        if (
            array is None
            or self._executor is None
            or self._executor.kind != "processes"
        ):
            return fn, args, kwargs

        def handle(value: Any) -> Any:
            if type(value) is not array or value.nbytes < LEAST_SHARED:
                return value
            return value if value.dtype.hasobject else self._handle_of(value)

        return fn, tuple(map(handle, args)), {k: handle(v) for k, v in kwargs.items()}

    def _handle_of(self, array: Any) -> Shared[Any]:
        if id(array) not in self._shared:  # the array is kept, so its id stays unique
            self._shared[id(array)] = array, share(array)
        return self._shared[id(array)][1]

    def retrieve_result_callback(self, future: Future[Any]) -> Any:
        """Return the result of a batch, or raise its error."""
        return future.result()

    def stop_call(self) -> None:
        """Forget the arrays, as they may have changed before the next call."""
        self._shared.clear()

    def terminate(self) -> None:
        """Release the executor, which stays open."""
        self._shared.clear()
        self._executor = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Stop running batches: one of the calls has failed, or timed out."""
        for future in locks.members(self._running):
            if not future.cancel():
                future.kill()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)


def _of_size(jobs: int, shared: Executor) -> Executor:
    if shared._max_workers == jobs:
        return shared
    if jobs not in _sources:
        _sources[jobs] = Placement("processes", max_workers=jobs).source()
    return _sources[jobs].open_executor()


class _Batch:
    """A batch of joblib's, with handles in place of large arrays."""

    def __init__(self, batch: Any, items: list[Any]) -> None:
        self._batch = type(batch)((), (batch._backend, batch._n_jobs))
        self._items = items

    def run(self) -> Any:
        """Run the batch, with the arrays in place of their handles."""
        self._batch.items = [
            (fn, tuple(map(_got, args)), {k: _got(v) for k, v in kwargs.items()})
            for fn, args, kwargs in self._items
        ]
        return self._batch()


def _got(value: Any) -> Any:
    return value.get() if type(value) is Shared else value


_joblib.register_parallel_backend(NAME, ParallelizeBackend)
