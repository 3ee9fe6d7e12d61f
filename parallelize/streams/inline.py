"""A generator that is run by its reader, item by item, in the reader's thread.

Used by the serial executor, and where a thread of a pool reads a stream that is still
waiting for a thread of the same pool.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from parallelize.calls import dependencies
from parallelize.futures.peek import no_end
from parallelize.runtime import lifecycle, locks
from parallelize.runtime.loop_thread import apart, by_real_clock, run_to_end

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from parallelize.runtime.options import Args, Kwargs

_new_lock = locks.reentrant("generator")


class Inline:
    """Runs a generator function step by step.

    Args:
        fn: The generator function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        context: The context (`contextvars`) in which it runs.
    """

    def __init__(
        self, fn: Callable[..., Any], args: Args, kwargs: Kwargs, context: Context
    ) -> None:
        self._call = fn, args, kwargs
        self._context = context
        self._source: Any = None  # the generator, once it has started
        self._runner: asyncio.Runner | None = None  # the loop of an async one
        self._is_closed = False
        # Held while the generator runs, whose code may do anything. Reentrant, so that
        # a generator that reads itself gets Python's own error.
        self._running = _new_lock()

    def next(self) -> Any:
        """Return the next item; raise StopIteration or the generator's error."""
        with self._running:
            if self._is_closed:
                raise StopIteration
            try:
                return self._context.run(self._step)
            except BaseException:
                self._is_closed = True
                raise
            finally:
                if self._is_closed:
                    self._finish()

    def _step(self) -> Any:
        if self._source is None:
            self._source = self._begin()
        if self._runner is None:
            return next(self._source)
        try:
            return self._run(self._source.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def _begin(self) -> Any:
        fn, args, kwargs = self._call
        waits_for = dependencies.futures_in(args, kwargs)
        failure = dependencies.first_failure(waits_for)  # waits for them
        if failure is not None:
            raise no_end(failure.error, StopIteration)
        if waits_for:
            args, kwargs = dependencies.filled(args), dependencies.filled(kwargs)
        source = fn(*args, **kwargs)
        if hasattr(source, "__anext__"):
            import asyncio

            self._runner = asyncio.Runner()
            by_real_clock(self._runner)
        return source

    def _run(self, step: Callable[[], Any]) -> Any:
        runner = self._runner
        assert runner is not None

        async def taken() -> Any:
            return await step()

        return apart(lambda: run_to_end(taken(), runner.run))

    def close(self) -> None:
        """Close the generator: now, or if it is running, after its current step."""
        self._is_closed = True
        locks.if_free(self._running, self._finish)

    def dropped(self) -> None:
        """Close, as the reader is gone; may be called from garbage collection."""
        if self._runner is not None:
            lifecycle.later(self.close)
            return
        with contextlib.suppress(Exception):  # as for any generator that is collected
            self.close()

    def _finish(self) -> None:
        source, self._source = self._source, None
        runner, self._runner = self._runner, None
        if source is not None and runner is None:
            self._context.run(source.close)
        elif runner is not None:
            apart(lambda: _end_loop(runner, source))


def _end_loop(runner: asyncio.Runner, source: Any) -> None:
    async def closed() -> None:
        await source.aclose()

    with runner:
        run_to_end(closed(), runner.run)
