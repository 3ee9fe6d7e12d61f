"""A thread of a pool that waits for a stream holds a place and does no work.

So others have its place meanwhile: what it waits for may stand in the queue behind
that very place.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def aside() -> AbstractContextManager[object]:
    """Within the block this thread waits; if it is one of a pool, others may work."""
    # What is not loaded has no thread. It may be half loaded, by another thread.
    threads = sys.modules.get("parallelize.executors.thread")
    here = getattr(threads, "_here", None)
    worker = None if here is None else here.worker
    if worker is None:
        return contextlib.nullcontext()
    place: AbstractContextManager[object] = worker.engine.place_lent()
    return place
