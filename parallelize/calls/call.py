"""Calls on their way to a worker: an executor prepares, admits and starts them.

```
 submit ─┐                      ┌─ futures as ────┐   ┌─ limit ──┐   ┌─ rate ──┐
 f(...) ─┼─▶ _prepare ─▶ Call ──┤ arguments: wait ├──▶│ is full? ├──▶│ too     ├─▶ start
 map    ─┘   (snapshot)         │ if pending      │   │ queue    │   │ early?  │
                                └─────────────────┘   └──────────┘   └─ queue ─┘
```
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from parallelize.calls import dependencies
from parallelize.futures.future import Failure, Future
from parallelize.futures.peek import name_failure
from parallelize.runtime.clock import monotonic, perf_counter, sleep
from parallelize.runtime.typed import Any, overload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallelize.runtime.options import Args, CallOptions, Kwargs

__all__ = (
    "Call",
    "Rows",
    "SingleColumn",
    "admit",
    "run_retrying",
    "run_rows",
)


class Call(ABC):
    """One call on its way to a worker.

    Attributes:
        fn: The function.
        future: The future that the caller holds.
        options: How to run it.
        waits_for: The futures among its arguments.
    """

    __slots__ = ("fn", "future", "options", "waits_for")

    fn: Callable[..., Any]
    future: Future[Any]
    options: CallOptions
    waits_for: Sequence[Future[Any]]

    @abstractmethod
    def start(self) -> None:
        """Pass the call to the workers; all futures in `waits_for` have succeeded.

        It does nothing if the future has been cancelled, and never raises: an error
        here fails the future.
        """

    def kill(self) -> bool:
        """Stop the call while it runs; return whether that was possible."""
        return False

    @property
    def can_be_killed(self) -> bool:
        """Whether `kill` can stop it while it runs."""
        return False

    def kill_later(self, seconds: float) -> bool:
        """Stop the call if it still runs then; return whether that is possible."""
        from parallelize.runtime import timer

        if not self.can_be_killed:
            return False
        try:
            timer.after(seconds, self.kill)
        except RuntimeError:  # at the end of the program no timer starts
            return self.kill()
        return True

    def note_failure(self) -> None:  # noqa: B027 - most are counted elsewhere
        """Count that the call fails; its future's guard is held."""

    def ask_to_stop(self) -> None:  # noqa: B027 - most calls look for themselves
        """Tell the worker that runs the call that it was asked to stop."""

    def abandoned(self) -> None:
        """Kill the call if it was made with ``kill_on_cancel``.

        Called when an asyncio task that awaits the running call is cancelled.
        """
        if self.options.kill_on_cancel:
            self.kill()

    def fail(self, error: BaseException) -> None:
        """Complete the call with an error, unless it is done."""
        self.future._set_outcome(Failure(error), failed=True)
        name_failure(self.future, self.fn, self.options)


def admit(call: Call) -> None:
    """Start the call when its arguments are available and limit and rate allow."""
    if call.waits_for:
        call.future._needs = call.waits_for
        dependencies.when_done(call.waits_for, lambda: _admit_ready(call), call.fail)
    else:
        _admit_ready(call)


def _admit_ready(call: Call) -> None:
    failure = None
    if call.waits_for:
        call.future._needs = ()  # else long chains of futures would stay alive
        failure = dependencies.first_failure(call.waits_for)
    if failure is not None:
        call.future._set_outcome(failure, failed=True)
        name_failure(call.future, call.fn, call.options)
    elif call.options.limit is not None:
        call.options.limit._admit(call)
        if call.waits_for:  # a call that has a place may wait for it already
            from parallelize.futures.limit_cycles import break_limit_cycle

            break_limit_cycle((call.future,))
    elif call.options.rate is not None:
        call.options.rate._admit(call)
    else:
        call.start()


def _nothing_known() -> Sequence[Future[Any]]:
    return ()


class SubmittedRows:
    """Rows of calls that have been submitted.

    Attributes:
        cancel: Cancels the rows that have not begun.
        futures: Returns the known futures that must be done before all rows are.
    """

    __slots__ = (
        "cancel",
        "futures",
    )

    def __init__(
        self,
        cancel: Callable[[], object],
        futures: Callable[[], Sequence[Future[Any]]] = _nothing_known,
    ) -> None:
        self.cancel: Callable[[], object] = cancel
        self.futures: Callable[[], Sequence[Future[Any]]] = futures


