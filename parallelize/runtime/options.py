"""The options of a call, checked once, and how many workers a machine can feed."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from parallelize.runtime import lifecycle, locks
from parallelize.runtime.raised import name_of_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal, Protocol

    class Limited(Protocol):
        """The future of a call that waits for a place in a limit, or has one."""

        _place_in: tuple[Limit, Any] | None  # where it waits; the call is its class's

        def done(self) -> bool:
            """Whether it has ended, and its place is to be free."""
            ...

        def cancel(self) -> bool:
            """End it, as its call could not be started."""
            ...

        def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
            """Have the limit called once when it ends, in whatever way."""

    class LimitedCall(Protocol):
        """A call that begins when it has a place."""

        @property
        def future(self) -> Limited:
            """What holds the place until it ends."""
            ...

        def start(self) -> None:
            """Begin; what fails then fails the future."""

        def fail(self, error: BaseException) -> None:
            """End the future with the error that `start` raised all the same."""


_new_lock = locks.reentrant("limit")


class CallOptions(NamedTuple):
    """How one call is to be run; the same object serves every call of a function.

    Attributes:
        name: What errors and traces call the function; None takes its own name.
        timeout: Seconds that each attempt of a call may run, counted from its start;
            None for ever.
        retries: How many times more a failed call is started.
        retry_on: The errors after which it is; a died worker always counts.
        limit: Bounds how many calls run at once, also those of other functions that
            have the same; None is no bound.
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
    """How many calls may run at once, of one function or of several together.

    The decorators take one as ``limit``, and so do the options of a decorated function.
    All functions to which the same `Limit` is given share its places, whatever
    executors they run on. What finds no place waits, and is let in in the order in
    which it came.

    A call that waits for another one that waits for a place, while it has one itself,
    gives that one its own. So functions that call themselves do not wait for ever.

    A limit belongs to the process in which it is: when it is pickled, a new one with
    as many places is what arrives, and a forked child finds its copy empty.

    Args:
        count: How many calls run at once, at most; at least 1.

    Attributes:
        count: The same.

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
        # Guards _inside and who of those that wait is let in; nothing is taken under
        # it, and nobody waits for it: whoever finds it taken leaves it to who has it,
        # who looks again when it is free. So a signal handler, that may have
        # interrupted who has it, can make calls, too. It knows its owner, so that an
        # error that a handler raises does not leave it taken.
        self._lock = _new_lock()
        self._inside: set[Limited] = set()
        # These are changed by single steps of C code, with or without the lock.
        self._left: deque[Limited] = deque()  # of those inside, have ended
        self._waiting: deque[LimitedCall] = deque()
        self._starting: deque[LimitedCall] = deque()  # inside, and to be started
        # Noted before it leaves those that wait.
        self._coming: LimitedCall | None = None
        self._watches_forks = False

    @classmethod
    def of_one_function(cls, count: int) -> Limit:
        """Make a limit that is meant for whatever function is decorated with it."""
        limit = cls(count)
        limit._is_shared = False
        return limit

    def for_function(self) -> Limit:
        """The limit of one more function: this one, if it was made to be shared."""
        return self if self._is_shared else Limit.of_one_function(self.count)

    def admit(self, call: LimitedCall) -> None:
        """Start the call now, or when one that runs has ended."""
        if not self._watches_forks:
            self._watches_forks = True
            lifecycle.watch_forks(self)
        call.future._place_in = self, call
        self._waiting.append(call)
        if len(self._inside) < self.count or self._left or self._starting:
            self._go_on()

    def take_out(self, call: LimitedCall) -> bool:
        """Let a call go that waits here, to be run in the place of one that runs.

        Returns:
            Whether it was here; then the caller has to start it.
        """
        try:
            self._waiting.remove(call)
        except ValueError:
            return False
        call.future._place_in = None
        return True

    def inside(self) -> list[Limited]:
        """The calls that have a place."""
        return list(self._inside)

    def _go_on(self) -> None:
        """Start what there are places for."""
        lock = self._lock
        while self._may_go_on():
            if locks.depth(lock):
                return  # it was interrupted in this thread, and goes on after this
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
            if self.take_out(call) and not call.future.done():
                self._take_in(call)
        self._coming = None

    def _take_in(self, call: LimitedCall) -> None:
        self._inside.add(call.future)
        if call not in self._starting:
            self._starting.append(call)

    def _start(self, call: LimitedCall) -> None:
        call.future.add_done_callback(self._release)
        try:
            call.start()
        except Exception as error:  # noqa: BLE001 - or its place would be lost
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
        return Limit if self._is_shared else Limit.of_one_function, (self.count,)


def check_limit(limit: object) -> Limit | None:
    """Return the limit, or one of so many places; or raise naming the argument."""
    if limit is None or isinstance(limit, Limit):
        return limit
    if isinstance(limit, bool) or not isinstance(limit, SupportsIndex):
        raise _wrong_type("limit", "a whole number, a Limit or None", limit)
    return Limit.of_one_function(check_count(limit, "limit", least=1))


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


#: What the standard library says that an argument must be, if its type is wrong and
#: if its value is: programs, and its own tests, look for these words in the errors.
_STANDARD_WORDS = {
    "max_workers": ("an integer", "greater than 0"),
    "buffersize": ("an integer or None", "None or > 0"),
    "max_tasks_per_child": ("an integer", ">= 1"),
    "chunksize": ("an integer", ">= 1"),
}


def check_count(count: object, argument: str, least: int) -> int:
    """Return a whole number of at least ``least``, or raise naming the argument."""
    if isinstance(count, bool) or not isinstance(count, SupportsIndex):
        raise TypeError(_count_text(argument, "a whole number", count, 0))
    number = count.__index__()
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
