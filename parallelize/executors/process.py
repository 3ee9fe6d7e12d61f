"""`ProcessPoolExecutor`: calls in processes, by the engine `parallelize.process`."""

from __future__ import annotations

import _signal as signal
import sys
import weakref
from functools import partial

from parallelize.calls import preload
from parallelize.calls.call import SubmittedRows, admit
from parallelize.calls.open_maps import OpenMaps
from parallelize.executors.base import Executor
from parallelize.process.start import launcher
from parallelize.process.start.config import PoolSettings
from parallelize.process.start.early import Prestart, prestart
from parallelize.runtime import blocking, lifecycle, uncollected
from parallelize.runtime.options import (
    check_callable,
    check_count,
    check_initargs,
    check_timeout,
    check_workers,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.context import BaseContext
    from typing import Any, ClassVar

    from parallelize.calls.call import Call, Rows
    from parallelize.calls.stats import Stats
    from parallelize.futures.future import Future
    from parallelize.process.parent.pool import Pool
    from parallelize.runtime.options import Args, CallOptions, Kwargs
    from parallelize.streams.channel import Channel

#: Seconds after which an idle worker ends.
IDLE_TIMEOUT = 300.0


class ProcessPoolExecutor(Executor):
    """Runs calls in worker processes.

    Names and parameters are those of `concurrent.futures.ProcessPoolExecutor`,
    and so is their meaning. In addition: a worker that dies fails the call it was
    running and nothing else; functions need not be importable; a script needs no
    ``if __name__ == "__main__":``.

    Args:
        max_workers: The maximum number of processes; None: one per CPU
            that this process may use.
        mp_context: How workers are started: ``"forkserver"`` (forked from a small
            clean process), ``"spawn"`` (a fresh interpreter each) or ``"fork"`` (a
            copy of this process), or a context of multiprocessing, whose start
            method is used. None uses the method that the program set by
            ``multiprocessing.set_start_method``, else ``"forkserver"`` where it
            exists. (Before Python 3.14 multiprocessing itself defaults to ``"fork"``
            on Linux, so a program that has set that counts as one that has set
            nothing; but if ``initargs`` hold locks, queues or shared values that only
            a fork can inherit, ``"fork"`` is used.)
        initializer: Called in each worker before anything else.
        initargs: The arguments of ``initializer``.
        max_tasks_per_child: The number of calls after which a worker is replaced;
            None: no limit.
        max_memory_per_child: Bytes of resident memory beyond which a worker is
            replaced when its call has ended; None: no limit. Linux only.
        idle_timeout: Seconds after which an idle worker ends; None: never.

    Raises:
        TypeError: An argument has the wrong type; the message names it.
        ValueError: An argument has an invalid value; the message names it.

    Example:
        >>> from parallelize import ProcessPoolExecutor
        >>> with ProcessPoolExecutor(max_workers=2) as executor:
        ...     list(executor.map(abs, [-1, 2, -3]))
        [1, 2, 3]
    """

    kind: ClassVar[str] = "processes"

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | str | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        max_memory_per_child: int | None = None,
        idle_timeout: float | None = IDLE_TIMEOUT,
    ) -> None:
        if initializer is not None:
            check_callable(initializer, "initializer")
        initargs = check_initargs(initargs)
        if max_tasks_per_child is not None:
            check_count(max_tasks_per_child, "max_tasks_per_child", least=1)
        if max_memory_per_child is not None:
            check_count(max_memory_per_child, "max_memory_per_child", least=1)
        self._max_workers = check_workers(max_workers) or _default_workers()
        self._live_maps = OpenMaps()  # at once, as these refuse to be pickled
        self._settings = PoolSettings(
            self._max_workers,
            _method_of(mp_context, () if initializer is None else initargs),
            initializer,
            initargs,
            max_tasks_per_child,
            max_memory_per_child,
            check_timeout(idle_timeout, "idle_timeout"),
        )
        preload.load(self.kind)
        self._made: Pool | None = None
        #: A server that is already starting; set by `make_executor`.
        self._early: Prestart | None = None
        # The pool that replaced each pool, as made by the first of several threads.
        # Single operations only, as a lock might stay held forever in a forked child.
        self._successors: dict[Pool | None, Pool] = {}

    @property
    def _pool(self) -> Pool:
        """The pool, which starts nothing before its first call."""
        return self._made or self._new_pool(None)

    def _live_pool(self) -> Pool:
        pool = self._made
        if pool is None or pool.forgotten:  # in a forked child: it is the parent's
            with self._take_early() or prestart(self._settings) as server:
                pool = self._new_pool(pool)
                pool.adopt(server)
        return pool

    def _take_early(self) -> Prestart | None:
        early, self._early = self._early, None
        if early is not None and early.method != self._settings.method:
            early.finish()
            return None
        return early

    def _drop_early(self) -> None:
        """Close the server that was started for a first call that was never made."""
        early, self._early = self._early, None
        if early is not None:
            early.finish()

    def _new_pool(self, before: Pool | None) -> Pool:
        """Load the engine, and make a pool unless another thread was faster."""
        pool = uncollected(_load_pool)(self._settings, self._maps)
        self._made = made = self._successors.setdefault(before, pool)
        if made is pool:
            # When its executor is collected, a pool finishes its calls and ends.
            end = partial(pool.shutdown, wait=False)
            weakref.finalize(self, lifecycle.later, end).atexit = False
        return made

    def _prepare(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Call:
        return self._live_pool().prepare(fn, args, kwargs, options)

    def _submit(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Future[Any]:
        # As in the base class, without the steps that few calls need.
        pool = self._live_pool()
        call = pool.prepare(fn, args, kwargs, options)
        try:
            if call.waits_for or options.limit is not None or options.rate is not None:
                admit(call)
            else:
                pool.enqueue(call)
        except BaseException:  # Ctrl-C: no caller has the future, so drop the call
            call.future.cancel()
            raise
        return call.future

    def _warm(self, make: Callable[[], None]) -> Sequence[Future[None]]:
        return self._live_pool().warm(make)

    def _start_stream(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
        channel: Channel,
    ) -> Future[Any]:
        task = self._live_pool().prepare_stream(fn, args, kwargs, options, channel)
        admit(task)
        return task.future

    def _start_rows(self, rows: Rows) -> SubmittedRows:
        tasks = self._live_pool().prepare_rows(rows)
        for task in tasks:
            admit(task)

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        return SubmittedRows(cancel)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls, and end the workers when all calls have ended.

        Args:
            wait: Return when everything has ended; else at once.
            cancel_futures: Cancel the calls that have not started.
        """
        self._finish_maps(cancel=cancel_futures)
        self._drop_early()
        with blocking.away():
            self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _stats(self) -> Stats:
        from parallelize.calls.stats import Stats

        pool = self._made
        return Stats() if pool is None or pool.forgotten else pool.stats()

    # Attributes that programs written for the standard library use.

    @property
    def _broken(self) -> str | bool:
        return False if self._made is None else self._made.broken or False

    @property
    def _shutdown_thread(self) -> bool:
        return self._closed

    @property
    def _closed(self) -> bool:
        return self._made is not None and self._made.takes_nothing

    def _abandon(self) -> None:
        self._finish_maps(cancel=True)
        self._drop_early()
        self._pool.abandon()

    def terminate_workers(self) -> None:
        """Stop at once: cancel waiting calls, send SIGTERM to every worker."""
        self._pool.kill_workers(signal.SIGTERM)

    def kill_workers(self) -> None:
        """Stop at once: cancel waiting calls, send SIGKILL to every worker."""
        self._pool.kill_workers(launcher.KILL)


def _load_pool() -> type[Pool]:
    from parallelize.process.parent.pool import Pool

    return Pool


def _default_workers() -> int:
    from parallelize.runtime.cpus import default_workers

    return default_workers()


def _method_of(context: BaseContext | str | None, initargs: tuple[Any, ...]) -> str:
    """The requested start method, or another one where that is impossible."""
    return launcher.possible(_method_asked_for(context, initargs))


def _method_asked_for(
    context: BaseContext | str | None, initargs: tuple[Any, ...]
) -> str:
    if context is None:
        return _method_of_the_program(initargs)
    if isinstance(context, str):
        method = context
    elif hasattr(context, "get_start_method"):
        method = context.get_start_method()
    else:
        msg = f"mp_context must be a context or the name of one, not {context!r}"
        raise TypeError(msg)
    if method not in launcher.METHODS:
        msg = f"mp_context must be one of {', '.join(launcher.METHODS)}, not {method!r}"
        raise ValueError(msg)
    return method


def _method_of_the_program(initargs: tuple[Any, ...]) -> str:
    """The method that the program set in multiprocessing, else our own default."""
    # If it is not loaded, nothing was set. It may be half loaded, by another thread.
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None or not hasattr(multiprocessing, "get_start_method"):
        return launcher.METHODS[0]
    by_itself = multiprocessing.get_all_start_methods()[0]
    preset = multiprocessing.get_start_method(allow_none=True)
    # Making a lock or a queue there sets its default method as a side effect, and many
    # libraries do. This does not express a choice: as a fork of a program with threads
    # may hang, whether to fork should not depend on it.
    if preset in launcher.METHODS and preset != by_itself:
        return str(preset)
    if by_itself == "fork" and preset in (None, "fork") and _needs_fork(initargs):
        return "fork"
    return launcher.METHODS[0]


def _needs_fork(initargs: tuple[Any, ...]) -> bool:
    """Whether an object of multiprocessing among these can only be sent by a fork."""
    from parallelize.process.wire.inheritance import Inheritance

    inheritance = Inheritance()
    try:
        inheritance.dumps(initargs)
    except RuntimeError:  # its message speaks of "a SemLock created in a fork context"
        return True
    except Exception:  # noqa: BLE001 - the first call will report any other error
        return False
    finally:
        inheritance.close()
    return False


__all__ = ("ProcessPoolExecutor",)
