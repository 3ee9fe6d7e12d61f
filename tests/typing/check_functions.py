"""Declared types of decorated functions: calls, defaults, attributes, errors.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar, assert_type

from parallelize import (
    Future,
    Limit,
    ParallelFunction,
    RateLimit,
    SerialExecutor,
    Stream,
    backoff,
    interpreted,
    parallelized,
    processed,
    retry_after,
    threaded,
)

T = TypeVar("T")


@threaded
def add(a: int, b: int = 1, *, scale: float = 1.0) -> str:
    """Add."""
    return str((a + b) * scale)


assert_type(add(1), Future[str])
assert_type(add(1, 2), Future[str])
assert_type(add(1, b=2, scale=2.0), Future[str])
assert_type(add(1).result(), str)
assert_type(add(1).exception(), BaseException | None)
assert_type(add.__wrapped__(1), str)
assert_type(add.__name__, str)

add("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
add(1, 2, 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
add(1, other=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
add.__wrapped__("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add.nothing  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


LIMIT = Limit(2)


@threaded(limit=LIMIT)
def shared(n: int) -> int:
    return n


assert_type(shared.options(limit=LIMIT)(1), Future[int])
assert_type(shared.options(limit=3)(1), Future[int])
assert_type(shared.options(limit=None)(1), Future[int])


@processed(timeout=3, retries=2, retry_on=(OSError, ValueError), limit=4, name="half")
def half(x: int) -> float:
    return x / 2


assert_type(half(3), Future[float])
half("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@interpreted(timeout=3)
def third(x: int) -> float:
    return x / 3


assert_type(third(3), Future[float])
assert_type(interpreted(str.upper)("a"), Future[str])
third("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@processed
def nothing() -> None: ...


assert_type(nothing(), Future[None])


@parallelized
def on_all_cpus(x: int) -> str:
    return str(x)


@parallelized(timeout=3, executor="serial")
def with_options(x: int) -> str:
    return str(x)


@parallelized
def all_items(x: int) -> Iterator[str]:
    yield str(x)


assert_type(on_all_cpus(1), Future[str])
assert_type(with_options(1), Future[str])
assert_type(all_items(1), Stream[str])


@parallelized("threads", max_workers=2)
def in_threads(x: bytes) -> list[int]:
    return list(x)


@parallelized(SerialExecutor(), retries=1)
def serially(x: bytes) -> list[int]:
    return list(x)


assert_type(in_threads(b""), Future[list[int]])
assert_type(serially(b""), Future[list[int]])

# Options.

assert_type(add.options(timeout=3, executor="processes")(1), Future[str])
add.options(timeout="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add.options(speed=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
threaded(tiemout=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
threaded(timeout="3")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
threaded(executor="thraeds")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
parallelized(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
threaded(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]

# Coroutine functions: the future holds what the coroutine comes to.


@threaded
async def fetch(url: str) -> bytes:
    return url.encode()


@processed(retries=1, kill_on_cancel=True)
async def fetch_twice(url: str) -> bytes:
    return url.encode() * 2


assert_type(fetch("x"), Future[bytes])
assert_type(fetch("x").result(), bytes)
assert_type(fetch_twice("x"), Future[bytes])
assert_type(fetch.options(kill_on_cancel=False)("x"), Future[bytes])
fetch.options(kill_on_cancel="wait")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
threaded(kill_on_cancel="kill")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


async def use_them() -> None:
    assert_type(await add(1), str)
    assert_type(await fetch("x"), bytes)
    assert_type(await fetch.__wrapped__("x"), bytes)


# Functions that tell little.


@threaded
def anything(x: Any) -> Any:
    return x


@threaded
def never() -> NoReturn:
    raise SystemExit


# (mypy gives up where overloads of several classes match.)
assert_type(anything(1), Future[Any])  # type: ignore[assert-type]
never()

# Generic functions. (mypy does not manage those that return a bare type variable:
# it takes the variable for what the first overload asks for.)


@threaded
def pair(item: T) -> tuple[T, T]:
    return item, item


assert_type(pair(1), Future[tuple[int, int]])

# Other callables.


class Adder:
    """Adds."""

    def __call__(self, a: int, b: int) -> int:
        """Add."""
        return a + b


def plain(a: int, b: str) -> float:
    return a + len(b)


assert_type(threaded(Adder())(1, 2), Future[int])
assert_type(processed(Adder(), timeout=3)(1, 2), Future[int])
processed(Adder(), tiemout=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
assert_type(threaded(functools.partial(plain, b="x"))(1), Future[float])
assert_type(threaded(len)([1]), Future[int])
assert_type(threaded("a".encode)(), Future[bytes])
assert_type(threaded(lambda: 3)(), Future[int])

# Passed on: as the callable that it is.


def apply(fn: Callable[[int], Future[str]]) -> str:
    return fn(1).result()


apply(add)
apply(half)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def named(fn: ParallelFunction[..., str]) -> str:
    return fn.__name__


named(add)


# Pacing.

api = RateLimit(100, per=60, burst=10)


@threaded(
    rate=api,
    limit=Limit(3),
    retries=3,
    retry_wait=backoff(0.5, most=60),
    max_pending=1000,
    idle_timeout=None,
)
def paced(word: str) -> int:
    return len(word)


assert_type(paced("a"), Future[int])
assert_type(paced.options(rate=0.5, retry_wait=retry_after)("a"), Future[int])
assert_type(paced.options(retry_wait=lambda n, error: n * 1.5)("a"), Future[int])
assert_type(retry_after(1, ValueError()), float)
processed(mp_context="spawn", max_tasks_per_child=5, max_memory_per_child=1 << 30)
paced.options(rate="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
paced.options(retry_wait="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
