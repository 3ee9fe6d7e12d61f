"""The current folder of a worker, which may be deleted while the worker lives.

Workers are shared by all calls of a program, and start where that is at its first call:
maybe in a folder that is soon gone. In one that is gone `os.getcwd` fails and no file
can be opened by a relative path. So a worker goes to where the program is now.
"""

from __future__ import annotations

import contextlib
import os

from parallelize.runtime.clock import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that a worker has to wait for its next task before it looks: nothing deletes
#: a folder in less, and then goes on to a call.
SOON = 0.00002

#: Seconds after which it looks in any case: on a busy machine it may have stood still
#: itself, and so have waited for nothing.
LATE = 0.001

# The program's process id, and its folder when the worker started.
_program = 0
_first: str | None = None
_looked_at = 0.0


def begin(program: int, first: str | None) -> None:
    """In a worker: go to the program's folder.

    Args:
        program: Its process id.
        first: Its folder; None if that is gone.
    """
    global _program, _first
    _program, _first = program, first
    if first is not None:
        # Gone, or not to be entered: stay where the server was started.
        with contextlib.suppress(OSError):
            os.chdir(first)
    hold()


def is_due() -> bool:
    """Whether it was looked at long ago."""
    return perf_counter() - _looked_at > LATE


def hold() -> None:
    """If the folder is gone, go to one that is there."""
    global _looked_at
    _looked_at = perf_counter()
    try:
        os.getcwd()
    except OSError:
        for folder in _others():
            with contextlib.suppress(OSError):
                os.chdir(folder)
                return


def _others() -> Iterator[str]:
    """Where the program is, if the system says so; what was around; the root."""
    with contextlib.suppress(OSError):
        yield os.readlink(f"/proc/{_program}/cwd")
    around = _first or os.sep
    while around != os.path.dirname(around):
        around = os.path.dirname(around)
        yield around
    yield os.sep
