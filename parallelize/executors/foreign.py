"""Any other executor of PEP 3148, seen as one of ours.

```
 our Future ◀── what it came to, cancelled ── their future ◀── their executor
     └──────────── cancel, running? ─────────▶
```

The standard library's own pools, loky's, mpi4py's: they run the calls, and our
futures, maps, retries and limits work on top of them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from parallelize import dependencies
from parallelize.calls import Call, name_of, run_retrying
from parallelize.errors import TaskTimeout
from parallelize.executors import deadlines
from parallelize.executors.base import Executor
from parallelize.executors.gate import Gate
from parallelize.futures import Failure, Future, Outcome

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable

    from parallelize.options import CallOptions

__all__ = ("Chained", "ForeignExecutor")

T = TypeVar("T")


class ForeignExecutor(Executor):
    """Runs calls on another `concurrent.futures.Executor`.

    A ``timeout`` fails the future at the deadline and cancels the call if it has
    not begun; a call that runs cannot be stopped. As the other executor does not
    tell when a call begins, the seconds count from when it was handed over.

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
        self._max_workers = _workers_of(executor)
        self._gate = Gate(self._maps)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; shut the other executor down if it is owned.

        Args:
            wait: Return when all calls made here have ended.
            cancel_futures: Cancel the calls made here that have not begun.
        """
        self._finish_maps(cancel=cancel_futures)
        inside = self._gate.close()
        if cancel_futures:
            for future in inside:
                future.cancel()
        if wait:
            self._gate.wait_empty()
        if self._owned:
            self._theirs.shutdown(wait=wait)

    @property
    def _closed(self) -> bool:
        return self._gate.closed

    def _prepare(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> _ForeignCall:
        call = _ForeignCall(self._theirs, fn, args, kwargs, options)
        self._gate.enter(call.future)
        call.future.add_done_callback(self._gate.leave)
        return call


def _workers_of(executor: concurrent.futures.Executor) -> int:
    workers = getattr(executor, "_max_workers", None)
    if isinstance(workers, int) and workers > 0:
        return workers
    from parallelize.cpus import cpu_count

    return cpu_count()


class Chained(Future[T]):
    """A future that asks another for what it does not know itself."""

    _theirs: concurrent.futures.Future[Any] | None = None

    def cancel(self) -> bool:
        """Cancel the other, and this if that was possible."""
        theirs = self._theirs
        if theirs is not None and not self.done() and not theirs.cancel():
            return False
        return super().cancel()

    def running(self) -> bool:
        """Return True while the other runs."""
        theirs = self._theirs
        return not self.done() and theirs is not None and theirs.running()

    def follow(self, theirs: concurrent.futures.Future[Any]) -> None:
        """Come to what the other comes to."""
        self._theirs = theirs
        if self.cancelled():
            theirs.cancel()
        theirs.add_done_callback(self._follow_end)

    def _follow_end(self, theirs: concurrent.futures.Future[Any]) -> None:
        self._theirs = None
        if theirs.cancelled():
            super().cancel()
            return
        error = theirs.exception()
        outcome = _Value(theirs.result()) if error is None else Failure(error)
        self.set_outcome(outcome, failed=error is not None)


class _Value(Outcome):
    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def open(self) -> tuple[Any, None]:
        return self._value, None


class _ForeignCall(Call):
    __slots__ = ("args", "chained", "executor", "kwargs")

    def __init__(
        self,
        executor: concurrent.futures.Executor,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> None:
        self.executor = executor
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.options = options
        self.waits_for = dependencies.futures_in(args, kwargs)
        self.chained: Chained[Any] = Chained()
        self.future = self.chained
        self.chained._call = self

    def start(self) -> None:
        if self.future.done():
            return
        try:
            theirs = self._submit()
        except BaseException as error:  # noqa: BLE001 - a call fails in its future
            self.future.set_outcome(Failure(error), failed=True)
            return
        self.chained.follow(theirs)
        if self.options.timeout is not None:
            self._set_deadline(self.options.timeout)

    def _submit(self) -> concurrent.futures.Future[Any]:
        args, kwargs = self.args, self.kwargs
        if self.waits_for:
            args, kwargs = dependencies.filled(args), dependencies.filled(kwargs)
        if not self.options.retries:
            return self.executor.submit(self.fn, *args, **kwargs)
        # A limit is kept on this side, and a timeout too.
        options = self.options._replace(limit=None, timeout=None)
        return self.executor.submit(_retry, self.fn, args, kwargs, options)

    def _set_deadline(self, timeout: float) -> None:
        deadline = deadlines.after(timeout, lambda: self._expire(timeout))
        self.future.add_done_callback(lambda _: deadline.cancel())

    def _expire(self, timeout: float) -> None:
        error = TaskTimeout(name_of(self.fn, self.options), timeout)
        theirs = self.chained._theirs
        self.future.set_outcome(Failure(error), failed=True)
        if theirs is not None:
            with contextlib.suppress(Exception):  # theirs may not be able to
                theirs.cancel()


def _retry(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: CallOptions,
) -> Any:
    """Runs in the worker, found there by its name."""
    value = run_retrying(fn, args, kwargs, options)
    if type(value) is not Failure:
        return value
    try:
        raise value.error
    finally:
        del value  # the error's traceback holds this frame
