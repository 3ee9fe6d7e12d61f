"""The bottom layer: locks, clocks, threads, and what runs at exit and after a fork."""

from __future__ import annotations

import gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


def uncollected(load: Callable[[], T]) -> T:
    """Call what loads modules, while the garbage collector rests.

    All that they make is there to stay, so the collections that this sets off would
    free nothing. They take a tenth of the time in which a first call loads its modules.
    """
    collects = gc.isenabled()
    try:
        gc.disable()
        return load()
    finally:
        if collects:
            gc.enable()
