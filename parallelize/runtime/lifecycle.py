"""Ends that come from outside: the interpreter's exit, `os.fork`, and finalisers.

Whoever owns threads or processes registers here when it first starts one, and
is told what to do. Nothing is installed before the first registration.

| what happens                                  | what is called on each owner      |
|-----------------------------------------------|-----------------------------------|
| main ends normally                            | ``finish()``: all submitted runs  |
| main ends by an unhandled error or Ctrl-C     | ``abandon()``: queue is dropped,  |
|                                               | running processes are killed      |
| Ctrl-C while finishing                        | ``abandon()``                     |
| `os.fork`, in the child                       | ``forget()``: it is the parent's  |

A finaliser runs wherever garbage is collected: in any thread, under any locks. So one
that waits for a lock may wait for a thread that waits for a lock held further down its
own stack. Those of this library take none: what is to be done they hand to `later`.
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
from typing import TYPE_CHECKING, Protocol

from parallelize.runtime import locks

if TYPE_CHECKING:
    from collections.abc import Callable

_new_lock = locks.reentrant("lifecycle")

#: Whether threads may be daemons. In an interpreter beside the main one they may not:
#: it ends when all of them have ended, and tells `register`'s owners of that before.
daemons: bool = getattr(_thread, "daemon_threads_allowed", lambda: True)()


class Owner(Protocol):
    """Owns threads or processes."""

    def finish(self) -> object:
        """Finish what was submitted, then end; returns when it has ended."""

    def abandon(self) -> object:
        """Drop what has not begun and end soon; returns when it has ended."""

    def forget(self) -> object:
        """In a forked child: the parent's threads and processes are not ours."""


class Forgetful(Protocol):
    """Holds what belongs to this process."""

    def _reset(self) -> None:
        """In a forked child: hold nothing."""


class _Stage(enum.Enum):
    QUIET = "no hook installed yet"
    WATCHING = "hooks installed"
    ENDING = "the interpreter ends"
    ABANDONING = "... by an error or Ctrl-C"


_stage = _Stage.QUIET
_owners: weakref.WeakSet[Owner] = weakref.WeakSet()
_forgetful: weakref.WeakSet[Forgetful] = weakref.WeakSet()
_watches_forks = False
# Guards all four; no other lock is taken under it. Reentrant, as locks that Ctrl-C may
# have left taken have to be.
_lock = _new_lock()


def register(owner: Owner) -> None:
    """Tell ``owner`` of exit and fork from now on.

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
    """Tell it of forks from now on, and of nothing else."""
    locks.held(_lock, _add_forgetful, forgetful)


def _add_forgetful(forgetful: Forgetful) -> None:
    _forgetful.add(forgetful)
    _watch_forks()


# What finalisers have left to be done; touched by single operations only.
_left: deque[Callable[[], object]] = deque()
_doing: set[threading.Thread] = set()  # those that do it


def later(action: Callable[[], object]) -> None:
    """Have something done soon, in a thread of its own: what a finaliser may call.

    It takes no lock and never waits. Nothing is done if the interpreter ends before,
    or has no thread left; what is left then is done with the next one.

    Args:
        action: Called without arguments; it may wait for locks.
    """
    _left.append(action)
    with suppress(RuntimeError):  # no thread can be started
        # A bare thread, for Thread.start() takes a lock that this thread may hold.
        start_new_thread(_start_doing, ())


def _start_doing() -> None:
    # What is done may ask for the running thread, which has to be one that is known.
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
    """At a normal end: see to it that nothing is left, such as an unread map."""
    _do_what_is_left()
    for thread in list(_doing):
        if thread.ident is not None:
            thread.join()


def _do_what_is_left() -> None:
    # Each action has brought a thread. One that an action keeps, or ends by an error,
    # leaves the others to theirs.
    while True:
        try:
            action = _left.popleft()
        except IndexError:
            return
        action()
        del action


def owners() -> list[Owner]:
    """Those that are registered and alive; none if it cannot be told just now."""
    # Whoever wants to see where a program hangs must not hang there, too.
    if not _lock.acquire(timeout=1):
        return []
    try:
        return list(_owners)
    finally:
        _lock.release()


def is_ending() -> bool:
    """Whether the interpreter has begun to end."""
    if _stage in (_Stage.ENDING, _Stage.ABANDONING):
        return True
    # Without hooks of ours the threading module and the interpreter know.
    return getattr(threading, "_SHUTTING_DOWN", False) or sys.is_finalizing()


def is_abandoning() -> bool:
    """Whether the interpreter ends by an error or Ctrl-C: calls fail for that alone."""
    return _stage is _Stage.ABANDONING or (is_ending() and _ended_by_error())


def refuse_when_ending() -> None:
    """Raise RuntimeError once the interpreter has begun to end."""
    if is_ending():
        msg = "cannot schedule new futures after interpreter shutdown"
        raise RuntimeError(msg)


def _install_hooks() -> None:
    # The threading module's own hook runs before it joins threads, which an
    # atexit function does not; the standard pools use it for the same reason.
    threading._register_atexit(_end)  # type: ignore[attr-defined]
    _watch_forks()


def _watch_forks() -> None:
    global _watches_forks
    if not _watches_forks and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)
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
            owners = list(_owners)
        if not by_error:
            # First those that hand calls on to others.
            owners.sort(key=lambda owner: not getattr(owner, "has_a_pool", False))
            _each(owners, "finish")
            return
    except KeyboardInterrupt:
        owners = owners or list(_owners)
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
    """Whether an error that nobody caught ended the main program.

    The interpreter notes such an error in `sys.last_value` when it prints it.
    At an interactive prompt errors are printed all the time and end nothing.
    """
    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    return getattr(sys, "last_value", None) is not None and not interactive


def _after_fork_in_child() -> None:
    # The lock may have been held by a thread that the child does not have.
    global _lock, _owners
    _lock = _new_lock()
    _left.clear()  # it is the parent's
    _doing.clear()
    for forgetful in list(_forgetful):
        forgetful._reset()
    owners, _owners = list(_owners), weakref.WeakSet()
    _each(owners, "forget")
