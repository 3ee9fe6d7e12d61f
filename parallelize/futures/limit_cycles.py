"""Circles of waits through a limit, and how they are untied.

```
 f holds the place of a limit ──waits for──▶ g, that runs ──waits for──▶ another f
          ▲                                                                  │
          └───────────────── which waits for a place in the limit ◀──────────┘
```

A call that waits for a place in the limit, while who has the place waits for that
very call, is given it: who has the place does not run until the call has ended. The
wait that closes a circle finds it, for it is noted before it looks. Who waits for what:

* a thread of a pool notes it in its `Worker`, for the calls that it runs;
* an async call has what it awaits in its future, here, and so has a limited call that
  runs in the thread that makes it;
* a call that waits for its arguments has them in its future, too.
"""

from __future__ import annotations

import weakref
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from parallelize.futures.future import Future, unended
from parallelize.runtime.blocking import call_in_turn, here

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable
    from concurrent.futures import Future as AnyFuture
    from contextvars import Context

    from parallelize.runtime.blocking import Action
    from parallelize.runtime.options import CallOptions

__all__ = ("begin_within", "break_limit_cycle", "noted", "noting_waits")

#: The future of the async call to which this context belongs; weak, as contexts are
#: copied for whatever is started in them. It is set where a limit may be waited for.
_within: ContextVar[weakref.ref[Future[Any]] | None] = ContextVar(
    "parallelize.within", default=None
)


def break_limit_cycle(waited_for: Iterable[AnyFuture[Any]]) -> None:
    """Lend places in limits where a wait for these futures has closed a circle."""
    for future in _stuck(waited_for):
        place = future._place_in
        if place is None:
            continue
        limit, call = place
        holders = _stuck(limit.inside())
        if any(future is each for each in holders) and limit.take_out(call):
            call.start()


def _stuck(futures: Iterable[object]) -> list[Future[Any]]:
    """The calls that wait for a place in a limit, and without which these cannot end.

    Followed are the waits of who runs a call, and who has the places in a limit.
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
            following.extend(unended(place[0].inside()))
        following.extend(unended(future._waited_for()))
    return found


def begin_within(context: Context, future: Future[Any], options: CallOptions) -> None:
    """Let what an async call awaits be noted in its future, if limits are in play."""
    if options.limit is not None or _within.get() is not None:
        context.run(_within.set, weakref.ref(future))


@contextmanager
def noting_waits(future: Future[Any]) -> Generator[None]:
    """Within the block this thread, a pool's or not, runs the call of the future."""
    outer = here.makes_way
    put_off: deque[Action] = deque()

    def note(futures: Iterable[AnyFuture[Any]]) -> None:
        if outer is not None:
            outer(futures)
        waited_for = list(futures)
        future._awaits = [waited_for]
        break_limit_cycle(waited_for)

    here.makes_way = note
    here.pending.append(put_off)  # so that waits come by here
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
    """Await something, for which these futures have to end.

    If that is in an async call, and limits are in play, it is noted in its future.
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
