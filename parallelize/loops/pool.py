"""The event loops of a thread pool: async calls run on them, many at once on each.

```
 caller                   loops (one lock)                      loop thread i
 submit ── call ──┬─ a loop with a free place? ── post ──▶  a task for each call,
                  │  or can one be started?                 at most COROUTINES_PER_LOOP
                  └─ else waiting: deque ◀──────────────── takes the next one when a
                                                           task has ended
```

Loop threads exist beside the threads of the pool, up to the same number: calls on a
loop mostly wait, and leave the threads to calls that block.

A call that is made by an async call of the same pool does not wait for a place. The
calls that hold the places may be waiting for it, which would be a deadlock.
"""

from __future__ import annotations

import enum
import itertools
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from parallelize.calls.coroutines import COROUTINES_PER_LOOP
from parallelize.calls.tally import Tally
from parallelize.futures.future import Failure
from parallelize.inside.place import free_index
from parallelize.loops.call import LoopCall, LoopCallStage, inside
from parallelize.runtime import lifecycle, locks
from parallelize.runtime.blocking import here
from parallelize.runtime.clock import wait_for
from parallelize.runtime.loop_thread import LoopThread
from parallelize.tracing import recording

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from parallelize.calls.open_maps import OpenMaps
    from parallelize.calls.stats import Stats
    from parallelize.calls.targets import AsyncTarget
    from parallelize.runtime.options import Args, CallOptions, Kwargs

_new_lock = locks.reentrant("loops")

__all__ = ("LoopSettings", "Loops")

#: Seconds that loops have to cancel running calls when an error ends the program.
ABANDON_GRACE = 0.5


class LoopSettings(NamedTuple):
    """The settings of the loops of a pool.

    Attributes:
        most: The maximum number of loops.
        prefix: The prefix of the names of their threads.
        idle_timeout: Seconds after which a loop without calls ends; None: never.
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


class _Loop(LoopThread):
    """One loop of a pool; the pool's lock guards what it adds."""

    def __init__(self, name: str, index: int) -> None:
        super().__init__(name)
        self.index = index  # no other live loop of the pool has it
        self.load = 0  # calls that have a place here
        self.leaving: asyncio.TimerHandle | None = None  # only for the loop's thread


