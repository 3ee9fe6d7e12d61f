"""Declared types of executors of a user's own, and of words for them.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

import concurrent.futures
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, assert_type

from parallelize import (
    Future,
    MapIterator,
    ProcessPoolExecutor,
    parallel_map,
    processed,
    register_executor,
    use,
    using,
)

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Mine(concurrent.futures.Executor):
    def submit(
        self, fn: Callable[..., T], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[T]:
        return concurrent.futures.Future()


@processed
def one(a: int) -> str:
    return str(a)


there = one.options(executor=Mine())
assert_type(there(1), Future[str])
assert_type(there.map([1, 2]), MapIterator[str])
assert_type(parallel_map(len, ["a"], executor=Mine()), MapIterator[int])

register_executor("mine", lambda max_workers: Mine())
register_executor("threads of theirs", concurrent.futures.ThreadPoolExecutor)
register_executor("spawned", partial(ProcessPoolExecutor, mp_context="spawn"))
register_executor("mine", Mine())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
register_executor(Mine, "mine")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
register_executor("mine", str)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
with using("mine"):
    use("mine")
one.options(executor="mine")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
