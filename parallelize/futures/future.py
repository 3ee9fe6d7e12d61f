"""The future: a standard one that is cheap to create, awaitable, and can be killed.

`Future` is a `concurrent.futures.Future` in every respect that other code can see
(`wait`, `as_completed` and asyncio accept it), but implemented differently: most of the
cost of creating the standard one is its Condition, so here a lock guards the state and
the Condition on that lock is created at the first wait.

The outcome of a call may be delivered in the form in which it was sent (an `Outcome`);
the first reader turns it into a value. So a result whose unpickling fails or hangs
affects only its reader.
"""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import weakref
from concurrent.futures import CancelledError, InvalidStateError

from parallelize.futures.unretrieved import UnretrievedFailure
from parallelize.runtime import locks
from parallelize.runtime.blocking import call_in_turn, call_pending, here
from parallelize.runtime.options import check_grace
from parallelize.runtime.raised import is_a, traceback_of
from parallelize.runtime.typed import Any, Generic, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from types import TracebackType
    from typing import ClassVar, NoReturn, Protocol

    from parallelize.runtime.options import CallOptions, Limit
    from parallelize.runtime.spin import AdaptiveSpin

    class Killable(Protocol):
        """The call behind a future, which may be stopped."""

        @property
        def fn(self) -> Callable[..., Any]: ...

        @property
        def options(self) -> CallOptions: ...

        def kill(self) -> bool: ...

        def kill_later(self, seconds: float) -> bool: ...

        def ask_to_stop(self) -> None: ...

        def note_failure(self) -> None: ...

        def abandoned(self) -> None: ...


_new_lock = locks.reentrant("future")


__all__ = ("Completable", "Failure", "Future", "Outcome", "error_of", "unended")

T = TypeVar("T")


class _Cancelled(str):
    """The state of a cancelled future whose waiters have been notified.

    The standard library has two states: CANCELLED until a worker takes the call and
    CANCELLED_AND_NOTIFIED from then on. Here both happen in one step, and the state
    equals both: code that looks for the first finds it, and `wait` and `as_completed`,
    which compare with the second, do not wait for a worker.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other in _CANCELLED

    def __ne__(self, other: object) -> bool:
        return other not in _CANCELLED

    __hash__ = str.__hash__


# The standard library's state names, which its `wait` and `as_completed` compare.
PENDING = "PENDING"
RUNNING = "RUNNING"
CANCELLED: str = _Cancelled("CANCELLED")
FINISHED = "FINISHED"
# States that code written for the standard library may set.
_UNNOTIFIED = str(CANCELLED)
_NOTIFIED = "CANCELLED_AND_NOTIFIED"
_CANCELLED = (_UNNOTIFIED, _NOTIFIED)
_ENDED = (FINISHED, *_CANCELLED)
_LIVE = (RUNNING, PENDING)

_log = logging.getLogger("parallelize")


class Outcome:
    """The outcome of a call, in a form that has to be opened to get the value.

    `open` does not raise: the traceback of an error raised here would refer to this
    code's frames, these to the outcome, and that to the error.
    """

    __slots__ = ()

    #: Whether all instances of this class are outcomes of successful calls.
    succeeds: ClassVar[bool] = False

    @property
    def failed(self) -> bool:
        """Whether it is known, without opening, to be an error."""
        return False

    def open(self) -> tuple[Any, BaseException | None]:
        """Return the call's value, whose type is unknown here, and its error."""
        raise NotImplementedError

    def traceback_of(self, error: BaseException) -> TracebackType | None:
        """Return the traceback that the error had when the call raised it."""
        return traceback_of(error)

    def error_or_text(self) -> BaseException | str:
        """Describe a failure without opening it: its error if available, or a text."""
        return ""

    @property
    def pickled_size(self) -> int:
        """The approximate number of bytes that opening unpickles."""
        return 0


