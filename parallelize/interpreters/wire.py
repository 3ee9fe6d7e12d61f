"""What goes between this interpreter and one beside it: pickles, through pipes."""

from __future__ import annotations

import os
import pickle
from typing import Any

_LENGTH = 8  # bytes of the number in front of each message

#: How much is written at once; a pipe takes less, and says how much.
_MOST = 1 << 30


def send(fd: int, message: object) -> None:
    """Write a message of plain values; raises OSError if nobody is there to read."""
    data = pickle.dumps(message, 5)
    view = memoryview(len(data).to_bytes(_LENGTH, "little") + data)
    while view:
        view = view[os.write(fd, view[:_MOST]) :]


def receive(fd: int) -> Any:
    """Read a message; raise EOFError if there will be none."""
    length = int.from_bytes(_read(fd, _LENGTH), "little")
    return pickle.loads(_read(fd, length))


def _read(fd: int, length: int) -> bytes:
    data = os.read(fd, min(length, _MOST))
    if len(data) == length:  # as nearly always
        return data
    parts = [data]
    while data and (length := length - len(data)):
        data = os.read(fd, min(length, _MOST))
        parts.append(data)
    if not data:
        raise EOFError
    return b"".join(parts)
