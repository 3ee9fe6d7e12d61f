"""The progress bar of a map.

A bar is for whoever looks on. Where none can be drawn, or not any more, the map goes on
without: there may be no stderr, or a closed one, nobody may read the pipe behind it, a
character may not be in its encoding, tqdm may be missing or have been replaced.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import warnings
import weakref
from _thread import RLock
from typing import TYPE_CHECKING, Any

from parallelize.runtime import lifecycle, locks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class Progress:
    """A tqdm bar: in the terminal, or in the notebook where there is one."""

    def __init__(self, description: str | None, total: int | None) -> None:
        """Show the bar.

        Args:
            description: Stands before the bar.
            total: How many items there will be, if that is known.
        """
        self._has_own_lock = True
        self._uncounted: Callable[[], Callable[[], int] | None] = _nothing
        self._bar: Any = None  # a tqdm, while it can be drawn
        with self._goes_on_without():
            self._bar = self._made(description, total)
        if self._bar is not None:
            _close_at_exit(self)

    def _made(self, description: str | None, total: int | None) -> Any:
        make = _tqdm()
        # A lock of tqdm's own, for processes too, cannot be tried.
        self._has_own_lock = _is_ours(make) or not hasattr(make, "_lock")
        taken = _depths()
        try:
            return make(desc=description, total=total)
        except UnicodeError:
            _disable_unfinished(make)
            _let_go(taken)
            plain = (description or "").encode("ascii", "backslashreplace").decode()
            return make(desc=plain or None, total=total, ascii=True)
        except BaseException:
            _disable_unfinished(make)
            raise

    @contextlib.contextmanager
    def _goes_on_without(self) -> Generator[None]:
        """Let an error of the bar be the end of the bar alone."""
        taken = _depths()
        try:
            yield
        except BaseException as error:  # of tqdm, of what it writes to, or Ctrl-C
            _let_go(taken)
            if not isinstance(error, Exception):
                raise
            bar, self._bar = self._bar, None
            _disable(bar)
            if isinstance(error, (OSError, ValueError)):
                _discard_unwritten(sys.stderr)
            else:  # there is a place to write to
                _warn(error)

    def counts(self, uncounted: Callable[[], int]) -> None:
        """Be told of a method that says how many items are still to be counted."""
        self._uncounted = weakref.WeakMethod(uncounted)

    def advance(self, items: int) -> None:
        """So many items more were given to the reader."""
        if self._bar is not None:
            with self._goes_on_without():
                self._bar.update(items)

    def close(self) -> None:
        """Leave the bar as it stands; closing again does nothing."""
        if self._bar is None:
            return
        _open_bars.discard(self)
        with self._goes_on_without():
            self._bar.close()
        self._bar = None

    def close_with_all(self) -> None:
        """Close it when the program ends."""
        uncounted = self._uncounted()
        if uncounted is not None:
            self.advance(uncounted())
        self.close()

    def _reset(self) -> None:
        """In a forked child: the bar is the parent's to draw."""
        bar, self._bar = self._bar, None
        _disable(bar)

    def close_at_once(self, items: int) -> bool:
        """Count the last items and close, without waiting for a lock; False if not."""
        if self._bar is None:
            return True
        lock: Any = getattr(self._bar, "_lock", None) or RLock()
        if not self._has_own_lock or not lock.acquire(blocking=False):
            return False
        try:
            self.advance(items)
            self.close()
        finally:
            lock.release()
        return True


def _drawing_locks() -> list[Any]:
    """The locks under which bars are drawn: ours, and tqdm's own."""
    classes = [*_ours, *_ours.values(), getattr(sys.modules.get("tqdm"), "tqdm", None)]
    found = [getattr(each, "_lock", None) for each in classes]
    return [lock for each in found for lock in getattr(each, "locks", (each,)) if lock]


def _depths() -> dict[int, int]:
    """How often this thread has taken each lock, by the lock's identity."""
    return {id(lock): _depth(lock) for lock in _drawing_locks()}