class Failure(Outcome):
    """The call raised an error."""

    __slots__ = ("error", "traceback")

    error: BaseException

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.traceback: TracebackType | None = traceback_of(error)

    def __reduce__(self) -> tuple[type[Failure], tuple[BaseException]]:
        """Pickle without the traceback, like errors, for other executors' workers."""
        return Failure, (self.error,)

    @property
    def failed(self) -> bool:
        """True."""
        return True

    def open(self) -> tuple[None, BaseException]:
        """Return no value and the error."""
        return None, self.error

    def traceback_of(self, error: BaseException) -> TracebackType | None:
        """Return the traceback at the time this object was created."""
        return self.traceback

    def error_or_text(self) -> BaseException:
        """Return the error."""
        return self.error


class Completable(concurrent.futures.Future[T], Generic[T]):
    """The side of a future that executors use: its state, and how it completes.

    Executors and the code of this package that combines futures use these methods and
    attributes; all but those of PEP 3148 begin with an underscore.
    """

    # Defaults are class attributes: an instance stores only what has changed.
    _state: str = PENDING
    _result: Any = None  # the value, of type T, once opened
    _exception: BaseException | None = None
    _traceback: TracebackType | None = None  # the error's, before it was re-raised
    _sealed: Outcome | None = None  # the outcome, until it is opened
    _made_condition: threading.Condition | None = None
    _made_waiters: list[Any] | None = None  # those of concurrent.futures.wait
    _callbacks: list[Callable[[Any], object]] | None = None
    _call: Killable | None = None  # the call, until it is done
    _unretrieved: UnretrievedFailure | None = None  # reports an unretrieved failure
    _needs: Sequence[Any] = ()  # futures that must be done before it
    _place_in: tuple[Limit, Any] | None = None  # the limit that its call waits for
    _awaits: Sequence[Sequence[Any]] = ()  # awaited in its coroutine
    _is_last: bool = False  # no retry after the current attempt
    _asked: bool = False  # the running call was asked to stop

    def __init__(self) -> None:
        # super().__init__ is not called: it would build the Condition.
        # _guard guards every attribute above. It is reentrant because a signal
        # handler or a finaliser may touch the future in the thread that holds it.
        self._guard = _new_lock()

    # Read by concurrent.futures.wait and as_completed, and created on demand. Checkers
    # see the attributes of the base class.

    if not TYPE_CHECKING:

        @property
        def _condition(self) -> threading.Condition:
            if here.pending and not self.done():  # the caller is about to wait
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

    # The life of the call.

    def set_running_or_notify_cancel(self) -> bool:
        """Mark the call as begun; return False if it was cancelled.

        Raises:
            RuntimeError: The call has begun or is done, or this was called before.
        """
        with self._guard:
            if self._claim():
                return True
            if self._state is CANCELLED:
                self._state = _NOTIFIED
                return False
            if self._state == _UNNOTIFIED:
                self._settle(_NOTIFIED, "add_cancelled")
                return False
        # The standard library logs this text to this logger, where programs look.
        log = logging.getLogger("concurrent.futures")
        log.critical("Future %s in unexpected state: %s", id(self), self._state)
        msg = f"Future in unexpected state {self._state}, expected PENDING"
        raise RuntimeError(msg)

    def _claim(self) -> bool:
        """Mark the call as begun; return False if it has begun or is done already."""
        with self._guard:
            if self._state != PENDING:
                return False
            self._state = RUNNING
            return True

    def _rest(self) -> bool:
        """Mark the running call as pending, until its next attempt.

        Returns:
            False if there must not be another attempt.
        """
        with self._guard:
            if self._is_last or self._state not in _LIVE:
                return False
            self._state = PENDING
            return True

    def _may_repeat(self) -> bool:
        """Whether the running call may be retried if it fails."""
        return not self._is_last and self._state not in _ENDED

    def _end_retries(self) -> None:
        """Allow no further retries; the current attempt goes on."""
        self._is_last = True

    def set_result(self, result: T) -> None:
        """Complete the call with a value."""
        # The steps of _settle are inlined: calls in threads spend most of their time
        # here.
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
        """Complete the call with an error."""
        with self._guard:
            if self._state not in _LIVE:
                self._refuse()
            self._exception = exception
            if exception is not None:
                if is_a(exception, BaseException):  # not an exception class
                    self._traceback = traceback_of(exception)
                self._note_failure(exception)
            self._settle(FINISHED, "add_exception")
        self._invoke_callbacks()

    def _set_value(self, value: T) -> bool:
        """Complete the call with a value; return False if it was done."""
        with self._guard:
            if self._state not in _LIVE:
                return False
            self._result = value
            self._settle(FINISHED, "add_result")
        if self._callbacks is not None:
            self._invoke_callbacks()
        return True

    def _set_outcome(self, outcome: Outcome, *, failed: bool) -> bool:
        """Complete the call with an outcome that its first reader opens.

        Args:
            outcome: The value or error, in the form in which it was sent.
            failed: Whether it is known to be an error.

        Returns:
            False if the call was done before; then nothing changes.
        """
        with self._guard:
            if self._state not in _LIVE:
                return False
            self._sealed = outcome
            if failed:
                self._note_failure(outcome)
            self._settle(FINISHED, "add_exception" if failed else "add_result")
        self._invoke_callbacks()
        return True

    def _force_cancel(self) -> bool:
        """Cancel the call even if it has begun; return False if it was done.

        For calls that can be cancelled while they run, and those that a worker has
        returned without having begun them.
        """
        with self._guard:
            if self._state not in _LIVE:
                return False
            self._settle(CANCELLED, "add_cancelled")
        self._invoke_callbacks()
        return True

    def _fail_in_forked_child(self) -> None:
        """In a forked child: fail, because only the parent could complete the call.

        No callback is called, because it may wait for a lock that a thread of the
        parent held.
        """
        self._guard = _new_lock()  # it may be held by a thread of the parent
        self._made_condition = self._made_waiters = self._callbacks = None
        msg = "the call was made before os.fork(), it belongs to the parent process"
        self._set_outcome(Failure(RuntimeError(msg)), failed=True)
        self._mark_retrieved()  # the parent reports it

    def _waited_for(self) -> Iterable[Future[Any]]:
        """Return the futures that the running call is known to wait for."""
        return [each for futures in self._awaits for each in futures]

    def _spin_in_loop(self) -> AdaptiveSpin | None:
        """Return what decides whether event loops wait awake for it, if they may."""
        return None

    def _note_failure(self, failure: BaseException | Outcome) -> None:
        """Note that the call fails; the caller holds the guard."""
        self._unretrieved = UnretrievedFailure(failure, self._called())
        if self._call is not None:
            self._call.note_failure()

    def _called(self) -> tuple[Callable[..., Any], CallOptions] | None:
        call = self._call
        return None if call is None else (call.fn, call.options)

    def _mark_retrieved(self) -> None:
        unretrieved = self._unretrieved
        if unretrieved is not None:
            unretrieved.mark_retrieved()
            self._unretrieved = None

    # Completion.

    def _refuse(self) -> NoReturn:
        msg = f"{self._state}: {self!r}"
        raise InvalidStateError(msg)

    def _settle(self, state: str, notice: str) -> None:
        """Enter a final state; the caller holds the guard."""
        self._state = state
        self._call = None
        if self._needs:
            self._needs = ()
        if self._made_condition is not None:
            self._notify(notice)

    def _notify(self, notice: str) -> None:
        # Every waiter, also one of `wait`, has created the condition before it
        # registers.
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
        except BaseException:  # noqa: BLE001 - SystemExit must not end the thread
            _log.exception("exception calling callback for %r", self)


