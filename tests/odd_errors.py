"""Errors whose classes decide about what is done to them; workers raise them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Frozen(Exception):
    code: int
    detail: str = "none"


@dataclass(frozen=True, slots=True)
class FrozenSlots(Exception):
    code: int


class RefusesAll(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError(f"{name} is not to be set")

    def __delattr__(self, name: str) -> None:
        raise TypeError(f"{name} is not to be deleted")


class WithProperties(Exception):
    """What we touch raises; it travels all the same."""

    __traceback__ = property(lambda self: 1 / 0)  # type: ignore[assignment]
    __cause__ = property(lambda self: 1 / 0)  # type: ignore[assignment]
    __context__ = property(lambda self: 1 / 0)  # type: ignore[assignment]
    __notes__ = property(lambda self: 1 / 0)  # type: ignore[assignment]
    __suppress_context__ = property(lambda self: 1 / 0)  # type: ignore[assignment]


class Readonly(Exception):
    """Its properties have no setters, and what they say is none of what it is."""

    __traceback__ = property(lambda self: "none")  # type: ignore[assignment]
    __notes__ = property(lambda self: 3)  # type: ignore[assignment]
    with_traceback = None  # type: ignore[assignment]
    add_note = None  # type: ignore[assignment]


class Slotted(Exception):
    __slots__ = ("__cause__", "__traceback__")


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False


class Empty(Exception):
    def __len__(self) -> int:
        return 0


class NoTruth(Exception):
    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


class Unequal(Exception):
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not to be compared")


class Lies(Exception):
    """It says that it is of another class, or raises when it is asked."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class OddText(str):
    """A text that cannot be pickled."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("stays here")


class TextOfItsOwn(Exception):
    def __str__(self) -> str:
        return OddText("an odd text")


class Getattr(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class _Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__name__", "__module__"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


class OddMeta(Exception, metaclass=_Meta):
    pass


class Exits(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit(3)

    def __str__(self) -> str:
        raise KeyboardInterrupt


def _group() -> BaseException:
    return ExceptionGroup("two", [Frozen(1), RefusesAll("r")])


class Cursed(Exception):
    """It has a cause whose traceback cannot be shown."""


def _cursed() -> BaseException:
    error = Cursed("with a cause")
    error.__cause__ = WithProperties("cause")
    return error


MAKERS: dict[str, Any] = {
    "Frozen": lambda: Frozen(7, "seven"),
    "FrozenSlots": lambda: FrozenSlots(7),
    "RefusesAll": lambda: RefusesAll("all"),
    "WithProperties": lambda: WithProperties("props"),
    "Readonly": lambda: Readonly("read"),
    "Slotted": lambda: Slotted("slots"),
    "Falsy": lambda: Falsy("falsy"),
    "Empty": lambda: Empty("empty"),
    "NoTruth": lambda: NoTruth("truth"),
    "Unequal": lambda: Unequal("unequal"),
    "Lies": lambda: Lies("lies"),
    "NoText": lambda: NoText("text"),
    "TextOfItsOwn": lambda: TextOfItsOwn("odd"),
    "Getattr": lambda: Getattr("get"),
    "OddMeta": lambda: OddMeta("meta"),
    "Exits": lambda: Exits("exits"),
    "ExceptionGroup": _group,
    "Cursed": _cursed,
}

#: Those that cannot be pickled at all: a stand-in arrives, but where nothing travels.
STAY = {"Getattr", "OddMeta", "Exits"}


def made(kind: str) -> BaseException:
    error: BaseException = MAKERS[kind]()
    return error


def here(kind: str) -> None:
    raise made(kind)


async def here_later(kind: str) -> None:
    await asyncio.sleep(0)
    raise made(kind)


async def soon() -> None:
    await asyncio.sleep(0)


def here_after_one(kind: str) -> Any:
    yield 1
    raise made(kind)


async def here_after_one_later(kind: str) -> Any:
    yield 1
    raise made(kind)


def here_or_value(value: Any) -> Any:
    if isinstance(value, str):
        raise made(value)
    return value


def noted(path: str, kind: str) -> None:
    """Leave a mark of each attempt."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(".")
    raise made(kind)
