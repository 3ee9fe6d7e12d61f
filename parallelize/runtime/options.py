"""The options of a call, `Limit`, and the checks of arguments."""

from __future__ import annotations

import math
import threading
from collections import deque

from parallelize.runtime import lifecycle, locks
from parallelize.runtime.raised import name_of_class
from parallelize.runtime.typed import NamedTuple, cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future as AnyFuture
    from typing import Any, Protocol, Self, SupportsIndex, TypeAlias, TypeVar

    T = TypeVar("T")

    # The arguments of a call.
    Args: TypeAlias = tuple[Any, ...]
    Kwargs: TypeAlias = dict[str, Any]

    class Limited(Protocol):
        """The future of a call that waits for a place in a limit, or has one."""

        _place_in: tuple[Limit, Any] | None  # where its call waits

        def done(self) -> bool:
            """Whether the call is done, so that its place is free."""
            ...

        def cancel(self) -> bool:
            """Cancel the future, because its call could not be started."""
            ...

        def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
            """Call the limit's function once when the future is done."""

    class LimitedCall(Protocol):
        """A call that starts when it has a place."""

        @property
        def options(self) -> CallOptions:
            """Its options, among them the rate that it needs."""
            ...

        @property
        def future(self) -> Limited:
            """The future, which holds the place until it is done."""
            ...

        def start(self) -> None:
            """Start the call; errors fail the future."""

        def fail(self, error: BaseException) -> None:
            """Fail the future with an error that `start` did raise."""

    class Bound(Protocol):
        """What counts the calls of a function that are under way."""

        @property
        def count(self) -> int:
            """The largest number of them."""
            ...

        def applies(self) -> bool:
            """Whether a call made here counts."""
            ...

        def for_function(self) -> Self:
            """Return the same for one more function."""
            ...

        def start(
            self,
            make: Callable[[], T],
            future_of: Callable[[T], AnyFuture[Any] | None],
            full: Callable[[], Exception],
        ) -> T:
            """Make a call, at once or when others are done."""
            ...

    class Rate(Protocol):
        """The `RateLimit` of some functions."""

        def _admit(self, call: LimitedCall) -> None:
            """Start the call now, or when its time has come."""

        def pause(self, seconds: float) -> None:
            """Start no further call for these seconds."""

        def _for_function(self) -> Self:
            """Return the rate for one more function that is decorated."""
            ...


_new_lock = locks.reentrant("limit")


class CallOptions(NamedTuple):
    """How to run a call; one object serves all calls of a function.

    Attributes:
        name: The function's name in errors and traces; None takes its own.
        timeout: Seconds that each attempt of a call may run, counted from its start;
            None is no bound.
        retries: The number of retries after a failed attempt.
        retry_on: The errors after which a call is retried; the death of its worker
            always counts.
        limit: Bounds the number of calls that run at once, together with those of other
            functions that share it; None is no bound.
        rate: Bounds the number of calls that start per time, likewise.
        retry_wait: Returns the seconds before the next attempt, or None for no more;
            None stands for the default function.
        max_pending: Bounds the number of calls that are under way.
        kill_on_cancel: Whether a running call is killed when a task that awaits it is
            cancelled; else it runs on.
        buffersize: The number of items that a generator may be ahead of its reader, or
            of calls that a map may be; None: chosen automatically.
    """

    name: str | None = None
    timeout: float | None = None
    retries: int = 0
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    limit: Limit | None = None
    rate: Rate | None = None
    retry_wait: Callable[[int, BaseException], float | None] | None = None
    max_pending: Bound | None = None
    kill_on_cancel: bool = False
    buffersize: int | None = None

    @property
    def waits(self) -> bool:
        """Whether calls may have to wait before they start."""
        return self.limit is not None or self.rate is not None

    def for_function(self) -> CallOptions:
        """Return the options of one more function that is decorated with these."""
        limit, rate, pending = self.limit, self.rate, self.max_pending
        if not self.waits and pending is None:
            return self
        return self._replace(
            max_pending=None if pending is None else pending.for_function(),
            limit=None if limit is None else limit._for_function(),
            rate=None if rate is None else rate._for_function(),
        )

    def in_worker(self) -> CallOptions:
        """Return what a worker needs of them: the caller's side does the rest."""
        return self._replace(
            limit=None, rate=None, retry_wait=None, max_pending=None, timeout=None
        )


DEFAULTS = CallOptions()


def name_of(fn: Callable[..., Any], options: CallOptions) -> str:
    """Return a function's name for errors: ``module.qualname``."""
    if options.name is not None:
        return options.name
    try:
        return _own_name(fn)
    except Exception:  # noqa: BLE001 - the code of a callable object may raise anything
        return f"a {name_of_class(type(fn))}"


def _own_name(fn: Callable[..., Any]) -> str:
    name = getattr(fn, "__qualname__", None) or repr(fn)
    module = getattr(fn, "__module__", None)
    return f"{module}.{name}" if module else name


