"""Locks, queues and shared values of multiprocessing among an initializer's arguments.

These may be pickled only while a child is being started, because descriptors
have to go along. So the pool shows multiprocessing a child that is being
started while it pickles the arguments, keeps the descriptors that are named,
and sends them to each worker together with its sockets.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

from parallelize.serialize import pickling
from parallelize.serialize.reducers import reductions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from parallelize.process.wire.frames import Part

#: In a worker: the descriptors that came with it.
received: list[int] = []


class Descriptor:
    """Stands for a descriptor in a pickle; multiprocessing calls `detach` on it."""

    def __init__(self, index: int) -> None:
        self._index = index

    def detach(self) -> int:
        """Return the descriptor in the worker."""
        return os.dup(received[self._index])


class Inheritance:
    """The descriptors that every worker of a pool is given; closed with the pool."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    # What multiprocessing expects of a child that is being started.

    def duplicate_for_child(self, fd: int) -> int:
        """Keep a copy of a descriptor; return what stands for it."""
        self.fds.append(os.dup(fd))
        return len(self.fds) - 1

    DupFd = Descriptor

    def dumps(self, value: object) -> Sequence[Part]:
        """Pickle a value that may hold objects of multiprocessing."""
        # Loaded only by those who have something of multiprocessing to pass.
        context: Any = sys.modules.get("multiprocessing.context")
        if context is None:
            with (
                reductions.refusing("each worker needs one"),
                contextlib.suppress(reductions.NotForManyError),
            ):
                return pickling.dumps(value)
            context = importlib.import_module("multiprocessing.context")
        context.set_spawning_popen(self)
        try:
            return [self._dumps(value)]
        finally:
            context.set_spawning_popen(None)

    def _dumps(self, value: object) -> bytes:
        from parallelize.serialize.main import encoding as main_encoding

        importlib.import_module("multiprocessing.reduction")
        reductions.look()
        return main_encoding.encode(value)

    def close(self) -> None:
        """Close the copies."""
        while self.fds:
            os.close(self.fds.pop())
