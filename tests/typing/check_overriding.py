"""Declared types of decorated methods that override, are overridden or match a Protocol.

Checked by mypy and pyright, both strict; never run. What a checker cannot be brought to
accept is recorded by a comment; the guide has the ways round it.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, assert_type

from parallelize import Future, MapIterator, ParallelFunction, processed, threaded


class Parser:
    """A base with decorated methods."""

    @threaded
    def parse(self, text: str) -> int:
        return len(text)

    @processed(timeout=3)
    async def fetch(self, url: str) -> bytes:
        return url.encode()

    @threaded
    @staticmethod
    def version(of: str) -> str:
        return of


class Strict(Parser):
    """Overrides; pyright is told that `self` may be any of the base."""

    @threaded
    def parse(self: Parser, text: str) -> int:
        return len(text) + 1

    @processed
    async def fetch(self: Parser, url: str) -> bytes:
        return url.encode()

    @threaded
    @staticmethod
    def version(of: str) -> str:
        return of.upper()


class Loose(Parser):
    """Overrides as anyone would. (pyright compares the classes of `self`, too.)"""

    @threaded
    def parse(self, text: str) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return 0


class Wrong(Parser):
    """Takes and gives something else."""

    @threaded
    def parse(self: Parser, text: int) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
        return text


assert_type(Strict().parse("x"), Future[int])
assert_type(Strict().fetch("x"), Future[bytes])
assert_type(Strict().version("x"), Future[str])
assert_type(Loose().parse("x"), Future[int])
assert_type(Strict().parse.map(["x"]), MapIterator[int])
Loose().parse(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Abstract methods.


class Store(ABC):
    """Abstract methods: decorated, and plain ones that return a future."""

    @threaded
    @abstractmethod
    def load(self, key: str) -> bytes: ...

    @abstractmethod
    def save(self, key: str) -> Future[bool]: ...

    @abstractmethod
    def drop(self, key: str) -> Future[bool]: ...


class Files(Store):
    """Has them."""

    @threaded
    def load(self: Store, key: str) -> bytes:
        return key.encode()

    @threaded
    def save(self, key: str) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        return bool(key)

    def drop(self, key: str) -> Future[bool]:
        return self._drop(key)

    @threaded
    def _drop(self, key: str) -> bool:
        return bool(key)


class Half(Store):
    """Lacks some."""

    @threaded
    def load(self: Store, key: str) -> bytes:
        return key.encode()


Half()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
assert_type(Files().load("x"), Future[bytes])
assert_type(Files().save("x"), Future[bool])
assert_type(Files().drop("x"), Future[bool])

# Protocols.


class Parsing(Protocol):
    """A method that returns a future, whoever has it."""

    def parse(self, text: str) -> Future[int]: ...


class HasParse(Protocol):
    """A decorated method: its arguments are not compared."""

    @property
    def parse(self) -> ParallelFunction[..., int]: ...


class HasOther(Protocol):
    """One that returns something else."""

    @property
    def parse(self) -> ParallelFunction[..., bytes]: ...


# (pyright does not bind what is no function before it compares.)
parsing: Parsing = Parser()  # pyright: ignore[reportAssignmentType]
has_parse: HasParse = Parser()
has_other: HasOther = Parser()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

assert_type(parsing.parse("x"), Future[int])
assert_type(has_parse.parse("x"), Future[int])
assert_type(has_parse.parse.map(["x"]), MapIterator[int])