def _let_go(before: dict[int, int]) -> None:
    """Let go what tqdm keeps where drawing fails, maybe of a lock that is new."""
    for lock in _drawing_locks():
        for _ in range(_depth(lock) - before.get(id(lock), 0)):
            lock.release()


def _depth(lock: Any) -> int:
    """How often this thread has taken a reentrant lock, of threads or processes."""
    semaphore = getattr(lock, "_semlock", None)
    if semaphore is not None:
        return semaphore._count() if semaphore._is_mine() else 0
    return locks.depth(lock) if hasattr(lock, "_is_owned") else 0


def _disable(bar: Any) -> None:
    """Have it draw nothing any more, neither when it is collected nor for others."""
    with contextlib.suppress(Exception):
        bar.disable = True
        type(bar)._instances.discard(bar)


def _disable_unfinished(make: Any) -> None:
    """The same for one that has failed while it was made."""
    for bar in list(getattr(make, "_instances", ())):
        if not bar.disable and not hasattr(bar, "last_print_t"):
            _disable(bar)


def _discard_unwritten(stream: Any) -> None:
    """Empty the buffer of a stream that cannot be written to.

    Python would try again when it exits, and exit with status 120. The descriptor leads
    to the null device meanwhile: a flush is the only way to empty all layers.
    """
    with contextlib.suppress(Exception):  # none, or one of no file
        with contextlib.suppress(OSError):
            stream.flush()
            return
        descriptor = stream.fileno()
        with contextlib.suppress(OSError):  # it is closed
            saved = os.dup(descriptor)
            try:
                _flush_to_null(stream, descriptor)
                os.dup2(saved, descriptor, inheritable=True)
            finally:
                os.close(saved)
            return
        _flush_to_null(stream, descriptor)
        os.close(descriptor)


def _flush_to_null(stream: Any, descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    if null != descriptor:  # which it is where that was the lowest that was free
        os.dup2(null, descriptor)
        os.close(null)
    stream.flush()


def _nothing() -> None:
    return None


def _warn(error: Exception) -> None:
    text = f"there is no progress bar: {type(error).__name__}: {error}"
    with contextlib.suppress(Exception):  # warnings may have been made errors
        warnings.warn(text, RuntimeWarning, stacklevel=2)


# At the end of the interpreter nothing may be drawn any more: a bar that a module holds
# is closed before. Single operations only, so no lock is needed.

_open_bars: weakref.WeakSet[Progress] = weakref.WeakSet()
_registered: set[bool] = set()


def _close_at_exit(progress: Progress) -> None:
    _open_bars.add(progress)
    lifecycle.watch_forks(progress)
    if not _registered:
        _registered.add(True)
        atexit.register(_close_all)


def _close_all() -> None:
    for progress in list(_open_bars):
        progress.close_with_all()


def _tqdm() -> Any:  # one of two classes that share no declared base
    if _in_notebook():
        with contextlib.suppress(ImportError):  # the widgets are not installed
            from tqdm.auto import tqdm as tqdm_auto

            return _with_lock(tqdm_auto)
    if sys.stderr is None:  # a program without a console
        msg = "there is nothing to draw on"
        raise OSError(msg)
    from tqdm import tqdm

    return _with_lock(tqdm)


def _with_lock(bar: Any) -> Any:
    """The class itself if it has a lock, else one of ours that has.

    The default would be a lock between processes, and may start a process that
    watches over it. Our bars are drawn by the reader's process alone. What tqdm does
    for others is left as it is: it sends its lock to their processes.
    """
    if hasattr(bar, "_lock") or not isinstance(bar, type):  # or a partial of one
        return bar
    if bar not in _ours:
        own = {"_lock": locks.reentrant("progress")()}
        _ours[bar] = type(bar.__name__, (bar,), own)
    return _ours[bar]


_ours: dict[Any, Any] = {}


def _is_ours(bar: Any) -> bool:
    return any(bar is each for each in _ours.values())


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
