"""An asyncio event loop in its own thread, which runs the coroutines of async calls.

```
 any thread                    loop thread
 post(action) ──▶ posted ──▶   action(), between two steps of the loop
 stop() ──────────────────▶    cancels remaining tasks, finishes async generators,
                               closes the loop
```

It is used by thread pools and in worker processes. Its owner decides what runs on it,
and how many calls at once.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import sys
import threading
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from parallelize.runtime import lifecycle, locks, native
from parallelize.runtime.blocking import here
from parallelize.runtime.clock import monotonic

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

_new_lock = locks.reentrant("loop")

__all__ = ("LoopThread", "apart", "call_soon", "run_to_end", "until", "wake")

T = TypeVar("T")

_log = logging.getLogger("parallelize")

#: The number of descriptors that a loop needs.
DESCRIPTORS = 3


class _Stage(enum.Enum):
    STARTING = "the thread is on its way to its loop"
    RUNNING = "the loop runs"
    ENDED = "the loop takes nothing any more"


class LoopThread:
    """A thread that runs one asyncio loop until `stop` is called."""

    def __init__(
        self,
        name: str,
        make_thread: Callable[..., threading.Thread] = threading.Thread,
        make_lock: Callable[[], threading.RLock] | None = None,
    ) -> None:
        """Create the thread; `start` starts it.

        Args:
            name: The thread's name.
            make_thread: Creates the thread.
            make_lock: Creates the lock that guards its state; a `threading.RLock` by
                default.
        """
        # Guards the four below; only asyncio's own locks are taken under it.
        # Reentrant because finalisers may complete futures, which posts.
        self._lock = (make_lock or _new_lock)()
        self._stage = _Stage.STARTING
        self._posted: list[Callable[[], object]] = []
        self._woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None  # used in the loop's thread only
        self.prepares()
        self._context = Context()  # else the loop takes that of the posting thread
        # From 3.14 on a thread may start in a copy of its creator's context and would
        # keep the values in it alive.
        own = {"context": Context()} if sys.version_info >= (3, 14) else {}
        # Any, because not every Python has the context argument.
        options: dict[str, Any] = {"name": name, "daemon": lifecycle.daemons, **own}
        self._thread = make_thread(target=self._run, **options)

    def prepares(
        self,
        prepare: Callable[[], bool] = lambda: True,
        failed: Callable[[BaseException], object] = lambda _: None,
    ) -> None:
        """Set the functions that the thread calls; before it is started.

        Args:
            prepare: Called first. If it returns False no loop is created, and posted
                actions are dropped.
            failed: Called with the error if the loop could not be created, for instance
                because no descriptor is left.
        """
        self._prepare, self._failed = prepare, failed

    def start(self) -> None:
        """Start the thread; raise RuntimeError if the system cannot start one."""
        native.start(self._thread)

    @property
    def has_started(self) -> bool:
        """Whether the thread was started, also if Ctrl-C interrupted `start`."""
        return self._thread.ident is not None

    def is_here(self) -> bool:
        """Whether this is the loop's thread."""
        return self._thread.ident == threading.get_ident()

    def is_alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread to end, unless this is the thread."""
        if not self.is_here():
            self._thread.join(timeout)

    def post(self, action: Callable[[], object]) -> None:
        """Call an action in the loop's thread; actions are called in order.

        Nothing happens if the loop has ended.

        Args:
            action: Called without arguments; it must be short and must not raise.
        """
        with self._lock:
            if self._stage is _Stage.ENDED:
                return
            self._posted.append(action)
            if self._loop is not None and not self._woken:
                self._woken = True
                self._loop.call_soon_threadsafe(self._take, context=self._context)

    def stop(self) -> None:
        """End the loop, and cancel what still runs on it."""
        self.post(self._stop)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, for code that runs in its thread."""
        if self._loop is None:
            msg = "the loop does not run"
            raise RuntimeError(msg)
        return self._loop

    # The thread.

    def _run(self) -> None:
        prepare, failed = self._prepare, self._failed
        self.prepares()  # they may refer to this object's owner
        try:
            if prepare():
                self._run_loop()
        except BaseException as error:  # noqa: BLE001 - of user tasks, at its end
            if self._stage is _Stage.STARTING:
                self._close()
                failed(error)
            else:
                _log.exception("a loop for async calls ended with an error")
        finally:
            self._close()
            if here.kept is not None:
                here.kept.close()

    def _run_loop(self) -> None:
        import asyncio

        _look_for_room()
        with asyncio.Runner() as runner:
            self._stopping = stopping = asyncio.Event()
            self._open(by_real_clock(runner))
            while not stopping.is_set():
                try:
                    runner.run(stopping.wait())
                except BaseException:  # noqa: BLE001 - SystemExit in a user's task
                    _log.exception("a task in a loop for async calls has failed")
            self._close()  # before the runner does: nothing more begins

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._stage, self._loop = _Stage.RUNNING, loop
            if self._posted:
                self._woken = True
                loop.call_soon(self._take, context=self._context)

    def _close(self) -> None:
        with self._lock:
            self._stage, self._loop = _Stage.ENDED, None
            self._posted.clear()

    def _take(self) -> None:
        with self._lock:
            posted, self._posted = self._posted, []
            self._woken = False
        for action in posted:
            action()

    def _stop(self) -> None:
        if self._stopping is not None:
            self._stopping.set()


