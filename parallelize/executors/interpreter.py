"""`InterpreterPoolExecutor`: calls in interpreters beside this one (Python 3.14+).

The pool consists of threads, each of which has an interpreter of its own that runs
in parallel with the others: see `parallelize.interpreters.handle`. Calls are sent
as they are to processes, by pickling.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import itertools
import os
import signal
import sys
import threading
import weakref
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar

from parallelize.calls.call import SubmittedRows, admit
from parallelize.errors import SerializationError
from parallelize.executors.base import Executor
from parallelize.executors.thread import ThreadPoolExecutor
from parallelize.futures.future import Failure
from parallelize.interpreters.handle import (
    DESCRIPTORS_EACH,
    InterpreterHandle,
    InterpreterThread,
)
from parallelize.interpreters.inner import CALL, ROWS
from parallelize.process.wire import descriptors, held, messages
from parallelize.runtime import lifecycle, locks
from parallelize.runtime.blocking import here
from parallelize.runtime.options import (
    DEFAULTS,
    CallOptions,
    check_callable,
    check_initargs,
    check_text,
    check_workers,
    name_of,
)
from parallelize.runtime.raised import summary_of
from parallelize.serialize import pickling
from parallelize.serialize.reducers import reductions
from parallelize.serialize.reducers.placeholders import collect_futures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.calls.call import Call, Rows
    from parallelize.calls.open_maps import OpenMaps
    from parallelize.calls.stats import Stats
    from parallelize.futures.future import Future
    from parallelize.process.wire.frames import Part
    from parallelize.runtime.options import Args, Kwargs
    from parallelize.streams.channel import Channel

_new_lock = locks.reentrant("interpreters")

__all__ = ("InterpreterPoolExecutor",)

_FIRST_PYTHON = (3, 14)

#: Seconds that idle interpreters have to end when an error ends the program.
_GRACE = 1.0

_numbers = itertools.count()


class InterpreterPoolExecutor(Executor):
    """Runs calls in interpreters of their own, in threads of this process.

    Each interpreter has its own modules and its own GIL, so that CPU-bound Python code
    runs in parallel, as in processes, but within this process. As with processes,
    functions are sent by name or by value, arguments and results are copied.
    Modules that cannot be loaded in a subinterpreter (numpy, for example) raise
    ImportError in a call that needs them. A running call cannot be stopped, but it can
    look at `stopping`.

    Names and parameters are those of `concurrent.futures.InterpreterPoolExecutor`.

    Args:
        max_workers: The maximum number of interpreters; by default one per CPU.
        thread_name_prefix: The prefix of the names of the threads.
        initializer: Called first in each interpreter, as ``initializer(*initargs)``.
            If it fails, the pool is broken.
        initargs: The arguments of ``initializer``.
        idle_timeout: Seconds after which an idle interpreter ends; None: never.

    Raises:
        NotImplementedError: This Python is older than 3.14.
        SerializationError: ``initializer`` or ``initargs`` cannot be pickled.

    Example:
        >>> from parallelize import InterpreterPoolExecutor
        >>> with InterpreterPoolExecutor(max_workers=2) as executor:
        ...     executor.submit(pow, 2, 5).result()
        32
    """

    kind: ClassVar[str] = "interpreters"

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        idle_timeout: float | None = 60.0,
    ) -> None:
        _check_python()
        check_text(thread_name_prefix or "", "thread_name_prefix")
        if initializer is not None:
            check_callable(initializer, "initializer")
        self._max_workers = check_workers(max_workers) or _default_workers()
        name = thread_name_prefix or f"InterpreterPoolExecutor-{next(_numbers)}"
        start = _encoded_start(initializer, check_initargs(initargs))
        self._interpreters = _Interpreters(name, start, self._maps)
        self._pool = ThreadPoolExecutor(
            self._max_workers, name, self._interpreters.begin, idle_timeout=idle_timeout
        )
        self._pool._engine.broken_class = _broken_interpreter_pool
        self._pool._engine.thread_ends = self._interpreters.leave
        self._pool._engine.may_grow = self._interpreters.may_grow
        self._interpreters.pool = weakref.ref(self._pool)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls, and end when the submitted ones have run.

        Args:
            wait: Return when everything has ended.
            cancel_futures: Cancel the calls that have not started.
        """
        self._finish_maps(cancel=cancel_futures)
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            self._interpreters.join()

    def _stats(self) -> Stats:
        return self._pool.stats()

    # Attributes that programs written for the standard library use.

    @property
    def _threads(self) -> set[threading.Thread]:
        return self._pool._threads

    @property
    def _thread_name_prefix(self) -> str:
        return self._pool._thread_name_prefix

    @property
    def _broken(self) -> str | bool:
        return self._pool._broken

    @property
    def _shutdown(self) -> bool:
        return self._closed

    @property
    def _closed(self) -> bool:
        return self._pool._closed

    def _abandon(self) -> None:
        self._interpreters.abandon()

    def _prepare(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Call:
        self._interpreters.register()
        name = name_of(fn, options)
        try:
            request, futures = _encoded_call(fn, args, kwargs)
        except Exception as error:  # noqa: BLE001 - whatever pickling raised
            text = f"the arguments of {name} cannot be pickled: {summary_of(error)}"
            refusal = SerializationError(text)
            refusal.__cause__ = error
            return self._pool._prepare(_raise, (refusal,), {}, DEFAULTS)
        options = options._replace(name=name)  # the function that runs it differs
        # The futures are passed as an argument, so that the call waits for them.
        task = (name, *request, futures)
        return self._pool._prepare(self._interpreters.call, task, {}, options)

    def _warm(self, make: Callable[[], None]) -> Sequence[Future[None]]:
        self._interpreters.register()
        request, _ = _encoded_call(make, (), {})
        return self._pool._warm(partial(self._interpreters.call, "warm", *request, ()))

    def _start_stream(
        self,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
        channel: Channel,
    ) -> Future[Any] | None:
        msg = (
            f"{name_of(fn, options)} is a generator function: its items can travel "
            "from threads and processes, not from interpreters"
        )
        raise TypeError(msg)

    # Rows of a map.

    def _start_rows(self, rows: Rows) -> SubmittedRows:
        self._interpreters.register()
        try:
            with reductions.refusing(reductions.SAME_PROCESS):
                fn = _plain_function(rows.fn)
                parts = _bytes(pickling.dumps(list(rows.rows)))
        except Exception:  # noqa: BLE001 - sent one by one, those at fault fail alone
            return self._start_one_by_one(rows)
        retrying = rows.options.in_worker()
        again = pickling.dumps(retrying)[0] if retrying.retries else b""
        task = name_of(rows.fn, rows.options), fn, parts, again
        future = self._pool._submit(self._interpreters.rows, task, {}, DEFAULTS)
        self._pool._engine.tally.count_each(rows, future)
        return rows.submitted_as(future)

    def _start_one_by_one(self, rows: Rows) -> SubmittedRows:
        futures = [self._start_one(rows, at) for at in range(len(rows.rows))]

        def cancel() -> None:
            for future in futures:
                future.cancel()

        return SubmittedRows(cancel, lambda: futures)

    def _start_one(self, rows: Rows, at: int) -> Future[Any]:
        call = self._prepare(rows.fn, rows.rows[at], {}, rows.options)
        admit(call)

        def deliver(done: Future[Any]) -> None:
            if not done.cancelled():
                error = done.exception()
                outcome = done.result() if error is None else Failure(error)
                rows.deliver(at, [outcome], 0.0)

        call.future.add_done_callback(deliver)
        return call.future


def _check_python() -> None:
    if sys.version_info < _FIRST_PYTHON:
        needed = ".".join(map(str, _FIRST_PYTHON))
        here = ".".join(map(str, sys.version_info[:2]))
        msg = (
            f"interpreters for calls need Python {needed} or later, this is {here}: "
            "use processes instead"
        )
        raise NotImplementedError(msg)


def _refuse_while_traced() -> None:
    """Raise instead of crashing: Python 3.14 crashes on these with tracemalloc."""
    if sys.version_info[:2] != _FIRST_PYTHON:
        return
    try:
        import _tracemalloc  # -X tracemalloc starts this one without loading the other
    except ImportError:  # in a subinterpreter, which was refused if it traces
        return
    if _tracemalloc.is_tracing():
        msg = (
            "Python 3.14 crashes if interpreters run while tracemalloc traces: stop "
            "it, or use threads or processes instead"
        )
        raise RuntimeError(msg)


def _broken_interpreter_pool() -> type[RuntimeError]:
    # Any: this module is missing in the oldest Python that is type-checked.
    module: Any = importlib.import_module("concurrent.futures.interpreter")
    error: type[RuntimeError] = module.BrokenInterpreterPool
    return error


def _default_workers() -> int:
    from parallelize.runtime.cpus import default_workers

    return default_workers()


# --------------------------------------------------------------- encoding of calls


def _encoded_call(
    fn: Any, args: Args, kwargs: Kwargs
) -> tuple[tuple[bytes, Sequence[bytes]], tuple[Future[Any], ...]]:
    own = args
    if type(fn) is MethodType:
        # A method can be found by name on its class; the instance is an argument.
        fn, args = fn.__func__, (fn.__self__, *args)
    with collect_futures() as futures, reductions.refusing(reductions.SAME_PROCESS):
        function = pickling.encode_function(fn)
        if futures:  # the function's bytes are shared by calls: no placeholders there
            futures.clear()
            function, args = held.by_argument(fn), (fn, *args)
        parts = pickling.dumps((args, kwargs))
    waits_for = held.waited_for(futures, own, kwargs) if futures else ()
    return (function, _bytes(parts)), tuple(waits_for)


def _plain_function(fn: Callable[..., Any]) -> bytes:
    return pickling.encode_function(
        pickling.bound(fn) if isinstance(fn, MethodType) else fn
    )


def _bytes(parts: Sequence[Part]) -> Sequence[bytes]:
    return list(map(bytes, parts))


def _encoded_start(
    initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
) -> tuple[bytes, Sequence[bytes]] | None:
    if initializer is None:
        return None
    try:
        return _encoded_call(initializer, initargs, {})[0]
    except Exception as error:
        msg = f"initializer and initargs cannot be pickled: {error}"
        raise SerializationError(msg) from error


def _raise(error: BaseException) -> None:
    raise error


# ------------------------------------------------------ interpreters and their threads


def _leave_at_once() -> None:
    """End the process: Python would crash while an interpreter still runs a call."""
    atexit.unregister(_leave_at_once)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # None, or closed
            stream.flush()
    error = getattr(sys, "last_value", None)
    if error is None or isinstance(error, KeyboardInterrupt):  # Ctrl-C, also at exit
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    os._exit(1)


class _Current(threading.local):
    """The handle of each worker thread's interpreter; closed when the thread ends."""

    handle: InterpreterHandle | None = None


class _Interpreters:
    """The interpreters of a pool, each used by a thread of its own.

    Attributes:
        pool: The thread pool. It holds this object, so it is held weakly here.
        has_a_pool: At the end of the program, this is ended before thread pools.
    """

    has_a_pool: ClassVar[bool] = True

    def __init__(
        self, name: str, start: tuple[bytes, Sequence[bytes]] | None, maps: OpenMaps
    ) -> None:
        self.pool: Callable[[], ThreadPoolExecutor | None] = lambda: None
        self._name = name
        self._start = start
        self._maps = maps
        self._current = _Current()
        self._registered = False
        self._threads: set[InterpreterThread] = set()
        self._abandoned = False  # the program is ending: make no more interpreters
        self._is_small = False  # as the log says once
        self._lock = _new_lock()  # guards these two; a leaf lock

    def register(self) -> None:
        """Ask to be notified at the program's end; called when a call is submitted.

        Not in a worker: there the end may have begun already, and its call must run.
        """
        if not self._registered:
            lifecycle.register(self)
            self._registered = True

    def may_grow(self) -> bool:
        """Whether the program keeps its last descriptors if a thread more starts."""
        pool = self.pool()
        assert pool is not None  # it asks
        live = pool._engine._live
        # The other threads have not opened their pipes yet.
        starting = live - sum(thread.is_alive() for thread in tuple(self._threads))
        try:
            descriptors.refuse_the_last(DESCRIPTORS_EACH * (1 + max(0, starting)))
        except descriptors.TooFewDescriptorsError as error:
            if not self._is_small:
                self._is_small = True
                most = pool._engine.max_workers
                descriptors.say_small("an interpreter pool", live, most, error)
            return False
        return True

    def begin(self) -> None:
        """Make the interpreter of this worker thread, and initialise it.

        If the resources for one are missing now, the call that needs it tries again,
        and fails if that fails.
        """
        try:
            handle = self._new_handle()
        except (OSError, RuntimeError, MemoryError):
            return
        self._initialize(handle)

    def leave(self) -> None:
        """End the interpreter of this worker thread, which is ending, too.

        A greenlet of eventlet may stay alive long after it has ended, and so does the
        content of its `threading.local`.
        """
        handle, self._current.handle = self._current.handle, None
        if handle is not None:
            handle.close()
            handle.host.join()  # its number is free when its clean-ups have run

    def _new_handle(self) -> InterpreterHandle:
        _refuse_while_traced()
        if not lifecycle.is_ending():
            self.register()  # needed again after a fork
        index, count, _ = here.place or (0, 1, "")  # a thread of the pool
        handle = InterpreterHandle(self._name, index, count)
        with self._lock:
            if self._abandoned:
                lifecycle.refuse_when_ending()
            self._threads = {thread for thread in self._threads if thread.is_alive()}
            handle.start()
            self._threads.add(handle.host)
        handle.await_start()
        return handle

    def _initialize(self, handle: InterpreterHandle) -> None:
        self._current.handle = handle
        if self._start is not None:
            try:
                self.call("the initializer", *self._start, ())
            except BaseException:
                self._current.handle = None
                handle.close()  # explicitly, as the error keeps this frame alive
                raise

    def _own_handle(self) -> InterpreterHandle:
        handle = self._current.handle
        if handle is None or not handle.host.is_alive():
            handle = self._new_handle()
            try:
                self._initialize(handle)
            except BaseException as error:
                self._broken_by(error)
                raise
        return handle

    def _broken_by(self, error: BaseException) -> None:
        """Break the pool after an initializer failed that a later call has started."""
        pool = self.pool()
        if pool is not None:
            pool._engine.broken_by(error)

    def call(
        self,
        name: str,
        fn: bytes,
        arguments: Sequence[bytes],
        values: tuple[Any, ...],
    ) -> Any:
        """Run a call in this thread's interpreter."""
        encoded = _bytes(pickling.dumps(values)) if values else ()
        done, parts = self._own_handle().ask(CALL, fn, arguments, encoded)
        if not done:
            raise messages.decode_failure(parts[0])
        return _value_of(parts, name)

    def rows(
        self, name: str, fn: bytes, rows: Sequence[bytes], options: bytes
    ) -> tuple[list[Any], float]:
        """Run rows of calls there; return their outcomes, and the seconds."""
        whole, outcomes, seconds = self._own_handle().ask(ROWS, fn, rows, options)
        if whole is not None:
            return whole, seconds
        return [_outcome(done, parts, name) for done, parts in outcomes], seconds

    def join(self) -> None:
        """Wait for the interpreters to end, after their threads were asked to."""
        if self._current.handle is None:  # otherwise it would wait for itself
            for thread in self._live_threads():
                thread.join()

    # The ends of a program, see `lifecycle`.

    def finish(self) -> None:
        """Run what was submitted, then wait for the interpreters to end."""
        self._maps.finish(unread_only=True)
        pool = self.pool()
        if pool is not None:
            pool.shutdown(wait=True)
        self.join()

    def abandon(self) -> None:
        """Drop what has not started; running calls cannot be stopped."""
        self._maps.cancel()
        with self._lock:
            self._abandoned = lifecycle.is_ending()
        pool = self.pool()
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        for thread in self._live_threads():
            if not thread.busy:
                thread.join(_GRACE)
        if self._abandoned and any(
            thread.is_alive() for thread in self._live_threads()
        ):
            atexit.register(_leave_at_once)

    def forget(self) -> None:
        """In a forked child: the interpreters belong to the parent."""
        self._lock = _new_lock()
        self._registered = False
        self._threads = set()
        self._maps.forget()

    def _live_threads(self) -> list[InterpreterThread]:
        with self._lock:
            return list(self._threads)


def _value_of(parts: Sequence[bytes], name: str) -> Any:
    try:
        return pickling.loads(parts)
    except Exception as error:
        text = f"the result of {name} cannot be unpickled: {summary_of(error)}"
        raise SerializationError(text) from error


def _outcome(done: bool, parts: Sequence[bytes], name: str) -> Any:
    if not done:
        return Failure(messages.decode_failure(parts[0]))
    try:
        return _value_of(parts, name)
    except SerializationError as error:
        return Failure(error)
