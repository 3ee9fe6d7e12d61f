"""`ThreadPoolExecutor`: calls in threads, by the engine `parallelize.threads`."""

from __future__ import annotations

import itertools
import weakref
from contextvars import copy_context

from parallelize.calls import dependencies, preload
from parallelize.calls.call import admit
from parallelize.calls.dependencies import HOLD_NO_FUTURES
from parallelize.calls.targets import AsyncTarget
from parallelize.executors.base import Executor
from parallelize.runtime import lifecycle, locks
from parallelize.runtime.options import (
    DEFAULTS,
    CallOptions,
    check_callable,
    check_initargs,
    check_text,
    check_timeout,
    check_workers,
)
from parallelize.threads.engine import BROKEN, Engine, EngineState
from parallelize.threads.rows import RowsRun
from parallelize.threads.tasks import ThreadCall, ThreadTask
from parallelize.tracing import recording

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from typing import Any, ClassVar

    from parallelize.calls.call import Call, Rows, SubmittedRows
    from parallelize.calls.stats import Stats
    from parallelize.futures.future import Future
    from parallelize.loops.pool import Loops
    from parallelize.runtime.options import Args, Kwargs

__all__ = ("ThreadPoolExecutor",)

_numbers = itertools.count()

_new_object = object.__new__
_new_guard = locks.reentrant("future")  # as in `threads.tasks`


class ThreadPoolExecutor(Executor):
    """Runs calls in threads of this process.

    Like the standard library's thread pool executor, with less overhead for each
    call, and threads that end when they are idle. Each call runs in a copy of the
    context (`contextvars`) in which it was made. Calls of decorated coroutine
    functions run on event loops in further threads, many at once on each.

    Example:
        >>> from parallelize import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(max_workers=2) as executor:
        ...     executor.submit(pow, 2, 5).result()
        32
    """

    kind: ClassVar[str] = "threads"

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        idle_timeout: float | None = 60.0,
    ) -> None:
        """Make the pool; its threads start when they are needed.

        Args:
            max_workers: The maximum number of threads; by default a few more than
                CPUs, as threads mostly wait.
            thread_name_prefix: The prefix of the names of the threads.
            initializer: Called first in each thread, as ``initializer(*initargs)``.
                If it fails, the pool is broken.
            initargs: The arguments of ``initializer``.
            idle_timeout: Seconds after which an idle thread ends; None: never.
        """
        if initializer is not None:
            check_callable(initializer, "initializer")
        # As in the standard library, None also stands for the default.
        check_text(thread_name_prefix or "", "thread_name_prefix")
        self._max_workers = check_workers(max_workers) or _default_threads()
        prefix = thread_name_prefix or f"ThreadPoolExecutor-{next(_numbers)}"
        self._thread_name_prefix: str = prefix
        self._idle_timeout = check_timeout(idle_timeout, "idle_timeout")
        preload.load(self.kind)
        self._engine = Engine(
            self._max_workers,
            self._thread_name_prefix,
            (initializer, check_initargs(initargs)),
            self._idle_timeout,
            self._maps,
        )
        ends = weakref.finalize(self, lifecycle.later, self._engine.close)
        ends.atexit = False  # the engine itself is notified at exit

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls, and end when the submitted ones have run.

        Args:
            wait: Return when everything has ended. In a thread of this pool it
                returns at once, as it would wait for itself.
            cancel_futures: Cancel the calls that have not started.
        """
        self._finish_maps(cancel=cancel_futures)
        self._engine.close()
        loops = self._made_loops()
        if loops is not None:
            loops.shutdown(cancel_futures=cancel_futures)
        if cancel_futures:
            # Whether a thread has reached its call yet is a race. A thread that was
            # started for a call runs it, so that a pool always does some of its work.
            on_their_way = self._engine.on_their_way()
            self._engine.cancel_queued(on_their_way=on_their_way)
        if wait:
            self._engine.join()
            if loops is not None and not self._engine.is_here():
                loops.join()

    def _stats(self) -> Stats:
        loops, stats = self._made_loops(), self._engine.stats()
        return stats if loops is None else stats + loops.stats()

    # Attributes that programs written for the standard library use.

    @property
    def _threads(self) -> set[threading.Thread]:
        return self._engine.threads

    @property
    def _broken(self) -> str | bool:
        return BROKEN if self._engine.state is EngineState.BROKEN else False

    @property
    def _shutdown(self) -> bool:
        return self._closed

    @property
    def _closed(self) -> bool:
        return self._engine.state is not EngineState.OPEN

    def _submit(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Future[Any]:
        # The path of a plain call, by far the most frequent, is as short as possible.
        if options is DEFAULTS and (
            (not kwargs and HOLD_NO_FUTURES.issuperset(map(type, args)))
            or not dependencies.futures_in(args, kwargs)
        ):
            engine = self._engine
            if recording.active is not None:
                task = ThreadTask(engine, fn, args, kwargs)
            else:  # without a call of the class and its `__init__`
                task = _new_object(ThreadTask)
                task._guard = _new_guard()
                task.engine = engine
                task._work = (fn, args, kwargs, copy_context())
            engine.enqueue(task)
            return task
        call = self._prepare(fn, args, kwargs, options)
        # In place, as Ctrl-C at the entry of a function would leave the call held.
        try:
            admit(call)
        except BaseException:  # no caller has the future, so drop the call
            call.future.cancel()
            raise
        return call.future

    def _prepare(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Call:
        if isinstance(fn, AsyncTarget):
            return self._loops().prepare(fn, args, kwargs, options)
        call = ThreadCall(self._engine, fn, args, kwargs, options)
        self._engine.hold(call.task)
        return call

    def _warm(self, make: Callable[[], None]) -> Sequence[Future[None]]:
        if isinstance(make, AsyncTarget):  # loops start as there are calls for them
            return super()._warm(make)
        return self._engine.warm(make)

    def _loops(self) -> Loops:
        """The pool for async calls; made by the first one, in any thread."""
        loops = self._made_loops()
        if loops is None:
            loops = vars(self).setdefault("_async_loops", self._new_loops())
            end = weakref.finalize(self, lifecycle.later, loops.close)
            end.atexit = False
        if self._closed:
            loops.close()
        return loops

    def _made_loops(self) -> Loops | None:
        loops: Loops | None = vars(self).get("_async_loops")
        return loops

    def _loop_is_here(self) -> bool:
        loops = self._made_loops()
        return loops is not None and loops.is_here()

    def _new_loops(self) -> Loops:
        from parallelize.loops.pool import Loops, LoopSettings

        engine = self._engine
        settings = LoopSettings(
            self._max_workers,
            self._thread_name_prefix,
            self._idle_timeout,
            engine.initialize,
            engine.broken_error,
        )
        return Loops(settings, self._maps)

    def _start_rows(self, rows: Rows) -> SubmittedRows:
        return RowsRun(self._engine, rows).start()

    def _runs_here(self) -> bool:
        return self._engine.is_here()


def _default_threads() -> int:
    from parallelize.runtime.cpus import default_threads

    return default_threads()
