"""Runs the Python examples of a Markdown page as they stand.

A page's ```python blocks make one program, from top to bottom. A ```text block
that follows one shows what it prints.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MARK = "\x1e"  # separates what each block printed


class Example(NamedTuple):
    """A ```python block, where it stands, and the ```text block right below it."""

    line: int
    code: str
    shown: str


def examples_of(page: Path) -> list[Example]:
    """Return the Python blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found: list[Example] = []
    end = -1
    for fence in _FENCE.finditer(text):
        language, body = fence.groups()
        if language == "python":
            line = text.count("\n", 0, fence.start()) + 2
            found.append(Example(line, body, ""))
        elif language == "text" and found and not text[end : fence.start()].strip():
            found[-1] = found[-1]._replace(shown=body)
        end = fence.end()
    return found


def printed_by(examples: list[Example], folder: Path) -> list[str]:
    """Run the blocks as one script; return what each of them printed."""
    lines: list[str] = []
    for example in examples:
        # Blank lines bring the block to the line where it stands in its page, so
        # that a traceback names that one; the mark goes on the line above it.
        lines += [""] * (example.line - 2 - len(lines))
        lines += [f"print({_MARK!r}, end='', flush=True)", *example.code.splitlines()]
    script = folder / "page.py"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return run_script(script, cwd=folder).stdout.split(_MARK)[1:]


def run_script(
    script: Path, *arguments: str, cwd: Path, timeout: float = 50
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end; fail with all that it printed if it fails."""
    ended = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
        # A warning in an example, or in a thread of it, should be seen.
        env={**os.environ, "PYTHONWARNINGS": "always", "PYTHONIOENCODING": "utf-8"},
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert "Warning" not in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended
