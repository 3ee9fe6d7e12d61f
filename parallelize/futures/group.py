"""`TaskGroup`: a block that its calls cannot outlive.

```
 with TaskGroup() as group:             any thread
     group.start(f, x) ──▶ members ◀── ended ──────── one of them is done
                             │  ▲                        │ ... and failed
 leaving waits for them ─────┘  └──── stop ◀─────────────┘
 and raises their errors              kills all, and starts no more
```

Only the thread that leaves the block opens errors. The threads that deliver them know
that there is one, which is enough to stop the rest.
"""

from __future__ import annotations

import concurrent.futures
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from parallelize.futures.future import error_of
from parallelize.futures.group_state import Members
from parallelize.futures.limit_cycles import noted
from parallelize.futures.unretrieved import is_cancellation
from parallelize.runtime.raised import is_a

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import NoReturn, Self, TypeAlias

    AnyFuture: TypeAlias = concurrent.futures.Future[Any]

__all__ = ("TaskGroup",)

P = ParamSpec("P")
F = TypeVar("F", bound="concurrent.futures.Future[Any]")

#: The seconds in which calls in threads must complete after Ctrl-C.
INTERRUPT_GRACE = 1.0


class TaskGroup:
    """A block that starts calls, and ends when all of them are done.

    Like `asyncio.TaskGroup`, for calls of decorated functions, in threads and in
    processes: in ``with``, or in ``async with``, which does not block the loop.

    When a call or the block itself fails, the other calls are stopped: those that have
    not begun are cancelled, those that run in processes are killed, those that run in
    threads are waited for. Then the error is raised; if there are several, an
    `ExceptionGroup` of them, with the block's own error last.

    Calls that were cancelled or killed, or that raised `CancelledError`, do not count
    as failed.

    Example:
        >>> from parallelize import TaskGroup, threaded
        >>> double = threaded(lambda x: 2 * x)
        >>> with TaskGroup() as group:
        ...     futures = [group.start(double, x) for x in (1, 2, 3)]
        >>> [future.result() for future in futures]
        [2, 4, 6]
    """

    def __init__(self) -> None:
        self._members = Members()
        self._async: _AsyncBlock | None = None  # while an async block is open

    def start(self, f: Callable[P, F], /, *args: P.args, **kwargs: P.kwargs) -> F:
        """Call a function that returns futures, as part of the group.

        Any thread may do so while the block is open. A call of the group may do so even
        while the group waits for it.

        Args:
            f: A decorated function, or the ``submit`` of an executor, with a plain
                function as the first argument.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Returns:
            The future that ``f`` returned.

        Raises:
            TypeError: ``f`` did not return a future: it is a plain function.
            CancelledError: The group was stopped because a call failed.
            RuntimeError: The block has not begun, or has ended.
        """
        self._members.reserve()
        try:
            future = f(*args, **kwargs)
            _check_future(f, future)
        except BaseException:
            self._members.give_up_place()
            raise
        self._members.add(future)
        try:
            return future
        finally:
            del future  # a traceback of a call run in this thread refers here

    def cancel(self) -> None:
        """End the group early, without an error.

        Its calls are stopped, as after a failure: those that have not begun are
        cancelled, those that run in processes are killed, and `stopping` becomes true
        in the others. `start` raises `CancelledError` from now on. An ``async with``
        block is cancelled where it waits next. The block then ends normally, unless a
        call failed before, or the block raises another error.

        Any thread may call it, more than once; after the block it has no effect.

        Raises:
            RuntimeError: The block has not begun.
        """
        if self._members.cancel() and self._async is not None:
            self._async.call_has_failed()

    def __enter__(self) -> Self:
        self._members.enter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        """Wait for all calls; raise their errors."""
        members = self._members
        try:
            members.leave(stopping=exc_val is not None)
            if exc_val is not None and is_a(exc_val, KeyboardInterrupt):
                members.wait_idle(INTERRUPT_GRACE)
            else:
                members.wait()
        except BaseException as error:
            interrupted = is_a(error, KeyboardInterrupt)
            members.stop()
            members.wait_idle(INTERRUPT_GRACE if interrupted else None)
            raise
        finally:
            members.end()
        was_cancelled = members.is_cancellation(exc_val)
        _raise_errors(members.take_failed(), None if was_cancelled else exc_val)
        return was_cancelled or None

    async def __aenter__(self) -> Self:
        block = _AsyncBlock(self._members)
        self._members.enter(block.call_has_failed)
        self._async = block
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        """Wait for all calls without blocking the loop; raise their errors."""
        block, self._async = self._async, None
        assert block is not None
        return await block.leave(exc_val)

    def __repr__(self) -> str:
        return f"<TaskGroup {self._members}>"

    def __reduce__(self) -> NoReturn:
        msg = "a TaskGroup cannot be pickled: it is for calls of the process it is in"
        raise TypeError(msg)


