"""Objects that are false, empty, or neither, and not to be compared; for workers."""

from __future__ import annotations

from typing import Any


class Odd:
    """It raises when it is asked whether it is true, equal to another, or its hash."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not to be compared")

    __hash__ = None  # type: ignore[assignment]


class OddCallable(Odd):
    def __call__(self, x: Any) -> Any:
        return x

    def method(self, x: Any) -> Any:
        return x

    async def later(self, x: Any) -> Any:
        return x

    def items(self, x: Any) -> Any:
        yield x
        yield x


class Falsy:
    def __bool__(self) -> bool:
        return False

    def __call__(self, x: Any) -> Any:
        return x

    def method(self, x: Any) -> Any:
        return x

    async def later(self, x: Any) -> Any:
        return x

    def items(self, x: Any) -> Any:
        yield x
        yield x


class Empty(Falsy):
    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return 0


class _Meta(type):
    def __bool__(cls) -> bool:
        raise RuntimeError("neither true nor false")

    def __len__(cls) -> int:
        raise RuntimeError("no length")


class OddClass(metaclass=_Meta):
    """It is called with a value, and is no class that is true."""

    def __init__(self, x: Any = 0) -> None:
        self.x = x

    @classmethod
    def made(cls, x: Any) -> Any:
        return x


class OddIterable:
    """It says that it is empty, and gives three."""

    def __init__(self, make: type) -> None:
        self._make = make

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Any:
        return iter([self._make() for _ in range(3)])


class Tuple(tuple):  # type: ignore[type-arg]
    """Arguments that are false."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


KINDS: dict[str, type] = {"Odd": OddCallable, "Falsy": Falsy, "Empty": Empty}


def same(x: Any) -> Any:
    return x


def is_of(x: Any, kind: str) -> bool:
    return type(x) is KINDS[kind]


def kind_of_initial() -> str:
    return _initial


_initial = "none"


class Initializer(Falsy):
    def __call__(self, x: Any) -> None:
        global _initial
        _initial = type(x).__name__


class OddInitializer(Initializer):
    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")
