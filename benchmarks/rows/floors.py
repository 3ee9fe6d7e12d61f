"""What the operating system alone takes, measured beside the libraries."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NoReturn, Self

from benchmarks import tasks
from benchmarks.rows.base import median_seconds, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE = b"x" * 64


def in_child(work: Callable[[], object]) -> int:
    """Run something in a forked process, and never return in that."""
    pid = os.fork()
    return pid or _run_and_leave(work)


def _run_and_leave(work: Callable[[], object]) -> NoReturn:
    try:
        work()
    finally:
        os._exit(0)


def echo(end: socket.socket, other: socket.socket) -> None:
    """Send back what comes until the other end is closed everywhere."""
    other.close()
    while message := end.recv(len(MESSAGE)):
        end.send(message)


def ping_pong(times: int) -> float:
    """Return the median seconds that two processes take to send and answer."""
    near, far = socket.socketpair()
    with near, far:
        pid = in_child(lambda: echo(far, near))
        far.close()
        took = median_seconds(lambda: near.send(MESSAGE) and near.recv(64), times)
    os.waitpid(pid, 0)
    return took


class Twins:
    """Two plain processes that each run half of the CPU-bound tasks, when told."""

    def __init__(self, loops: int, tasks_of_each: int) -> None:
        self.loops = loops
        self.tasks = tasks_of_each
        self.ends: list[socket.socket] = []
        self.pids = [self._start() for _ in range(2)]

    def _start(self) -> int:
        near, far = socket.socketpair()
        self.ends.append(near)
        pid = in_child(lambda: self._serve(far))
        far.close()
        return pid

    def _serve(self, far: socket.socket) -> None:
        for near in self.ends:
            near.close()  # else it would stay open in the other twin
        while far.recv(1):
            for _ in range(self.tasks):
                tasks.spin(self.loops)
            far.send(b".")

    def seconds(self) -> float:
        """Let both run their half; return how long that took."""
        return seconds(self._run)

    def _run(self) -> None:
        for end in self.ends:
            end.send(b".")
        for end in self.ends:
            end.recv(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for end in self.ends:
            end.close()
        for pid in self.pids:
            os.waitpid(pid, 0)
