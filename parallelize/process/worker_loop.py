"""The worker's loop: coroutines, many at once, in a thread beside the main thread.

```
 pool ══ COROUTINE, CANCEL ══▶ main thread ── post ──▶ loop thread: a task for each
      ◀═ ASYNC_BEGUN, DONE, FAILED, ASYNC_CANCELLED, CANCEL_HEARD ══╝
```

While coroutines run the pool gives this worker nothing else, so the main thread only
reads. That a coroutine has begun is in the shared page before it takes its first
step: when the worker dies, those that had begun are known.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.clock import monotonic_ns
from parallelize.coroutines import called
from parallelize.loops import LoopThread
from parallelize.process import messages, native, pickling
from parallelize.process.page import ROW, TASK
from parallelize.process.sender import pickled_result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.callables import AsyncTarget
    from parallelize.process.exchange import Exchange
    from parallelize.process.sender import Sender
    from parallelize.process.transport import Frame, Part

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
    ) -> None:
        """Start the thread of the loop.

        Args:
            words: The counters of the shared page.
            sender: The stream to the pool.
            exchange: Passes large buffers.
            unpack: Gives the function of a frame and its arguments.
        """
        self._words = words
        self._sender = sender
        self._exchange = exchange
        self._unpack = unpack
        # The loop thread's alone.
        self._tasks: dict[int, asyncio.Task[Answer]] = {}
        self._cancelled: set[int] = set()  # of those that were cancelled before
        self._is_flushing = False
        self._thread = LoopThread("parallelize-loop", native.thread, native.RLock)
        self._thread.start()

    # The main thread's.

    def take(self, frame: Frame) -> None:
        """Do what a frame says, in the loop's thread."""
        if frame.kind == messages.CANCEL:
            self._thread.post(partial(self._cancel, frame.id))
        else:
            self._thread.post(partial(self._begin, frame))

    def close(self) -> None:
        """End the loop: cancel what is left, finish async generators."""
        self._thread.stop()
        self._thread.join()

    # The loop thread's.

    def _begin(self, frame: Frame) -> None:
        id = frame.id
        begun = monotonic_ns()
        self._sender.send(messages.ASYNC_BEGUN, id, [b""], messages.moment(begun))
        self._words[ROW] = 0
        self._words[TASK] = id
        if frame.micros:  # the pool measures its time from here on
            self._flush_soon()
        task = self._thread.loop.create_task(self._run(frame))
        self._tasks[id] = task
        task.add_done_callback(partial(self._ended, id, begun))

    def _cancel(self, id: int) -> None:
        self._sender.send(messages.CANCEL_HEARD, id, [b""])
        self._flush_soon()
        task = self._tasks.get(id)
        # Only once: what it does at its end may wait, too.
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
        target, args, kwargs = self._unpack(frame)
        fn: AsyncTarget | Any = target  # as nothing else is sent as a coroutine
        return await called(fn.coroutine, tuple(args), kwargs)

    def _ended(self, id: int, begun: int, task: asyncio.Task[Answer]) -> None:
        del self._tasks[id]
        self._cancelled.discard(id)
        answer: Answer = messages.ASYNC_CANCELLED, [b""], 0
        if not task.cancelled():
            answer = task.result()
        kind, parts, simple = answer
        took = messages.micros(monotonic_ns() - begun)
        self._sender.send(kind, id, parts, simple, took)
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Send what is there when the loop has done what is due now."""
        if not self._is_flushing:
            self._is_flushing = True
            self._thread.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        self._sender.flush_stream()
        self._exchange.tell_released()
