"""Locks that enforce the lock order; `locks` creates them while debugging.

Two threads that take two locks in opposite orders deadlock one day, and rarely in a
test. So while ``PARALLELIZE_DEBUG_LOCKS`` is 1, a thread that takes a lock against the
order in `locks.ORDER` aborts the process at once, with the places where the locks were
taken. So does a finaliser of this package that takes any lock (see `lifecycle.later`),
and a thread that waits for a plain lock that it holds.

Waits with a timeout cannot deadlock, and may be in any order.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any, TypeAlias

    Stack: TypeAlias = list[tuple[CodeType, int]]

    class _Lock:
        """The class of reentrant locks, which is final only in stubs."""

        def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
        def release(self) -> None: ...
        def _is_owned(self) -> bool: ...
        def _recursion_count(self) -> int: ...
        def _release_save(self) -> object: ...

else:
    _Lock = object

#: The descriptor to which a violation is reported: standard error. A test run that
#: captures output sets it to the original one.
out: int = 2

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class _Held:
    """A lock that a thread has taken, and the stack at that moment."""

    __slots__ = ("lock", "opens", "stack")

    def __init__(self, lock: Ranked, stack: Stack) -> None:
        self.lock = lock
        self.stack = stack
        # Unpickling a result runs user code under the future's lock. The future is
        # done, and the lock of a done future is taken under no other lock.
        self.opens = stack[0][0].co_qualname == "Future._open"


# By thread identifier; each thread changes only its own entry. Locks taken by signal
# handlers are kept apart from those held by the interrupted code. Releasing a lock
# records nothing here, so that it is a single C call; the lock knows whether it is
# still held.
_held: dict[int, list[_Held]] = {}


def _of_this_thread() -> list[_Held]:
    held = _held.setdefault(_thread.get_ident(), [])
    held[:] = [each for each in held if each.lock._is_owned()]
    return held


class Ranked(_Lock):
    """A lock with a rank: a mixin for a class of reentrant locks.

    The methods that release the lock and that wait for a condition are that class's
    own, so that Ctrl-C, which may come between any two bytecodes, leaves no lock taken.
    """

    _name: str
    _rank: int
    _reentrant: bool
    _beside: bool

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; abort the process if that violates the order."""
        stack = _stack()
        before = self._recursion_count()
        if blocking and timeout < 0:
            self._check(stack)
        if before and not self._reentrant:
            return False  # as it would be after the timeout
        try:
            taken = super().acquire(blocking, timeout)
            if taken and not before:
                _of_this_thread().append(_Held(self, stack))
        except BaseException:  # Ctrl-C, which cannot interrupt C code
            while self._recursion_count() > before:
                self.release()
            raise
        return taken

    __enter__ = acquire  # a wrapper would be another place for Ctrl-C

    def _release_save(self) -> object:
        """Release the lock for the wait of a condition, which takes it again."""
        self._check_against(_stack())
        return super()._release_save()

    def locked(self) -> bool:
        """Whether a thread holds the lock; for plain locks."""
        if self._is_owned():
            return True
        free = super().acquire(False)
        if free:
            self.release()
        return not free

    def __repr__(self) -> str:
        return f"<lock {self._name!r} at {id(self):#x}>"

    # The order.

    def _check(self, stack: Stack) -> None:
        if not self._is_owned():
            self._check_against(stack)
        elif not self._reentrant:
            held = _of_this_thread()
            _end(f"{self!r} is taken by the thread that holds it", stack, held)

    def _check_against(self, stack: Stack) -> None:
        held = _of_this_thread()
        if _is_in_finaliser(stack):
            _end(f"{self!r} is taken by a finaliser", stack, held)
        for each in held:
            other = each.lock
            if each.opens or other is self:
                continue
            if other._rank > self._rank or (
                other._rank == self._rank and not self._beside
            ):
                _end(f"{self!r} is taken under {other!r}", stack, [each])


def _stack() -> Stack:
    # Code and lines only: frames would keep their variables alive.
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
    """Report the violation with all stacks, and abort the process."""
    parts = [f"\nparallelize: {what}\n", *_lines(stack)]
    for each in held:
        parts += [f"it took {each.lock!r} here:\n", *_lines(each.stack)]
    with suppress(OSError):  # it is closed
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
    """Return the lock factory for a name, in place of ``make``."""
    # If the locks are gevent's, say, greenlets wait for them: derive from their class.
    base = _thread.RLock
    if type(make()).__module__ != base.__module__:
        base = type(threading.RLock())
    order = {"_name": name, "_rank": rank, "_reentrant": reentrant, "_beside": beside}
    return type("Ranked", (Ranked, base), order)


# -- Locks left taken ----------------------------------------------------------------


#: Functions that return while they hold a lock, which their caller releases.
_HANDED_ON = ("__enter__", "acquire")


def left() -> set[str]:
    """Describe the locks still held after the function that took them has returned."""
    running = {ident: _codes(frame) for ident, frame in sys._current_frames().items()}
    return {
        f"{each.lock!r}, which was taken here:\n{''.join(_lines(each.stack))}"
        for ident, held in list(_held.items())
        for each in list(held)
        if _owner(each.lock) == ident and _taker(each) not in running.get(ident, ())
    }


def _codes(frame: FrameType | None) -> set[CodeType]:
    codes = set()
    while frame is not None:
        codes.add(frame.f_code)
        frame = frame.f_back
    return codes


def _taker(held: _Held) -> CodeType:
    codes = [code for code, _ in held.stack]
    return next(code for code in codes if code.co_name not in _HANDED_ON)


def _owner(lock: Ranked) -> int | None:
    """Return the identifier of the thread that holds the lock."""
    # Only its repr shows the owner of Python's own lock to other threads.
    shown = super(Ranked, lock).__repr__().partition(" owner=")[2].split(" ")[0]
    return int(shown) if shown.isdecimal() else None


# -- Signal handlers -----------------------------------------------------------------


def _apart(handler: Any) -> Any:
    """Wrap a signal handler: locks held by the code it interrupts do not count."""
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
