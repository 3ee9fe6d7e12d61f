"""`warm`: workers that start, and make what they keep, before the first call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.calls.targets import AsyncTarget, innermost
from parallelize.inside.per_worker import PerWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ("maker_of", "named_in")


def maker_of(objects: Sequence[Any], *, on_loop: bool = False) -> Callable[[], None]:
    """Return what a worker calls to make these objects.

    Args:
        objects: What the user gave.
        on_loop: Whether the workers are to run it on their event loops.

    Raises:
        TypeError: One is not made by `per_worker`, or belongs to an event loop, which
            the workers do not need.
    """
    for each in objects:
        if not isinstance(each, PerWorker):
            msg = f"warm takes what per_worker has decorated, not {each!r}"
            raise TypeError(msg)
        if each._is_async() and not on_loop:
            msg = (
                f"{each!r} belongs to an event loop: warm a coroutine function that "
                "needs it, or let its first call make it"
            )
            raise TypeError(msg)
    if on_loop:
        return AsyncTarget(partial(_make_on_loop, *objects))
    return partial(_make, *objects)


def _make(*objects: PerWorker[Any]) -> None:
    for each in objects:
        each()


async def _make_on_loop(*objects: PerWorker[Any]) -> None:
    for each in objects:
        made = each()
        if each._is_async():
            await made


def named_in(fn: Any) -> Iterator[PerWorker[Any]]:  # any callable
    """Yield the objects of `per_worker` that a function names, or has in its closure.

    Those that other functions name, which it calls, are not looked for.
    """
    fn = innermost(fn)
    code = getattr(fn, "__code__", None)
    space = getattr(fn, "__globals__", {})
    found = [space.get(name) for name in getattr(code, "co_names", ())]
    for cell in getattr(fn, "__closure__", None) or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # it is empty as yet
            continue
    yield from dict.fromkeys(each for each in found if type(each) is PerWorker)
