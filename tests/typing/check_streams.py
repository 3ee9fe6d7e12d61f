"""Declared types of decorated generator functions: streams, methods, what is none.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any, TextIO, TypeVar, assert_type

from parallelize import (
    Future,
    MapIterator,
    SerialExecutor,
    Stream,
    StreamFunction,
    parallelized,
    processed,
    threaded,
)

T = TypeVar("T")


@threaded
def count(end: int, start: int = 0) -> Iterator[int]:
    yield from range(start, end)


@processed(buffersize=10, timeout=3)
def letters(text: str) -> Generator[str, None, None]:
    yield from text


@parallelized(SerialExecutor())
def pairs(text: str) -> Generator[tuple[int, str]]:
    yield from enumerate(text)


@threaded
async def ticks(seconds: float) -> AsyncIterator[float]:
    yield seconds


@processed(limit=2)
async def echo(text: str) -> AsyncGenerator[str]:
    yield text


assert_type(count(3), Stream[int])
assert_type(count(3, start=1), Stream[int])
assert_type(letters("x"), Stream[str])
assert_type(pairs("x"), Stream[tuple[int, str]])
assert_type(ticks(0.5), Stream[float])
assert_type(echo("x"), Stream[str])
assert_type(next(count(3)), int)
assert_type(list(letters("x")), list[str])
assert_type(count.__wrapped__(3), Iterator[int])
assert_type(count.options(buffersize=3, timeout=2)(3), Stream[int])

count("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
count()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
count(3).result()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
assert_type(count.map([1]), MapIterator[int])
assert_type(pairs.map("x", ordered=False, buffersize=2), MapIterator[tuple[int, str]])
assert_type(
    ticks.starmap([(0.5,)], return_exceptions=True), MapIterator[float | BaseException]
)
assert_type(count.map([1], with_input=True), MapIterator[tuple[Any, int]])
assert_type(
    count.starmap([(1,)], with_input=True, return_exceptions=True, max_errors=2),
    MapIterator[tuple[Any, int | BaseException]],
)
count.map([1], chunksize=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
threaded(count, buffersize="x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def read() -> None:
    async for number in count(3):
        assert_type(number, int)
    async with ticks(0.5) as stream:
        assert_type(await anext(stream), float)
    with letters("x") as text:
        assert_type(text, Stream[str])


# Methods, in either order of the decorators.


class Shop:
    @threaded
    def goods(self, limit: int) -> Iterator[bytes]:
        yield bytes(limit)

    @processed(buffersize=2)
    def prices(self) -> Generator[float, None, None]:
        yield 1.0

    @staticmethod
    @threaded
    def inner_static(limit: int) -> Iterator[str]:
        yield str(limit)

    @threaded
    @staticmethod
    def outer_static(limit: int) -> Iterator[str]:
        yield str(limit)

    @threaded
    @classmethod
    def outer_class(cls, limit: int) -> Iterator[str]:
        yield cls.__name__ * limit


shop = Shop()

assert_type(shop.goods(1), Stream[bytes])
assert_type(Shop.goods(shop, 1), Stream[bytes])
assert_type(shop.prices(), Stream[float])
assert_type(shop.inner_static(1), Stream[str])
assert_type(Shop.inner_static(1), Stream[str])
assert_type(shop.outer_static(1), Stream[str])
assert_type(Shop.outer_static(1), Stream[str])
assert_type(shop.outer_class(1), Stream[str])
assert_type(Shop.outer_class(1), Stream[str])
shop.goods("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# What is an iterator and has a `close` is opened by a function, not yielded from one.


@threaded
def opened(path: str) -> TextIO:
    return open(path)


@threaded
def cursor(path: str) -> sqlite3.Cursor:
    return sqlite3.connect(path).cursor()


@threaded
def listed(end: int) -> list[int]:
    return list(range(end))


assert_type(opened("x"), Future[TextIO])
assert_type(cursor("x"), Future[sqlite3.Cursor])
assert_type(listed(3), Future[list[int]])

# Passed on.


def first(fn: StreamFunction[[int], str]) -> str:
    return next(fn(1))
