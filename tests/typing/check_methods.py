"""Declared types of decorated methods, in either order of the decorators.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar, assert_type

from parallelize import Future, MapIterator, processed, threaded

T = TypeVar("T")


class Shop:
    """A class with one method of each sort."""

    @threaded
    def sell(self, count: int, price: float = 1.0) -> float:
        return count * price

    @processed(timeout=1)
    def count(self, name: str) -> int:
        return len(name)

    @threaded
    async def order(self, name: str) -> bytes:
        return name.encode()

    @staticmethod
    @threaded
    def inner_static(count: int) -> str:
        return str(count)

    @threaded
    @staticmethod
    def outer_static(count: int) -> str:
        return str(count)

    @classmethod
    @threaded
    def inner_class(cls, count: int) -> str:
        return cls.__name__ * count

    @threaded
    @classmethod
    def outer_class(cls, count: int) -> str:
        return cls.__name__ * count

    @property
    @threaded
    def size(self) -> int:
        return 1


class CornerShop(Shop):
    """Inherits everything."""


shop = Shop()

assert_type(shop.sell(1), Future[float])
assert_type(shop.sell(1, price=2.0), Future[float])
assert_type(Shop.sell(shop, 1), Future[float])
assert_type(CornerShop().sell(1), Future[float])
assert_type(shop.count("x"), Future[int])
assert_type(shop.order("x"), Future[bytes])
assert_type(shop.sell.__wrapped__(1), float)
assert_type(shop.sell.options(timeout=3)(1), Future[float])
shop.sell("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
shop.sell()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
shop.count(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

assert_type(shop.inner_static(1), Future[str])
assert_type(Shop.inner_static(1), Future[str])
assert_type(shop.outer_static(1), Future[str])
assert_type(Shop.outer_static(1), Future[str])
Shop.outer_static("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

assert_type(shop.inner_class(1), Future[str])
assert_type(Shop.inner_class(1), Future[str])
assert_type(shop.outer_class(1), Future[str])
assert_type(Shop.outer_class(1), Future[str])
Shop.outer_class("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

assert_type(shop.size, Future[int])

assert_type(shop.sell.map([1, 2]), MapIterator[float])
assert_type(shop.sell.map([1, 2], [1.0, 2.0]), MapIterator[float])
assert_type(shop.order.map(["x"]), MapIterator[bytes])
assert_type(shop.sell.starmap([(1, 2.0)]), MapIterator[float])
assert_type(Shop.outer_static.map([1]), MapIterator[str])
assert_type(Shop.outer_class.map([1]), MapIterator[str])
shop.sell.map(["1"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


class Box(Generic[T]):
    """A method that gives what its class is of."""

    def __init__(self, item: T) -> None:
        self.item = item

    @threaded
    def get(self) -> T:
        return self.item

    @threaded
    def equals(self, other: T) -> bool:
        return self.item == other


assert_type(Box(1).get(), Future[int])
assert_type(Box("x").equals("y"), Future[bool])


class Abstract(ABC):
    """A decorated abstract method."""

    @threaded
    @abstractmethod
    def work(self, x: int) -> str: ...


class Concrete(Abstract):
    """Overrides it; pyright is told that `self` may be any of the base."""

    @threaded
    def work(self: Abstract, x: int) -> str:
        return str(x)


assert_type(Concrete().work(1), Future[str])
