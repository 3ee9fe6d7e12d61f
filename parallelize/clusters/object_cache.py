"""Objects that were put into a cluster once, for use by many calls.

```
 buffer ─▶ digest ─▶ known? ─▶ its RemoteObject (the engine's reference)
 handle ─▶ number ─▶ known? ─▶ likewise, until the handle is collected
```

A buffer is identified by its content, not by the object: after a change it is a
different one.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from parallelize.clusters.payloads import LEAST_BUFFER, LargePayload, Payload, pack
from parallelize.runtime import locks

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.process.memory.shared import Shared

#: The number of bytes kept in the cluster for later calls, most recently used first.
KEPT_BYTES = 512 << 20


class RemoteObject:
    """An object that is kept in the cluster as long as this one lives.

    Attributes:
        ref: The engine's reference to it.
        nbytes: Its size.
    """

    __slots__ = ("__weakref__", "nbytes", "ref")

    def __init__(self, ref: Any, nbytes: int) -> None:
        self.ref: Any = ref  # of a type of the engine's
        self.nbytes: int = nbytes


class ObjectCache:
    """Puts large objects into a cluster, each once."""

    def __init__(
        self, put: Callable[[Payload], Any], is_there: Callable[[Any], bool]
    ) -> None:
        """Make an empty cache.

        Args:
            put: Puts a payload into the cluster and returns the reference.
            is_there: Whether the cluster still has what a reference refers to.
        """
        self._put = put
        self._is_there = is_there
        self._known: weakref.WeakValueDictionary[bytes, RemoteObject] = (
            weakref.WeakValueDictionary()
        )
        self._kept: OrderedDict[bytes, RemoteObject] = OrderedDict()
        self._shared: dict[int, RemoteObject] = {}
        # Guards the three above; a leaf lock. Reentrant, as a handle may be garbage
        # collected anywhere. Two threads may put the same object at once: harmless.
        self._lock = locks.reentrant("cluster objects")()

    def buffer(self, buffer: Any) -> RemoteObject:
        """Put a large buffer."""
        digest = _digest(buffer)
        with self._lock:
            put = self._known.get(digest)
        if put is None or not self._is_there(put.ref):
            nbytes = memoryview(buffer).nbytes
            put = RemoteObject(self._put(LargePayload(b"", [buffer])), nbytes)
        self._keep(digest, put)
        return put

    def _keep(self, digest: bytes, put: RemoteObject) -> None:
        with self._lock:
            self._known[digest] = self._kept[digest] = put
            self._kept.move_to_end(digest)
            total = sum(each.nbytes for each in self._kept.values())
            while total > KEPT_BYTES:
                total -= self._kept.popitem(last=False)[1].nbytes

    def value(self, value: object) -> tuple[Any, RemoteObject | None]:
        """Return what to submit for a value: a small payload, or a reference."""
        payload = pack(value)
        if payload.nbytes < LEAST_BUFFER:
            return payload, None
        put = RemoteObject(self._put(payload), payload.nbytes)
        return put.ref, put

    def shared(self, handle: Shared[Any]) -> RemoteObject:
        """Put a shared object."""
        with self._lock:
            put = self._shared.get(handle._id)
        if put is None or not self._is_there(put.ref):
            payload = pack(handle.get())
            put = RemoteObject(self._put(payload), payload.nbytes)
            with self._lock:
                self._shared[handle._id] = put
            handle._when_gone(self._forget_shared)
        return put

    def _forget_shared(self, id: int) -> None:
        with self._lock:
            self._shared.pop(id, None)

    def clear(self) -> None:
        """Forget all objects."""
        with self._lock:
            self._kept.clear()
            self._shared.clear()


def _digest(buffer: Any) -> bytes:
    import hashlib

    return hashlib.sha256(buffer).digest()