class SingleColumn(Sequence[tuple[Any]]):
    """Rows of one argument each, stored without a tuple for each row.

    Attributes:
        values: The arguments: a list, or a range.
    """

    __slots__ = ("_kinds", "values")

    def __init__(self, values: Sequence[Any]) -> None:
        self.values: Sequence[Any] = values
        self._kinds: set[type] | None = None

    def kinds(self) -> set[type]:
        """The types of the arguments."""
        if self._kinds is None:
            plain = type(self.values) is range
            self._kinds = {int} if plain else set(map(type, self.values))
        return self._kinds

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[tuple[Any]]:
        return zip(self.values)

    @overload
    def __getitem__(self, index: int) -> tuple[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[tuple[Any]]: ...

    def __getitem__(self, index: int | slice) -> tuple[Any] | list[tuple[Any]]:
        if isinstance(index, slice):
            return list(zip(self.values[index]))
        return (self.values[index],)


class Rows:
    """Many calls of one function, submitted together by a map.

    Attributes:
        fn: The function.
        rows: The arguments of each call: a tuple of positional arguments. It is a
            `SingleColumn` if each call has one.
        options: How to run each call.
        deliver: Called as ``deliver(first, outcomes, seconds)`` with the index of the
            first row, a list of values (an `Outcome` where it must be opened) and the
            seconds that these rows ran. Every row is delivered exactly once, in any
            order, from any thread, unless it is cancelled before it begins.
    """

    __slots__ = ("deliver", "fn", "options", "rows")

    def __init__(
        self,
        fn: Callable[..., Any],
        rows: Sequence[tuple[Any, ...]],
        options: CallOptions,
        deliver: Callable[[int, Sequence[Any], float], None],
    ) -> None:
        self.fn: Callable[..., Any] = fn
        self.rows: Sequence[tuple[Any, ...]] = rows
        self.options: CallOptions = options
        self.deliver: Callable[[int, Sequence[Any], float], None] = deliver

    def submitted_as(self, future: Future[tuple[list[Any], float]]) -> SubmittedRows:
        """Deliver all rows when one future, of a `run_rows`, is done."""
        future.add_done_callback(self._deliver_all)
        return SubmittedRows(future.cancel, lambda: (future,))

    def _deliver_all(self, done: Future[tuple[list[Any], float]]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self.deliver(0, *done.result())
        else:
            self.fail(error)

    def fail(
        self, error: BaseException, first: int = 0, end: int | None = None
    ) -> None:
        """Deliver an error for each row from ``first`` to before ``end``."""
        count = (len(self.rows) if end is None else end) - first
        self.deliver(first, [Failure(error)] * count, 0.0)


def run_rows(
    fn: Callable[..., Any], rows: Sequence[tuple[Any, ...]], options: CallOptions
) -> tuple[list[Any], float]:
    """Call ``fn`` with each row; return the outcomes and the elapsed seconds."""
    begun = perf_counter()
    outcomes = [run_retrying(fn, row, {}, options) for row in rows]
    try:
        return outcomes, perf_counter() - begun
    finally:
        del outcomes  # its errors' tracebacks refer to this frame


def sleeps(seconds: float) -> bool:
    """Wait in this thread."""
    sleep(seconds)
    return True


def run_retrying(
    fn: Callable[..., Any],
    args: Args,
    kwargs: Kwargs,
    options: CallOptions,
    is_wanted: Callable[[], bool] = lambda: True,
    pause: Callable[[float], bool] = sleeps,
    count: Callable[[], object] = bool,
) -> Any:
    """Call ``fn`` in this thread, with its retries, and return the outcome.

    Args:
        fn: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        options: The number of retries, and the errors after which to retry.
        is_wanted: Called before each retry; no retry if it returns False.
        pause: Waits before a retry, with the seconds; no retry if it returns False.
        count: Called at each retry.

    Returns:
        The value, or a `Failure`.
    """
    failed, since = 0, monotonic() if options.retries else 0.0
    while True:
        try:
            return fn(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it belongs to the call
            from parallelize.calls.retrying import is_retried, note_attempts, wait_after

            failed += 1
            wait = None
            if failed <= options.retries and is_retried(error, options):
                wait = wait_after(options, failed, error) if is_wanted() else None
            rests = wait or options.rate is not None
            if wait is None or (rests and not pause(wait)):
                note_attempts(error, failed, since)
                # They may refer to the future, and so to the error and this frame.
                del is_wanted, pause
                return Failure(error)
            count()
