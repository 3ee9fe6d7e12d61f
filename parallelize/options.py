"""The options of a call, checked once, and how many workers a machine can feed."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from parallelize.raised import name_of_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal

    from parallelize.calls import Call
    from parallelize.futures import Future


class CallOptions(NamedTuple):
    """How one call is to be run; the same object serves every call of a function.

    Attributes:
        name: What errors and traces call the function; None takes its own name.
        timeout: Seconds a call may run, counted from its start; None for ever.
        retries: How many times more a failed call is started.
        retry_on: The errors after which it is; a died worker always counts.
        limit: Bounds how many calls run at once; None is no bound.
        cancel: What becomes of a call that has begun when a task that awaits it is
            cancelled: None lets it run on, "kill" kills it.
        buffersize: How many items a generator may be ahead of its reader; None
            leaves it to us.
    """

    name: str | None = None
    timeout: float | None = None
    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    limit: Limit | None = None
    cancel: Literal["kill"] | None = None
    buffersize: int | None = None


DEFAULTS = CallOptions()


def name_of(fn: Callable[..., Any], options: CallOptions) -> str:
    """What errors call a function: ``module.qualname``."""
    if options.name is not None:
        return options.name
    try:
        return _own_name(fn)
    except Exception:  # noqa: BLE001 - a callable object's own code may raise anything
        return f"a {name_of_class(type(fn))}"


def _own_name(fn: Callable[..., Any]) -> str:
    name = getattr(fn, "__qualname__", None) or repr(fn)
    module = getattr(fn, "__module__", None)
    return f"{module}.{name}" if module else name


class Limit:
    """Lets at most ``count`` calls through at once; the others queue here."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._inside: set[Future[Any]] = set()
        self._waiting: deque[Call] = deque()
        self._lock = threading.Lock()  # guards both; taken alone

    def admit(self, call: Call) -> None:
        """Start the call now, or when one that runs has ended."""
        with self._lock:
            if len(self._inside) >= self.count:
                self._waiting.append(call)
                return
            self._inside.add(call.future)
        self._start(call)

    def take_out(self, call: Call) -> bool:
        """Let a call go that waits here, to be run in the place of one that runs.

        Returns:
            Whether it was here; then the caller has to start it.
        """
        with self._lock:
            try:
                self._waiting.remove(call)
            except ValueError:
                return False
            return True

    def _start(self, call: Call) -> None:
        call.future.add_done_callback(self._release)
        call.start()

    def inside(self) -> list[Future[Any]]:
        """The calls that have a place."""
        with self._lock:
            return list(self._inside)

    def _release(self, future: Future[Any]) -> None:
        with self._lock:
            self._inside.discard(future)
            call = self._next()
            if call is None:
                return
            self._inside.add(call.future)
        self._start(call)

    def _next(self) -> Call | None:
        while self._waiting:
            call = self._waiting.popleft()
            if not call.future.done():
                return call
        return None

    def __reduce__(self) -> tuple[Callable[[int], Limit], tuple[int]]:
        return Limit, (self.count,)


def check_timeout(timeout: object, argument: str = "timeout") -> float | None:
    """Return the timeout in seconds, or raise naming the argument."""
    if timeout is None:
        return None
    seconds = _as_float(timeout)
    if seconds is None:
        raise _wrong_type(argument, "a number of seconds or None", timeout)
    if math.isnan(seconds) or seconds <= 0:
        raise _wrong_value(argument, "more than 0 seconds", timeout)
    return _or_without_end(seconds)


def check_wait(timeout: object, argument: str = "timeout") -> float | None:
    """Return how long to wait: as `check_timeout`, but it may be over already."""
    if timeout is None:
        return None
    seconds = _as_float(timeout)
    if seconds is None or math.isnan(seconds):
        raise _wrong_type(argument, "a number of seconds or None", timeout)
    return _or_without_end(seconds)


def _or_without_end(seconds: float) -> float | None:
    return None if seconds > threading.TIMEOUT_MAX else seconds


def _as_float(number: object) -> float | None:
    """Convert a real number of any class; None if it is none."""
    if type(number) is float:  # as nearly all are
        return number
    from numbers import Real  # which those of numpy, too, are registered as

    if isinstance(number, bool) or not isinstance(number, Real):
        return None
    try:
        return float(number)
    except OverflowError:  # for who waits that is without end
        return math.inf if number == abs(number) else -math.inf


def check_count(count: object, argument: str, least: int) -> int:
    """Return a whole number of at least ``least``, or raise naming the argument."""
    if isinstance(count, bool) or not isinstance(count, SupportsIndex):
        raise _wrong_type(argument, "a whole number", count)
    number = count.__index__()
    if number < least:
        raise _wrong_value(argument, f"at least {least}", count)
    return number


#: More workers than this are a mistake (each is a thread or a process).
MOST_WORKERS = 10_000


def check_workers(max_workers: object) -> int | None:
    """Return the number of workers asked for, or raise naming the argument."""
    if max_workers is None:
        return None
    count = check_count(max_workers, "max_workers", least=1)
    if count > MOST_WORKERS:
        raise _wrong_value("max_workers", f"at most {MOST_WORKERS}", count)
    return count


def check_callable(fn: object, argument: str) -> None:
    """Raise a TypeError naming the argument unless ``fn`` can be called."""
    if not callable(fn):
        raise _wrong_type(argument, "a callable", fn)


def check_initargs(initargs: Iterable[object]) -> tuple[Any, ...]:
    """Return the arguments of an initializer as a tuple, or raise."""
    # Any, as the initializer alone knows of what types they are.
    try:
        return tuple(initargs)
    except TypeError:
        raise _wrong_type("initargs", "a tuple", initargs) from None


def check_text(text: object, argument: str) -> None:
    """Raise a TypeError naming the argument unless it is a string."""
    if not isinstance(text, str):
        raise _wrong_type(argument, "a string", text)


def check_retry_on(retry_on: object) -> tuple[type[BaseException], ...]:
    """Return the error classes as a tuple, or raise naming the argument."""
    given: tuple[object, ...] = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    return tuple(_error_class(each) for each in given)


def check_cancel(cancel: object) -> Literal["kill"] | None:
    """Return what cancelling is to do, or raise naming the argument."""
    if cancel is None:
        return None
    if cancel != "kill":
        raise _wrong_value("cancel", '"kill" or None', cancel)
    return "kill"


def _error_class(given: object) -> type[BaseException]:
    if isinstance(given, type) and issubclass(given, BaseException):
        return given
    raise _wrong_type("retry_on", "an exception class or a tuple of them", given)


def _wrong_type(argument: str, expected: str, got: object) -> TypeError:
    return TypeError(f"{argument} must be {expected}, not {got!r}")


def _wrong_value(argument: str, expected: str, got: object) -> ValueError:
    return ValueError(f"{argument} must be {expected}, not {got!r}")
