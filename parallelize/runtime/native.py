"""Threads, locks, sockets and polls as the system has them.

gevent and eventlet replace them in the standard library by their own, which switch
between greenlets of one thread. A worker and the server have no such greenlets: their
threads wait for each other, and for the pool, inside the system. The socket pairs of
the pool never wait, so these are the system's there, too.

Each name is what the standard library had before it was patched, whether that happens
before this module is loaded or after.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _original(module: str, name: str) -> Any:  # of whatever kind it is there
    """What a module of the standard library had under a name before it was patched."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_object_patched(module, name):
        return monkey.get_original(module, name)
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.already_patched:
        return getattr(patcher.original(module), name, None)
    return getattr(importlib.import_module(module), name, None)


if TYPE_CHECKING:
    from os import fork
    from select import POLLIN, poll, select
    from signal import getsignal, signal
    from socket import socket as Socket  # noqa: N812 - it is a class
    from threading import Lock, RLock
    from time import sleep
else:
    Lock = _original("_thread", "allocate_lock")
    RLock = _original("_thread", "RLock")
    Socket = _original("socket", "socket")
    poll = _original("select", "poll")  # None on Windows, as the next
    POLLIN = _original("select", "POLLIN")
    select = _original("select", "select")
    sleep = _original("time", "sleep")
    getsignal = _original("signal", "getsignal")
    signal = _original("signal", "signal")
    fork = _original("os", "fork")  # None on Windows

_socketpair = _original("socket", "socketpair")
_get_ident = _original("_thread", "get_ident")
_start_new_thread = _original("_thread", "start_new_thread")


class Condition(threading.Condition):
    """A condition on a lock of the system; `wait` waits by one, too.

    Args:
        lock: A `Lock` or `RLock` of this module.
    """

    def __init__(self, lock: threading.Lock | threading.RLock) -> None:
        super().__init__(lock)

    # eventlet puts others in the place of reentrant locks that exist when it patches,
    # but not where their methods were taken before.

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    # The standard one makes the lock that it waits by from a name that is patched.
    wait: Any = types.FunctionType(
        threading.Condition.wait.__code__,
        {**vars(threading), "_allocate_lock": Lock},
        "wait",
        threading.Condition.wait.__defaults__,
    )


class Thread:
    """A daemon thread of the system, of which `threading` knows nothing.

    So a module that patches the standard library in a worker finds one thread there,
    the main thread, and can patch what that has locked; else gevent cannot.
    """

    def __init__(self, target: Callable[[], object]) -> None:
        self.ident: int | None = None
        self._target = target
        self._started = False
        self._running = Lock()  # taken for as long as the thread runs

    def start(self) -> None:
        self._running.acquire()
        try:
            _start_new_thread(self._run, ())
        except BaseException:
            self._running.release()
            raise
        self._started = True

    def _run(self) -> None:
        self.ident = _get_ident()
        try:
            self._target()
        finally:
            self._running.release()

    def is_alive(self) -> bool:
        return self._started and self._running.locked()

    def join(self, timeout: float | None = None) -> None:
        if self._running.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            self._running.release()


def is_patched() -> bool:
    """Whether threads of the program are greenlets now."""
    return importlib.import_module("_thread").start_new_thread is not _start_new_thread


def thread(target: Callable[[], object], name: str, **options: Any) -> threading.Thread:
    """Make a thread of the system, which `threading` knows unless it is patched.

    Args:
        target: What it runs.
        name: Its name.
        **options: More for `threading.Thread`, where that is the system's.
    """
    if not is_patched():
        from parallelize.runtime.lifecycle import daemons  # not for workers to load

        options["daemon"] = daemons
        return threading.Thread(target=target, name=name, **options)
    # It has what threads of ours are asked for.
    return Thread(target)  # type: ignore[return-value]


def socket_at(fd: int) -> Socket:
    """A socket of the system by its descriptor, which blocks.

    What `socket.setdefaulttimeout` says holds for the user's sockets alone.
    """
    sock = Socket(fileno=fd)
    sock.setblocking(True)
    return sock


def socket_pair() -> tuple[Socket, Socket]:
    """Two connected sockets of the system, which block."""
    here, there = _socketpair()
    return socket_at(here.detach()), socket_at(there.detach())


def leave_greenlets() -> None:
    """In a fork of the program: no greenlet of the program is to run here.

    What uses greenlets here, a task for one, begins with a hub and loop of its own.
    """
    gevent, hubs = map(sys.modules.get, ("gevent._hub_local", "eventlet.hubs"))
    if gevent is not None:
        with contextlib.suppress(Exception):
            _left.append(hub := gevent.get_hub_if_exists())
            gevent.set_hub(None)
            gevent.set_loop(None)
            hub.loop.destroy()
    if hubs is not None:
        with contextlib.suppress(Exception):
            _left.append(hubs.get_hub())
            hubs.use_hub()


# The hubs that were left; their greenlets would be ended if they were collected.
_left: list[object] = []

__all__ = (
    "POLLIN",
    "Condition",
    "Lock",
    "RLock",
    "Socket",
    "Thread",
    "fork",
    "getsignal",
    "is_patched",
    "leave_greenlets",
    "poll",
    "select",
    "signal",
    "sleep",
    "socket_at",
    "socket_pair",
    "thread",
)
