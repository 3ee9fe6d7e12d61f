"""What workers make for themselves, for tests; what happens is noted in a file."""

import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator

from parallelize import per_worker, worker


def note(what):
    """Add a line to the file that the environment names."""
    here = worker()
    line = f"{here.kind} {here.index} {what}\n".encode()
    file = os.open(os.environ["KEEPERS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)


@per_worker
def first() -> Iterator[list[str]]:
    note("first made")
    yield ["first"]
    note("first closed")


@per_worker
def second() -> Iterator[list[str]]:
    below = first()
    note("second made")
    yield [*below, "second"]
    note("second closed")


@per_worker
def plain() -> dict[str, int]:
    return {"thread": threading.get_ident()}


@per_worker
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")  # for this thread only
    yield connection
    connection.close()
    note("database closed")


@per_worker
async def session() -> AsyncIterator[list[str]]:
    import asyncio

    note("session made")
    await asyncio.sleep(0.01)
    yield ["session"]
    await asyncio.sleep(0.01)
    note("session closed")


@per_worker
async def deeper() -> AsyncIterator[list[str]]:
    outer = await session()
    yield [*outer, "deeper"]
    note("deeper closed")


@per_worker
def at_the_second_try() -> str:
    if not os.path.exists(os.environ["KEEPERS"]):
        note("failed")
        raise ConnectionError("no answer")
    return "made"


def use_second(*_):
    return second()


def use_plain(*_):
    return id(plain()), plain()["thread"], threading.get_ident()


def use_database(*_):
    return database().execute("select 1").fetchone()


def use_failing(*_):
    return at_the_second_try()
