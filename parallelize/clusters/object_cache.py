"""What the workers of another engine were given once, to be used by many calls.

```
 buffer ─▶ digest ─▶ known? ─▶ its Put          (the engine's reference)
 handle ─▶ number ─▶ known? ─▶ likewise, until the handle is collected
```

A buffer is known by what is in it, not by which object it is: one that was changed
since is another.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from parallelize.clusters.parcels import LEAST_BUFFER, LargePayload, Payload, pack
from parallelize.runtime import locks

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.process.memory.shared import Shared

#: So many bytes are kept in the cluster for calls that may come, the latest ones.
KEPT_BYTES = 512 << 20


class RemoteObject:
    """Something that is in the cluster, as long as this object lives.

    Attributes:
        ref: The engine's reference to it.
        nbytes: How large it is.
    """

    __slots__ = ("__weakref__", "nbytes", "ref")

    def __init__(self, ref: Any, nbytes: int) -> None:
        self.ref: Any = ref  # of a type that the engine knows
        self.nbytes: int = nbytes


class ObjectCache:
    """Puts large things into a cluster, each once."""

    def __init__(
        self, put: Callable[[Payload], Any], is_there: Callable[[Any], bool]
    ) -> None:
        """Begin with nothing.

        Args:
            put: Puts something into the cluster and returns the reference.
            is_there: Whether the cluster still has what a reference refers to.
        """
        self._put = put
        self._is_there = is_there
        self._known: weakref.WeakValueDictionary[bytes, RemoteObject] = (
            weakref.WeakValueDictionary()
        )
        self._kept: OrderedDict[bytes, RemoteObject] = OrderedDict()
        self._shared: dict[int, RemoteObject] = {}
        # Guards all of them; nothing is taken under it. Reentrant as a handle may be
        # collected anywhere. Two threads may put the same thing at once: no harm.
        self._lock = locks.reentrant("puts")()

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
        """What to hand over for a value: a small parcel, or where it was put."""
        parcel = pack(value)
        if parcel.nbytes < LEAST_BUFFER:
            return parcel, None
        put = RemoteObject(self._put(parcel), parcel.nbytes)
        return put.ref, put

    def shared(self, handle: Shared[Any]) -> RemoteObject:
        """Put a shared object."""
        with self._lock:
            put = self._shared.get(handle.id)
        if put is None or not self._is_there(put.ref):
            parcel = pack(handle.get())
            put = RemoteObject(self._put(parcel), parcel.nbytes)
            with self._lock:
                self._shared[handle.id] = put
            handle.when_gone(self._forget_shared)
        return put

    def _forget_shared(self, id: int) -> None:
        with self._lock:
            self._shared.pop(id, None)

    def clear(self) -> None:
        """Keep nothing more."""
        with self._lock:
            self._kept.clear()
            self._shared.clear()


def _digest(buffer: Any) -> bytes:
    import hashlib

    return hashlib.sha256(buffer).digest()
