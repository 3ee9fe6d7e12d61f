"""The future: a standard one that is cheap to make, awaitable, and can be killed.

`Future` is a `concurrent.futures.Future` in every respect that other code can
see (`wait`, `as_completed` and asyncio take it), built differently: making the
standard one costs mostly its Condition, so here a lock guards the state and the
Condition round that lock appears when somebody first waits.

What a call came to may be handed over in the form in which it travelled (an
`Outcome`); it is turned into a value, once, by whoever asks first. So a result
whose unpickling fails or never ends harms its reader and nobody else.
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import weakref
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    InvalidStateError,
    as_completed,
)
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from parallelize.futures.unretrieved import UnretrievedFailure
from parallelize.runtime import locks
from parallelize.runtime.blocking import call_in_turn, call_pending, here
from parallelize.runtime.raised import is_a, traceback_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from types import TracebackType
    from typing import Protocol

    from parallelize.runtime.options import CallOptions, Limit

    class Killable(Protocol):
        """The call behind a future, which can be stopped."""

        @property
        def fn(self) -> Callable[..., Any]: ...

        @property
        def options(self) -> CallOptions: ...

        def kill(self) -> bool: ...

        def abandoned(self) -> None: ...


_new_lock = locks.reentrant("future")


__all__ = (
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "CancelledError",
    "Failure",
    "Future",
    "InvalidStateError",
    "Outcome",
    "as_completed",
    "error_of",
    "unended",
)

T = TypeVar("T")


class _Cancelled(str):
    """Cancelled, and those that wait have heard of it: both happens in one step.

    The standard library has a state for each, CANCELLED until a worker comes to the
    call and CANCELLED_AND_NOTIFIED from then on. This equals both: code that looks
    for the first finds it, and `wait` and `as_completed`, which compare the second,
    do not wait for a worker.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other in _CANCELLED

    def __ne__(self, other: object) -> bool:
        return other not in _CANCELLED

    __hash__ = str.__hash__


# The standard library's own state names: its `wait` and `as_completed` compare them.
PENDING = "PENDING"
RUNNING = "RUNNING"
CANCELLED: str = _Cancelled("CANCELLED")
FINISHED = "FINISHED"
# What code written for the standard library sets besides.
_UNNOTIFIED = str(CANCELLED)
_NOTIFIED = "CANCELLED_AND_NOTIFIED"
_CANCELLED = (_UNNOTIFIED, _NOTIFIED)
_ENDED = (FINISHED, *_CANCELLED)
_LIVE = (RUNNING, PENDING)

_log = logging.getLogger("parallelize")


class Outcome:
    """What a call came to, in a form that has to be opened to get the value.

    Opening does not raise: an error that is raised here would hold this code's
    frames, these the outcome, and that the error.
    """

    __slots__ = ()

    #: Whether all of this class are of calls that have succeeded.
    succeeds: ClassVar[bool] = False

    @property
    def failed(self) -> bool:
        """Whether it is known, without opening it, to be an error."""
        return False

    def open(self) -> tuple[Any, BaseException | None]:
        """Return the call's value (of a type not known here) and its error."""
        raise NotImplementedError

    def traceback_of(self, error: BaseException) -> TracebackType | None:
        """Return the traceback that its error had when the call ended."""
        return traceback_of(error)

    def told(self) -> BaseException | str:
        """Tell of a failure without opening it: its error if it is here, or a text."""
        return ""

    @property
    def weight(self) -> int:
        """How many bytes have to be unpickled to open it, about."""
        return 0


class Failure(Outcome):
    """The call raised an error."""

    __slots__ = ("error", "traceback")

    error: BaseException

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.traceback: TracebackType | None = traceback_of(error)

    def __reduce__(self) -> tuple[type[Failure], tuple[BaseException]]:
        """Travel without the traceback, as errors do, from other executors' workers."""
        return Failure, (self.error,)

    @property
    def failed(self) -> bool:
        """True."""
        return True

    def open(self) -> tuple[None, BaseException]:
        """Return no value and the error."""
        return None, self.error

    def traceback_of(self, error: BaseException) -> TracebackType | None:
        """Return that of the moment when this was made."""
        return self.traceback

    def told(self) -> BaseException:
        """Return the error."""
        return self.error


