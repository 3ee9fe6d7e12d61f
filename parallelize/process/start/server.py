"""The small clean process that forks the workers and supervises them.

```
 pool ══ START id + descriptors ════▶ server ── fork ──▶ worker id
      ══ SIGNAL id, number ═════════▶   │                  │
      ══ HALT id ═══════════════════▶   │                  │
      ◀═ STARTED id, pid ════════════   │ ◀── its end ─────┘
      ◀═ HALTED id ══════════════════   │     (SIGCHLD, waitpid)
      ◀═ EXITED id, status ══════════   │
```

It has a single thread and none of the parent's modules, so that forking it is safe and
fast. It is the parent of the workers: only it knows whether a process id still belongs
to a worker, so only it sends them signals. When the pool's end of its socket closes
(the pool was closed, or its process has ended in whatever way), it kills the workers
that do not exit by themselves, and ends.

With the start method "spawn" a worker is a fresh interpreter that the server starts;
with "fork" the server is not a fresh interpreter but a fork of the parent process, made
once.
"""

from __future__ import annotations

import _signal as signal
import contextlib
import gc
import os
import struct
import sys

from parallelize.runtime import native
from parallelize.runtime.clock import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

#: The operation, the worker's id, and a pid, signal, status or errno.
MESSAGE = struct.Struct("<IiQ")
START, SIGNAL, HALT, STARTED, HALTED, EXITED, REFUSED = range(1, 8)

#: Descriptors that may come with START: task socket, control socket, page, and
#: those of the initializer's arguments.
DESCRIPTORS = 250

#: Modules that most user modules import. The server imports them after it has been idle
#: for `LEISURE` milliseconds: no worker waits for them, and later ones have them.
COMMON = ("typing",)
LEISURE = 50

#: Seconds that workers have to exit when the pool is gone, before they are killed.
ORPHAN_GRACE = 0.8


def main(
    fd: int, method: str, preload: Sequence[str] = (), path: Sequence[str] = ()
) -> NoReturn:
    """Serve the pool at the other end of ``fd`` until it closes.

    Args:
        fd: The descriptor of a socket.
        method: The start method of the workers.
        preload: Modules to import before the first worker starts.
        path: The `sys.path` for these imports.
    """
    try:
        signal.set_wakeup_fd(-1)
        # Ctrl-C reaches the whole process group, but the parent process handles it. An
        # empty handler, unlike SIG_IGN, is not inherited by programs that tasks run.
        native.signal(signal.SIGINT, _ignore)
        for number in _handled_signals() - {signal.SIGINT}:
            native.signal(number, signal.SIG_DFL)
        # The parent may block some; `launcher` has SIGINT blocked until here.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.set_inheritable(fd, False)
        if method == "fork":
            _read_nothing()
        else:
            _close_inherited()
        _open_streams()
        _enable_faulthandler()
        if preload:
            _load(preload, path)
        launch = _exec_worker if method == "spawn" else _be_worker
        if method == "forkserver":  # so that no worker has to import them
            gc.disable()  # all this is there to stay
            _load(["parallelize.process.worker.main", "importlib.util"], sys.path)
            gc.freeze()  # nor do workers look through it, or copy its pages for that
            gc.enable()
        # A fork of the parent may start threads, too, in finalizers.
        may_have_threads = bool(preload) or method == "fork"
        fork = _fork_unwarned if may_have_threads else native.fork
        server = Server(native.socket_at(fd), launch, fork)
        server.run()
    except BaseException:  # noqa: BLE001 - no other code would report it
        _end_by_error()
    os._exit(0)


def _end_by_error() -> NoReturn:
    """Write the current error to standard error and end this process."""
    try:
        from parallelize.process.worker import last_words

        last_words.end("the server of the workers of parallelize")
    finally:  # even the import may fail
        os._exit(1)


def _handled_signals() -> set[int]:
    return {
        number
        for number in signal.valid_signals()
        if callable(native.getsignal(number))
    }


def _close_inherited() -> None:
    """Close the descriptors inherited through exec, such as a listening socket.

    Those that this interpreter has opened itself are not inheritable (PEP 446).
    """
    with contextlib.suppress(OSError):  # no such directory
        for name in os.listdir("/dev/fd"):
            with contextlib.suppress(OSError):  # the descriptor of listdir itself
                if int(name) > 2 and os.get_inheritable(int(name)):
                    os.close(int(name))


def _read_nothing() -> None:
    """Redirect standard input to /dev/null: it belongs to the parent process."""
    fd = os.open(os.devnull, os.O_RDONLY)
    if fd != 0:
        os.dup2(fd, 0)
        os.close(fd)
    # It stays open until the process ends.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115


def _open_streams() -> None:
    """Open closed standard outputs, so that no later descriptor takes their numbers."""
    for fd in (1, 2):
        try:
            os.fstat(fd)
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            if nothing != fd:
                os.dup2(nothing, fd)
                os.close(nothing)


def _load(names: Sequence[str], path: Sequence[str]) -> None:
    """Import modules for later workers; a failing import is left to them to report."""
    import importlib

    before, sys.path[:] = sys.path[:], path
    for name in names:
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)
    sys.path[:] = before


