"""`RateLimit`: how many calls may start per time, in their order of arrival.

```
 a call ──▶ waiting ──▶ is its time here? ──yes──▶ it starts, in the caller
                             └─no─▶ one timer, for the first of those that wait
 timer ──▶ all whose time is here start, in the timer's thread; it is set again
```

When that is says a `Schedule`. It makes up for a timer that is late, and one tick of it
may start several calls.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from parallelize.pace.schedule import LARGEST_DELAY, Schedule
from parallelize.runtime import lifecycle, locks, timer
from parallelize.runtime.clock import monotonic
from parallelize.runtime.options import check_count, check_positive

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.runtime.agenda import Deadline
    from parallelize.runtime.options import LimitedCall

__all__ = ("RateLimit", "check_rate")

_new_lock = locks.reentrant("rate")

#: The timer waits at least this many seconds, and then starts several calls at once.
TICK = 0.001

#: The longest pause, in seconds.
LONGEST_PAUSE = 365 * 86400.0


class RateLimit:
    """The number of calls that may start per time, of one function or several together.

    The decorators take one as ``rate``, and so do the options of a decorated function.
    All functions that are given the same `RateLimit` share it, on whatever executors
    they run. A call that comes too early waits in the calling process, without a
    worker; waiting calls start in the order in which they were made.

    Calls start at even intervals of ``per / count`` seconds. With a ``burst``, that
    many may start at once after a time without calls. Calls that start late, because
    the machine is busy, are made up for within a tenth of a second, at up to twice the
    pace. In no ``per`` seconds more than ``count`` calls start (rounded up; with a
    larger ``burst``, in ``per / count`` seconds for each of them).

    A rate belongs to its process: unpickling creates a new one with the same numbers,
    and in a forked child no call waits for its copy.

    Args:
        count: The number of calls that may start in ``per`` seconds; more than 0.
        per: The seconds to which ``count`` applies; more than 0.
        burst: The number of calls that may start at once; at least 1.

    Attributes:
        count: The number of calls that may start in ``per`` seconds.
        per: These seconds.
        burst: The number of calls that may start at once.

    Raises:
        TypeError: An argument is no number.
        ValueError: An argument is too small, or not finite.

    Example:
        >>> from parallelize import RateLimit, threaded
        >>> api = RateLimit(6000, per=60, burst=10)  # one key, one budget
        >>> @threaded(rate=api)
        ... def search(word: str) -> str:
        ...     return word.upper()
        >>> list(search.map(["a", "b"]))
        ['A', 'B']
    """

    def __init__(self, count: float, per: float = 1.0, burst: int = 1) -> None:
        self.count: float = check_positive(count, "count")
        self.per: float = check_positive(per, "per")
        self.burst: int = check_count(burst, "burst", least=1)
        check_positive(self.burst, "burst")  # a float has to hold it
        self._is_shared = True
        self._reset()

    def _reset(self) -> None:
        # Guards which calls leave _waiting, _schedule and _deadline. The timer's locks
        # are taken under it. As with the lock of a `Limit`, no thread waits for it: it
        # leaves the work to the holder, which checks again after releasing it.
        self._lock = _new_lock()
        self._schedule = Schedule(self.count, self.per, self.burst)
        self._deadline: Deadline | None = None  # when the first of those waiting starts
        # These are changed by atomic operations, with or without the lock.
        self._waiting: deque[LimitedCall] = deque()
        self._starting: deque[LimitedCall] = deque()
        self._pauses: deque[float] = deque()  # times before which no call starts
        self._coming: LimitedCall | None = None  # set before it leaves _waiting
        self._slack = 0.0  # what a start may be late, to be made up for
        self._watches_forks = False

    @classmethod
    def _of_one_function(
        cls, count: float, per: float = 1.0, burst: int = 1
    ) -> RateLimit:
        """Create a rate that each function decorated with it has for itself."""
        rate = cls(count, per, burst)
        rate._is_shared = False
        return rate

    def _for_function(self) -> RateLimit:
        """Return the rate for one more function: this one if shared, or a new one."""
        if self._is_shared:
            return self
        return RateLimit._of_one_function(self.count, self.per, self.burst)

    def pause(self, seconds: float) -> None:
        """Start no further call for some time, as if the service had asked for it.

        A longer pause that was asked for before remains. Calls that run are not
        affected.

        Args:
            seconds: The seconds from now; at most a year.

        Raises:
            TypeError: ``seconds`` is no number.
            ValueError: ``seconds`` is 0 or less, or not finite.
        """
        longest = min(check_positive(seconds, "seconds"), LONGEST_PAUSE)
        self._pauses.append(monotonic() + longest)

    def _admit(self, call: LimitedCall) -> None:
        """Start the call now, or when its time has come."""
        if not self._watches_forks:
            self._watches_forks = True
            lifecycle.watch_forks(self)
        # The usual case, that nothing waits, in few steps.
        if not (self._waiting or self._pauses) and self._starts_now():
            _start(call, None)
        else:
            self._waiting.append(call)
        if self._waiting and self._deadline is None:
            self._go_on()

    def _starts_now(self) -> bool:
        """Whether a call may start now; it is counted then."""
        lock = self._lock
        if locks.depth(lock) or not lock.acquire(blocking=False):
            return False
        try:
            now = monotonic()
            if self._waiting or self._coming or self._schedule.due > now:
                return False
            self._schedule.take(now)
            return True
        finally:
            lock.release()

    def _tick(self) -> None:
        """Start the calls whose time has come; runs in the timer's thread."""
        self._deadline = None
        self._slack = LARGEST_DELAY
        self._go_on()

    def _go_on(self) -> None:
        """Start the calls whose time has come; set the timer for the others."""
        lock = self._lock
        while self._starting or (self._waiting and self._deadline is None):
            if locks.depth(lock):
                return  # this thread was interrupted in it, and continues later
            try:
                if not lock.acquire(blocking=False):
                    return
                refused = self._let_in()
                lock.release()
            except BaseException:  # Ctrl-C
                locks.release_to(lock, 0)
                raise
            while self._starting:
                try:
                    call = self._starting.popleft()
                except IndexError:  # another thread has taken it
                    break
                _start(call, refused)

    def _let_in(self) -> RuntimeError | None:
        """Move calls to `_starting`; return why those must fail, if they must."""
        waiting, coming, schedule = self._waiting, self._coming, self._schedule
        if coming is not None and coming not in waiting:
            self._take_in(coming)  # Ctrl-C came between
        while self._pauses:
            schedule.pause(self._pauses[0])
            self._pauses.popleft()
        now = monotonic()
        while waiting and self._deadline is None:
            self._coming = call = waiting[0]
            wait = schedule.due - now
            if wait > 0 and not call.future.done():
                return self._set_timer(wait)
            waiting.popleft()
            self._take_in(call)
            if not call.future.done():
                schedule.take(now, slack=self._slack)
        self._slack = 0.0
        return None

    def _take_in(self, call: LimitedCall) -> None:
        if call not in self._starting:
            self._starting.append(call)
        self._coming = None

    def _set_timer(self, wait: float) -> RuntimeError | None:
        self._coming, self._slack = None, 0.0
        try:
            self._deadline = timer.after(max(wait, TICK), self._tick)
        except RuntimeError as error:  # no thread can be started: they would wait on
            self._starting.extend(self._waiting)
            self._waiting.clear()
            return error
        return None

    def __repr__(self) -> str:
        numbers = f"{self.count:g} per {self.per:g} s, burst {self.burst}"
        return f"<RateLimit of {numbers}: {len(self._waiting)} waiting>"

    def __reduce__(self) -> tuple[Callable[..., RateLimit], tuple[float, float, int]]:
        make = RateLimit if self._is_shared else RateLimit._of_one_function
        return make, (self.count, self.per, self.burst)


def _start(call: LimitedCall, refused: RuntimeError | None) -> None:
    try:
        if refused is None:
            call.start()
        else:
            call.fail(refused)
    except Exception as error:  # noqa: BLE001 - the calls behind it must start
        call.fail(error)
    except BaseException:  # Ctrl-C
        call.future.cancel()
        raise


def check_rate(rate: object) -> RateLimit:
    """Return the rate, or one made from the number a second, or raise."""
    if isinstance(rate, RateLimit):
        return rate
    return RateLimit._of_one_function(
        check_positive(rate, "rate", "a number of calls a second, a RateLimit or None")
    )
