"""Threads, locks, sockets and polls of the operating system, unpatched.

gevent and eventlet replace them in the standard library by their own, which switch
between greenlets of one thread. Workers and the server run no greenlets: their threads
block in system calls to wait for each other and for the pool. The pool's ends of the
socket pairs never block, so these are the system's, too.

Each name is the unpatched object of the standard library, whether patching happens
before or after this module is loaded. Sockets and signals are those of its C modules,
which nothing patches, and which load without the enumerations of `socket` and `signal`:
these take more time than all else that the server of workers loads.
"""

from __future__ import annotations

import _signal
import _socket
import _struct
import contextlib
import importlib
import os
import sys
import threading
import types
from collections import deque
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Self


def _original(module: str, name: str) -> Any:  # functions, classes and constants
    """Return a name of a standard library module as it was before patching."""
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
    from threading import Lock, RLock
    from time import sleep
else:
    Lock = _original("_thread", "allocate_lock")
    RLock = _original("_thread", "RLock")
    poll = _original("select", "poll")  # None on Windows, like POLLIN
    POLLIN = _original("select", "POLLIN")
    select = _original("select", "select")
    sleep = _original("time", "sleep")
    fork = _original("os", "fork")  # None on Windows

#: Whether a step of C code, such as the chain's, is atomic for other threads. This
#: cannot become false later: the GIL may be enabled in a running program, but not
#: disabled.
STEPS_ARE_WHOLE: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

getsignal = _signal.getsignal
signal = _signal.signal
_get_ident = _original("_thread", "get_ident")
_start_new_thread = _original("_thread", "start_new_thread")


class Popped:
    """Yields items that other threads take, too: each is yielded once.

    A step of an iterator of C code is atomic only where there is a GIL. Without it two
    threads may get the same item of a list's iterator, and one that has been exhausted
    may go on. `deque.popleft` is atomic everywhere.
    """

    __slots__ = ("_items", "_popleft")

    def __init__(self, items: deque[Any]) -> None:
        self._items = items
        self._popleft = items.popleft

    def __iter__(self) -> Popped:
        return self

    def __next__(self) -> Any:
        try:
            return self._popleft()
        except IndexError:
            raise StopIteration from None


def each_once(items: Sequence[Any]) -> Iterator[Any]:
    """Return an iterator over items that another thread may exhaust.

    Args:
        items: A list or a range: their iterators yield all remaining items in a single
            C call, without running Python code in between.
    """
    return iter(items) if STEPS_ARE_WHOLE else Popped(deque(items))


def drained(items: Iterator[Any]) -> int:
    """Take what is left in an iterator of `each_once`, its last items, and count it."""
    if not isinstance(items, Popped):
        return len(list(items))
    count = 0
    with contextlib.suppress(IndexError):
        while True:  # from the end, as the other thread may take some meanwhile
            items._items.pop()
            count += 1
    return count


