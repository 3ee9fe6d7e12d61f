"""Declared types of futures: results, proxies, gathering, submitting.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

import concurrent.futures
from collections.abc import Coroutine
from typing import Any, assert_type

from parallelize import (
    Future,
    ProcessPoolExecutor,
    SerialExecutor,
    as_completed,
    cpu_count,
    gather,
    shutdown,
    threaded,
    use,
    using,
    wait,
)


@threaded
def load(path: str) -> bytes:
    return path.encode()


@threaded
def join(a: bytes, b: bytes) -> bytes:
    return a + b


future = load("x")
standard: concurrent.futures.Future[bytes] = future
assert_type(future.result(timeout=1), bytes)
assert_type(future.cancel(), bool)
assert_type(future.kill(), bool)

# A proxy is typed as the value: what runs in order reads as if it did.

assert_type(load("x").proxy(), bytes)
assert_type(join(load("x").proxy(), load("y").proxy()).proxy(), bytes)
load("x").proxy().nothing()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

assert_type(gather(load("x"), load("y")), Future[list[bytes]])
assert_type(gather(load("x"), load("y")).result(), list[bytes])
assert_type(
    gather(load("x"), return_exceptions=True).result(), list[bytes | BaseException]
)


async def await_them() -> None:
    assert_type(await load("x"), bytes)
    assert_type(await gather(load("x"), load("y")), list[bytes])


# A future as an argument is no value to a checker; its stand-in is.


@threaded
def size(page: bytes) -> int:
    return len(page)


size(load("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(size(load("x").proxy()), Future[int])

for done in as_completed([load("x")]):
    assert_type(done.result(), bytes)
finished, pending = wait([load("x")], timeout=1)

# Executors.

with ProcessPoolExecutor(2, mp_context="spawn", max_tasks_per_child=3) as pool:
    assert_type(pool.submit(len, [1]), Future[int])
    pool.submit(len, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    old: concurrent.futures.Executor = pool
    # At run time it is a future of the value, and no checker can be told so without
    # overloads, which would forbid subclasses their `submit`. The guide says what to do.
    assert_type(pool.submit(load, "x"), Future[Future[bytes]])
    assert_type(pool.submit(load.__wrapped__, "x"), Future[bytes])
    assert_type(load.options(executor=pool)("x"), Future[bytes])

# The program's choices.

with using("serial"):
    assert_type(load("x"), Future[bytes])
with (
    using(None),
    using(SerialExecutor()),
    using(concurrent.futures.ThreadPoolExecutor()),
):
    pass
using(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@using("serial")
def size_of(path: str) -> int:
    return len(path)


@using("serial")
async def size_of_later(path: str) -> int:
    return len(path)


assert_type(size_of("x"), int)
size_of(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
coming: Coroutine[Any, Any, int] = size_of_later("x")
use()
use(SerialExecutor())
use(concurrent.futures.ThreadPoolExecutor())
use(None)
use("dask://host:8786")
use(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
shutdown(wait=False, cancel_futures=True)
assert_type(cpu_count(), int)