def _fork_unwarned() -> int:
    """Fork without a warning about threads: a preloaded module may have started some.

    Where warnings are errors, Python 3.15 raises it although the child was created.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return native.fork()


def _ignore(*_: object) -> None:
    """Handle a signal by doing nothing."""


def _enable_faulthandler() -> None:
    import faulthandler

    with contextlib.suppress(Exception):  # no usable stderr
        faulthandler.enable()


class Server:
    """Forks workers, reports their exits, and signals them on request."""

    def __init__(
        self,
        sock: native.Socket,
        launch: Callable[[list[int]], None],
        fork: Callable[[], int],
    ) -> None:
        self._sock = sock
        self._launch = launch
        self._os_fork = fork
        self._workers: dict[int, int] = {}  # pid -> id, of those not reaped
        self._halted: set[int] = set()  # pids of those stopped by a signal
        self._bell, self._ring = native.socket_pair()  # written to on SIGCHLD
        self._bell.setblocking(False)
        self._ring.setblocking(False)
        native.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._ring.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until the pool closes its end, then end the workers."""
        poll = native.poll()
        poll.register(self._sock, native.POLLIN)
        poll.register(self._bell, native.POLLIN)
        learns = self._launch is _be_worker
        while True:
            ready = {fd for fd, _ in poll.poll(LEISURE if learns else None)}
            if learns and not ready:
                _load(COMMON, sys.path)
                learns = False
            if self._bell.fileno() in ready:
                self._reap()
            if self._sock.fileno() in ready and not self._obey():
                break
        self._drain()

    def _obey(self) -> bool:
        """Carry out one request of the pool; return False if the pool is gone."""
        try:
            data, fds = native.recv_fds(self._sock, MESSAGE.size, DESCRIPTORS)
        except OSError:
            return False
        if len(data) < MESSAGE.size:
            return False
        op, id, value = MESSAGE.unpack(data)
        if op == START:
            self._fork(id, fds)
        elif op == SIGNAL:
            self._signal(id, value)
        elif op == HALT:
            self._halt(id)
        return True

    def _fork(self, id: int, fds: list[int]) -> None:
        try:
            pid = self._os_fork()
        except OSError as error:
            self._tell(REFUSED, id, error.errno or 0)
            pid = -1
        if pid == 0:
            self._become(fds)
        for fd in fds:
            os.close(fd)
        if pid > 0:
            self._workers[pid] = id
            self._tell(STARTED, id, pid)

    def _become(self, fds: list[int]) -> None:
        """In the child: drop the server's resources, then run the worker."""
        try:
            signal.set_wakeup_fd(-1)
            native.signal(signal.SIGCHLD, signal.SIG_DFL)
            for sock in (self._sock, self._bell, self._ring):
                sock.close()
            _reseed()
            self._launch(fds)
        except BaseException:  # noqa: BLE001 - no other code would report it
            _end_by_error()
        os._exit(1)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._note(pid, status)

    def _note(self, pid: int, status: int) -> None:
        id = self._workers.get(pid)
        if id is None:  # not a worker: a child that a preloaded module has started
            return
        if os.WIFSTOPPED(status):
            self._halted.add(pid)
            self._tell(HALTED, id, 0)
        elif os.WIFCONTINUED(status):
            self._halted.discard(pid)
        else:
            del self._workers[pid]
            self._halted.discard(pid)
            self._tell(EXITED, id, status)

    def _signal(self, id: int, number: int) -> None:
        pid = self._pid_of(id)
        if pid is not None:
            os.kill(pid, number)

    def _halt(self, id: int) -> None:
        """Suspend a worker; HALTED follows when it has stopped."""
        pid = self._pid_of(id)
        if pid in self._halted:
            self._tell(HALTED, id, 0)
        elif pid is not None:
            os.kill(pid, signal.SIGSTOP)

    def _pid_of(self, id: int) -> int | None:
        return next((pid for pid, each in self._workers.items() if each == id), None)

    def _tell(self, op: int, id: int, value: int) -> None:
        with contextlib.suppress(OSError):  # the pool is gone: poll will report it
            self._sock.sendall(MESSAGE.pack(op, id, value))

    def _drain(self) -> None:
        """Wait for the workers to exit, up to `ORPHAN_GRACE`; kill the rest."""
        deadline = monotonic() + ORPHAN_GRACE
        poll = native.poll()
        poll.register(self._bell, native.POLLIN)
        self._reap()
        while self._workers and (left := deadline - monotonic()) > 0:
            poll.poll(left * 1000)
            self._reap()
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)


def _reseed() -> None:
    """Seed numpy's global generator from the system, if this fork has one.

    Otherwise all workers would draw the same numbers, which is never intended. `random`
    reseeds itself after each fork; generator objects are left to the user.
    """
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is None:
        return
    with contextlib.suppress(Exception):  # partly imported, or of another version
        generator = numpy.mtrand._rand._bit_generator
        if not generator.lock.acquire(blocking=False):
            return  # a thread of the parent was drawing a number during the fork
        generator.lock.release()
        if type(generator) is numpy.MT19937:
            numpy.seed()
        else:  # chosen by the user: it cannot be reseeded, so replace it
            numpy.set_bit_generator(type(generator)())


def _be_worker(fds: list[int]) -> None:
    """Run the worker in this fork of the server."""
    import atexit

    from parallelize.process.worker import main as worker

    atexit._clear()
    worker.main(*fds)


def _exec_worker(fds: list[int]) -> None:
    """Replace this process by a fresh interpreter that runs the worker."""
    from parallelize.process.wire import command

    native.signal(signal.SIGINT, signal.SIG_IGN)  # until the worker sets its handler
    for fd in fds:
        os.set_inheritable(fd, True)
    code = f"from parallelize.process.worker.main import main; main{tuple(fds)}"
    line = command.python(code)
    os.execve(line[0], line, command.environment())


__all__ = (
    "DESCRIPTORS",
    "EXITED",
    "HALT",
    "HALTED",
    "MESSAGE",
    "REFUSED",
    "SIGNAL",
    "START",
    "STARTED",
)
