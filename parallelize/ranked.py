"""Locks that hold the order of all locks: what `locks` makes while that is debugged.

Two threads that take two locks in opposite orders wait for each other one day, and not
in the run of a test. So while ``PARALLELIZE_DEBUG_LOCKS`` is 1, a thread that takes a
lock without regard to the order in `locks.ORDER` ends the process at once, and shows
where it took which. It does so, too, in a finaliser of this package that takes a lock
at all (see `lifecycle.later`), and where a thread waits for a plain lock that it holds.

A wait that has a bound does not last, and may be in any order.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any, TypeAlias

    Stack: TypeAlias = list[tuple[CodeType, int]]

#: Where a violation is reported: the descriptor of standard error, which a test run
#: that captures that sets to what it was.
out: int = 2

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class _Held:
    """A lock that a thread has taken, and where."""

    __slots__ = ("lock", "opens", "stack")

    def __init__(self, lock: Ranked, stack: Stack) -> None:
        self.lock = lock
        self.stack = stack
        # Unpickling a result runs the user's code. Its future has ended, and those are
        # taken under no other lock.
        self.opens = stack[0][0].co_qualname == "Future._open"


# By the thread's identifier; each thread touches its own entry alone. What signal
# handlers take is apart from what was held where they came.
_held: dict[int, list[_Held]] = {}


def _of_this_thread() -> list[_Held]:
    return _held.setdefault(_thread.get_ident(), [])


class Ranked:
    """A lock with a place in the order, for ``with`` and for `threading.Condition`.

    Args:
        name: Its name in the order.
        rank: Its place in it.
        lock: The lock itself.
        beside: Whether others of its name may be taken under it.
    """

    __slots__ = ("__weakref__", "_beside", "_lock", "_name", "_rank", "_reentrant")

    def __init__(
        self, name: str, rank: int, lock: Any, *, reentrant: bool, beside: bool
    ) -> None:
        self._name = name
        self._rank = rank
        self._lock = lock
        self._reentrant = reentrant
        self._beside = beside

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, in its turn."""
        stack = _stack()
        if blocking and timeout < 0:
            self._check(stack)
        before = self._depth()
        try:
            taken: bool = self._lock.acquire(blocking, timeout)
            if taken:
                _of_this_thread().append(_Held(self, stack))
        except BaseException:  # Ctrl-C, which comes between no two steps of C
            while self._depth() > before:
                self.release()
            raise
        return taken

    __enter__ = acquire  # a function between would be one more place for Ctrl-C

    def release(self) -> None:
        """Let it go."""
        self._forget_one()
        self._lock.release()

    def __exit__(self, *_: object) -> None:
        self.release()

    def locked(self) -> bool:
        """Whether a thread has it; of a plain lock."""
        locked: bool = self._lock.locked()
        return locked

    def _forget_one(self) -> None:
        held = _of_this_thread()
        for index in reversed(range(len(held))):
            if held[index].lock is self:
                del held[index]
                break
        if not held:
            _held.pop(_thread.get_ident(), None)

    def _depth(self) -> int:
        if self._reentrant:
            return self._recursion_count()
        return sum(each.lock is self for each in _of_this_thread())

    # What a Condition asks of its lock, and `locks.depth`.

    def _is_owned(self) -> bool:
        return self._depth() > 0

    def _recursion_count(self) -> int:
        count: int = self._lock._recursion_count()
        return count

    def _release_save(self) -> int:
        count = self._depth()
        for _ in range(count):
            self.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        for _ in range(count):
            self.acquire()

    def __repr__(self) -> str:
        return f"<lock {self._name!r} at {id(self):#x}>"

    # The order.

    def _check(self, stack: Stack) -> None:
        held = _of_this_thread()
        if any(each.lock is self for each in held):
            if not self._reentrant:
                _end(f"{self!r} is taken by the thread that holds it", stack, held)
            return
        if _is_in_finaliser(stack):
            _end(f"{self!r} is taken by a finaliser", stack, held)
        for each in held:
            other = each.lock
            if each.opens:
                continue
            if other._rank > self._rank or (
                other._rank == self._rank and not self._beside
            ):
                _end(f"{self!r} is taken under {other!r}", stack, [each])


def _stack() -> Stack:
    # Code and lines only: frames would keep what is in them alive.
    frame: FrameType | None = sys._getframe(2)
    stack: Stack = []
    while frame is not None:
        stack.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return stack


def _is_in_finaliser(stack: Stack) -> bool:
    """Whether a `__del__` or a `weakref.finalize` of this package is on the stack."""
    inner = None
    for code, _ in stack:
        if code.co_filename.startswith(_PACKAGE) and code.co_name == "__del__":
            return True
        if code.co_qualname == "finalize.__call__" and inner is not None:
            return inner.startswith(_PACKAGE)
        inner = code.co_filename
    return False


def _end(what: str, stack: Stack, held: list[_Held]) -> None:
    """Report what is wrong, with all stacks, and end the process."""
    parts = [f"\nparallelize: {what}\n", *_lines(stack)]
    for each in held:
        parts += [f"it took {each.lock!r} here:\n", *_lines(each.stack)]
    os.write(out, "".join(parts).encode())
    os.abort()


def _lines(stack: Stack) -> list[str]:
    return [
        f'  File "{code.co_filename}", line {line}, in {code.co_qualname}\n'
        for code, line in stack
    ]


def maker(
    name: str, rank: int, make: Callable[[], Any], *, reentrant: bool, beside: bool
) -> Any:
    """Return what makes locks of a name, in place of ``make``."""

    def made() -> Ranked:
        return Ranked(name, rank, make(), reentrant=reentrant, beside=beside)

    return made


# -- What comes between --------------------------------------------------------------


def _apart(handler: Any) -> Any:
    """A signal handler that comes upon whatever its thread holds: that is no order."""
    if not callable(handler) or isinstance(handler, (int, _Apart)):
        return handler
    return _Apart(handler)


class _Apart:
    def __init__(self, handler: Callable[..., Any]) -> None:
        self.handler = handler

    def __call__(self, *args: Any) -> Any:
        ident = _thread.get_ident()
        outer = _held.pop(ident, None)
        try:
            return self.handler(*args)
        finally:
            if outer is not None:
                _held[ident] = outer


def _watch_handlers() -> None:
    module: Any = signal  # whose functions have overloads
    set_handler, get_handler = module.signal, module.getsignal

    def shown(handler: Any) -> Any:
        return handler.handler if isinstance(handler, _Apart) else handler

    def set_(number: int, handler: Any) -> Any:
        return shown(set_handler(number, _apart(handler)))

    def get(number: int) -> Any:
        return shown(get_handler(number))

    module.signal, module.getsignal = set_, get


_watch_handlers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_held.clear)
