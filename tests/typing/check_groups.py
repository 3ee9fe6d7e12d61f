"""Declared types of groups: what starting and gathering give.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

import concurrent.futures
from typing import assert_type

from parallelize import (
    Future,
    TaskGroup,
    ThreadPoolExecutor,
    gather,
    processed,
    threaded,
)


@threaded
def load(path: str, *, limit: int = 0) -> bytes:
    return path.encode()[:limit]


@processed
async def count(data: bytes) -> int:
    return len(data)


class Site:
    @threaded
    def page(self, name: str) -> str:
        return name


def plain(number: int) -> int:
    return number


# A group's calls have the arguments and the futures of the functions.

with TaskGroup() as group:
    assert_type(group, TaskGroup)
    assert_type(group.start(load, "x", limit=3), Future[bytes])
    assert_type(group.start(count, b"x").result(), int)
    assert_type(group.start(Site().page, "home"), Future[str])
    assert_type(group.start(load.options(retries=2), "x"), Future[bytes])
    assert_type(group.start(gather, load("x"), load("y")), Future[list[bytes]])
    group.start(load, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    group.start(load, "x", depth=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    group.start(plain, 3)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]

with ThreadPoolExecutor() as pool, TaskGroup() as group:
    assert_type(group.start(pool.submit, plain, 3), Future[int])
with concurrent.futures.ThreadPoolExecutor() as theirs, TaskGroup() as group:
    assert_type(group.start(theirs.submit, plain, 3), concurrent.futures.Future[int])


async def in_a_loop() -> None:
    async with TaskGroup() as group:
        assert_type(group, TaskGroup)
        future = group.start(load, "x")
    assert_type(await future, bytes)


# Futures of one type give a list of it, of several types a list of either.

a, b, c, d = load("x"), count(b"x"), Site().page("home"), threaded(float)("3")
assert_type(gather(a, a, a, a, a), Future[list[bytes]])
assert_type(gather(a, b), Future[list[bytes | int]])
assert_type(gather(a, b, c).result(), list[bytes | int | str])
assert_type(
    gather(a, b, return_exceptions=True).result(), list[bytes | int | BaseException]
)
assert_type(
    gather(*[a, a], return_exceptions=True).result(), list[bytes | BaseException]
)
assert_type(gather(gather(a), gather(a)), Future[list[list[bytes]]])
