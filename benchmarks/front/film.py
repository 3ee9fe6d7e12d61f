"""Runs a program in a terminal, kills one of its workers, and draws what was shown."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

PROGRAM = Path(__file__).with_name("killed.py")
COLUMNS = 48
WIDTH, STEP, LEFT = 450, 24, 22  # pixels
INK = {"plain": "#e6edf3", "faint": "#9198a1", "bad": "#ff8a80", "good": "#7ee787"}


class Line(NamedTuple):
    """A line of the picture."""

    text: str
    ink: str = "plain"


def film() -> str:
    """Run the program; return the picture of the run."""
    shown = run(kill_at=40)
    before = last(shown.before, "/100")
    return svg(
        [
            Line("$ python render.py", "faint"),
            Line(before),
            Line(f"$ kill -9 {shown.killed}    # one of the workers", "bad"),
            Line(last(shown.after, "/100")),
            Line(last(shown.after, "frames"), "good"),
        ],
        f"A progress bar; a worker is killed in the middle of the run; the run goes "
        f"on to its end: {last(shown.after, 'frames')}.",
    )


class Shown(NamedTuple):
    """What a terminal showed before a worker was killed, and after."""

    before: str
    killed: int
    after: str


def run(kill_at: int) -> Shown:
    """Run the program in a terminal; kill a worker at this percentage."""
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM)], stdout=inner, stderr=inner, stdin=inner
    )
    os.close(inner)
    shown, before, killed = "", "", 0
    while text := read(terminal):
        shown += text
        if not killed and percentage(shown) >= kill_at:
            before, killed = shown, worker_of(program.pid)
            os.kill(killed, signal.SIGKILL)
    assert program.wait() == 0
    return Shown(before, killed, shown[len(before) :])


def read(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # the program has ended
        return ""


def percentage(shown: str) -> int:
    return max((int(found) for found in re.findall(r"(\d+)%\|", shown)), default=0)


def worker_of(program: int) -> int:
    """Return a worker: a child of the server that the program has started."""
    servers = children(program)
    return next(worker for server in servers for worker in children(server))


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text().split()]


def last(shown: str, word: str) -> str:
    """Return the last whole line that has a word, as the terminal showed it."""
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown))
    return [line.strip() for line in lines if word in line][-1]


def svg(lines: list[Line], description: str) -> str:
    """Draw a terminal, with a background of its own for light and dark pages."""
    height = STEP * len(lines) + 58
    texts = "".join(
        f'<text x="{LEFT}" y="{62 + STEP * i}" fill="{INK[line.ink]}"'
        f' xml:space="preserve">{escape(line.text)}</text>\n'
        for i, line in enumerate(lines)
    )
    dots = "".join(
        f'<circle cx="{24 + 18 * i}" cy="20" r="5.5" fill="#59636e"/>' for i in range(3)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" font-size="14"'
        ' font-family="ui-monospace, SFMono-Regular, Menlo, Consolas,'
        ' DejaVu Sans Mono, monospace">\n'
        f"<title>{escape(description)}</title>\n"
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"'
        ' fill="#0d1117" stroke="#59636e"/>\n'
        f"{dots}\n{texts}</svg>\n"
    )
