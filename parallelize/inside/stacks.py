"""The current stacks of this process's threads, as text.

Any thread may ask at any time, for instance a worker's watcher. The inspected threads
keep running, so what is returned was true a moment ago.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: The longest text of a stack; its outermost frames are dropped first.
LONGEST_STACK = 20_000

#: The longest text of all stacks; threads started by a task are dropped first.
LONGEST = 60_000

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def of_worker() -> str:
    """Return the stacks of all of a worker's threads but the calling one."""
    asking = threading.get_ident()
    main = threading.main_thread().ident
    parts: list[str] = []
    for thread, frame in frames():
        if thread.ident == main:
            parts.insert(0, text_of(frame))
        elif thread.ident != asking:
            parts.append(f"in its thread {thread.name}:\n{text_of(frame)}")
    return "".join(parts)[:LONGEST]


def frames() -> Iterator[tuple[threading.Thread, FrameType]]:
    """Yield the threads known to `threading`, with their current frames."""
    now = sys._current_frames()
    for thread in threading.enumerate():
        frame = now.get(thread.ident or 0)
        if frame is not None:
            yield thread, frame


def text_of(frame: FrameType) -> str:
    """Format a stack like a traceback, without this package's outer frames."""
    lines = traceback.StackSummary.extract(traceback.walk_stack(frame))
    lines.reverse()
    shown = traceback.StackSummary.from_list(_without_ours(lines)).format()
    return "".join(shown)[-LONGEST_STACK:]


def _without_ours(lines: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Drop the frames that led to the call; always keep the last line."""
    # In a worker that is a fork of the program, the program's frames come first.
    begun = [n for n, each in enumerate(lines) if each.name == "_serve_frames"]
    for number, line in enumerate(lines[begun[-1] :] if begun else lines):
        if not _is_ours(line):
            return lines[(begun[-1] if begun else 0) + number :]
    return lines[-1:]


def _is_ours(line: traceback.FrameSummary) -> bool:
    return os.path.abspath(line.filename).startswith((_HERE, _THREADING))


_THREADING = os.path.abspath(threading.__file__)