class Future(Completable[T], Generic[T]):
    """The result of a call that runs elsewhere.

    A real `concurrent.futures.Future` (PEP 3148) with three additions: it can be
    awaited in any running asyncio loop, `kill` stops a running call, and `proxy`
    returns a stand-in for the result.

    Example:
        >>> from parallelize import threaded
        >>> @threaded
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double(21).result()
        42
    """

    def cancel(self) -> bool:
        """Cancel the call unless it has begun; an async call until it is done.

        A running call goes on, but is not retried, and `stopping` becomes true in it.
        If it then raises `CancelledError`, as `check_stop` does, it is cancelled.

        Returns:
            True if the call was cancelled, False if it runs or is done.
        """
        with self._guard:
            if self._state in _CANCELLED:
                return True
            if was_pending := self._state == PENDING:
                self._settle(CANCELLED, "add_cancelled")
            else:
                self._is_last = self._asked = True
            call = self._call
        if was_pending:
            self._invoke_callbacks()
            return True
        if call is not None:
            call.ask_to_stop()
        return False

    def kill(self, *, grace: float = 0.0) -> bool:
        """Stop the call, even while it runs.

        A call that has not begun is cancelled. One that runs in a process is
        stopped by killing its worker, which is replaced; the future then
        raises `TaskKilled`, unless the call ends before that, for instance because it
        sees `stopping`. A thread cannot be stopped from outside: the call is asked
        to stop, as by `cancel`.

        Args:
            grace: Seconds that a running call has to end by itself, after `stopping`
                has become true in it. This method does not wait for that.

        Returns:
            True if the call was stopped, or will be after the grace. False if it was
            done or cannot be stopped.

        Raises:
            TypeError: ``grace`` is not a number.
            ValueError: ``grace`` is negative.
        """
        seconds = check_grace(grace)
        if self.cancel():
            return True
        call = self._call
        if call is None:
            return False
        return call.kill_later(seconds) if seconds else call.kill()

    def cancelled(self) -> bool:
        """Return True if the call was cancelled."""
        return self._state in _CANCELLED

    def running(self) -> bool:
        """Return True while the call runs or is being sent to a worker."""
        return self._state == RUNNING

    def done(self) -> bool:
        """Return True if the call has completed or was cancelled."""
        return self._state in _ENDED

    def result(self, timeout: float | None = None) -> T:
        """Wait for the call and return its value.

        Args:
            timeout: The longest wait in seconds; None waits indefinitely. The call goes
                on after a timeout (PEP 3148); to stop the call itself, pass ``timeout``
                to the decorator.

        Raises:
            TimeoutError: The call is not done within ``timeout`` seconds.
            CancelledError: The call was cancelled.
            BaseException: The error that the call raised.
        """
        if self._state is FINISHED and self._sealed is None:
            error = self._exception
        else:
            error = self.exception(timeout)
        if error is None:
            result: T = self._result
            return result
        self._mark_retrieved()
        try:
            # The error may belong to several futures and be raised many times: without
            # this, its traceback would grow each time.
            if is_a(error, BaseException):
                BaseException.with_traceback(error, self._traceback)
            raise error
        finally:
            del self, error  # the error's traceback holds this frame

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call and return the error that it raised, or None.

        Args:
            timeout: The longest wait in seconds; None waits indefinitely.

        Raises:
            TimeoutError: The call is not done within ``timeout`` seconds.
            CancelledError: The call was cancelled.
        """
        if self._state != FINISHED:
            self._await_end(timeout)
        if self._state in _CANCELLED:
            raise CancelledError
        if self._sealed is not None:
            self._open()
        if self._unretrieved is not None:
            self._mark_retrieved()
        return self._exception

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call ``fn(future)`` when the call is done, or now if it is.

        Callbacks run in the order in which they were added, in a thread of parallelize.
        An error raised by a callback is logged and otherwise ignored. If a callback
        completes other futures, their callbacks run before it goes on or, if callbacks
        are nested deeply, after the current ones. A callback may wait for other calls,
        also of the same pool.

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
        """Return a stand-in for the result, which waits for it on first use.

        The stand-in behaves like the value in operators, `isinstance`, pickling and
        calls. If the call failed, each use raises its error.

        It is not the value itself, which shows in code that checks an object's real
        type (as much C code does). Use ``result()`` where that matters, as in
        ``x is None``, ``type(x)``, ``issubclass(x, C)``, ``match`` with a pattern of a
        sequence or mapping, ``raise x``, the `json` encoder, ``str.join``,
        ``re.match``, a slice or ``...`` as index of a numpy array, the seed of
        ``np.random.default_rng``, a number given to pandas' ``.loc``,
        ``pd.to_datetime``. And until its first use, `callable` returns True for it,
        unless the call was done when the stand-in was created.
        """
        from parallelize.futures.proxy import proxy_of

        return proxy_of(self)

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the call in the running asyncio loop, without blocking it.

        If the awaiting task is cancelled, so is the call unless it has begun. One that
        runs in a process is killed if it was made with ``kill_on_cancel``.

        Raises:
            RuntimeError: No asyncio loop runs here.
        """
        from parallelize.futures.aio import value_of

        return value_of(self).__await__()

    def _cancel_awaited(self) -> None:
        """Cancel the call, as the task that awaited it was; blocks no event loop."""
        call = self._call
        if not self.cancel() and call is not None:
            call.abandoned()

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else self._state.lower()
        text = f"<Future at {id(self):#x} state={state}"
        if self._state == FINISHED and self._sealed is None:  # else it would be opened
            if self._exception is not None:
                text += f" raised {type(self._exception).__name__}"
            else:
                text += f" returned {type(self._result).__name__}"
        return f"{text}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the result, as an argument of a call; otherwise refuse."""
        from parallelize.serialize.reducers.placeholders import reduce_future

        return reduce_future(self)

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
        if timeout is None:  # the calls run here may exceed a timeout
            worker.help(self)
        if not self.done():
            with worker.away((self,)):
                self._sleep(timeout)

    def _sleep(self, timeout: float | None) -> None:
        if timeout is not None and timeout > threading.TIMEOUT_MAX:
            timeout = None
        locked = locks.depth(self._guard)
        try:
            condition = self._condition
            with condition:
                if not self.done():
                    condition.wait(timeout)
                if not self.done():
                    raise TimeoutError
        except BaseException:
            locks.release_to(self._guard, locked)
            raise

    def _open(self) -> None:
        with self._guard:
            if self._sealed is not None:
                # After a Ctrl-C in here the next reader opens it.
                sealed = self._sealed
                self._result, error = sealed.open()
                if error is not None:
                    self._traceback = sealed.traceback_of(error)
                    self._exception = error
                self._sealed = None

    def _get_snapshot(
        self,
    ) -> tuple[bool, bool, T | None, BaseException | None]:
        # asyncio calls it from Python 3.14 on, instead of four methods.
        if not self.done():
            return False, False, None, None
        if self.cancelled():
            return True, True, None, None
        error = self.exception()
        return True, False, self._result, error


