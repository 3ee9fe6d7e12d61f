"""Declared types of maps that give errors as items, and of what is made of functions.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from functools import partial
from typing import assert_type

from parallelize import (
    MapIterator,
    ProcessPoolExecutor,
    SerialExecutor,
    parallel_map,
    process_map,
    processed,
    thread_map,
    threaded,
)


@processed
def one(a: int) -> str:
    return str(a)


@threaded
def two(a: int, b: str) -> float:
    return a + len(b)


@threaded
def five(a: int, b: int, c: int, d: int, e: int) -> int:
    return a + b + c + d + e


@threaded
async def later(a: int) -> bytes:
    return bytes(a)


def plain(a: int) -> str:
    return str(a)


class Shop:
    """A class with a method."""

    @threaded
    def sell(self, count: int) -> float:
        return count / 2


chosen: bool = bool(one)

assert_type(one.map([1], return_exceptions=True), MapIterator[str | BaseException])
assert_type(one.map([1], return_exceptions=False), MapIterator[str])
assert_type(one.map([1], return_exceptions=chosen), MapIterator[str | BaseException])
assert_type(
    two.map([1], ["x"], return_exceptions=True, ordered=False, progress=True),
    MapIterator[float | BaseException],
)
assert_type(
    five.map([1], [1], [1], [1], [1], return_exceptions=True),
    MapIterator[int | BaseException],
)
assert_type(later.map([1], return_exceptions=True), MapIterator[bytes | BaseException])
assert_type(
    Shop().sell.map([1], return_exceptions=True), MapIterator[float | BaseException]
)
one.map(["x"], return_exceptions=True)  # type: ignore[list-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
one.map([1], return_exceptions="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

assert_type(
    one.starmap([(1,)], return_exceptions=True), MapIterator[str | BaseException]
)
assert_type(
    two.starmap([(1, "x")], return_exceptions=chosen),
    MapIterator[float | BaseException],
)
assert_type(
    five.starmap([(1, 1, 1, 1, 1)], return_exceptions=True),
    MapIterator[int | BaseException],
)

assert_type(
    thread_map(plain, [1], return_exceptions=True), MapIterator[str | BaseException]
)
assert_type(
    process_map(one, [1], return_exceptions=True), MapIterator[str | BaseException]
)
assert_type(thread_map(plain, [1], return_exceptions=False), MapIterator[str])

with SerialExecutor() as executor:
    assert_type(executor.map(plain, [1]), MapIterator[str])
    assert_type(
        executor.map(plain, [1], return_exceptions=True),
        MapIterator[str | BaseException],
    )
    assert_type(executor.map(one, [1]), MapIterator[str])
    assert_type(
        executor.map(one, [1], return_exceptions=chosen, chunksize=3),
        MapIterator[str | BaseException],
    )
with ProcessPoolExecutor() as pool:
    assert_type(pool.map(plain, [1]), MapIterator[str])

for item in one.map([1], return_exceptions=True):
    if isinstance(item, BaseException):
        raise item
    assert_type(item, str)

# Made of decorated functions.

assert_type(thread_map(partial(two, 1), ["x"]), MapIterator[float])
assert_type(process_map(partial(one), [1]), MapIterator[str])
assert_type(thread_map(Shop().sell, [1]), MapIterator[float])


async def close_them() -> None:
    await one.map([1]).aclose()


# Results with their items.

assert_type(one.map([1], with_input=True), MapIterator[tuple[int, str]])
assert_type(
    one.map([1], with_input=True, return_exceptions=True),
    MapIterator[tuple[int, str | BaseException]],
)
assert_type(
    two.map([1], ["x"], with_input=True), MapIterator[tuple[tuple[int, str], float]]
)
assert_type(
    two.starmap([(1, "x")], with_input=True, return_exceptions=True, max_errors=3),
    MapIterator[tuple[tuple[int, str], float | BaseException]],
)
assert_type(one.map([1], with_input=False), MapIterator[str])
for number, text in one.map([1], with_input=True, checkpoint="run.db"):
    assert_type(number, int)
    assert_type(text, str)
for _, returned in thread_map(plain, [1], with_input=True, return_exceptions=True):
    assert_type(returned, str | BaseException)
one.map([1], checkpoint=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
one.map([1], max_errors="x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]

# A partial of a decorated function is what it is: its results are values.

assert_type(thread_map(partial(two, 1), ["x"]), MapIterator[float])
assert_type(process_map(partial(two, 1), ["x"]), MapIterator[float])
assert_type(parallel_map(partial(later, 1), [()]), MapIterator[bytes])