def _check_future(f: object, returned: object) -> None:
    if isinstance(returned, concurrent.futures.Future):
        return
    if isinstance(returned, CoroutineType):
        returned.close()  # else Python would warn that it was never awaited
    msg = (
        "TaskGroup.start takes a function whose calls return futures, as those of a "
        f"decorated function do; {f!r} returned {returned!r}. For a plain function "
        "there is group.start(executor.submit, function, ...)"
    )
    raise TypeError(msg)


def _raise_errors(failed: Sequence[AnyFuture], of_block: BaseException | None) -> None:
    """Raise the errors of calls, together with the block's own error.

    The block's own error propagates by itself if there is no other, or if it is not an
    `Exception`, such as Ctrl-C.
    """
    if of_block is not None and not is_a(of_block, Exception):
        return
    errors = _errors_of(failed, of_block)
    if not errors or (len(errors) == 1 and errors[0] is of_block):
        return
    try:
        if len(errors) == 1:
            raise errors[0]
        msg = f"{len(errors)} errors in a TaskGroup"
        raise BaseExceptionGroup(msg, errors) from None
    finally:
        del failed, of_block, errors  # an error's traceback holds this frame


def _errors_of(
    failed: Sequence[AnyFuture], of_block: BaseException | None
) -> list[BaseException]:
    """Return the errors of the calls and the block, each once, no cancellations."""
    errors = [error for error in map(error_of, failed) if error is not None]
    if of_block is not None:
        errors.append(of_block)  # it may be a call's error, too
    true = {id(e): e for e in errors if not is_cancellation(e)}
    # Opening may show that the error that stopped the group is a cancellation.
    return list(true.values()) or ([] if of_block is not None else errors[:1])


class _AsyncBlock:
    """The block of ``async with``, which belongs to a task of an asyncio loop.

    As in asyncio, a failed call cancels the block's task, which would otherwise
    continue with work that the failure has made useless; the cancellation is undone at
    the end.
    """

    def __init__(self, members: Members) -> None:
        import asyncio

        try:
            self._loop = asyncio.get_running_loop()
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        if task is None:
            msg = "async with TaskGroup() needs a task of a running asyncio event loop"
            raise RuntimeError(msg)
        self._task: asyncio.Task[Any] = task
        self._members = members
        self._is_open = True  # this and the next: loop's thread only
        self._has_cancelled = False

    def call_has_failed(self) -> None:
        """Cancel the block soon; called in any thread."""
        from parallelize.runtime.loop_thread import call_soon

        call_soon(self._loop, self._cancel)

    def _cancel(self) -> None:
        if self._is_open and not self._has_cancelled:
            self._has_cancelled = True
            self._task.cancel()

    async def leave(self, of_block: BaseException | None) -> bool | None:
        """Wait for all calls; raise their errors, or the task's cancellation.

        Returns:
            Whether the block's own error is over, as it came of `TaskGroup.cancel`.
        """
        import asyncio

        self._is_open = False
        self._members.leave(stopping=of_block is not None)
        cancelled = await self._wait()
        if of_block is not None and is_a(of_block, asyncio.CancelledError):
            cancelled, of_block = of_block, None
        was_cancelled = self._members.is_cancelled
        if self._members.is_cancellation(of_block):
            of_block = None
        self._members.end()
        if self._has_cancelled and self._task.uncancel() == 0:
            cancelled = None
        try:
            _raise_errors(self._members.take_failed(), of_block)
            if cancelled is not None and of_block is None:
                raise cancelled
            is_over = was_cancelled and of_block is None
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._cancel_again()
            raise
        finally:
            del self, of_block, cancelled  # an error's traceback holds this frame
        return is_over or None

    async def _wait(self) -> asyncio.CancelledError | None:
        """Wait until no call is left; return the task's cancellation, if any."""
        import asyncio

        from parallelize.runtime.loop_thread import until

        cancelled = None
        while not self._members.ended_idle():
            try:
                idle = until(self._members.call_when_idle)
                await noted(idle, self._members.running)
            except asyncio.CancelledError as error:
                cancelled = error
                self._members.stop()
        return cancelled

    def _cancel_again(self) -> None:
        """Cancel the task again at its next step, as errors are raised first."""
        if self._task.cancelling():
            self._task.uncancel()
            self._task.cancel()