class Limit:
    """The number of calls that may run at once, of one function or several together.

    The decorators take one as ``limit``, and so do the options of a decorated function.
    All functions that are given the same `Limit` share its places, on whatever
    executors they run. A call that finds no place free waits; waiting calls start in
    the order in which they were submitted.

    A call that has a place and waits for a call without one gives its place to that
    call. So recursive functions do not deadlock.

    A limit belongs to its process: unpickling creates a new one with the same count,
    and a forked child finds its copy empty.

    Args:
        count: The largest number of calls that run at once; at least 1.

    Attributes:
        count: The largest number of calls that run at once.

    Raises:
        TypeError: ``count`` is not a whole number.
        ValueError: ``count`` is less than 1.

    Example:
        >>> from parallelize import Limit, threaded
        >>> database = Limit(2)  # connections that it allows
        >>> @threaded(limit=database)
        ... def read(key: str) -> str:
        ...     return key.upper()
        >>> @threaded(limit=database)
        ... def write(key: str) -> str:
        ...     return key.lower()
        >>> read("a").result() + write("B").result()
        'Ab'
    """

    def __init__(self, count: int) -> None:
        self.count: int = check_count(count, "count", least=1)
        self._is_shared = True
        self._reset()

    def _reset(self) -> None:
        # Guards _inside and which waiting call is admitted. Nothing is taken under it,
        # and no thread waits for it: a thread that finds it taken leaves the work to
        # its holder, which checks again after releasing it. So a signal handler that
        # has interrupted the holder can make calls, too. It knows its owner, so that an
        # error raised by a handler does not leave it taken.
        self._lock = _new_lock()
        self._inside: set[Limited] = set()
        # These are changed by atomic operations, with or without the lock.
        self._left: deque[Limited] = deque()  # in _inside, but completed
        self._waiting: deque[LimitedCall] = deque()
        self._starting: deque[LimitedCall] = deque()  # in _inside, to be started
        # Set before the call leaves _waiting.
        self._coming: LimitedCall | None = None
        self._watches_forks = False

    @classmethod
    def _of_one_function(cls, count: int) -> Limit:
        """Create a limit that each function decorated with it has for itself."""
        limit = cls(count)
        limit._is_shared = False
        return limit

    def _for_function(self) -> Limit:
        """Return the limit for one more function: this one if shared, or a new one."""
        return self if self._is_shared else Limit._of_one_function(self.count)

    def _admit(self, call: LimitedCall) -> None:
        """Start the call now, or when a running one has completed."""
        if not self._watches_forks:
            self._watches_forks = True
            lifecycle.watch_forks(self)
        if not self._waiting and len(self._inside) < self.count and self._enter(call):
            if self._waiting or self._left:
                self._go_on()
            return
        call.future._place_in = self, call
        self._waiting.append(call)
        if len(self._inside) < self.count or self._left or self._starting:
            self._go_on()

    def _enter(self, call: LimitedCall) -> bool:
        """Start the call if that takes few steps: there is a place, and none waits."""
        lock, future = self._lock, call.future
        if locks.depth(lock) or not lock.acquire(blocking=False):
            return False
        try:
            free = not self._waiting and len(self._inside) < self.count
            if free and self._coming is None:
                self._inside.add(future)
            lock.release()
            if future not in self._inside:
                return False
            self._start(call)
        except BaseException:  # Ctrl-C: the caller cancels the call
            locks.release_to(lock, 0)
            self._inside.discard(future)
            raise
        return True

    def _take_out(self, call: LimitedCall) -> bool:
        """Remove a waiting call, so that it can run in the place of a running one.

        Returns:
            Whether it was waiting; then the caller must start it.
        """
        try:
            self._waiting.remove(call)
        except ValueError:
            return False
        call.future._place_in = None
        return True

    def _futures(self) -> list[Limited]:
        """Return the futures of the calls that have a place."""
        return list(self._inside)

    def _go_on(self) -> None:
        """Start the calls for which there are places."""
        lock = self._lock
        while self._may_go_on():
            if locks.depth(lock):
                return  # this thread was interrupted in it, and continues later
            try:
                if not lock.acquire(blocking=False):
                    return
                self._let_in()
                lock.release()
            except BaseException:  # Ctrl-C
                locks.release_to(lock, 0)
                raise
            while self._starting:
                try:
                    call = self._starting.popleft()
                except IndexError:  # another thread has taken it
                    break
                self._start(call)

    def _may_go_on(self) -> bool:
        if self._left or self._starting:
            return True
        return bool(self._waiting) and len(self._inside) < self.count

    def _let_in(self) -> None:
        inside, waiting = self._inside, self._waiting
        while self._left:
            inside.discard(self._left[0])
            self._left.popleft()
        if self._coming is not None and self._coming not in waiting:
            self._take_in(self._coming)  # Ctrl-C came between
        while waiting and len(inside) < self.count:
            try:
                self._coming = call = waiting[0]
            except IndexError:  # it was taken out just now
                break
            if self._take_out(call) and not call.future.done():
                self._take_in(call)
        self._coming = None

    def _take_in(self, call: LimitedCall) -> None:
        self._inside.add(call.future)
        if call not in self._starting:
            self._starting.append(call)

    def _start(self, call: LimitedCall) -> None:
        call.future.add_done_callback(self._release)
        try:
            start_in_time(call)
        except Exception as error:  # noqa: BLE001 - else its place would be lost
            call.fail(error)
        except BaseException:  # Ctrl-C
            call.future.cancel()
            raise

    def _release(self, future: Limited) -> None:
        self._left.append(future)
        self._go_on()

    def __repr__(self) -> str:
        inside, waiting = len(self._inside), len(self._waiting)
        return f"<Limit of {self.count}: {inside} running, {waiting} waiting>"

    def __reduce__(self) -> tuple[Callable[[int], Limit], tuple[int]]:
        return Limit if self._is_shared else Limit._of_one_function, (self.count,)


