"""What a worker, or the server, says of an error by which it ends."""

from __future__ import annotations

import contextlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: Of a longer text its end is given to the pool.
MOST = 1 << 14


def write(who: str) -> str:
    """Write to standard error that a process ends by the error that is handled now.

    It is written to the descriptor, as whatever the user has put into `sys.stderr`
    may be what has failed.

    Args:
        who: What the process is.

    Returns:
        The traceback.
    """
    text = _text()
    line = f"{who}, process {os.getpid()}, ends by an error of its own:\n{text}"
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


def end(who: str) -> NoReturn:
    """Write that, and end the process."""
    write(who)
    os._exit(1)
