"""Declared types of what a call can ask of its worker.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, assert_type

from parallelize import (
    PerWorker,
    SerialExecutor,
    Worker,
    per_worker,
    threaded,
    worker,
)

assert_type(worker(), Worker)
assert_type(worker().index, int)
assert_type(worker().kind, str)


@per_worker
def plain() -> dict[str, int]:
    return {}


@per_worker
def fixture() -> Iterator[str]:
    yield ""


@per_worker
def generator() -> Generator[str]:
    yield ""


@per_worker
def file() -> io.StringIO:
    return io.StringIO()


@per_worker
async def coroutine() -> str:
    return ""


@per_worker
async def session() -> AsyncIterator[str]:
    yield ""


assert_type(plain, PerWorker[dict[str, int]])
assert_type(plain(), dict[str, int])
assert_type(fixture(), str)
assert_type(generator(), str)
assert_type(file(), io.StringIO)
assert_type(coroutine, PerWorker[Coroutine[Any, Any, str]])
assert_type(session, PerWorker[Coroutine[Any, Any, str]])
assert_type(per_worker(list[int])(), list[int])


async def use() -> None:
    assert_type(await coroutine(), str)
    assert_type(await session(), str)


def needs(argument: int) -> int:
    return argument


per_worker(needs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
plain(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

SerialExecutor().warm(plain, fixture, wait=False)
threaded(needs).warm(plain)
threaded(needs).warm(needs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
