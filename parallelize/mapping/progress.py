"""The progress bar of a map.

A bar is only for display. If it cannot be drawn, or no longer, the map continues
without it: stderr may be missing or closed, or a pipe whose reader is gone; a character
may not exist in its encoding; tqdm may be missing or have been replaced.
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
            description: The text before the bar.
            total: The total number of items, if known.
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
        # A lock of tqdm's own, which is also for processes, cannot be tested.
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
        """Let an error of the bar end only the bar."""
        taken = _depths()
        try:
            yield
        except BaseException as error:  # of tqdm, of its output stream, or Ctrl-C
            _let_go(taken)
            if not isinstance(error, Exception):
                raise
            bar, self._bar = self._bar, None
            _disable(bar)
            if isinstance(error, (OSError, ValueError)):
                _discard_unwritten(sys.stderr)
            else:  # stderr still works
                _warn(error)

    def counts(self, uncounted: Callable[[], int]) -> None:
        """Register a method that returns the number of items not counted yet."""
        self._uncounted = weakref.WeakMethod(uncounted)

    def advance(self, items: int) -> None:
        """Count items that were yielded to the reader."""
        if self._bar is not None:
            with self._goes_on_without():
                self._bar.update(items)

    def close(self) -> None:
        """Leave the bar as it is; may be called repeatedly."""
        if self._bar is None:
            return
        _open_bars.discard(self)
        with self._goes_on_without():
            self._bar.close()
        self._bar = None

    def close_with_all(self) -> None:
        """Close the bar at the end of the program."""
        uncounted = self._uncounted()
        if uncounted is not None:
            self.advance(uncounted())
        self.close()

    def _reset(self) -> None:
        """In a forked child: only the parent draws the bar."""
        bar, self._bar = self._bar, None
        _disable(bar)

    def close_at_once(self, items: int) -> bool:
        """Count the last items and close, unless a lock is held: then return False."""
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
    """How often this thread holds each lock, by the id of the lock."""
    return {id(lock): _depth(lock) for lock in _drawing_locks()}


def _let_go(before: dict[int, int]) -> None:
    """Release what tqdm still holds after drawing failed; locks may be new."""
    for lock in _drawing_locks():
        for _ in range(_depth(lock) - before.get(id(lock), 0)):
            lock.release()


def _depth(lock: Any) -> int:
    """How often this thread holds a reentrant lock, of threads or processes."""
    semaphore = getattr(lock, "_semlock", None)
    if semaphore is not None:
        return semaphore._count() if semaphore._is_mine() else 0
    return locks.depth(lock) if hasattr(lock, "_is_owned") else 0


def _disable(bar: Any) -> None:
    """Make a bar draw nothing more, neither when collected nor for other bars."""
    with contextlib.suppress(Exception):
        bar.disable = True
        type(bar)._instances.discard(bar)


def _disable_unfinished(make: Any) -> None:
    """Disable a bar whose construction failed."""
    for bar in list(getattr(make, "_instances", ())):
        if not bar.disable and not hasattr(bar, "last_print_t"):
            _disable(bar)


def _discard_unwritten(stream: Any) -> None:
    """Empty the buffer of a stream that cannot be written to.

    Python would try again at exit, and then exit with status 120. Meanwhile the
    descriptor refers to the null device: only a flush empties all layers.
    """
    with contextlib.suppress(Exception):  # the stream is None, or not of a file
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
    if null != descriptor:  # equal if that was the lowest free number
        os.dup2(null, descriptor)
        os.close(null)
    stream.flush()


def _nothing() -> None:
    return None


def _warn(error: Exception) -> None:
    text = f"there is no progress bar: {type(error).__name__}: {error}"
    with contextlib.suppress(Exception):  # warnings may be turned into errors
        warnings.warn(text, RuntimeWarning, stacklevel=2)


# At interpreter shutdown nothing can be drawn any more: a bar held by a module is
# closed before. Single operations only, so no lock is needed.

_open_bars: weakref.WeakSet[Progress] = weakref.WeakSet()
_registered: set[bool] = set()


def _close_at_exit(progress: Progress) -> None:
    _open_bars.add(progress)
    lifecycle.watch_forks(progress)
    if not _registered:
        _registered.add(True)
        atexit.register(_close_all)


def _close_all() -> None:
    for progress in locks.members(_open_bars):
        progress.close_with_all()


def _tqdm() -> Any:  # two classes are possible, without a common declared base
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
    """Return the class itself if it has a lock, else a subclass that has one.

    The default would be a lock for processes, which may start a process that tracks
    it. Our bars are only drawn by the reader's process. tqdm's own class is left
    unchanged, for other users: tqdm passes its lock to their processes.
    """
    if hasattr(bar, "_lock") or not isinstance(bar, type):  # e.g. a partial of one
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
