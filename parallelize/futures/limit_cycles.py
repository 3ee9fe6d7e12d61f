"""Detects and breaks cycles of waits that go through a limit.

```
 f has a place in the limit ──waits for──▶ g, running ──waits for──▶ another f
          ▲                                                            │
          └────────────── which waits for a place in the limit ◀───────┘
```

If a call waits for a place, and a call that has one waits for that very call, the place
is lent to it: the holder does not run until the call is done. Waits are recorded before
the search for cycles, so the wait that closes a cycle finds it. Waits are recorded as
follows:

* a pool's thread records them in its `Worker`, for the calls that it runs;
* an async call has what it awaits in its future, recorded here, and so has a limited
  call that runs in the calling thread;
* a call that waits for its arguments has them in its future, too.
"""

from __future__ import annotations

import weakref
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar

from parallelize.futures.future import Future, unended
from parallelize.runtime.blocking import call_in_turn, here
from parallelize.runtime.options import start_in_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable
    from concurrent.futures import Future as AnyFuture
    from contextvars import Context
    from typing import Any

    from parallelize.runtime.blocking import Action
    from parallelize.runtime.options import CallOptions

__all__ = ("begin_within", "break_limit_cycle", "noted", "noting_waits")

#: The future of the async call to which this context belongs; weak, because contexts
#: are copied for everything started in them. It is set only where limits are in use.
_within: ContextVar[weakref.ref[Future[Any]] | None] = ContextVar(
    "parallelize.within", default=None
)


def break_limit_cycle(waited_for: Iterable[AnyFuture[Any]]) -> None:
    """Lend places in limits where a wait for these futures has closed a cycle."""
    for future in _stuck(waited_for):
        place = future._place_in
        if place is None:
            continue
        limit, call = place
        holders = _stuck(limit._futures())
        if any(future is each for each in holders) and limit._take_out(call):
            start_in_time(call)


def _stuck(futures: Iterable[object]) -> list[Future[Any]]:
    """Return the calls on which these depend and that wait for a place in a limit.

    The search follows the waits of running calls, and the calls inside limits.
    """
    found: list[Future[Any]] = []
    seen: set[int] = set()
    following = unended(futures)
    while following:
        future = following.pop()
        if id(future) in seen:
            continue
        seen.add(id(future))
        place = future._place_in
        if place is not None:
            found.append(future)
            following.extend(unended(place[0]._futures()))
        following.extend(unended(future._waited_for()))
    return found


def begin_within(context: Context, future: Future[Any], options: CallOptions) -> None:
    """Record an async call's waits in its future from now on, if limits are in use."""
    if options.limit is not None or _within.get() is not None:
        context.run(_within.set, weakref.ref(future))


@contextmanager
def noting_waits(future: Future[Any]) -> Generator[None]:
    """Record the waits of the future's call, which the block runs in this thread."""
    outer = here.makes_way
    put_off: deque[Action] = deque()

    def note(futures: Iterable[AnyFuture[Any]]) -> None:
        if outer is not None:
            outer(futures)
        waited_for = list(futures)
        future._awaits = [waited_for]
        break_limit_cycle(waited_for)

    here.makes_way = note
    here.pending.append(put_off)  # so that waits call `note`
    token = _within.set(weakref.ref(future))  # for what is awaited, if it is async
    try:
        yield
    finally:
        _within.reset(token)
        here.makes_way = outer
        here.pending.pop()
        future._awaits = ()
        if put_off:
            call_in_turn(put_off)


async def noted(
    awaitable: Awaitable[None], futures: Callable[[], Iterable[Future[Any]]]
) -> None:
    """Await something that completes after these futures.

    In an async call, if limits are in use, the wait is recorded in the call's future.
    """
    reference = _within.get()
    outer = None if reference is None else reference()
    if outer is None:
        await awaitable
        return
    waited_for = list(futures())
    outer._awaits = [*outer._awaits, waited_for]
    try:
        break_limit_cycle(waited_for)
        await awaitable
    finally:
        outer._awaits = [each for each in outer._awaits if each is not waited_for]
