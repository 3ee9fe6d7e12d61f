"""Messages between this interpreter and another one: pickles, through pipes."""

from __future__ import annotations

import os
import pickle
from typing import Any

_LENGTH = 8  # bytes of the length before each message

#: The most bytes per write; a pipe may take fewer, and returns their number.
_MOST = 1 << 30


def send(fd: int, message: object) -> None:
    """Write a message of plain values; raises OSError if the reader has gone."""
    data = pickle.dumps(message, 5)
    view = memoryview(len(data).to_bytes(_LENGTH, "little") + data)
    while view:
        view = view[os.write(fd, view[:_MOST]) :]


def receive(fd: int) -> Any:
    """Read a message; raise EOFError if the pipe was closed."""
    length = int.from_bytes(_read(fd, _LENGTH), "little")
    return pickle.loads(_read(fd, length))


def _read(fd: int, length: int) -> bytes:
    data = os.read(fd, min(length, _MOST))
    if len(data) == length:  # the common case
        return data
    parts = [data]
    while data and (length := length - len(data)):
        data = os.read(fd, min(length, _MOST))
        parts.append(data)
    if not data:
        raise EOFError
    return b"".join(parts)
