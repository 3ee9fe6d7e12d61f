"""An asyncio loop in a thread of its own: where coroutines of async calls run.

```
 any thread                    loop thread
 post(action) ──▶ posted ──▶   action(), between two steps of the loop
 stop() ──────────────────▶    cancels what is left, finishes async generators,
                               closes the loop
```

It is the same in the program, for threads, and in a worker process. Who runs what
on it, and how much at once, is for its owner to say.
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

from parallelize.runtime import lifecycle, locks
from parallelize.runtime.clock import monotonic

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

_new_lock = locks.reentrant("loop")

__all__ = ("LoopThread", "apart", "run_to_end")

T = TypeVar("T")

_log = logging.getLogger("parallelize")

#: What a loop needs of them.
DESCRIPTORS = 3


class _Stage(enum.Enum):
    STARTING = "the thread is on its way to its loop"
    RUNNING = "the loop runs"
    ENDED = "the loop takes nothing any more"


class LoopThread:
    """A thread that runs one asyncio loop until it is told to stop."""

    def __init__(
        self,
        name: str,
        make_thread: Callable[..., threading.Thread] = threading.Thread,
        make_lock: Callable[[], threading.RLock] | None = None,
    ) -> None:
        """Make it; `start` starts it.

        Args:
            name: Of its thread.
            make_thread: Makes the thread.
            make_lock: Makes what guards its state; a `threading.RLock` by default.
        """
        # Guards the four below; only what a loop locks itself is taken under it.
        # Reentrant because finalisers may end futures, and so post.
        self._lock = (make_lock or _new_lock)()
        self._stage = _Stage.STARTING
        self._posted: list[Callable[[], object]] = []
        self._woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None  # the loop thread's alone
        self.prepares()
        self._context = Context()  # else a loop takes that of whoever posts
        # From 3.14 on a thread may start in a copy of its maker's context and would
        # hold what is in it.
        own = {"context": Context()} if sys.version_info >= (3, 14) else {}
        # Any, as not every Python has the argument.
        options: dict[str, Any] = {"name": name, "daemon": lifecycle.daemons, **own}
        self._thread = make_thread(target=self._run, **options)

    def prepares(
        self,
        prepare: Callable[[], bool] = lambda: True,
        failed: Callable[[BaseException], object] = lambda _: None,
    ) -> None:
        """Say what is to be called in the thread, before it is started.

        Args:
            prepare: Called first. If it returns False there will be no loop, and
                nothing that is posted is done.
            failed: Called if there will be none as it could not be made, when there
                is no descriptor left for one.
        """
        self._prepare, self._failed = prepare, failed

    def start(self) -> None:
        """Start the thread; raise RuntimeError if the system has none left."""
        self._thread.start()

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
        """Have something done in the loop's thread; what is posted keeps its order.

        Nothing happens if the loop has ended.

        Args:
            action: Called without arguments; it is short, and does not raise.
        """
        with self._lock:
            if self._stage is _Stage.ENDED:
                return
            self._posted.append(action)
            if self._loop is not None and not self._woken:
                self._woken = True
                self._loop.call_soon_threadsafe(self._take, context=self._context)

    def stop(self) -> None:
        """Have the loop end; what still runs on it is cancelled."""
        self.post(self._stop)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, for what runs in its thread."""
        if self._loop is None:
            msg = "the loop does not run"
            raise RuntimeError(msg)
        return self._loop

    # The thread.

    def _run(self) -> None:
        prepare, failed = self._prepare, self._failed
        self.prepares()  # they may hold what holds this
        try:
            if prepare():
                self._run_loop()
        except BaseException as error:  # noqa: BLE001 - of the user's tasks, at its end
            if self._stage is _Stage.STARTING:
                self._close()
                failed(error)
            else:
                _log.exception("a loop for async calls ended with an error")
        finally:
            self._close()

    def _run_loop(self) -> None:
        import asyncio

        _look_for_room()
        with asyncio.Runner() as runner:
            self._stopping = stopping = asyncio.Event()
            self._open(by_real_clock(runner))
            while not stopping.is_set():
                try:
                    runner.run(stopping.wait())
                except BaseException:  # noqa: BLE001 - SystemExit of a user's own task
                    _log.exception("a task in a loop for async calls has failed")
            self._close()  # before the runner does: nothing is to begin any more

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

    What asyncio has of one that fails half-way it neither closes nor can collect.
    """
    spare = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while len(spare) < DESCRIPTORS:
            spare.append(os.dup(spare[0]))
    finally:
        for fd in spare:
            os.close(fd)


def run_to_end(
    coroutine: Coroutine[Any, Any, T],
    run: Callable[[Coroutine[Any, Any, Any]], Any] | None = None,
) -> T:
    """Run a coroutine on a loop in this thread, as `asyncio.run` does.

    Its error goes past asyncio, which asks an error of what class it says it is, and
    stands still for good if that raises.

    Args:
        coroutine: It.
        run: How it is to be run; in a loop of its own by default.
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
    """Make the loop of a runner, and have it go by the clock of the system.

    By itself it asks `time.monotonic`, where a test may have put another clock. A loop
    that is written in C has its own, and takes no other.
    """
    loop = runner.get_loop()
    with contextlib.suppress(AttributeError):
        setattr(loop, "time", monotonic)  # noqa: B010 - to mypy it is a method
    return loop


async def _note_outcome_of(
    coroutine: Coroutine[Any, Any, T], outcomes: list[_Outcome[T]]
) -> None:
    """Note what a coroutine comes to.

    It is not returned, as frames of asyncio, to which an error leads, would hold it.
    """
    import asyncio

    try:
        outcomes.append(_Outcome(await coroutine))
    except asyncio.CancelledError:  # Ctrl-C comes as this
        raise
    except BaseException as error:  # noqa: BLE001 - it is raised behind the loop
        outcomes.append(_Outcome(error=error))


class _Outcome(Generic[T]):
    """What a call came to; code of the user does not even show it."""

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
    """Call it: in a thread of its own if a loop runs in this one."""
    import asyncio

    if asyncio._get_running_loop() is None:
        return call()
    from concurrent.futures import ThreadPoolExecutor

    from parallelize.runtime.blocking import standing_in

    # That executor takes an error that is false for none, and its frames, to which an
    # error leads, hold what a call returns: so it returns nothing.
    outcomes: list[_Outcome[T]] = []
    with ThreadPoolExecutor(1) as thread:
        in_turn = standing_in(partial(_note_outcome, call, outcomes))
        thread.submit(copy_context().run, in_turn).result()
    return outcomes.pop().open()


def _note_outcome(call: Callable[[], T], outcomes: list[_Outcome[T]]) -> None:
    try:
        outcomes.append(_Outcome(call()))
    except BaseException as error:  # noqa: BLE001 - who called it raises it
        outcomes.append(_Outcome(error=error))
