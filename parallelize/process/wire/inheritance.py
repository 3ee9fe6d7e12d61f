"""Locks, queues and shared values of multiprocessing among an initializer's arguments.

They can only be pickled while a child process is being started, because their
descriptors have to be passed to it. So the pool presents itself to multiprocessing as
a child that is being started while it pickles the arguments, keeps copies of the
descriptors, and sends them to each worker together with its sockets.
"""

from __future__ import annotations

import contextlib
import importlib
import os

from parallelize.process.wire.interpreter_state import loaded
from parallelize.serialize import pickling
from parallelize.serialize.reducers import reductions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallelize.process.wire.frames import Part

#: In a worker: the descriptors that it was given at its start.
received: list[int] = []


class InheritedDescriptor:
    """Stands for a descriptor in a pickle; multiprocessing calls `detach` on it."""

    def __init__(self, index: int) -> None:
        self._index = index

    def detach(self) -> int:
        """Return a copy of the descriptor, in the worker."""
        return os.dup(received[self._index])


class Inheritance:
    """The descriptors that every worker of a pool is given; closed with the pool."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    # The interface that multiprocessing expects of a child that is being started.

    def duplicate_for_child(self, fd: int) -> int:
        """Keep a copy of a descriptor; return its index."""
        self.fds.append(os.dup(fd))
        return len(self.fds) - 1

    DupFd = InheritedDescriptor

    def dumps(self, value: object) -> Sequence[Part]:
        """Pickle a value that may hold objects of multiprocessing."""
        # Import it only if the value holds something of multiprocessing.
        context = loaded("multiprocessing.context")
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