class Future(concurrent.futures.Future[T], Generic[T]):
    """The result of a call that runs elsewhere.

    A real `concurrent.futures.Future` (PEP 3148) with three things more: it can
    be awaited from any running asyncio loop, `kill` stops a call that has
    begun, and `proxy` gives a stand-in for the result.

    Example:
        >>> from parallelize import threaded
        >>> @threaded
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double(21).result()
        42
    """

    # Defaults live in the class: an instance stores only what has changed.
    _state: str = PENDING
    _result: Any = None  # the value, of type T, once it is opened
    _exception: BaseException | None = None
    _traceback: TracebackType | None = None  # of the error, before anybody raised it
    _sealed: Outcome | None = None  # the outcome, until somebody opens it
    _made_condition: threading.Condition | None = None
    _made_waiters: list[Any] | None = None  # objects of concurrent.futures.wait
    _callbacks: list[Callable[[Any], object]] | None = None
    _call: Killable | None = None  # what runs it, while it runs
    _unread: UnretrievedFailure | None = None  # reports a failure that nobody looks at
    _needs: Sequence[Any] = ()  # futures that have to end before it can
    _place_in: tuple[Limit, Any] | None = None  # where its call waits for a place
    _awaits: Sequence[Sequence[Any]] = ()  # what its coroutine awaits; its loop's own
    _is_last: bool = False  # no attempt follows the one that runs

    def __init__(self) -> None:
        # super().__init__ is not called: it would build the Condition.
        # _guard guards every attribute above. It is reentrant because a signal
        # handler or a finaliser may touch the future in the thread that holds it.
        self._guard = _new_lock()

    # What concurrent.futures.wait and as_completed read, made when they do. To
    # checkers these are the attributes of the base class.

    if not TYPE_CHECKING:

        @property
        def _condition(self) -> threading.Condition:
            if here.pending and not self.done():  # who asks for it is about to wait
                call_pending((self,))
            with self._guard:
                if self._made_condition is None:
                    self._made_condition = locks.Condition(self._guard)
                return self._made_condition

        @property
        def _waiters(self) -> list[Any]:
            if self._made_waiters is None:
                self._made_waiters = _Waiters(self)
            return self._made_waiters

        @property
        def _done_callbacks(self) -> list[Callable[[Any], object]]:
            return self._callbacks or []

    # For the caller.

    def cancel(self) -> bool:
        """Cancel the call unless it has begun; an async call until it has ended.

        A call that runs goes on, but it is not started again by ``retries``.

        Returns:
            True if the call was cancelled, False if it runs or has ended.
        """
        with self._guard:
            if self._state in _CANCELLED:
                return True
            if self._state != PENDING:
                self._is_last = True
                return False
            self._settle(CANCELLED, "add_cancelled")
        self._invoke_callbacks()
        return True

    def kill(self) -> bool:
        """Stop the call, even while it runs.

        A call that has not begun is cancelled. One that runs in a process is
        stopped by killing its worker, which is replaced; the future then
        raises `TaskKilled`. A thread cannot be stopped from outside.

        Returns:
            True if the call was stopped, False if it had ended or cannot be.
        """
        if self.cancel():
            return True
        call = self._call
        return call is not None and call.kill()

    def cancelled(self) -> bool:
        """Return True if the call was cancelled."""
        return self._state in _CANCELLED

    def running(self) -> bool:
        """Return True while the call runs or is on its way to a worker."""
        return self._state == RUNNING

    def done(self) -> bool:
        """Return True if the call has ended or was cancelled."""
        return self._state in _ENDED

    def result(self, timeout: float | None = None) -> T:
        """Wait for the call and return its value.

        Args:
            timeout: The longest wait in seconds; None waits without end. The
                call goes on when the wait is over (PEP 3148); to stop the call
                itself give the decorator a ``timeout``.

        Raises:
            TimeoutError: The call has not ended within ``timeout`` seconds.
            CancelledError: The call was cancelled.
            BaseException: Whatever the call raised.
        """
        if self._state is FINISHED and self._sealed is None:
            error = self._exception
        else:
            error = self.exception(timeout)
        if error is None:
            result: T = self._result
            return result
        self._looked_at()
        try:
            # It may be the error of many futures, and be read by many: the traceback
            # would grow with each.
            if is_a(error, BaseException):
                BaseException.with_traceback(error, self._traceback)
            raise error
        finally:
            del self, error  # the error's traceback holds this frame

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call and return the error it raised, or None.

        Args:
            timeout: The longest wait in seconds; None waits without end.

        Raises:
            TimeoutError: The call has not ended within ``timeout`` seconds.
            CancelledError: The call was cancelled.
        """
        if self._state != FINISHED:
            self._await_end(timeout)
        if self._state in _CANCELLED:
            raise CancelledError
        if self._sealed is not None:
            self._open()
        if self._unread is not None:
            self._looked_at()
        return self._exception

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call ``fn(future)`` when the call has ended, or now if it has.

        Callbacks run in the order in which they were added, in a thread of
        parallelize. An error of a callback is logged and hurts nobody. Those of
        futures that a callback ends run before it goes on, unless callbacks are
        nested deeply; then when the others have run. A callback may wait for other
        calls, also of the same pool.

        Args:
            fn: Called with this future as its only argument.
        """
        with self._guard:
            if self._state in (PENDING, RUNNING):
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(fn)
                return
        call_in_turn(((self._invoke, fn),))

    def proxy(self) -> T:
        """Return a stand-in for the result that waits when it is first used.

        The stand-in behaves as the value in operators, `isinstance`, pickling
        and calls. Each use raises the call's error, if the call failed.

        It is not the value, and code that looks at the type of an object itself
        (as much of C does) sees so. Give ``result()`` where that matters, as in
        ``x is None``, ``type(x)``, ``issubclass(x, C)``, ``match`` with a pattern of
        a sequence or mapping, ``raise x``, the `json` encoder, ``str.join``,
        ``re.match``, a slice or ``...`` as index of a numpy array, the seed of
        ``np.random.default_rng``, a number given to pandas' ``.loc``,
        ``pd.to_datetime``. And until it is first used, or its call has ended when
        it is made, `callable` takes it for a function.
        """
        from parallelize.futures.proxy import proxy_of

        return proxy_of(self)

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait in the running asyncio loop, without blocking it.

        If the task that waits is cancelled, so is the call unless it has begun. One
        that runs in a process is killed if it was made with ``cancel="kill"``.

        Raises:
            RuntimeError: No asyncio loop runs here.
        """
        from parallelize.futures.aio import value_of

        return value_of(self).__await__()

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else self._state.lower()
        return f"<Future at {id(self):#x} state={state}{self._outcome_text()}>"

    def _outcome_text(self) -> str:
        if self._state != FINISHED or self._sealed is not None:
            return ""  # showing it must not open it
        if self._exception is not None:
            return f" raised {type(self._exception).__name__}"
        return f" returned {type(self._result).__name__}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the result, where a call waits for it; else refuse."""
        from parallelize.serialize.reducers.placeholders import reduce_future

        return reduce_future(self)

    # For executors.

    def may_repeat(self) -> bool:
        """Whether the call, which has begun, may be started again if it fails."""
        return not self._is_last and self._state not in _ENDED

    def end_retries(self) -> None:
        """Start no further attempt of the call; the one that runs goes on."""
        self._is_last = True

    def set_running_or_notify_cancel(self) -> bool:
        """Mark the call as begun; return False if it was cancelled.

        Raises:
            RuntimeError: It has begun or ended, or this was called before.
        """
        with self._guard:
            if self.claim():
                return True
            if self._state is CANCELLED:
                self._state = _NOTIFIED
                return False
            if self._state == _UNNOTIFIED:
                self._settle(_NOTIFIED, "add_cancelled")
                return False
        # Programs look there for what the standard library logs in these words, too.
        log = logging.getLogger("concurrent.futures")
        log.critical("Future %s in unexpected state: %s", id(self), self._state)
        msg = f"Future in unexpected state {self._state}, expected PENDING"
        raise RuntimeError(msg)

    def claim(self) -> bool:
        """Mark the call as begun; return False if it has begun or ended already."""
        with self._guard:
            if self._state != PENDING:
                return False
            self._state = RUNNING
            return True

    def set_result(self, result: T) -> None:
        """End the call with a value."""
        # The steps of _settle stand here once more: this is where threads spend
        # most of what a call costs.
        with self._guard:
            if self._state not in _LIVE:
                self._refuse()
            self._result = result
            self._state = FINISHED
            self._call = None
            if self._made_condition is not None:
                self._notify("add_result")
        if self._callbacks is not None:
            self._invoke_callbacks()

    def set_exception(self, exception: BaseException | None) -> None:
        """End the call with an error."""
        with self._guard:
            if self._state not in _LIVE:
                self._refuse()
            self._exception = exception
            if exception is not None:
                if is_a(exception, BaseException):  # not a class of them
                    self._traceback = traceback_of(exception)
                self._unread = UnretrievedFailure(exception, self._called())
            self._settle(FINISHED, "add_exception")
        self._invoke_callbacks()

    def set_value(self, value: T) -> bool:
        """End the call with a value, as `set_outcome` does."""
        with self._guard:
            if self._state not in _LIVE:
                return False
            self._result = value
            self._settle(FINISHED, "add_result")
        if self._callbacks is not None:
            self._invoke_callbacks()
        return True

    def set_outcome(self, outcome: Outcome, *, failed: bool) -> bool:
        """End the call with an outcome that its first reader opens.

        Args:
            outcome: The value or error, still in the form it travelled in.
            failed: Whether it is known to be an error.

        Returns:
            False if the call had ended before; nothing is changed then.
        """
        with self._guard:
            if self._state not in _LIVE:
                return False
            self._sealed = outcome
            if failed:
                self._unread = UnretrievedFailure(outcome, self._called())
            self._settle(FINISHED, "add_exception" if failed else "add_result")
        self._invoke_callbacks()
        return True

    def withdraw(self) -> None:
        """Cancel a call that was on its way to a worker and has come back unbegun."""
        with self._guard:
            if self._state not in _LIVE:
                return
            self._settle(CANCELLED, "add_cancelled")
        self._invoke_callbacks()

    def abandon(self) -> None:
        """Cancel the call, or do what its options say: who awaited it was cancelled."""
        call = self._call
        if not self.cancel() and call is not None:
            call.abandoned()

    def fail_in_forked_child(self) -> None:
        """In a forked child: fail, as what would end the call is in the parent.

        No callback is called, as it may wait for a lock of the parent's threads.
        """
        self._guard = _new_lock()  # a thread of the parent may have held it
        self._made_condition = self._made_waiters = self._callbacks = None
        msg = "the call was made before os.fork(), it belongs to the parent process"
        self.set_outcome(Failure(RuntimeError(msg)), failed=True)
        self._looked_at()  # it is for the parent to report

    def _await_end(self, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            if not self.done():
                raise TimeoutError
            return
        if here.pending:
            call_pending((self,))
        worker = here.worker
        if worker is None:
            self._sleep(timeout)
            return
        if timeout is None:  # what is run here may take longer than a bound
            worker.help(self)
        if not self.done():
            with worker.away((self,)):
                self._sleep(timeout)

    def _sleep(self, timeout: float | None) -> None:
        if timeout is not None:
            timeout = None if timeout > threading.TIMEOUT_MAX else timeout
        locked = locks.depth(self._guard)
        try:
            self._sleep_until_told(timeout)
        except BaseException:
            locks.release_to(self._guard, locked)
            raise

    def _sleep_until_told(self, timeout: float | None) -> None:
        condition = self._condition
        with condition:
            if not self.done():
                condition.wait(timeout)
            if not self.done():
                raise TimeoutError

    def _open(self) -> None:
        with self._guard:
            if self._sealed is not None:
                # A Ctrl-C may come up here; then it is opened by the next reader.
                sealed = self._sealed
                self._result, error = sealed.open()
                if error is not None:
                    self._traceback = sealed.traceback_of(error)
                    self._exception = error
                self._sealed = None

    def _waited_for(self) -> Iterable[Future[Any]]:
        """What its call waits for while it runs, as far as it is known."""
        return [each for futures in self._awaits for each in futures]

    def _called(self) -> tuple[Callable[..., Any], CallOptions] | None:
        call = self._call
        return None if call is None else (call.fn, call.options)

    def _looked_at(self) -> None:
        unread = self._unread
        if unread is not None:
            unread.mark_retrieved()
            self._unread = None

    def _refuse(self) -> NoReturn:
        msg = f"{self._state}: {self!r}"
        raise InvalidStateError(msg)

    def _settle(self, state: str, notice: str) -> None:
        """Enter a last state; the caller holds the guard."""
        self._state = state
        self._call = None
        if self._needs:
            self._needs = ()
        if self._made_condition is not None:
            self._notify(notice)

    def _notify(self, notice: str) -> None:
        # Who waits has asked for the condition first, also who then adds a waiter.
        for waiter in self._made_waiters or ():
            getattr(waiter, notice)(self)
        if self._made_condition is not None:
            self._made_condition.notify_all()

    def _invoke_callbacks(self) -> None:
        callbacks, self._callbacks = self._callbacks, None
        if callbacks:
            call_in_turn([(self._invoke, fn) for fn in callbacks])

    def _invoke(self, fn: Callable[[Any], object]) -> None:
        try:
            fn(self)
        except BaseException:  # noqa: BLE001 - nor may SystemExit end the pool's thread
            _log.exception("exception calling callback for %r", self)

    def _get_snapshot(
        self,
    ) -> tuple[bool, bool, T | None, BaseException | None]:
        # asyncio of Python 3.14 and later reads this instead of four methods.
        if not self.done():
            return False, False, None, None
        if self.cancelled():
            return True, True, None, None
        error = self.exception()
        return True, False, self._result, error


class _Waiters(list[Any]):
    """Who waits for a future by the standard library's `wait` and `as_completed`.

    These know nothing of workers. So when a worker's thread puts its waiter here,
    that is noted as a wait of the worker, until the waiter is taken away.
    """

    __slots__ = ("_future",)

    def __init__(self, future: Future[Any]) -> None:
        self._future = weakref.ref(future)  # which holds this

    def append(self, waiter: Any) -> None:
        worker, future = here.worker, self._future()
        if worker is not None and future is not None:
            worker.note_foreign_wait(waiter, future)
        super().append(waiter)

    def remove(self, waiter: Any) -> None:
        super().remove(waiter)
        absence, future = getattr(waiter, "parallelize_absence", None), self._future()
        if absence is not None and future is not None:
            absence.drop(future)


def unended(futures: Iterable[Any]) -> list[Future[Any]]:
    """Find what has to end before these have: what others need comes before them.

    Futures that are not of this library are left out.
    """
    found: list[Future[Any]] = []
    seen: set[int] = set()
    waiting = list(futures)  # not recursion: chains may be longer than Python's stack
    while waiting:
        future = waiting.pop()
        if id(future) in seen or not isinstance(future, Future) or future.done():
            continue
        seen.add(id(future))
        found.append(future)
        waiting.extend(future._needs)
    found.reverse()
    return found


def error_of(future: concurrent.futures.Future[Any]) -> BaseException | None:
    """Return the error of a future, be it a cancellation, or None; it may wait."""
    try:
        return future.exception()
    except CancelledError as error:
        return error
