"""Declared types of generic and overloaded functions, of Self, and of what returns Any.

Checked by mypy and pyright, both strict; never run. What a checker cannot be brought to
accept is recorded by a comment; the guide has the ways round it.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar, assert_type, cast, overload

from parallelize import (
    Future,
    MapIterator,
    ParallelFunction,
    SerialExecutor,
    processed,
    threaded,
)

T = TypeVar("T")
K = TypeVar("K")
N = TypeVar("N", int, str)

# Generic functions. mypy takes a return type that is a bare type variable for the Never
# that the first overload of a decorator asks for (mypy#17191 is of that kind).


@threaded
def pair(item: T) -> tuple[T, T]:
    return item, item


@threaded
def find(items: list[T], at: int = 0) -> T | None:
    return items[at] if items else None


@processed(retries=2)
def swap(a: T, b: K) -> dict[K, T]:
    return {b: a}


@threaded
async def later(item: T) -> list[T]:
    return [item]


@threaded
def longer(a: N, b: N) -> N:
    return max(a, b)


@threaded
def same(item: T) -> T:
    return item


def plain(item: T) -> T:
    return item


class Same(Protocol):
    """What it is when it is decorated."""

    def __call__(self, item: T, /) -> Future[T]: ...


cast_same = cast("Same", threaded(plain))

assert_type(pair(1), Future[tuple[int, int]])
assert_type(find(["x"]), Future[str | None])
assert_type(swap(1, "x"), Future[dict[str, int]])
assert_type(later(1), Future[list[int]])
assert_type(longer(1, 2), Future[int])
assert_type(same(1), Future[int])  # type: ignore[assert-type, arg-type]
assert_type(cast_same(1), Future[int])
assert_type(cast_same("x"), Future[str])
with SerialExecutor() as executor:
    assert_type(executor.submit(plain, 1), Future[int])


class Registry:
    """Generic methods, and some that return Self."""

    @threaded
    def both(self, item: T) -> tuple[T, T]:
        return item, item

    @threaded
    def me(self, count: int) -> Self:
        return self

    @threaded
    @classmethod
    def make(cls, count: int) -> Self:
        return cls()

    @threaded
    def myself(self, count: int) -> list[Self]:
        return [self]

    @threaded
    def registry(self, count: int) -> Registry:
        return self


class Special(Registry):
    """Inherits them."""


# (mypy infers nothing through the look-up of a generic method.)
assert_type(Registry().both(1), Future[tuple[int, int]])  # type: ignore[assert-type, arg-type]
assert_type(Registry().me(1), Future[Registry])  # type: ignore[assert-type, call-arg, arg-type]
assert_type(Special().me(1), Future[Special])  # type: ignore[assert-type, call-arg, arg-type]
assert_type(Registry.make(1), Future[Registry])  # type: ignore[assert-type, call-arg, arg-type]
assert_type(Registry().registry(1), Future[Registry])
assert_type(Special().registry(1), Future[Registry])

# Overloaded functions: the first overload counts, unless a Protocol has all of them.


@overload
def double(item: int) -> int: ...
@overload
def double(item: str) -> str: ...
def double(item: int | str) -> int | str:
    return item * 2


class Double(Protocol):
    """What it is when it is decorated."""

    @overload
    def __call__(self, item: int) -> Future[int]: ...
    @overload
    def __call__(self, item: str) -> Future[str]: ...


doubled = threaded(double)
cast_double = cast("Double", threaded(double))

assert_type(doubled(1), Future[int])
doubled("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(cast_double(1), Future[int])
assert_type(cast_double("x"), Future[str])

# Functions that return Any. (mypy gives Any for the whole decorated function, as
# overloads of several classes match.)


@threaded
def anything(item: int) -> Any:
    return item


def plain_anything(item: int) -> Any:
    return item


declared: ParallelFunction[[int], Any] = threaded(plain_anything)
declared_in_processes: ParallelFunction[[int], Any] = processed(
    plain_anything, retries=1
)

assert_type(anything(1), Future[Any])  # type: ignore[assert-type]
assert_type(declared(1), Future[Any])
assert_type(declared_in_processes.map([1]), MapIterator[Any])
assert_type(declared.options(timeout=3)(1), Future[Any])
declared("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@threaded
def telling(item: int) -> object:
    return item


assert_type(telling(1), Future[object])


class Reader:
    """A method that returns Any, and one that tells."""

    @threaded
    def read(self, key: str) -> Any:
        return key

    def plain_read(self, key: str) -> Any:
        return key


reader = Reader()
bound: ParallelFunction[[str], Any] = threaded(reader.plain_read)

assert_type(reader.read("x"), Future[Any])  # type: ignore[assert-type]
assert_type(bound("x"), Future[Any])


def apply(call: Callable[[int], Future[Any]]) -> None:
    call(1)


apply(anything)
apply(declared)