def start_in_time(call: LimitedCall) -> None:
    """Start a call that needs no place, or has one, as soon as its rate allows."""
    rate = call.options.rate
    if rate is None:
        call.start()
    else:
        rate._admit(call)


def check_limit(limit: object) -> Limit | None:
    """Return the limit, or one made from the count; or raise naming the argument."""
    if limit is None or isinstance(limit, Limit):
        return limit
    if isinstance(limit, (bool, type)) or not hasattr(limit, "__index__"):
        raise _wrong_type("limit", "a whole number, a Limit or None", limit)
    return Limit._of_one_function(check_count(limit, "limit", least=1))


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


def check_positive(number: object, argument: str, expected: str = "a number") -> float:
    """Return a finite number above 0 as a float, or raise naming the argument."""
    value = _as_float(number)
    if value is None:
        raise _wrong_type(argument, expected, number)
    if not 0 < value < math.inf:
        raise _wrong_value(argument, "more than 0, and finite", number)
    return value


def check_grace(grace: object) -> float:
    """Return a grace in seconds, or raise naming the argument."""
    seconds = _as_float(grace)
    if seconds is None:
        raise _wrong_type("grace", "a number of seconds", grace)
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise _wrong_value("grace", "0 seconds or more", grace)
    return seconds


def check_wait(timeout: object) -> float | None:
    """Return a timeout like `check_timeout`, but allow zero and negative numbers."""
    if timeout is None:
        return None
    seconds = _as_float(timeout)
    if seconds is None or math.isnan(seconds):
        raise _wrong_type("timeout", "a number of seconds or None", timeout)
    return _or_without_end(seconds)


def _or_without_end(seconds: float) -> float | None:
    return None if seconds > threading.TIMEOUT_MAX else seconds


def _as_float(number: object) -> float | None:
    """Convert a real number of any class; return None for other objects."""
    if type(number) is float:  # as nearly all are
        return number
    from numbers import Real  # numpy's numbers are registered, too

    if isinstance(number, bool) or not isinstance(number, Real):
        return None
    try:
        return float(number)
    except OverflowError:  # for a wait that is endless
        return math.inf if number == abs(number) else -math.inf


#: The standard library's words for what an argument must be, for a wrong type and for a
#: wrong value: programs, and its own tests, look for them in error messages.
_STANDARD_WORDS = {
    "max_workers": ("an integer", "greater than 0"),
    "buffersize": ("an integer or None", "None or > 0"),
    "max_tasks_per_child": ("an integer", ">= 1"),
    "chunksize": ("an integer", ">= 1"),
}


def check_count(count: object, argument: str, least: int) -> int:
    """Return a whole number of at least ``least``, or raise naming the argument."""
    if isinstance(count, (bool, type)) or not hasattr(count, "__index__"):
        raise TypeError(_count_text(argument, "a whole number", count, 0))
    number = cast("SupportsIndex", count).__index__()  # it has that method
    if number < least:
        raise ValueError(_count_text(argument, f"at least {least}", count, 1))
    return number


def _count_text(argument: str, expected: str, got: object, wrong: int) -> str:
    text = f"{argument} must be {expected}, not {got!r}"
    words = _STANDARD_WORDS.get(argument)
    return text if words is None else f"{text} ({argument} must be {words[wrong]})"


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
    # Any, because only the initializer knows their types.
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


def check_signal(number: object) -> int:
    """Return the number of a signal of this system, or raise naming the argument."""
    import signal

    checked = check_count(number, "number", least=1)
    if checked not in signal.valid_signals():
        raise _wrong_value("number", "a signal of this system", number)
    return checked


def check_flag(flag: object, argument: str) -> bool:
    """Return True or False, or raise naming the argument."""
    if not isinstance(flag, bool):
        raise _wrong_type(argument, "True or False", flag)
    return flag


def _error_class(given: object) -> type[BaseException]:
    if isinstance(given, type) and issubclass(given, BaseException):
        return given
    raise _wrong_type("retry_on", "an exception class or a tuple of them", given)


def _wrong_type(argument: str, expected: str, got: object) -> TypeError:
    return TypeError(f"{argument} must be {expected}, not {got!r}")


def _wrong_value(argument: str, expected: str, got: object) -> ValueError:
    return ValueError(f"{argument} must be {expected}, not {got!r}")
