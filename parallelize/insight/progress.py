"""The progress bar of a map."""

from __future__ import annotations

import sys
from _thread import RLock
from typing import Any

from parallelize import locks


class Progress:
    """A tqdm bar: in the terminal, or in the notebook where there is one."""

    def __init__(self, description: str | None, total: int | None) -> None:
        """Show the bar.

        Args:
            description: Stands before the bar.
            total: How many items there will be, if that is known.
        """
        make = _tqdm()
        self._bar = make(desc=description, total=total)
        # A lock of tqdm's own, for processes too, cannot be tried.
        self._has_own_lock = make in _ours.values() or not hasattr(make, "_lock")

    def advance(self, items: int) -> None:
        """So many items more were given to the reader."""
        self._bar.update(items)

    def close(self) -> None:
        """Leave the bar as it stands; closing again does nothing."""
        self._bar.close()

    def close_at_once(self, items: int) -> bool:
        """Count the last items and close, without waiting for a lock; False if not."""
        lock = getattr(self._bar, "_lock", None)
        if lock is None:
            lock = RLock()
        if not self._has_own_lock or not lock.acquire(blocking=False):
            return False
        try:
            self.advance(items)
            self.close()
        finally:
            lock.release()
        return True


def _tqdm() -> Any:  # one of two classes that share no declared base
    from tqdm import tqdm

    if not _in_notebook():
        return _with_lock(tqdm)
    from tqdm.auto import tqdm as tqdm_auto

    return _with_lock(tqdm_auto)


def _with_lock(bar: Any) -> Any:
    """The class itself if it has a lock, else one of ours that has.

    The default would be a lock between processes, and may start a process that
    watches over it. Our bars are drawn by the reader's process alone. What tqdm does
    for others is left as it is: it sends its lock to their processes.
    """
    if hasattr(bar, "_lock"):
        return bar
    if bar not in _ours:
        own = {"_lock": locks.reentrant("progress")()}
        _ours[bar] = type(bar.__name__, (bar,), own)
    return _ours[bar]


_ours: dict[Any, Any] = {}


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