class Socket(_socket.socket):
    """A socket of the system, which is closed at the end of a ``with``."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


#: Makes a socket of a descriptor, whose family, type and protocol it asks for.
_owning = partial(Socket, -1, -1, -1)


class Condition(threading.Condition):
    """A condition on an unpatched lock; `wait` blocks on an unpatched lock, too.

    Args:
        lock: A `Lock` or `RLock` of this module.
    """

    def __init__(self, lock: threading.Lock | threading.RLock) -> None:
        super().__init__(lock)

    # eventlet replaces existing reentrant locks when it patches, but not the bound
    # methods that a condition has stored, which are used here.

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    # The standard method creates its waiter lock by a global name that is patched.
    wait: Any = types.FunctionType(
        threading.Condition.wait.__code__,
        {**vars(threading), "_allocate_lock": Lock},
        "wait",
        threading.Condition.wait.__defaults__,
    )


class Thread:
    """A daemon thread of the system, unknown to `threading`.

    So a module that patches the standard library in a worker finds only the main
    thread, and can patch locks that it holds; otherwise gevent could not.
    """

    def __init__(self, target: Callable[[], object]) -> None:
        self.ident: int | None = None
        self._target = target
        self._started = False
        self._running = Lock()  # held while the thread runs

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


def start(thread: threading.Thread) -> None:
    """Start a thread, so that Ctrl-C leaves it either running or never to run.

    Whatever this raises, ``thread.ident`` then tells which: None, if it will not run.

    A signal handler that raises within `threading.Thread.start` can leave the locks of
    `threading` taken, and cannot know whether the thread exists. Only the main thread
    runs signal handlers, so there another thread makes the call.

    Raises:
        RuntimeError: The system cannot start another thread.
    """
    if _get_ident() != threading.main_thread().ident or is_patched():
        thread.start()
    else:
        _Start(thread).make()


class _Start:
    """The start of a thread, by another thread than the one that needs it.

    ```
     main thread       bare thread              the thread
     make() ─────────▶ claim ▸ thread.start() ─▶ ...
     waits  ◀───────── over
    ```
    """

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        self._claim = Lock()  # taken once: by the bare thread, or by what forbids it
        self._waits = Lock()  # released when it is over
        self._waits.acquire()
        self._is_over = False
        self._error: BaseException | None = None

    def make(self) -> None:
        try:
            _start_new_thread(self._run, ())
            self._waits.acquire()
        except BaseException:  # no thread can be started, or Ctrl-C
            if not self._claim.acquire(blocking=False):
                self._wait_until_over()
            raise
        if self._error is not None:
            raise self._error

    def _wait_until_over(self) -> None:
        while not self._is_over:
            try:
                self._waits.acquire()
            except BaseException:  # noqa: BLE001, S112 - a second Ctrl-C
                continue  # the first is about to be raised

    def _run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        try:
            self._thread.start()
        except BaseException as error:  # noqa: BLE001 - `make` raises it
            self._error = error
        self._is_over = True
        self._waits.release()


def start_unsignalled(thread: Thread) -> None:
    """Start a thread that takes no signal of its process, but for its own faults.

    The main thread may wait for a signal that it has blocked (`signal.sigwait`), which
    would end the process in a thread that has not.
    """
    if not hasattr(_signal, "pthread_sigmask"):
        thread.start()
        return
    signals = _signal.valid_signals() - _FAULTS
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, signals)
    try:
        thread.start()
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)


_FAULTS = frozenset(
    getattr(_signal, name, 0)
    for name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV")
)


def is_patched() -> bool:
    """Whether threads of this process have been replaced by greenlets."""
    return importlib.import_module("_thread").start_new_thread is not _start_new_thread


def thread(target: Callable[[], object], name: str, **options: Any) -> threading.Thread:
    """Create a thread of the system, known to `threading` unless that is patched.

    Args:
        target: What the thread runs.
        name: Its name.
        **options: Further arguments of `threading.Thread`, if it is not patched.
    """
    if not is_patched():
        from parallelize.runtime.lifecycle import daemons  # workers do not load it

        options["daemon"] = daemons
        return threading.Thread(target=target, name=name, **options)
    # It has the members that this package uses.
    return Thread(target)  # type: ignore[return-value]


def socket_at(fd: int) -> Socket:
    """Return an unpatched blocking socket for a descriptor.

    `socket.setdefaulttimeout` applies to the user's sockets only.
    """
    sock = Socket(fileno=fd)
    sock.setblocking(True)
    return sock


def socket_pair() -> tuple[Socket, Socket]:
    """Return two connected, unpatched blocking sockets."""
    make = getattr(_socket, "socketpair", None) or _original("socket", "socketpair")
    # Windows has the second one only. No step of Python lies between the descriptors'
    # old objects and their new ones: after Ctrl-C there nothing would close them.
    here, there = map(_owning, map(_socket.socket.detach, make()))
    for each in (here, there):
        each.setblocking(True)
    return here, there


def send_fds(sock: _socket.socket, data: bytes, fds: Sequence[int]) -> None:
    """Send data with descriptors, as `socket.send_fds` does."""
    packed = _struct.pack(f"{len(fds)}i", *fds)
    sock.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])


def recv_fds(sock: _socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Receive data and descriptors, which are not inheritable, in one read.

    Args:
        sock: Reads from it.
        size: The number of bytes at most.
        most: The number of descriptors at most.
    """
    data, ancillary, _, _ = sock.recvmsg(size, _socket.CMSG_LEN(most * _INT))
    fds: list[int] = []
    for level, kind, packed in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            fds += _struct.unpack_from(f"{len(packed) // _INT}i", packed)
    for fd in fds:
        os.set_inheritable(fd, False)
    return data, fds


#: Bytes of a descriptor.
_INT = _struct.calcsize("i")


def leave_greenlets() -> None:
    """In a fork of the program: keep the program's greenlets from running here.

    Code that uses greenlets here, such as a task, starts with a new hub and loop.
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


# The abandoned hubs; collecting them would kill their greenlets.
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
    "recv_fds",
    "select",
    "send_fds",
    "signal",
    "sleep",
    "socket_at",
    "socket_pair",
    "start",
    "start_unsignalled",
    "thread",
)
