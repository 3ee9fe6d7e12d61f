"""Where the threads of this process are just now, as text.

Anybody may ask at any moment, a worker's watcher for one, while the thread that is
looked at goes on: what is seen was so a moment ago.
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

#: The text of a stack has at most so many characters: the outermost frames go first.
LONGEST_STACK = 20_000

#: And that of all stacks: threads that a task has started go first.
LONGEST = 60_000

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def of_worker() -> str:
    """The stacks of all threads of a worker but the one that asks."""
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
    """The threads that Python knows by name, and where they are."""
    now = sys._current_frames()
    for thread in threading.enumerate():
        frame = now.get(thread.ident or 0)
        if frame is not None:
            yield thread, frame


def text_of(frame: FrameType) -> str:
    """A stack as a traceback shows it, without what is ours at its outer end."""
    lines = traceback.StackSummary.extract(traceback.walk_stack(frame))
    lines.reverse()
    shown = traceback.StackSummary.from_list(_without_ours(lines)).format()
    return "".join(shown)[-LONGEST_STACK:]


def _without_ours(lines: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Leave out what has led to the call; keep the last line in any case."""
    # A worker that is a copy of the program has that one's frames before its own.
    begun = [n for n, each in enumerate(lines) if each.name == "_serve_frames"]
    for number, line in enumerate(lines[begun[-1] :] if begun else lines):
        if not _is_ours(line):
            return lines[(begun[-1] if begun else 0) + number :]
    return lines[-1:]


def _is_ours(line: traceback.FrameSummary) -> bool:
    return os.path.abspath(line.filename).startswith((_HERE, _THREADING))


_THREADING = os.path.abspath(threading.__file__)
