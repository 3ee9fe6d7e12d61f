"""Declared types of maps: methods of decorated functions, helpers, executors.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from parallelize import (
    MapIterator,
    SerialExecutor,
    ThreadPoolExecutor,
    parallel_map,
    process_map,
    processed,
    thread_map,
    threaded,
)


@processed
def one(a: int) -> str:
    return str(a)


@processed
def two(a: int, b: str, *, flag: bool = False) -> float:
    return a + len(b) + flag


@threaded
def three(a: int, b: str, c: bytes = b"") -> list[int]:
    return [a, len(b), len(c)]


@threaded
def six(a: int, b: int, c: int, d: int, e: int, f: int) -> int:
    return a + b + c + d + e + f


@threaded
async def coroutine(a: int) -> bytes:
    return bytes(a)


@threaded
def required(a: int, *, flag: bool) -> int:
    return a + flag


assert_type(one.map([1, 2]), MapIterator[str])
assert_type(
    one.map(range(3), ordered=False, chunksize=3, progress="x"), MapIterator[str]
)
assert_type(two.map([1], ["x"]), MapIterator[float])
assert_type(three.map([1], ["x"]), MapIterator[list[int]])
assert_type(three.map([1], ["x"], [b""]), MapIterator[list[int]])
assert_type(six.map([1], [1], [1], [1], [1], [1]), MapIterator[int])
assert_type(coroutine.map([1]), MapIterator[bytes])

one.map(["x"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
one.map([1], [2])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
two.map([1])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
one.map(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
one.map([1], chunk=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
required.map([1])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]

assert_type(one.starmap([(1,)]), MapIterator[str])
assert_type(two.starmap([(1, "x")]), MapIterator[float])
assert_type(three.starmap([(1, "x", b"")], timeout=1), MapIterator[list[int]])
assert_type(six.starmap([(1, 1, 1, 1, 1, 1)]), MapIterator[int])
two.starmap([("x", 1)])  # type: ignore[list-item]  # pyright: ignore[reportCallIssue, reportArgumentType]

for score in two.map([1], ["x"]):
    assert_type(score, float)

with one.map([1]) as results:
    assert_type(results, MapIterator[str])
    assert_type(next(results), str)
    results.close()

iterator: Iterator[str] = one.map([1])
async_iterator: AsyncIterator[str] = one.map([1])


async def read() -> None:
    async for text in one.map([1]):
        assert_type(text, str)


# Asynchronous input.


async def numbers() -> AsyncIterator[int]:
    yield 1


async def rows() -> AsyncIterator[tuple[int, str]]:
    yield 1, "x"


@threaded
def total(matrix: list[list[float]]) -> float:
    return sum(map(sum, matrix))


async def read_asynchronous() -> None:
    async for text in one.map(numbers()):
        assert_type(text, str)
    async for score in two.starmap(rows(), ordered=False):
        assert_type(score, float)
    async for text in thread_map(plain, numbers()):
        assert_type(text, str)
    async with coroutine.map(numbers()) as results:
        assert_type(results, MapIterator[bytes])


two.map(numbers())  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
total.map(numbers())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(total.map([[[1, 2]], [[1]]]), MapIterator[float])


# The helpers take plain functions, coroutine functions and decorated ones.


def plain(a: int) -> str:
    return str(a)


async def plain_coroutine(a: int) -> str:
    return str(a)


assert_type(thread_map(plain, [1]), MapIterator[str])
assert_type(thread_map(plain_coroutine, [1], max_workers=2), MapIterator[str])
assert_type(thread_map(one, [1]), MapIterator[str])
assert_type(process_map(plain, [1], chunksize=3), MapIterator[str])
assert_type(process_map(two, [1], ["x"]), MapIterator[float])
assert_type(parallel_map(plain, [1], executor="threads"), MapIterator[str])
assert_type(
    parallel_map(two, [1], ["x"], executor=SerialExecutor()), MapIterator[float]
)
assert_type(parallel_map(len, ["x"]), MapIterator[int])
assert_type(thread_map(int, ["1"]), MapIterator[int])
thread_map(plain, [1], workers=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
thread_map(3, [1])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
parallel_map(plain, [1], executor=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

# Executors.

with ThreadPoolExecutor(2) as executor:
    assert_type(executor, ThreadPoolExecutor)
    assert_type(executor.map(plain, [1]), MapIterator[str])
