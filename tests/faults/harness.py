"""Runs one fault in a child program of its own, bounded in time, and looks for remains.

A fault is the text of a program. It is run as ``__main__`` after a prelude that
offers `executor()`, `outcome()` and `nothing_left()`; it prints what the test
then compares. Every process that it starts, in whatever way, carries a mark in
its environment, so that `run` can tell whether one outlives it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from typing import NamedTuple

from support.programs import program

HERE = pathlib.Path(__file__).parent
MARK = "PARALLELIZE_TEST_MARK"

#: Seconds that processes have to leave after the program has ended.
GRACE = 3.0

PRELUDE = program("shared/prelude")


class Run(NamedTuple):
    """What came of a program."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def run(
    program: str,
    method: str = "forkserver",
    *,
    timeout: float = 30,
    env: dict[str, str] | None = None,
    survivors: bool = False,
) -> Run:
    """Run a program; fail if it takes too long or leaves processes or segments.

    Args:
        program: Its text, after the prelude.
        method: The start method that `executor()` uses.
        timeout: Seconds it may take in all.
        env: More environment variables.
        survivors: Whether processes may still be there at the end.
    """
    with started(program, method, env=env) as child:
        begun = time.monotonic()
        try:
            out, err = child.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            child.process.send_signal(signal.SIGABRT)  # faulthandler shows the stacks
            out, err = child.process.communicate(timeout=10)
            raise AssertionError(f"took over {timeout} s\n{out}\n{err}") from None
        seconds = time.monotonic() - begun
        if not survivors:
            child.check_gone(err)
        return Run(child.process.returncode, out, err, seconds)


class Child:
    """A program that runs, and the mark that its processes carry."""

    def __init__(self, process: subprocess.Popen[str], mark: str) -> None:
        self.process = process
        self.mark = mark
        self._segments = segments()

    def processes(self) -> list[int]:
        """The pids of everything that carries the mark."""
        return marked(self.mark)

    def _new_segments(self) -> set[str]:
        names = segments() - self._segments
        return {name for name in names if not mapped(name)}

    def check_gone(self, err: str = "", grace: float = GRACE) -> None:
        """Fail if a process or a shared-memory name outlives the program."""
        left = gone_within(self.mark, grace)
        shown = [command_of(pid) for pid in left]
        assert not left, f"processes outlive the program: {shown}\n{err}"
        # Other programs of this machine make names, too: those that a process still
        # has are theirs, as none of ours is left, and others they soon remove.
        deadline = time.monotonic() + grace
        while (names := self._new_segments()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not names, f"shared-memory names are left: {names}"


@contextlib.contextmanager
def started(program, method="forkserver", *, env=None):  # type: ignore[no-untyped-def]
    """Start a program in a session of its own; kill all of it at the end."""
    mark = uuid.uuid4().hex
    text = f"METHOD = {method!r}\n{PRELUDE}{textwrap.dedent(program)}"
    # An empty entry would be the current folder of whatever Python reads it.
    given = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(HERE), *([given] if given else [])])
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", text],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path, MARK: mark, **(env or {})},
    )
    try:
        yield Child(process, mark)
    finally:
        for pid in marked(mark):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def gone_within(mark: str, seconds: float) -> list[int]:
    """Wait for all marked processes to go; return those that have not."""
    deadline = time.monotonic() + seconds
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def marked(mark: str) -> list[int]:
    """The pids of the processes whose environment holds the mark."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark.encode() in pathlib.Path("/proc", name, "environ").read_bytes():
                    found.append(int(name))
    return found


def command_of(pid: int) -> str:
    """What a process runs, for the message of a failed test."""
    with contextlib.suppress(OSError):
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        return f"{pid} {command.replace(bytes(1), b' ').decode()[:120]}"
    return str(pid)


def segments() -> set[str]:
    """The names of files in /dev/shm. (joblib makes folders there; we never do.)"""
    with contextlib.suppress(OSError):
        return {entry.name for entry in os.scandir("/dev/shm") if entry.is_file()}
    return set()


def mapped(name: str) -> bool:
    """Whether a process has what has this name in /dev/shm in its memory."""
    inode = f" {inode_of(name)} "  # semaphores are mapped by another name
    for maps in pathlib.Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # it has ended
            lines = maps.read_text(errors="replace").splitlines()
            if any(inode in line for line in lines if "/dev/shm/" in line):
                return True
    return False


def inode_of(name: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(f"/dev/shm/{name}").st_ino
    return 0
