"""An adapter for other PEP 3148 executors.

```
 our Future ◀──── its outcome, cancelled ──── their future ◀── their executor
     └──────────── cancel, running? ─────────▶
```

The standard library's own pools, loky's, mpi4py's: they run the calls, and the
futures, maps, retries and limits of this library work on top of them.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import weakref
from concurrent.futures import BrokenExecutor
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from parallelize.calls import dependencies
from parallelize.calls.call import Call, run_rows
from parallelize.calls.in_flight import InFlight
from parallelize.calls.references import plain_function
from parallelize.calls.retrying import (
    admit_again,
    is_retried,
    note_attempts,
    rest,
    wait_after,
)
from parallelize.errors import TaskTimeout
from parallelize.executors.base import Executor
from parallelize.futures.future import Failure, Future, Outcome
from parallelize.futures.limit_cycles import noting_waits
from parallelize.runtime import timer
from parallelize.runtime.clock import monotonic
from parallelize.runtime.options import name_of
from parallelize.runtime.raised import add_note, text_of

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable

    from parallelize.calls.call import Rows, SubmittedRows
    from parallelize.calls.open_maps import OpenMaps
    from parallelize.calls.tally import Tally
    from parallelize.runtime.options import Args, CallOptions, Kwargs

__all__ = ("Chained", "ForeignExecutor")

T = TypeVar("T")


class ForeignExecutor(Executor):
    """Runs calls on another `concurrent.futures.Executor`.

    A ``timeout`` fails the future at the deadline and cancels the call if it has
    not started; a running call cannot be stopped. As the other executor does not
    report when a call starts, the time is measured from its submission.

    Example:
        >>> import concurrent.futures
        >>> from parallelize.executors.foreign import ForeignExecutor
        >>> with concurrent.futures.ThreadPoolExecutor() as theirs:
        ...     ForeignExecutor(theirs).submit(pow, 2, 5).result()
        32
    """

    kind: ClassVar[str] = "foreign"

    def __init__(
        self, executor: concurrent.futures.Executor, *, owned: bool = False
    ) -> None:
        """Adapt an executor.

        Args:
            executor: Runs the calls.
            owned: Whether shutting this one down shuts the other down too.
        """
        self._theirs = executor
        self._owned = owned
        self._pid = os.getpid()
        self._max_workers = _workers_of(executor)
        self._in_flight = (
            _OwnedInFlight(executor, self._maps) if owned else InFlight(self._maps)
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls; shut the other executor down if it is owned.

        Args:
            wait: Return when all calls made here have ended.
            cancel_futures: Cancel the calls made here that have not started.
        """
        self._finish_maps(cancel=cancel_futures)
        inside = self._in_flight.close()
        if cancel_futures:
            for future in inside:
                future.cancel()
        if wait:
            self._in_flight.wait_empty()
        if self._owned:
            self._theirs.shutdown(wait=wait)

    def _prepare(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> _ForeignCall:
        if self._pid != os.getpid():  # the threads of the other executor are not here
            msg = f"a {type(self._theirs).__name__} does not outlive os.fork()"
            raise RuntimeError(msg)
        call = _ForeignCall(
            self._in_flight.tally, self._theirs, fn, args, kwargs, options
        )
        self._in_flight.add(call.future)
        call.future.add_done_callback(self._in_flight.discard)
        return call

    def _start_rows(self, rows: Rows) -> SubmittedRows:
        rows.fn = plain_function(rows.fn)
        return super()._start_rows(rows)


class _OwnedInFlight(InFlight):
    """The calls in flight on an executor that ends with the program."""

    def __init__(self, executor: concurrent.futures.Executor, maps: OpenMaps) -> None:
        self._theirs = executor
        super().__init__(maps)

    def finish(self) -> None:
        super().finish()
        self._theirs.shutdown(wait=True)

    def abandon(self) -> None:
        super().abandon()
        self._theirs.shutdown(wait=False)


def _workers_of(executor: concurrent.futures.Executor) -> int:
    for name in ("max_workers", "_max_workers"):  # the latter is what pools have
        workers = getattr(executor, name, None)
        if isinstance(workers, int) and workers > 0:
            return workers
    from parallelize.runtime.cpus import cpu_count

    return cpu_count()


class Chained(Future[T]):
    """A future that mirrors the future of another executor."""

    _theirs: concurrent.futures.Future[Any] | None = None

    def cancel(self) -> bool:
        """Cancel the other future, and this one if that succeeded."""
        theirs = self._theirs
        if theirs is not None and not self.done() and not theirs.cancel():
            self._end_retries()
            return False
        return super().cancel()

    def running(self) -> bool:
        """Return True while the other future is running."""
        theirs = self._theirs
        return not self.done() and theirs is not None and theirs.running()

    def follow(self, theirs: concurrent.futures.Future[Any]) -> None:
        """Adopt the outcome of the other future when it is done."""
        self._theirs = theirs
        if self.cancelled():
            theirs.cancel()
        theirs.add_done_callback(self._follow_end)

    def leave(self, theirs: concurrent.futures.Future[Any]) -> bool:
        """Stop following the other future; False if this one does not follow it."""
        with self._guard:
            if self._theirs is not theirs:
                return False
            self._theirs = None
            return True

    def _follow_end(self, theirs: concurrent.futures.Future[Any]) -> None:
        if not self.leave(theirs):
            return  # it had timed out
        if theirs.cancelled():
            super().cancel()
            return
        error = theirs.exception()
        call = self._call
        if error is not None and isinstance(call, _ForeignCall) and call.retries(error):
            return
        outcome = _Value(theirs.result()) if error is None else Failure(error)
        self._set_outcome(outcome, failed=error is not None)


class _Value(Outcome):
    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def open(self) -> tuple[Any, None]:
        return self._value, None


class _ForeignCall(Call):
    """A call that is submitted once for each attempt.

    So no attempt is submitted after the future has ended.
    """

    __slots__ = (
        "_failed",
        "_last",
        "_since",
        "_tally",
        "args",
        "chained",
        "executor",
        "kwargs",
    )

    def __init__(
        self,
        tally: Tally,
        executor: concurrent.futures.Executor,
        fn: Callable[..., Any],
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
    ) -> None:
        self._tally = tally
        self.executor = executor
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.options = options
        self.waits_for = dependencies.futures_in(args, kwargs)
        self.chained: Chained[Any] = Chained()
        self.future = self.chained
        self.chained._call = self
        self._failed = 0  # attempts
        self._since = monotonic()
        self._last: BaseException | None = None  # the error of the previous attempt

    def start(self) -> None:
        """Submit the call for its next attempt."""
        before, self._last = self._last, None
        if self.future.done():
            return
        try:
            theirs = self._submit()
            self.chained.follow(theirs)
            if self.options.timeout is not None:
                self._watch(theirs, self.options.timeout)
        except BaseException as error:  # noqa: BLE001 - a call fails in its future
            self.future._set_outcome(Failure(before or error), failed=True)

    def retries(self, error: BaseException) -> bool:
        """Make another attempt if one may follow, in a thread of this library.

        The other executor's thread may be holding one of its locks. No attempt follows
        if the executor itself is broken.
        """
        options, wait = self.options, None
        self._failed += 1
        if (
            self._failed <= options.retries
            and not isinstance(error, BrokenExecutor)
            and is_retried(error, options)
            and self.future._may_repeat()
        ):
            wait = wait_after(options, self._failed, error)
        self._last = error
        if wait is not None and rest(self, wait, admit_again):
            self._tally.retried.step()
            return True
        self._last = None
        note_attempts(error, self._failed, self._since)
        _note_name(error, self.fn)
        return False

    def _submit(self) -> concurrent.futures.Future[Any]:
        args, kwargs = self.args, self.kwargs
        if self.waits_for:
            args, kwargs = dependencies.filled(args), dependencies.filled(kwargs)
        fn: Any = self.fn
        if type(fn) is MethodType:
            # Pickle would look up the method on its object and find the decorated one.
            fn, args = fn.__func__, (fn.__self__, *args)
        fn = plain_function(fn)
        if self.options.limit is not None:
            fn = _Noting(fn, self.future)
        return self.executor.submit(fn, *args, **kwargs)

    def _watch(self, theirs: concurrent.futures.Future[Any], timeout: float) -> None:
        """Limit the time of an attempt."""
        expire = partial(self._expire, theirs, timeout)
        deadline = timer.after(timeout, expire)
        for future in (theirs, self.future):
            future.add_done_callback(lambda _: deadline.cancel())

    def _expire(self, theirs: concurrent.futures.Future[Any], timeout: float) -> None:
        error = TaskTimeout(name_of(self.fn, self.options), timeout)
        if not self.chained.leave(theirs):
            return  # it has just ended
        if not self.retries(error):
            self.future._set_outcome(Failure(error), failed=True)
        with contextlib.suppress(Exception):  # some executors do not support it
            theirs.cancel()


def _note_name(error: BaseException, fn: Any) -> None:  # any callable
    """Note what to do if the other executor's pickle could not find the function."""
    text = text_of(error)
    if not ("pickle" in text or "local object" in text):
        return
    if isinstance(fn, partial) and fn.func is run_rows:
        fn = fn.args[0]
    try:
        pickle.dumps(plain_function(fn))
    except Exception:  # noqa: BLE001 - that is why the call failed
        note = (
            "this executor pickles functions by their names: define them at the top "
            "level of a module, or use parallelize.ProcessPoolExecutor, which sends "
            "them by value"
        )
        add_note(error, note)


class _Noting:
    """A function in a limit; when it runs in this process it records what it awaits.

    This lets a cycle through the limit be found, see `futures.limit_cycles`.
    """

    def __init__(self, fn: Callable[..., Any], future: Future[Any]) -> None:
        self.__wrapped__ = fn
        self._future = weakref.ref(future)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        future = self._future()
        if future is None:
            return self.__wrapped__(*args, **kwargs)
        with noting_waits(future):
            return self.__wrapped__(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # In another process it is just the function, as nothing is known there.
        return _itself, (self.__wrapped__,)


def _itself(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn
