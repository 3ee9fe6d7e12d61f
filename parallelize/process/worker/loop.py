"""The worker's event loop, which runs coroutines concurrently in a thread of its own.

```
 pool ══ COROUTINE, CANCEL ══▶ main thread ── post ──▶ loop thread: a task for each
      ◀═ ASYNC_BEGUN, DONE, FAILED, ASYNC_CANCELLED, CANCEL_HEARD ══╝
```

While coroutines run the pool sends this worker no other tasks, so the main thread only
reads. The start of a coroutine is recorded in the shared page before its first step:
when the worker dies, the pool knows which coroutines had begun.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.calls.coroutines import called
from parallelize.process.wire import messages
from parallelize.process.wire.carried import carried
from parallelize.process.wire.frames import PoolGoneError
from parallelize.process.wire.journal import ROW, TASK
from parallelize.process.worker.sender import pickled_result
from parallelize.runtime import native
from parallelize.runtime.clock import monotonic_ns
from parallelize.runtime.loop_thread import LoopThread
from parallelize.serialize import pickling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.calls.targets import AsyncTarget
    from parallelize.process.wire.frames import Frame, Part
    from parallelize.process.worker.segments import Exchange
    from parallelize.process.worker.sender import Sender

    Answer = tuple[int, Sequence[Part], int]  # kind, parts, and 1 if it is simple
    Unpacked = tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]


class WorkerLoop:
    """Runs the coroutines of one worker."""

    def __init__(
        self,
        words: memoryview[int],
        sender: Sender,
        exchange: Exchange,
        unpack: Callable[[Frame], Unpacked],
        end_if_it_fails: Callable[[Callable[[], object]], None],
    ) -> None:
        """Start the thread of the loop.

        Args:
            words: The counters of the shared page.
            sender: The stream to the pool.
            exchange: Passes large buffers.
            unpack: Returns the function of a frame and its arguments.
            end_if_it_fails: Runs a step; an error in it ends the worker.
        """
        self._guarded = end_if_it_fails
        self._words = words
        self._sender = sender
        self._exchange = exchange
        self._unpack = unpack
        # The context of the main thread's calls, with the script's decimal context.
        self._context = copy_context()
        # Used by the loop's thread only.
        self._tasks: dict[int, asyncio.Task[Answer]] = {}
        self._cancelled: set[int] = set()  # ids of the tasks already cancelled
        # Those that are to be: their coroutines may look before they next wait. Set
        # by the main thread.
        self._asked: set[int] = set()
        self._is_flushing = False
        self._thread = LoopThread("parallelize-loop", native.thread, native.RLock)
        self._thread.prepares(failed=self._failed)
        self._thread.start()

    def _failed(self, error: BaseException) -> None:
        """End the worker, as it has no loop; other workers get its coroutines."""

        def tell() -> None:
            raise error

        self._guarded(tell)

    # Called by the main thread.

    def take(self, frame: Frame) -> None:
        """Start or cancel a coroutine, in the loop's thread."""
        if frame.kind == messages.CANCEL:
            self._asked.add(frame.id)
            step = partial(self._cancel, frame.id)
        else:
            step = partial(self._begin, frame)
        self._thread.post(partial(self._guarded, step))

    def close(self) -> None:
        """End the loop: cancel the remaining tasks, finish async generators."""
        self._thread.stop()
        self._thread.join()

    def is_here(self) -> bool:
        """Whether this is the loop's thread."""
        return self._thread.is_here()

    # Called by the loop's thread.

    def running(self) -> int:
        """Return the id of the coroutine that runs; 0 in a task that it has made."""
        current = asyncio.current_task()
        return next((id for id, task in self._tasks.items() if task is current), 0)

    def is_asked(self) -> bool:
        """Whether the coroutine that runs here is to be cancelled."""
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            return True
        return self.running() in self._asked

    def _begin(self, frame: Frame) -> None:
        id = frame.id
        begun = monotonic_ns()
        self._send(messages.ASYNC_BEGUN, id, [b""], messages.moment(begun))
        self._words[ROW] = 0
        self._words[TASK] = id
        if frame.micros:  # the pool measures the deadline from here on
            self._flush_soon()
        context = self._context.copy()
        task = self._thread.loop.create_task(self._run(frame), context=context)
        self._tasks[id] = task
        task.add_done_callback(
            lambda done: self._guarded(partial(self._ended, id, begun, done))
        )

    def _cancel(self, id: int) -> None:
        self._send(messages.CANCEL_HEARD, id, [b""])
        self._flush_soon()
        task = self._tasks.get(id)
        # Only once: its cleanup may await, too.
        if task is not None and id not in self._cancelled:
            self._cancelled.add(id)
            task.cancel()

    async def _run(self, frame: Frame) -> Answer:
        try:
            result = await self._result_of(frame)
            simple = pickling.dumps_if_simple(result)
            if simple is not None:
                return messages.DONE, [simple], 1
            return messages.DONE, pickled_result(result, self._exchange.place), 0
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to the call
            return messages.FAILED, [messages.encode_failure(error)], 0

    async def _result_of(self, frame: Frame) -> Any:
        if frame.micros & messages.CARRIED:
            carried(frame).enter()
        target, args, kwargs = self._unpack(frame)
        fn: AsyncTarget | Any = target  # nothing else is sent as a coroutine
        return await called(fn.coroutine, tuple(args), kwargs)

    def _ended(self, id: int, begun: int, task: asyncio.Task[Answer]) -> None:
        del self._tasks[id]
        self._cancelled.discard(id)
        self._asked.discard(id)
        answer: Answer = messages.ASYNC_CANCELLED, [b""], 0
        if not task.cancelled():
            answer = task.result()
        kind, parts, simple = answer
        took = messages.micros(monotonic_ns() - begun)
        self._send(kind, id, parts, simple, took)
        self._flush_soon()

    def _send(
        self, kind: int, id: int, parts: Sequence[Part], extra: int = 0, micros: int = 0
    ) -> None:
        # Tasks continue for a moment after the pool is gone.
        with contextlib.suppress(PoolGoneError):
            self._sender.send(kind, id, parts, extra, micros)

    def _flush_soon(self) -> None:
        """Flush once the callbacks that are due now have run."""
        if not self._is_flushing:
            self._is_flushing = True
            # The thread has no loop any more when the last coroutines are cancelled.
            asyncio.get_running_loop().call_soon(self._guarded, self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        with contextlib.suppress(PoolGoneError):
            self._sender.flush_stream()
            self._exchange.send_released()
