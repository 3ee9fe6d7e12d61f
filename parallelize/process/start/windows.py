"""Starting workers on Windows, which can neither fork nor pass descriptors.

Each worker is a fresh interpreter. It is given its sockets by `socket.share`, whose
data it reads from its standard input, and only it can read that. A thread for each
worker waits for the process to end. This module is also the worker's entry point: see
`main`.

It was written from the documentation and has not been run on Windows; the tests run it
on Linux, see tests/support/systems.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING, Any

from parallelize.process.start import launcher
from parallelize.process.start.server import EXITED, HALTED, MESSAGE, STARTED
from parallelize.process.wire import command
from parallelize.process.wire.journal import Journal
from parallelize.runtime import native

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_LEAST_STATUS = 256  # on Windows os.waitstatus_to_exitcode expects the code times 256


class Launcher(launcher.Launcher):
    """Starts workers itself, and reports their exits as a server does."""

    def __init__(self) -> None:
        self._sock, self._events = native.socket_pair()
        self._sock.setblocking(False)
        self._rest = b""
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(
        self,
        id: int,
        tasks: native.Socket,
        control: native.Socket,
        page: int | str,
        more_fds: Sequence[int],
    ) -> None:
        """Start a worker that gets copies of the sockets and the name of the page."""
        is_python = command.executable() is not None
        child, pipe = _python() if is_python else _program_again()
        self._children[id] = child
        shared: list[Any] = [_shared(sock, child.pid) for sock in (tasks, control)]
        beginning = Beginning([*shared, page])
        with contextlib.suppress(OSError), pipe:  # if it has ended, the thread says so
            if not is_python:
                pickle.dump({}, pipe)  # multiprocessing has nothing to prepare
            pickle.dump(beginning, pipe)
        self._tell(STARTED, id, child.pid)
        watch = threading.Thread(target=self._watch, args=(id, child), daemon=True)
        try:
            watch.start()
        except RuntimeError:  # there can be no thread more: no worker either
            child.kill()
            self._watch(id, child)

    def kill(self, id: int, number: int = signal.SIGTERM) -> None:
        """End a worker; Windows has no other signals."""
        if number != launcher.RESUME and id in self._children:
            self._children[id].kill()

    def halt(self, id: int) -> None:
        """Report the worker as halted at once: Windows cannot halt a process."""
        self._tell(HALTED, id, 0)

    def close(self) -> None:
        """Close; each worker has ended, or will when its sockets close."""
        self._sock.close()
        self._events.close()

    def _watch(self, id: int, child: subprocess.Popen[bytes]) -> None:
        code = child.wait()
        self._children.pop(id, None)
        self._tell(EXITED, id, (code & 0xFFFFFFFF) * _LEAST_STATUS)

    def _tell(self, op: int, id: int, value: int) -> None:
        with contextlib.suppress(OSError):  # the pool is closed
            self._events.sendall(MESSAGE.pack(op, id, value))


def _python() -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Start a Python process; return it and the pipe that it reads."""
    code = "from parallelize.process.start.windows import main; main()"
    child = subprocess.Popen(  # noqa: S603 - this Python, with this library's code
        command.python(code), stdin=subprocess.PIPE, env=command.environment()
    )
    assert child.stdin is not None
    return child, child.stdin


def _program_again() -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Start a frozen program again, which has to call `freeze_support`."""
    if sys.platform != "win32":
        msg = "where there is fork, a frozen program is forked"
        raise OSError(msg)
    import _winapi
    import msvcrt
    from multiprocessing import spawn

    theirs, ours = _winapi.CreatePipe(None, 0)  # the child duplicates its end itself
    pipe = os.fdopen(msvcrt.open_osfhandle(ours, 0), "wb")
    line = spawn.get_command_line(parent_pid=os.getpid(), pipe_handle=theirs)
    return subprocess.Popen(line, env=command.environment()), pipe  # noqa: S603


class Beginning:
    """The first object sent to a worker; it has the interface of a `Process`.

    Args:
        shared: The data of `socket.share` for its sockets, and the name of its page.
    """

    def __init__(self, shared: list[Any]) -> None:
        self._shared = shared

    def begin(self) -> NoReturn:
        """Run the worker."""
        os.environ.pop(command.MARK, None)
        if sys.platform == "win32":
            from parallelize.process.worker import main as worker

            tasks, control, page = self._shared
            fds = [socket.fromshare(each).detach() for each in (tasks, control)]
            worker.serve(*map(native.socket_at, fds), Journal(page))
        raise SystemExit

    def _bootstrap(self, parent_sentinel: int) -> NoReturn:
        """Run the worker, in a frozen program; called by `freeze_support`."""
        self.begin()


def _shared(sock: native.Socket, pid: int) -> bytes:
    if sys.platform != "win32":
        msg = "sockets are shared like this on Windows alone"
        raise OSError(msg)
    return sock.share(pid)


def main() -> NoReturn:
    """Run the worker whose `Beginning` is read from standard input."""
    beginning: Beginning = pickle.load(sys.stdin.buffer)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - open until the end
    beginning.begin()
