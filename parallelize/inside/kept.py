"""What `per_worker` keeps: the objects of a thread, a program or an event loop.

```
 per_worker f ── f() ──▶ the objects of this thread    in a thread of a pool
                         the objects of this program   elsewhere: in worker processes,
                                                       interpreters, serial calls
           await f() ──▶ the objects of this loop      if f is a coroutine function
```

Each is made by the first call that needs it. When the thread, program or loop ends, the
clean-ups run, those of the newest objects first: an object may use older ones.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from parallelize.errors import PerWorkerError
from parallelize.runtime import locks
from parallelize.runtime.blocking import HelpingLock, here

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator

#: Makes an object; returns it and its clean-up, if it has one.
Make: TypeAlias = Callable[[], tuple[Any, Callable[[], object] | None]]

#: The same by a coroutine, with a clean-up that is a coroutine function.
AsyncMake: TypeAlias = Callable[
    [], Coroutine[Any, Any, tuple[Any, Callable[[], Coroutine[Any, Any, Any]] | None]]
]

_new_lock = locks.reentrant("making")


class UsageError(RuntimeError):
    """A function that cannot make its object, whenever it is called."""


#: Errors that a call gets as they are, also if they come while an object is made.
PASSED = (UsageError, PerWorkerError, CancelledError)


class Kept:
    """The objects of a thread or a program, by their keys."""

    def __init__(self) -> None:
        self._values: dict[object, Any] = {}
        self._endings: list[tuple[object, str, Callable[[], object]]] = []
        # Held while an object is made, which runs the user's code.
        self._turn = HelpingLock(_new_lock)
        self._making: set[object] = set()

    def get(self, key: object, name: str, make: Make) -> Any:
        """Return the object of a key; make it if there is none."""
        try:
            return self._values[key]
        except KeyError:
            return self._turn.held(partial(self._made, key, name, make))

    def _made(self, key: object, name: str, make: Make) -> Any:
        if key in self._values:  # another thread was faster
            return self._values[key]
        if key in self._making:
            raise _circle(name)
        self._making.add(key)
        try:
            value, ending = make()
        finally:
            self._making.discard(key)
        self._values[key] = value
        if ending is not None:
            self._endings.append((key, name, ending))
            if self is _program:
                atexit.register(close_program)
        return value

    def close(self) -> None:
        """Run the clean-ups, and drop the objects; errors are logged."""
        while self._endings:
            key, name, ending = self._endings.pop()
            try:
                ending()
            except BaseException as error:  # noqa: BLE001 - the next ones run all the same
                _log_failure(name, error)
            self._values.pop(key, None)
            del ending
        self._values.clear()


_program = Kept()

#: In a forked child: the objects of the parent, which must not be cleaned up here.
_inherited: list[object] = []


def kept_here() -> Kept:
    """Return the objects for what runs here."""
    if here.place is None or here.depth > here.outer_depth:
        return _program
    kept = here.kept
    if not isinstance(kept, Kept):
        here.kept = kept = Kept()
    return kept


def close_program() -> None:
    """Clean up at the end of this program, worker process or interpreter."""
    _program.close()


def _forget() -> None:
    """In a forked child: start empty, and clean up nothing of the parent."""
    global _program
    _inherited.extend((_program, here.kept, _loops.copy()))
    _program, here.kept = Kept(), None
    _loops.clear()


def _circle(name: str) -> UsageError:
    return UsageError(f"{name} needs itself while it is made")


def _log_failure(name: str, error: BaseException) -> None:
    import logging

    log = logging.getLogger("parallelize")
    log.error("the clean-up of %s failed", name, exc_info=error)


# ------------------------------------------------------------------------ event loops


class _KeptOnLoop:
    """The objects of an event loop; only code that runs on it uses them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.values: dict[object, Any] = {}
        self.keeper: AsyncGenerator[None] = self._keep(loop)
        self._endings: list[
            tuple[object, str, Callable[[], Coroutine[Any, Any, Any]]]
        ] = []
        self._makers: dict[object, asyncio.Task[Any] | None] = {}
        self._turns: dict[object, asyncio.Lock] = {}

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None]:
        """Clean up when the loop closes its asynchronous generators.

        That is what each loop does at its end, also one of the user's.
        """
        try:
            yield
        finally:
            _loops.pop(loop, None)
            await self._close()

    async def made(self, key: object, name: str, make: AsyncMake) -> Any:
        import asyncio

        task = asyncio.current_task()
        if key in self._makers and self._makers[key] is task:
            raise _circle(name)
        async with self._turns.setdefault(key, asyncio.Lock()):
            if key not in self.values:  # else another task was faster
                self._makers[key] = task
                try:
                    self.values[key], ending = await make()
                finally:
                    del self._makers[key]
                if ending is not None:
                    self._endings.append((key, name, ending))
            return self.values[key]

    async def _close(self) -> None:
        while self._endings:
            key, name, ending = self._endings.pop()
            try:
                await ending()
            except BaseException as error:  # noqa: BLE001 - the next ones run all the same
                _log_failure(name, error)
            self.values.pop(key, None)


_loops: dict[asyncio.AbstractEventLoop, _KeptOnLoop] = {}


async def get_on_loop(key: object, name: str, make: AsyncMake) -> Any:
    """Return the object that the running loop has for a key; make it if needed."""
    import asyncio

    loop = asyncio.get_running_loop()
    kept = _loops.get(loop)
    if kept is None:
        kept = _loops[loop] = _KeptOnLoop(loop)
        await kept.keeper.__anext__()
    if key in kept.values:
        return kept.values[key]
    return await kept.made(key, name, make)


def begun_apart(generator: AsyncGenerator[Any]) -> Any:
    """Begin an asynchronous generator that its loop does not close by itself.

    Returns:
        What to await for its first item.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)


locks.at_fork(after_in_child=_forget)
