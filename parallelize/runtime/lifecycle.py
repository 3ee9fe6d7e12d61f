"""Interpreter exit, `os.fork`, and work left behind by finalisers.

An object that owns threads or processes registers here when it starts the first one,
and is called at these events. No hook is installed before the first registration.

| event                                         | called on each owner              |
|-----------------------------------------------|-----------------------------------|
| main ends normally                            | ``finish()``: run all submitted   |
| main ends by an unhandled error or Ctrl-C     | ``abandon()``: drop the queue,    |
|                                               | kill running processes            |
| Ctrl-C while finishing                        | ``abandon()``                     |
| `os.fork`, in the child                       | ``forget()``: all is the parent's |

A finaliser runs wherever garbage is collected: in any thread, under any locks. If it
waited for a lock it could wait for a thread that waits for a lock held further down its
own stack. So the finalisers of this library take no lock: they hand their work to
`later`.
"""

from __future__ import annotations

import _thread
import enum
import os
import sys
import threading
import weakref
from _thread import start_new_thread
from collections import deque
from contextlib import suppress

from parallelize.runtime import locks
from parallelize.runtime.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_new_lock = locks.reentrant("lifecycle")

#: Whether threads may be daemons. In a subinterpreter they may not: it waits for all
#: its threads when it ends, after the hooks here have run.
daemons: bool = getattr(_thread, "daemon_threads_allowed", lambda: True)()


class Owner(Protocol):
    """An object that owns threads or processes."""

    def finish(self) -> object:
        """Finish what was submitted, then end; return when ended."""

    def abandon(self) -> object:
        """Drop what has not begun and end soon; return when ended."""

    def forget(self) -> object:
        """In a forked child: drop the parent's threads and processes."""


class Forgetful(Protocol):
    """An object with state that belongs to this process only."""

    def _reset(self) -> None:
        """In a forked child: clear that state."""


class _Stage(enum.Enum):
    QUIET = "no hook installed yet"
    WATCHING = "hooks installed"
    ENDING = "the interpreter ends"
    ABANDONING = "... by an error or Ctrl-C"


_stage = _Stage.QUIET
_owners: weakref.WeakSet[Owner] = weakref.WeakSet()
_forgetful: weakref.WeakSet[Forgetful] = weakref.WeakSet()
_watches_forks = False
_pid = os.getpid()  # up to date if forks are watched
# Guards all of these; no other lock is taken under it. Reentrant, as every lock that
# Ctrl-C may leave taken has to be.
_lock = _new_lock()


def register(owner: Owner) -> None:
    """Call ``owner`` at exit and after a fork from now on.

    Raises:
        RuntimeError: The interpreter is ending; nothing new may start.
    """
    refuse_when_ending()
    locks.held(_lock, _add, owner)


def _add(owner: Owner) -> None:
    global _stage
    _owners.add(owner)
    if _stage is _Stage.QUIET:
        _install_hooks()
        _stage = _Stage.WATCHING


def watch_forks(forgetful: Forgetful) -> None:
    """Call ``forgetful`` after a fork from now on, and at no other event."""
    locks.held(_lock, _add_forgetful, forgetful)


def _add_forgetful(forgetful: Forgetful) -> None:
    _forgetful.add(forgetful)
    _watch_forks()


# Work handed over by finalisers; accessed by single atomic operations only.
_left: deque[Callable[[], object]] = deque()
_doing: set[threading.Thread] = set()  # the threads that do it


def later(action: Callable[[], object]) -> None:
    """Call an action soon, in its own thread; safe to use in finalisers.

    It takes no lock and never blocks. The action is not called if the interpreter ends
    first. If no thread can be started, it stays queued until the next call of `later`.

    Args:
        action: Called without arguments; it may wait for locks.
    """
    try:
        if _watches_forks and os.getpid() != _pid:
            return  # just forked, and `threading` is not yet ready: it is the parent's
        _left.append(action)
        # A bare thread, because Thread.start() takes a lock that this thread may hold.
        start_new_thread(_start_doing, ())
    except RuntimeError:  # no thread can be started
        return
    except KeyboardInterrupt:  # Python ignores what a finaliser raises
        if action not in _left:
            _left.append(action)  # called twice is better than never
        start_new_thread(_interrupt_again, ())


def _interrupt_again() -> None:
    """Repeat a Ctrl-C that came in a finaliser, which has ended meanwhile."""
    import signal

    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)  # ends a wait of the main thread
    else:
        _thread.interrupt_main()
    _start_doing()


