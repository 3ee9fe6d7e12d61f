"""How a worker or the server reports the error that ends it."""

from __future__ import annotations

import contextlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: Maximum length of the text for the pool; only the end of a longer one is sent.
MOST = 1 << 14


def write(process: str) -> str:
    """Write to standard error that the current exception ends this process.

    This writes to the descriptor: a replaced `sys.stderr` may be what has failed.

    Args:
        process: A description of the process.

    Returns:
        The traceback.
    """
    text = _text()
    line = f"{process}, process {os.getpid()}, ends by an error of its own:\n{text}"
    with contextlib.suppress(OSError):  # it may be closed
        os.write(2, line.encode(errors="replace"))
    return text[-MOST:]


def _text() -> str:
    error = sys.exception()
    if error is None:
        return ""
    try:
        from parallelize.runtime import raised

        return raised.full_text_of(error)
    except BaseException:  # noqa: BLE001 - no memory, no descriptor
        return f"{type(error).__name__}\n"


def end(process: str) -> NoReturn:
    """Write to standard error that the current exception ends this process; exit."""
    write(process)
    os._exit(1)
