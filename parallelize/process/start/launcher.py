"""The pool's handle on the server that starts its workers: see `server`."""

from __future__ import annotations

import _signal as signal
import _socket
import contextlib
import os
import sys

from parallelize.process.start.server import (
    EXITED,
    HALT,
    HALTED,
    MESSAGE,
    REFUSED,
    SIGNAL,
    START,
    STARTED,
)
from parallelize.process.wire import command
from parallelize.runtime import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import NoReturn

    Inherited = tuple[Callable[..., object], tuple[object, ...]]

#: The start methods; the first is the default.
METHODS = ("spawn",) if sys.platform == "win32" else ("forkserver", "spawn", "fork")

# Signals named by their purpose; Windows has neither SIGKILL nor SIGCONT.
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
RESUME = getattr(signal, "SIGCONT", 0)

#: Seconds that the server has to exit when it is released, before it is killed.
_GRACE = 2.0

_SERVER_FD = 3


class Event:
    """Something that happened to the worker ``id``."""

    __slots__ = (
        "id",
        "kind",
        "value",
    )

    def __init__(
        self,
        kind: int,  # STARTED, HALTED, EXITED or REFUSED
        id: int,
        value: int,  # its pid, its wait status, or an errno
    ) -> None:
        self.kind: int = kind
        self.id: int = id
        self.value: int = value


def possible(method: str) -> str:
    """Return the method, or "fork" if this program is frozen and must be forked."""
    if sys.platform == "win32" or not command.is_frozen():
        return method
    return method if command.executable() is not None else "fork"


def launcher(method: str, inherited: Inherited | None = None) -> Launcher:
    """Return a launcher that starts workers by this method on this system.

    Raises:
        SystemExit: This process was started to be a worker itself, see `command`.
        OSError: The server cannot be started.
    """
    command.refuse_second_run()
    if sys.platform == "win32":
        from parallelize.process.start import windows

        return windows.Launcher()
    return Launcher(method, inherited)


class Launcher:
    """Starts a server, and workers through it.

    Args:
        method: One of `METHODS`.
        inherited: The initializer and its arguments, for workers that are forks of
            this process; they need not be pickled then.

    Raises:
        OSError: The server cannot be started.
    """

    def __init__(self, method: str, inherited: Inherited | None = None) -> None:
        self._sock, theirs = map(_above_streams, native.socket_pair())
        try:
            if method == "fork":
                self._pid = _fork(self._sock, theirs, inherited)
            else:
                self._pid = _spawn(theirs, method)
        except BaseException:
            self._sock.close()
            raise
        finally:
            theirs.close()
        self._sock.setblocking(False)
        self._rest = b""

    def fileno(self) -> int:
        """Return the descriptor to wait on for events."""
        return self._sock.fileno()

    def start(
        self,
        id: int,
        tasks: native.Socket,
        control: native.Socket,
        page: int | str,
        more_fds: Sequence[int],
    ) -> None:
        """Start a worker that gets copies of the sockets, page and descriptors."""
        fds = [tasks.fileno(), control.fileno(), int(page), *more_fds]
        native.send_fds(self._sock, MESSAGE.pack(START, id, 0), fds)

    def kill(self, id: int, number: int = signal.SIGTERM) -> None:
        """Send a worker a signal; nothing happens if it has ended."""
        self._sock.send(MESSAGE.pack(SIGNAL, id, number))

    def halt(self, id: int) -> None:
        """Suspend a worker; the event HALTED follows."""
        self._sock.send(MESSAGE.pack(HALT, id, 0))

    def events(self) -> list[Event] | None:
        """Return the events since the last call; None if the server is gone.

        Raises:
            BlockingIOError: There are none.
        """
        data = self._sock.recv(MESSAGE.size * 256)
        if not data:
            return None
        data = self._rest + data
        whole = len(data) - len(data) % MESSAGE.size
        self._rest = data[whole:]
        return [
            Event(op, id, value) for op, id, value in MESSAGE.iter_unpack(data[:whole])
        ]

    def close(self) -> None:
        """Release the server; return when it has ended."""
        if self._sock.fileno() < 0:  # closed before
            return
        if not self._left_within(_GRACE):
            os.kill(self._pid, KILL)
        self._sock.close()
        with contextlib.suppress(ChildProcessError):  # other code has reaped it
            os.waitpid(self._pid, 0)

    def _left_within(self, seconds: float) -> bool:
        try:
            self._sock.shutdown(_socket.SHUT_WR)
            self._sock.settimeout(seconds)
            while self._sock.recv(MESSAGE.size * 256):
                pass  # its remaining reports on workers do not matter any more
        except TimeoutError:
            return False
        except OSError:  # the server is already gone
            return True
        return True

    def forget(self) -> None:
        """In a forked child: close its socket; server and workers are the parent's."""
        self._sock.close()