def _start_doing() -> None:
    # The action may ask for the current thread, so it must be one that `threading`
    # knows.
    name = "parallelize-collected"
    with suppress(RuntimeError):
        thread = threading.Thread(target=_be_doing, name=name, daemon=daemons)
        _doing.add(thread)
        try:
            thread.start()
        except RuntimeError:
            _doing.discard(thread)


def _be_doing() -> None:
    try:
        _do_what_is_left()
    finally:
        _doing.discard(threading.current_thread())


def finish_what_is_left() -> None:
    """At a normal exit: do all remaining work, such as closing unread maps."""
    _do_what_is_left()
    for thread in list(_doing):
        if thread.ident is not None:
            thread.join()


def _do_what_is_left() -> None:
    # Each action has started a thread of its own. If an action blocks this one or
    # raises, the other threads do the rest.
    while True:
        try:
            action = _left.popleft()
        except IndexError:
            return
        action()
        del action


def owners() -> list[Owner]:
    """Return the registered owners; none if the lock is not free within a second."""
    # A dump of a hung program must not hang as well.
    if not _lock.acquire(timeout=1):
        return []
    try:
        return locks.members(_owners)
    finally:
        _lock.release()


def is_ending() -> bool:
    """Whether the interpreter has begun to end."""
    if _stage in (_Stage.ENDING, _Stage.ABANDONING):
        return True
    # Without our hooks, ask the threading module and the interpreter.
    return getattr(threading, "_SHUTTING_DOWN", False) or sys.is_finalizing()


def is_abandoning() -> bool:
    """Whether the interpreter ends by an error or Ctrl-C, so that calls fail."""
    return _stage is _Stage.ABANDONING or (is_ending() and _ended_by_error())


def refuse_when_ending() -> None:
    """Raise RuntimeError once the interpreter has begun to end."""
    if is_ending():
        msg = "cannot schedule new futures after interpreter shutdown"
        raise RuntimeError(msg)


def stop_taking(*, drop: bool) -> None:
    """Begin to end the program, before it ends: owners take no new calls.

    Args:
        drop: Cancel those that have not begun.
    """
    global _stage
    with _lock:
        if _stage is not _Stage.ABANDONING:
            _stage = _Stage.ENDING
        owners = locks.members(_owners)
    for owner in owners:
        stop = getattr(owner, "stop_taking", None)  # some have no calls
        if stop is not None:
            stop(drop=drop)


def abandon_all() -> None:
    """End what runs, as after an error."""
    with _lock:
        owners = locks.members(_owners)
    _abandon(owners)


def _install_hooks() -> None:
    # The threading module's own hook runs before it joins threads, which an
    # atexit function does not; the standard pools use it for the same reason.
    threading._register_atexit(_end)  # type: ignore[attr-defined]
    _watch_forks()


def _watch_forks() -> None:
    global _watches_forks, _pid
    if not _watches_forks:
        _pid = os.getpid()
        locks.at_fork(after_in_child=_after_fork_in_child)
        _watches_forks = True


def _end() -> None:
    global _stage
    owners: list[Owner] = []
    by_error = _ended_by_error()
    try:
        if not by_error:
            finish_what_is_left()
        with _lock:
            _stage = _Stage.ENDING
            owners = locks.members(_owners)
        if not by_error:
            # Owners that pass calls on to another executor finish first.
            owners.sort(key=lambda owner: not getattr(owner, "has_a_pool", False))
            _each(owners, "finish")
            return
    except KeyboardInterrupt:
        owners = owners or locks.members(_owners)
        _abandon(owners)
        raise
    _abandon(owners)


def _abandon(owners: list[Owner]) -> None:
    global _stage
    _stage = _Stage.ABANDONING
    _each(owners, "abandon")


def _each(owners: list[Owner], step: str) -> None:
    for owner in owners:
        getattr(owner, step)()


def _ended_by_error() -> bool:
    """Whether an uncaught error ended the main program.

    The interpreter stores such an error in `sys.last_value` when it prints it. At an
    interactive prompt errors are printed all the time and end nothing.
    """
    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    return getattr(sys, "last_value", None) is not None and not interactive


def _after_fork_in_child() -> None:
    # The lock may have been held by a thread that the child does not have.
    global _lock, _owners, _pid
    _lock = _new_lock()
    _pid = os.getpid()
    _left.clear()  # it is the parent's
    _doing.clear()
    for forgetful in locks.members(_forgetful):
        forgetful._reset()
    owners, _owners = locks.members(_owners), weakref.WeakSet()
    _each(owners, "forget")