class _Waiters(list[Any]):
    """The waiters of the standard library's `wait` and `as_completed`.

    These functions know nothing of workers. So when a worker's thread adds its waiter
    here, that is recorded as a wait of the worker until the waiter is removed.
    """

    __slots__ = ("_future",)

    def __init__(self, future: Completable[Any]) -> None:
        self._future = weakref.ref(future)  # the future refers to this

    def append(self, waiter: Any) -> None:
        worker, future = here.worker, self._future()
        if worker is not None and future is not None:
            worker.note_foreign_wait(waiter, future)
        super().append(waiter)

    def remove(self, waiter: Any) -> None:
        super().remove(waiter)
        wait, future = getattr(waiter, "parallelize_wait", None), self._future()
        if wait is not None and future is not None:
            wait.drop(future)


def unended(futures: Iterable[Any]) -> list[Future[Any]]:
    """Return the pending futures that these depend on, and these, in that order.

    Dependencies precede the futures that need them. Futures of other libraries are left
    out.
    """
    found: list[Future[Any]] = []
    seen: set[int] = set()
    waiting = list(futures)  # no recursion: chains may exceed Python's stack
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
    """Wait for a future; return its error or `CancelledError`, or None."""
    try:
        return future.exception()
    except CancelledError as error:
        return error
