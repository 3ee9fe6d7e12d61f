"""Locks that Ctrl-C has left taken.

From Python 3.14 on an error that a signal handler raises, as Ctrl-C does, may come
after ``with lock:`` has taken the lock and before the block has begun, so that
nobody lets it go again. Who may be interrupted there notes how often his thread has
taken the lock before, and goes back to that when an error comes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


def depth(lock: threading.RLock) -> int:
    """How often the running thread has taken the lock and not let it go."""
    # What `threading.Condition` asks of its lock, too; there is no public name.
    count: int = lock._recursion_count()  # type: ignore[attr-defined]
    return count


def release_to(lock: threading.RLock, before: int) -> None:
    """Let the lock go until the running thread has taken it ``before`` times."""
    while depth(lock) > before:
        lock.release()


def held(lock: threading.RLock, action: Callable[..., object], *args: object) -> None:
    """Do something under a lock, which is free afterwards although Ctrl-C came."""
    before = depth(lock)
    try:
        with lock:
            action(*args)
    except BaseException:
        release_to(lock, before)
        raise


def is_interrupt(error: BaseException) -> bool:
    """Whether it is a Ctrl-C that arrived just now, not an error of the user's code.

    Pickling runs the user's code, which may raise KeyboardInterrupt itself, and
    that is an error of the call like any other. One that a ``raise`` statement
    raised is such an error; the signal arrives at any other instruction.
    """
    if not isinstance(error, KeyboardInterrupt) or error.__traceback__ is None:
        return False
    from opcode import opname

    tb = error.__traceback__
    while tb.tb_next is not None:
        tb = tb.tb_next
    return opname[tb.tb_frame.f_code.co_code[tb.tb_lasti]] != "RAISE_VARARGS"