def _look_for_room() -> None:
    """Raise OSError if there are too few descriptors for a loop.

    If creating a loop fails half-way, asyncio neither closes nor collects its
    descriptors.
    """
    spare = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while len(spare) < DESCRIPTORS:
            spare.append(os.dup(spare[0]))
    finally:
        for fd in spare:
            os.close(fd)


def call_soon(
    loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object
) -> None:
    """Call a function in a loop's thread, from any thread, unless it has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)


def until(
    register: Callable[[Callable[..., object]], object],
) -> asyncio.Future[None]:
    """Return a future of the running loop that is completed from any thread.

    Args:
        register: Called at once with a function that completes the future; its
            arguments are ignored.
    """
    import asyncio

    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    register(lambda *_: wake(future))
    return future


def wake(future: asyncio.Future[None]) -> None:
    """Complete a future of a loop, from any thread."""
    call_soon(future.get_loop(), _resolve, future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def run_to_end(
    coroutine: Coroutine[Any, Any, T],
    run: Callable[[Coroutine[Any, Any, Any]], Any] | None = None,
) -> T:
    """Run a coroutine on an event loop in this thread, like `asyncio.run`.

    Its error bypasses asyncio, which reads an error's ``__class__`` and hangs if that
    raises.

    Args:
        coroutine: The coroutine.
        run: A function that runs a coroutine; by default a new event loop runs it.
    """
    import asyncio

    outcomes: list[_Outcome[T]] = []
    if run is not None:
        run(_note_outcome_of(coroutine, outcomes))
    else:
        with asyncio.Runner() as runner:
            by_real_clock(runner)
            runner.run(_note_outcome_of(coroutine, outcomes))
    return outcomes.pop().open()


def by_real_clock(runner: asyncio.Runner) -> asyncio.AbstractEventLoop:
    """Create the loop of a runner, and make it use the system's clock.

    By default it calls `time.monotonic`, which a test may have replaced. A loop written
    in C has its own clock, and accepts no other.
    """
    loop = runner.get_loop()
    with contextlib.suppress(AttributeError):
        setattr(loop, "time", monotonic)  # noqa: B010 - mypy sees a method
    return loop


async def _note_outcome_of(
    coroutine: Coroutine[Any, Any, T], outcomes: list[_Outcome[T]]
) -> None:
    """Record the outcome of a coroutine.

    It is not returned, because frames of asyncio, which an error refers to, would keep
    it alive.
    """
    import asyncio

    try:
        outcomes.append(_Outcome(await coroutine))
    except asyncio.CancelledError:  # Ctrl-C arrives as this
        raise
    except BaseException as error:  # noqa: BLE001 - it is raised after the loop
        outcomes.append(_Outcome(error=error))


class _Outcome(Generic[T]):
    """The outcome of a call, handled without running the user's code."""

    __slots__ = ("_error", "_value")

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self._value = value  # of type T, if there is no error
        self._error = error

    def open(self) -> T:
        """Return the value, or raise the error."""
        error = self._error
        if error is None:
            value: T = self._value
            return value
        try:
            raise error
        finally:
            del self, error  # its traceback holds this frame


def apart(call: Callable[[], T]) -> T:
    """Call a function, in another thread if an event loop runs in this one."""
    import asyncio

    if asyncio._get_running_loop() is None:
        return call()
    from concurrent.futures import ThreadPoolExecutor

    from parallelize.runtime.blocking import standing_in

    # The executor ignores an error whose truth value is false, and its frames, which an
    # error refers to, keep a returned value alive: so nothing is returned.
    outcomes: list[_Outcome[T]] = []
    with ThreadPoolExecutor(1) as thread:
        in_turn = standing_in(partial(_note_outcome, call, outcomes))
        thread.submit(copy_context().run, in_turn).result()
    return outcomes.pop().open()


def _note_outcome(call: Callable[[], T], outcomes: list[_Outcome[T]]) -> None:
    try:
        outcomes.append(_Outcome(call()))
    except BaseException as error:  # noqa: BLE001 - the calling thread raises it
        outcomes.append(_Outcome(error=error))
