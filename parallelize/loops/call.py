"""An async call on an event loop of this process, for any owner of the loop.

```
 prepared ──▶ start ──▶ owner.seat ──▶ begin, in the loop's thread ──▶ a task
                                          │ its end ──▶ future, owner.left
 future cancelled, or timed out ──────────┴──▶ cancel, in the loop's thread
```
"""

from __future__ import annotations

import enum
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from parallelize.calls import dependencies
from parallelize.calls.call import Call, run_retrying
from parallelize.calls.coroutines import CoroutineFuture, outcome_of
from parallelize.calls.retrying import (
    admit_again,
    is_retried,
    note_attempts,
    rest,
    wait_after,
)
from parallelize.errors import TaskTimeout
from parallelize.futures.future import RUNNING, Failure, Future, error_of
from parallelize.futures.limit_cycles import begin_within
from parallelize.runtime import timer
from parallelize.runtime.clock import monotonic
from parallelize.runtime.locks import Latch
from parallelize.runtime.options import name_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Sequence

    from parallelize.calls.tally import Tally
    from parallelize.calls.targets import AsyncTarget
    from parallelize.runtime.options import Args, CallOptions, Kwargs
    from parallelize.tracing.recording import Recorder

    class LoopOwner(Protocol):
        """The owner of the loops."""

        def seat(self, call: LoopCall) -> None: ...

        def leaves(self, call: LoopCall, stage: LoopCallStage) -> None: ...

        def is_here(self) -> bool: ...

        @property
        def tally(self) -> Tally: ...


__all__ = ("LoopCall", "LoopCallStage", "inside")

#: The owners of the async calls that this context is part of.
_inside: ContextVar[tuple[object, ...]] = ContextVar("parallelize.loops", default=())


def inside() -> tuple[object, ...]:
    """Return the owners of the async calls in which this runs, at any depth."""
    return _inside.get()


class LoopCallStage(enum.Enum):
    """The life cycle of a call; the owner changes it."""

    HELD = "waits for arguments, a limit or a place"
    SEATED = "has a place on a loop"
    ENDED = "has given its place back"