class Loops:
    """The loop threads of one pool, and the async calls on them."""

    def __init__(self, settings: LoopSettings, maps: OpenMaps) -> None:
        self._settings = settings
        self._maps = maps
        self._names = itertools.count()
        self._state = _State.OPEN
        self._reset()

    def _reset(self) -> None:
        # Guards everything below, the state, the stages of calls and the loads of
        # loops. The locks of loop threads and of lifecycle are acquired under it.
        # Reentrant because a signal handler or a finalizer may call or cancel.
        self._lock = _new_lock()
        self._nothing_left = locks.Condition(self._lock)
        self._calls: set[LoopCall] = set()  # all that have not ended
        self._waiting: deque[LoopCall] = deque()  # for a place
        self._seats: dict[LoopCall, _Loop] = {}  # the loop of each call that has one
        self._loops: list[_Loop] = []
        self._ending: list[_Loop] = []  # asked to stop, possibly still running
        self._registered = False
        self.tally: Tally = Tally()

    def stats(self) -> Stats:
        """Return how many loops and calls there are, and how calls have ended."""
        with self._lock:
            running = len(self._seats)
            return self.tally.stats(
                workers=len(self._loops),
                busy=sum(loop.load > 0 for loop in self._loops),
                queued=len(self._calls) - running,
                running=running,
            )

    # Submitting calls.

    def prepare(
        self, fn: AsyncTarget, args: Args, kwargs: Kwargs, options: CallOptions
    ) -> LoopCall:
        """Make a call; raise RuntimeError if the pool accepts none."""
        call = LoopCall(self, fn, args, kwargs, options)
        recorder = recording.active
        if recorder is not None:
            call.be_timed(recorder)
        try:
            locks.held(self._lock, self._take_in, call)
            call.future.add_done_callback(lambda _: self._future_ended(call))
        except BaseException:  # closed, or Ctrl-C
            locks.held(self._lock, self._forget_call, call)
            raise
        return call

    def _take_in(self, call: LoopCall) -> None:
        self._refuse_if_closed()
        self._calls.add(call)

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
        """Give a call a place, or queue it for one."""
        error = locks.held(self._lock, self._try_to_seat, call)
        if error is not None:
            call.future._set_outcome(Failure(error), failed=True)

    def _try_to_seat(self, call: LoopCall) -> BaseException | None:
        if self._state is _State.BROKEN:
            return self._settings.broken()
        return self._find_place(call) if call.stage is LoopCallStage.HELD else None

    def _find_place(self, call: LoopCall) -> BaseException | None:
        """Return the error if there will be no place; call with the lock held."""
        loop: _Loop | None = min(self._loops, key=lambda each: each.load, default=None)
        if loop is None or (loop.load >= COROUTINES_PER_LOOP and not call.nested):
            if len(self._loops) < self._settings.most:
                try:
                    loop = self._start_loop()
                except RuntimeError as error:  # the system cannot start another thread
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
        self._ending = [each for each in self._ending if each.is_alive()]
        taken = {each.index for each in (*self._loops, *self._ending)}
        loop = _Loop(name, free_index(taken))
        loop.prepares(partial(self._initialized, loop), partial(self._failed, loop))
        try:
            self._loops.append(loop)
            loop.start()
        except BaseException:  # no thread can be started, or Ctrl-C
            if not loop.has_started:
                self._loops = [each for each in self._loops if each is not loop]
            raise
        return loop

    def _place(self, call: LoopCall, loop: _Loop) -> None:
        call.stage, self._seats[call] = LoopCallStage.SEATED, loop
        loop.load += 1
        loop.post(call.begin)

    def _initialized(self, loop: _Loop) -> bool:
        """Run the initializer; if it fails, fail the calls that have not started."""
        here.place = loop.index, self._settings.most, "coroutines"
        here.asked = self._is_asked
        if self._settings.initialize():
            return True
        with self._lock:
            self._state = _State.BROKEN
            self._loops.remove(loop)
            failed = [
                call
                for call in self._calls
                if call.stage is LoopCallStage.HELD or self._seats.get(call) is loop
            ]
            for call in failed:
                self._seats.pop(call, None)
                call.stage = LoopCallStage.HELD  # it will never run
        for call in failed:
            call.future._set_outcome(Failure(self._settings.broken()), failed=True)
        return False

    def _failed(self, loop: _Loop, error: BaseException) -> None:
        """Handle a loop that could not be made: requeue its calls, or fail them."""
        with self._lock:
            if loop in self._loops:  # else it was asked to stop
                self._loops.remove(loop)
            calls = [call for call, seat in self._seats.items() if seat is loop]
            for call in calls:
                del self._seats[call]
                call.stage = LoopCallStage.HELD
            if self._loops:
                self._waiting.extendleft(reversed(calls))
                for each in self._loops:
                    self._fill(each)
                return
            calls += self._waiting
            self._waiting.clear()
        for call in calls:
            call.future._set_outcome(Failure(error), failed=True)

    # The end of calls.

    def _future_ended(self, call: LoopCall) -> None:
        """Handle the end of a future, which may precede that of its coroutine."""
        with self._lock:
            loop = self._seats.get(call)
            if loop is not None:
                loop.post(call.cancel)
                return
            call.stage = LoopCallStage.ENDED
            self._forget_call(call)

    def leaves(self, call: LoopCall, stage: LoopCallStage) -> None:
        """Take the place of a call whose coroutine has ended; in the loop's thread.

        It is HELD until its next attempt, or ENDED.
        """
        with self._lock:
            loop = self._seats.pop(call, None)
            call.stage = stage
            if loop is not None:
                loop.load -= 1
                self._fill(loop)
            if stage is LoopCallStage.ENDED:
                self._forget_call(call)
        if loop is not None and not loop.load:
            self._watch_idleness(loop)

    def _fill(self, loop: _Loop) -> None:
        while self._waiting and loop.load < COROUTINES_PER_LOOP:
            call = self._waiting.popleft()
            if call.stage is LoopCallStage.HELD:  # else it was cancelled
                self._place(call, loop)

    def _forget_call(self, call: LoopCall) -> None:
        self._calls.discard(call)
        if not self._calls:
            self._nothing_left.notify_all()
            if self._state is not _State.OPEN:
                self._stop_loops()

    def _watch_idleness(self, loop: _Loop) -> None:
        """Let the loop end after a timeout; call in its thread."""
        import asyncio

        timeout = self._settings.idle_timeout
        if loop.leaving is not None:
            loop.leaving.cancel()
        if timeout is not None:
            here = asyncio.get_running_loop()
            loop.leaving = here.call_later(timeout, self._leave_if_idle, loop)

    def _leave_if_idle(self, loop: _Loop) -> None:
        import asyncio

        if len(asyncio.all_tasks()) > 1:  # one is the loop's own, others are the user's
            self._watch_idleness(loop)
            return
        with self._lock:
            if loop.load == 0 and loop in self._loops:
                self._loops.remove(loop)
                self._ending.append(loop)
                loop.stop()

    def _is_asked(self) -> bool:
        """Whether the call whose coroutine runs in this thread is to stop."""
        import asyncio

        task = asyncio.current_task()
        for call in list(self._seats):
            if call.runs_as(task):
                return call.future.done()
        return task is not None and task.cancelling() > 0  # made by a call, perhaps

    # Shutting down.

    def is_here(self) -> bool:
        """Whether this is the thread of one of the loops, which must not block."""
        with self._lock:
            return any(loop.is_here() for loop in self._loops)

    def shutdown(self, *, cancel_futures: bool) -> None:
        """Accept no new calls; optionally cancel those without a place on a loop."""
        self.close()
        if cancel_futures:
            self.cancel_unbegun()

    def close(self) -> None:
        """Accept no new calls; the loops end when they have run the others."""
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
        """Cancel the calls without a place on a loop, and the retries of the others."""
        with self._lock:
            held = [call for call in self._calls if call.stage is LoopCallStage.HELD]
            seated = list(self._seats)
        for call in held:
            call.future.cancel()
        for call in seated:
            call.future._end_retries()

    def join(self, timeout: float | None = None) -> None:
        """Wait until all calls and, in a closed pool, all loops have ended."""
        if self in inside():
            return  # an async call would wait for itself
        with self._nothing_left:
            if timeout is None:
                self._nothing_left.wait_for(lambda: not self._calls)
            else:
                wait_for(self._nothing_left, lambda: not self._calls, timeout)
            ending = list(self._ending)
        for loop in ending:
            loop.join(timeout)

    def stop_taking(self, *, drop: bool) -> None:
        """Before the end of the program: accept no new calls."""
        self.shutdown(cancel_futures=drop)

    def finish(self) -> None:
        """At the end of the program: run what was submitted."""
        self._maps.finish(unread_only=True)
        self.close()
        self.join()

    def abandon(self) -> None:
        """At an exit by an error: drop what has not started, cancel what is running."""
        self._maps.cancel()
        self.close()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.future.cancel()
        self.join(ABANDON_GRACE)

    def forget(self) -> None:
        """In a forked child: the loops and the calls belong to the parent."""
        calls = self._calls
        self._reset()
        for call in calls:
            if not call.future.cancelled():
                call.future._fail_in_forked_child()
        self._maps.forget()
