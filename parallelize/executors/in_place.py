"""Process calls inside a process worker: they run in place, async ones on its loop."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from parallelize.calls.call import admit
from parallelize.calls.tally import Tally
from parallelize.calls.targets import AsyncTarget
from parallelize.executors.serial import SerialExecutor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from parallelize.futures.future import Future
    from parallelize.loops.call import LoopCall, LoopCallStage
    from parallelize.runtime.options import Args, CallOptions, Kwargs

__all__ = ("InPlaceExecutor",)


class InPlaceExecutor(SerialExecutor):
    """Runs each call immediately, in the calling thread.

    An async call made while a loop runs in this thread becomes a task of that loop,
    so that other coroutines continue to run.
    """

    def _submit(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, options: CallOptions
    ) -> Future[Any]:
        loop = _running_loop()
        if loop is None or not isinstance(fn, AsyncTarget):
            return super()._submit(fn, args, kwargs, options)
        from parallelize.loops.call import LoopCall

        owner = _Owner(loop)
        call = LoopCall(owner, fn, args, kwargs, options)
        self._in_flight.add(call.future)
        call.future.add_done_callback(self._in_flight.discard)
        call.future.add_done_callback(lambda _: owner.post(call.cancel))
        admit(call)
        return call.future


def _running_loop() -> asyncio.AbstractEventLoop | None:
    if "asyncio" not in sys.modules:
        return None
    import asyncio

    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None


class _Owner:
    """The running loop, with the interface that calls need."""

    tally = Tally()  # not looked at: the executor counts the futures

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Owner) and self._loop is other._loop

    def __hash__(self) -> int:
        return hash(self._loop)

    def post(self, action: Callable[[], object]) -> None:
        """Run an action in the loop's thread."""
        from parallelize.runtime.loop_thread import call_soon

        call_soon(self._loop, action)

    def seat(self, call: LoopCall) -> None:
        """Start the call on the loop, which has room for any number."""
        self.post(call.begin)

    def leaves(self, call: LoopCall, stage: LoopCallStage) -> None:
        """Do nothing, as no place was taken."""

    def is_here(self) -> bool:
        """Whether the loop runs in this thread."""
        return _running_loop() is self._loop