class LoopCall(Call):
    """One async call.

    Attributes:
        nested: Whether it was made by another async call of the same owner.
        stage: Its current stage.
    """

    __slots__ = (
        "_args",
        "_context",
        "_failed",
        "_fn",
        "_is_admitted",
        "_kwargs",
        "_owner",
        "_since",
        "_task",
        "_waiter",
        "nested",
        "stage",
    )

    def __init__(
        self,
        owner: LoopOwner,
        fn: AsyncTarget,
        args: Args,
        kwargs: Kwargs,
        options: CallOptions,
    ) -> None:
        self._owner = owner
        self.fn: Callable[..., Any] = fn
        self._fn = fn
        self._args = args
        self._kwargs = kwargs
        self.options = options
        self.waits_for: Sequence[Future[Any]] = dependencies.futures_in(args, kwargs)
        self._context = copy_context()
        outer = inside()
        self.nested: bool = owner in outer
        if not self.nested:
            self._context.run(_inside.set, (*outer, owner))
        self.stage: LoopCallStage = LoopCallStage.HELD
        self._task: asyncio.Task[Any] | None = None  # only for the loop's thread
        self._is_admitted = False  # whether its limit and its rate let it start
        self._waiter: Latch | None = None  # of a thread that will run it in place
        self._failed = 0  # attempts
        self._since = 0.0  # when the first one began
        self.future: Future[Any] = _LoopFuture(self)
        begin_within(self._context, self.future, options)

    def be_timed(self, recorder: Recorder) -> None:
        """Record the call in a trace."""
        from parallelize.tracing import timed

        future, options = self.future, self.options
        self._fn = timed.coroutine(recorder, "threads", self._fn, future, options)

    def start(self) -> None:
        """Get a place on a loop, or queue for one."""
        self._is_admitted = True
        if self._waiter is not None:
            self._waiter.set()
        else:
            self._owner.seat(self)

    # In the loop's thread.

    def begin(self) -> None:
        """Make the task, unless the call has been cancelled."""
        if not self.future._claim():
            self._owner.leaves(self, LoopCallStage.ENDED)
            return
        self._set_deadline()
        self._since = self._since or monotonic()
        self._attempt()

    def _attempt(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), context=self._context)
        self._task.add_done_callback(self._ended)

    def runs_as(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether the call runs as this task."""
        return self._task is task is not None

    def cancel(self) -> None:
        """Raise CancelledError in the coroutine, if it is still running."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> Any:
        try:
            return await self._outcome(*self._filled())
        finally:
            del self  # an error refers to this frame

    def _outcome(self, args: Args, kwargs: Kwargs) -> Coroutine[Any, Any, Any]:
        # Not a coroutine itself, as an error would refer to its frame.
        fn, options = self._fn.coroutine, self.options
        if options.timeout is not None and options.retries:
            from parallelize.loops.attempts import timed_outcome

            return timed_outcome(self, fn, args, kwargs, options.timeout)
        return outcome_of(fn, args, kwargs)

    def note_failure(self) -> None:
        """Count that the call fails."""
        self._owner.tally.failed.step()

    def may_follow(self, error: BaseException) -> bool:
        """Whether another attempt may follow one that fails with this error."""
        options = self.options
        if self._failed >= options.retries or not is_retried(error, options):
            return False
        return self.future._may_repeat()

    def note(self, error: BaseException) -> None:
        """Note in the last error how many attempts were made."""
        note_attempts(error, self._failed + 1, self._since)

    def _goes_on_after(self, error: BaseException) -> bool:
        """Make another attempt, now or later, after one has failed; in the loop."""
        if not self.options.retries:
            return False
        follows = self.may_follow(error)
        self._failed += 1
        wait = wait_after(self.options, self._failed, error) if follows else None
        if wait is not None:
            self._owner.tally.retried.step()
        if wait is not None and not wait and self.options.rate is None:
            self._attempt()
            return True
        if wait is not None:
            # First, as it may be admitted again at any moment from then on.
            self._is_admitted = False
            self._owner.leaves(self, LoopCallStage.HELD)
            if rest(self, wait, admit_again):
                return True
            self.stage = LoopCallStage.ENDED
        if wait is None and not self.future.done():
            note_attempts(error, self._failed, self._since)
        return False

    def _filled(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not self.waits_for:
            return self._args, self._kwargs
        return dependencies.filled(self._args), dependencies.filled(self._kwargs)

    def _set_deadline(self) -> None:
        timeout = self.options.timeout
        if timeout is None or self.options.retries:  # retries: one for each attempt
            return
        failure = Failure(TaskTimeout(name_of(self.fn, self.options), timeout))
        fail = partial(self.future._set_outcome, failure, failed=True)
        deadline = timer.after(timeout, fail)
        self.future.add_done_callback(lambda _: deadline.cancel())

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._task = None
        failure = None if task.cancelled() else _failure_of(task)
        if failure is not None and self._goes_on_after(failure.error):
            return
        # First, so that the owner knows of this when the future ends.
        self._owner.leaves(self, LoopCallStage.ENDED)
        if task.cancelled():
            self.future._force_cancel()
        else:
            self._settle(failure or task.result())

    # In the thread of a loop that is blocked by waiting for this call.

    def run_in_place(self) -> None:
        """Run the call immediately, in this thread, unless it has started.

        The waiting thread blocks a loop on which the call might be queued. So the call
        gets a loop of its own instead.

        Raises:
            RuntimeError: It has started, and may be running on this very loop.
        """
        if not self._owner.is_here() or self.future.done():
            return
        for future in self.waits_for:
            error_of(future)
        if self.options.rate is not None or self._failed:
            self._await_turn()
        if self.future._claim():
            value = self._context.run(
                run_retrying,
                self._fn,
                *self._filled(),
                self.options,
                self.future._may_repeat,
            )
            self._settle(value)
        elif self.future._state == RUNNING:
            msg = (
                "an async call cannot block its loop to wait for another one that has "
                "begun, and may run on the same loop: use await"
            )
            raise RuntimeError(msg)

    def _settle(self, outcome: Any) -> None:
        if isinstance(outcome, Failure):
            self.future._set_outcome(outcome, failed=True)
        elif not self.future.done():
            self._owner.tally.done.step()
            self.future._set_value(outcome)

    def _await_turn(self) -> None:
        """Wait until the call may be made, in a thread that will run it in place.

        If it has a place on a loop by now, it need not wait: it may start.
        """
        self._waiter = turn = Latch()
        self.future.add_done_callback(lambda _: turn.set())
        if not self._is_admitted:
            turn.wait()


class _LoopFuture(CoroutineFuture[Any]):
    """The future of a `LoopCall`."""

    def __init__(self, call: LoopCall) -> None:
        super().__init__()
        self._call = call

    def _await_end(self, timeout: float | None) -> None:
        call = self._call
        if timeout is None and isinstance(call, LoopCall):
            call.run_in_place()
        super()._await_end(timeout)


def _failure_of(task: asyncio.Task[Any]) -> Failure | None:
    error = task.exception()
    if error is not None:
        return Failure(error)
    value = task.result()
    return value if type(value) is Failure else None