def _above_streams(sock: native.Socket) -> native.Socket:
    """Move a socket off the standard streams' numbers, which a script may close."""
    if sock.fileno() > 2 or sys.platform == "win32":
        return sock
    with sock:
        return native.socket_at(_dup_above_streams(sock.fileno()))


def _dup_above_streams(fd: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _preloaded(method: str) -> tuple[str, ...]:
    """Return the modules set by `multiprocessing.set_forkserver_preload`."""
    forkserver = sys.modules.get("multiprocessing.forkserver")
    if method != "forkserver" or forkserver is None:
        return ()
    preset = getattr(getattr(forkserver, "_forkserver", None), "_preload_modules", None)
    # `__main__` is its default; a worker never runs the script.
    return tuple(name for name in preset or () if name != "__main__")


def _spawn(theirs: native.Socket, method: str) -> int:
    arguments = _SERVER_FD, method, _preloaded(method), sys.path
    line = command.python(
        f"from parallelize.process.start.server import main; main{arguments!r}"
        if arguments[2]
        else f"from parallelize.process.start.server import main; main{arguments[:2]!r}"
    )
    fd = theirs.fileno()
    if fd == _SERVER_FD:  # dup2 onto itself would leave it close-on-exec
        fd = _dup_above_streams(fd)
    try:
        return os.posix_spawn(
            line[0],
            line,
            command.environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, fd, _SERVER_FD),
            ],
            setsigmask=[signal.SIGINT],  # until it has a handler
            setsigdef=[signal.SIGPIPE],
        )
    finally:
        if fd != theirs.fileno():
            os.close(fd)


def _fork(
    ours: native.Socket, theirs: native.Socket, inherited: Inherited | None
) -> int:
    """Fork this process; the child becomes the server, and its pid is returned.

    If this raises, no child is left behind. From Python 3.15 on `os.fork` itself may
    raise after the child has been created: where warnings are errors, its warning about
    threads. In that case the parent learns the pid only from the child.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # None, or closed
            stream.flush()
    program = os.getpid()
    reading, writing = native.socket_pair()
    with reading:
        try:
            with writing:
                pid = _fork_beside_ctrl_c()
                if pid == 0:
                    writing.send(str(os.getpid()).encode())
                    native.leave_greenlets()
                    for sock in (ours, reading, writing):
                        sock.close()
                    _serve(theirs, inherited)
        except BaseException:
            if os.getpid() != program:  # the child must not unwind the parent's stack
                os._exit(1)
            _end_child(reading)
            raise
    return pid


def _fork_beside_ctrl_c() -> int:
    """Call `os.fork`; a Ctrl-C that comes meanwhile arrives in the parent afterwards.

    At the time, Python calls functions of its modules, and ignores what they raise.
    """
    handler = native.getsignal(signal.SIGINT)
    if not callable(handler):
        return native.fork()
    program = os.getpid()
    came: list[tuple[int, FrameType | None]] = []
    try:
        native.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    except ValueError:  # not the main thread, which alone runs handlers
        return native.fork()
    try:
        return native.fork()
    finally:
        if os.getpid() == program:  # the server has a handler of its own
            native.signal(signal.SIGINT, handler)
            if came:
                handler(*came[0])


def _serve(theirs: native.Socket, inherited: Inherited | None) -> NoReturn:
    from parallelize.process.start import server
    from parallelize.process.worker import main as worker

    worker.inherited = inherited
    server.main(theirs.detach(), "fork")


def _end_child(reading: native.Socket) -> None:
    """Kill the child, if there is one: it sends its pid, otherwise the stream ends."""
    reading.settimeout(
        _GRACE
    )  # a lock that was held during the fork may block the child
    with contextlib.suppress(OSError):
        pid = int(reading.recv(32) or 0)
        if pid:
            os.kill(pid, KILL)
            os.waitpid(pid, 0)


__all__ = ("EXITED", "HALTED", "REFUSED", "STARTED", "Event", "Launcher")
