"""The loops of a thread pool: async calls run on them, many at once on each.

```
 caller                   loops (one lock)                      loop thread i
 submit ── call ──┬─ a loop with a free place? ── post ──▶  a task for each call,
                  │  or one more may start?                 at most COROUTINES_PER_LOOP
                  └─ else waiting: deque ◀──────────────── takes the next one when a
                                                           task has ended
```

Loop threads are beside the threads of the pool, as many as those at the most: what
runs on a loop waits, and leaves the threads to calls that block.

A call that is made by an async call of the same pool does not wait for a place. Those
that hold the places may wait for it, and so would wait for ever.
"""

from __future__ import annotations

import enum
import itertools
import threading
from collections import deque
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from parallelize import dependencies, lifecycle
from parallelize.calls import Call, name_of
from parallelize.coroutines import COROUTINES_PER_LOOP, CoroutineFuture, outcome_of
from parallelize.errors import TaskTimeout
from parallelize.executors import deadlines
from parallelize.futures import CANCELLED, Failure, Future, InvalidStateError
from parallelize.loops import LoopThread

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from parallelize.callables import AsyncTarget
    from parallelize.executors.livemaps import LiveMaps
    from parallelize.options import CallOptions

__all__ = ("Loops", "Settings")

#: Seconds that loops have to cancel what runs when the program ends by an error.
ABANDON_GRACE = 0.5

#: The pools in whose async calls this context is.
_inside: ContextVar[tuple[object, ...]] = ContextVar("parallelize.loops", default=())


class Settings(NamedTuple):
    """How the loops of a pool are to be.

    Attributes:
        most: How many loops there are, at most.
        prefix: How the names of their threads begin.
        idle_timeout: Seconds after which one without calls leaves; None keeps it.
        initialize: Called in each thread; it returns False if the pool is broken.
        broken: Makes the error of calls in a broken pool.
    """

    most: int
    prefix: str
    idle_timeout: float | None
    initialize: Callable[[], bool]
    broken: Callable[[], RuntimeError]


class _State(enum.Enum):
    OPEN = "takes calls"
    CLOSED = "takes no new calls, runs those it has"
    BROKEN = "the initializer failed"


class _Stage(enum.Enum):
    """The life of a call."""

    HELD = "waits for arguments, a limit or a place"
    SEATED = "has a place on a loop"
    ENDED = "has given its place back"


