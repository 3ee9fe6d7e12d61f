"""The current directory of a worker, which may be deleted while the worker lives.

Workers are shared by all calls of a process, and start in its current directory at the
first call, which may soon be deleted. In a deleted directory `os.getcwd` fails and no
file can be opened by a relative path. So the worker then changes to the directory in
which the parent process is now.
"""

from __future__ import annotations

import contextlib
import os

from parallelize.runtime.clock import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: A worker that waited longer than this number of seconds for its next task checks its
#: directory: deleting a directory and then making a call takes at least as long.
SOON = 0.00002

#: Seconds after which it checks in any case: on a busy machine the worker may have been
#: suspended itself, and so not have waited at all. A check costs about a microsecond.
LATE = 0.00005

# The parent's process id, and its directory when the worker started.
_program = 0
_first: str | None = None
_looked_at = 0.0


def begin(program: int, first: str | None) -> None:
    """In a worker: change to the parent's current directory.

    Args:
        program: The parent's process id.
        first: Its current directory; None if that has been deleted.
    """
    global _program, _first
    _program, _first = program, first
    if first is not None:
        # If it is deleted or not accessible, stay where the server was started.
        with contextlib.suppress(OSError):
            os.chdir(first)
    hold()


def is_due() -> bool:
    """Return whether the last check was more than `LATE` seconds ago."""
    return perf_counter() - _looked_at > LATE


def hold() -> None:
    """If the current directory is deleted, change to one that exists."""
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
    """Yield the parent's directory, if known; then the ancestors of the first one."""
    with contextlib.suppress(OSError):
        yield os.readlink(f"/proc/{_program}/cwd")
    around = _first or os.sep
    while around != os.path.dirname(around):
        around = os.path.dirname(around)
        yield around
    yield os.sep
