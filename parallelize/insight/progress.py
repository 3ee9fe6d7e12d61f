"""The progress bar of a map."""

from __future__ import annotations

import sys
import threading
from typing import Any


class Progress:
    """A tqdm bar: in the terminal, or in the notebook where there is one."""

    def __init__(self, description: str | None, total: int | None) -> None:
        """Show the bar.

        Args:
            description: Stands before the bar.
            total: How many items there will be, if that is known.
        """
        self._bar = _tqdm()(desc=description, total=total)

    def advance(self, items: int) -> None:
        """So many items more were given to the reader."""
        self._bar.update(items)

    def close(self) -> None:
        """Leave the bar as it stands; closing again does nothing."""
        self._bar.close()


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
        _ours[bar] = type(bar.__name__, (bar,), {"_lock": threading.RLock()})
    return _ours[bar]


_ours: dict[Any, Any] = {}


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