class _Loop(LoopThread):
    """One loop of a pool; the pool's lock guards what it adds."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.load = 0  # calls that have a place here
        self.leaving: asyncio.TimerHandle | None = None  # the loop thread's alone


class _Owner(Protocol):
    """What a call knows of the loops it belongs to."""

    def seat(self, call: LoopCall) -> None: ...

    def left(self, call: LoopCall) -> None: ...

    def is_here(self) -> bool: ...


class _LoopFuture(CoroutineFuture[Any]):
    _loops: _Owner | None = None

    def _await_end(self, timeout: float | None) -> None:
        if timeout is None and self._loops is not None and self._loops.is_here():
            msg = (
                "an async call cannot block its loop to wait for another one, that "
                "may run on the same loop: use await"
            )
            raise RuntimeError(msg)
        super()._await_end(timeout)


class LoopCall(Call):
    """An async call of a thread pool."""

    __slots__ = (
        "args",
        "context",
        "fn",
        "kwargs",
        "loop",
        "loops",
        "nested",
        "stage",
        "task",
    )

    def __init__(
        self,
        loops: _Owner,
        mark: object,
        fn: AsyncTarget,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> None:
        self.loops = loops
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.options = options
        self.context = copy_context()
        outer = self.context.get(_inside, ())
        self.nested = mark in outer
        if not self.nested:
            self.context.run(_inside.set, (*outer, mark))
        self.waits_for = dependencies.futures_in(args, kwargs)
        self.stage = _Stage.HELD
        self.loop: _Loop | None = None
        self.task: asyncio.Task[Any] | None = None
        future = _LoopFuture()
        future._loops = loops
        future._call = self
        self.future: Future[Any] = future

    def start(self) -> None:
        """Take a place on a loop, or queue for one."""
        self.loops.seat(self)

    # In the loop's thread.

    def begin(self, loop: _Loop) -> None:
        """Make the task, unless the call was cancelled on its way here."""
        try:
            begins = self.future.set_running_or_notify_cancel()
        except InvalidStateError:  # the user has ended it
            begins = False
        if not begins:
            self.loops.left(self)
            return
        self._set_deadline()
        # A loop calls what ends a task in the context in which that was added; here
        # that is not the call's own.
        self.task = loop.loop.create_task(self._run(), context=self.context)
        self.task.add_done_callback(self._ended)

    async def _run(self) -> Any:
        args, kwargs = self.args, self.kwargs
        if self.waits_for:
            args, kwargs = dependencies.filled(args), dependencies.filled(kwargs)
        return await outcome_of(self.fn.coroutine, args, kwargs, self.options)

    def _set_deadline(self) -> None:
        timeout = self.options.timeout
        if timeout is None:
            return
        error = TaskTimeout(name_of(self.fn, self.options), timeout)
        failure = Failure(error)
        fail = partial(self.future.set_outcome, failure, failed=True)
        deadline = deadlines.after(timeout, fail)
        self.future.add_done_callback(lambda _: deadline.cancel())

    def cancel(self) -> None:
        """Raise CancelledError in the coroutine, if it still runs."""
        if self.task is not None:
            self.task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.task = None
        if task.cancelled():
            self.future.withdraw()
        else:
            _settle(self.future, task)
        self.loops.left(self)


def _settle(future: Future[Any], task: asyncio.Task[Any]) -> None:
    error = task.exception()
    outcome = task.result() if error is None else Failure(error)
    if isinstance(outcome, Failure):
        future.set_outcome(outcome, failed=True)
    else:
        future.set_value(outcome)


class Loops:
    """The loop threads of one pool, and the async calls on them."""

    def __init__(self, settings: Settings, maps: LiveMaps) -> None:
        self._settings = settings
        self._maps = maps
        self._mark = object()
        self._names = itertools.count()
        self._state = _State.OPEN
        self._reset()

    def _reset(self) -> None:
        # Guards all below, the state, the stage of calls and the load of loops. The
        # lock of a loop thread and that of lifecycle are taken under it. Reentrant
        # because a signal handler or a finaliser may call or cancel.
        self._lock = threading.RLock()
        self._nothing_left = threading.Condition(self._lock)
        self._calls: set[LoopCall] = set()  # all that have not ended
        self._waiting: deque[LoopCall] = deque()  # for a place
        self._loops: list[_Loop] = []
        self._ending: list[_Loop] = []  # told to stop, perhaps still there
        self._registered = False

    # Calls come in.

    def prepare(
        self,
        fn: AsyncTarget,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> LoopCall:
        """Make a call; raise RuntimeError if the pool takes none."""
        call = LoopCall(self, self._mark, fn, args, kwargs, options)
        with self._lock:
            self._refuse_if_closed()
            self._calls.add(call)
        call.future.add_done_callback(lambda _: self._future_ended(call))
        return call

    def _refuse_if_closed(self) -> None:
        if self._state is _State.BROKEN:
            raise self._settings.broken()
        if self._state is _State.CLOSED:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)
        if not self._registered:
            lifecycle.register(self)
            self._registered = True

    def seat(self, call: LoopCall) -> None:
        """Give a call a place, or let it wait for one."""
        error: BaseException | None = None
        with self._lock:
            if self._state is _State.BROKEN:
                error = self._settings.broken()
            elif call.stage is _Stage.HELD:
                error = self._find_place(call)
        if error is not None:
            call.future.set_outcome(Failure(error), failed=True)

    def _find_place(self, call: LoopCall) -> BaseException | None:
        """Return why there will be none, if so; the caller holds the lock."""
        loop = min(self._loops, key=lambda each: each.load, default=None)
        if loop is None or (loop.load >= COROUTINES_PER_LOOP and not call.nested):
            if len(self._loops) < self._settings.most:
                try:
                    loop = self._start_loop()
                except RuntimeError as error:  # the system has no thread left
                    if loop is None:
                        return error
                    loop = None
            else:
                loop = None
        if loop is None:
            self._waiting.append(call)
        else:
            self._place(call, loop)
        return None

    def _start_loop(self) -> _Loop:
        settings = self._settings
        name = f"{settings.prefix}_loop_{next(self._names)}"
        loop = _Loop(name)
        loop.prepares(partial(self._initialized, loop))
        loop.start()
        self._loops.append(loop)
        self._ending = [each for each in self._ending if each.is_alive()]
        return loop

    def _place(self, call: LoopCall, loop: _Loop) -> None:
        call.stage, call.loop = _Stage.SEATED, loop
        loop.load += 1
        loop.post(partial(call.begin, loop))

    def _initialized(self, loop: _Loop) -> bool:
        """Run the initializer; if it fails, so do the calls that have not begun."""
        if self._settings.initialize():
            return True
        with self._lock:
            self._state = _State.BROKEN
            self._loops.remove(loop)
            failed = [
                call
                for call in self._calls
                if call.stage is _Stage.HELD or call.loop is loop
            ]
            for call in failed:
                call.stage, call.loop = _Stage.HELD, None  # it will never run
        for call in failed:
            call.future.set_outcome(Failure(self._settings.broken()), failed=True)
        return False

    # Calls end.

    def _future_ended(self, call: LoopCall) -> None:
        """A future has ended, perhaps before its coroutine, or without any."""
        with self._lock:
            if call.stage is _Stage.SEATED and call.loop is not None:
                call.loop.post(call.cancel)
                return
            call.stage = _Stage.ENDED
            self._forget_call(call)

    def left(self, call: LoopCall) -> None:
        """A call's coroutine has ended; the loop's thread tells."""
        with self._lock:
            loop, call.loop, call.stage = call.loop, None, _Stage.ENDED
            if loop is not None:
                loop.load -= 1
                self._fill(loop)
            self._forget_call(call)
        if loop is not None and not loop.load:
            self._watch_idleness(loop)

    def _fill(self, loop: _Loop) -> None:
        while self._waiting and loop.load < COROUTINES_PER_LOOP:
            call = self._waiting.popleft()
            if call.stage is _Stage.HELD:  # else it was cancelled
                self._place(call, loop)

    def _forget_call(self, call: LoopCall) -> None:
        self._calls.discard(call)
        if not self._calls:
            self._nothing_left.notify_all()
            if self._state is not _State.OPEN:
                self._stop_loops()

    def _watch_idleness(self, loop: _Loop) -> None:
        """Have the loop leave in a while; in its thread."""
        import asyncio

        timeout = self._settings.idle_timeout
        if loop.leaving is not None:
            loop.leaving.cancel()
        if timeout is not None:
            here = asyncio.get_running_loop()
            loop.leaving = here.call_later(timeout, self._leave_if_idle, loop)

    def _leave_if_idle(self, loop: _Loop) -> None:
        import asyncio

        if len(asyncio.all_tasks()) > 1:  # one is the loop's own, others are users'
            self._watch_idleness(loop)
            return
        with self._lock:
            if loop.load == 0 and loop in self._loops:
                self._loops.remove(loop)
                self._ending.append(loop)
                loop.stop()

    # The end.

    def is_here(self) -> bool:
        """Whether this is the thread of one of the loops."""
        with self._lock:
            return any(loop.is_here() for loop in self._loops)

    def shutdown(self, *, cancel_futures: bool) -> None:
        """Take no new calls, and cancel those that have no place on a loop if asked."""
        self.close()
        if cancel_futures:
            self.cancel_unbegun()

    def close(self) -> None:
        """Take no new calls; the loops end when they have run the others."""
        with self._lock:
            if self._state is _State.OPEN:
                self._state = _State.CLOSED
            if not self._calls:
                self._stop_loops()

    def _stop_loops(self) -> None:
        for loop in self._loops:
            loop.stop()
        self._ending += self._loops
        self._loops = []

    def cancel_unbegun(self) -> None:
        """Cancel the calls that have no place on a loop."""
        with self._lock:
            held = [call for call in self._calls if call.stage is _Stage.HELD]
        for call in held:
            call.future.cancel()

    def join(self, timeout: float | None = None) -> None:
        """Return when all calls have ended and the loops of a closed pool too."""
        if self._mark in _inside.get():
            return  # an async call would wait for itself
        with self._nothing_left:
            self._nothing_left.wait_for(lambda: not self._calls, timeout)
            ending = list(self._ending)
        for loop in ending:
            loop.join(timeout)

    def finish(self) -> None:
        """At the end of the program: run what was submitted."""
        self._maps.finish(unread_only=True)
        self.close()
        self.join()

    def abandon(self) -> None:
        """At an end by error: drop what has not begun, cancel what runs."""
        self._maps.cancel()
        self.close()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.future.cancel()
        self.join(ABANDON_GRACE)

    def forget(self) -> None:
        """In a forked child: the loops and the calls are the parent's."""
        calls = self._calls
        self._reset()
        for call in calls:
            if call.future._state != CANCELLED:
                call.future.disown()
        self._maps.forget()
