"""Objects that are put into shared memory once and read by every worker.

```
 share(array) ──▶ anonymous memory ◀══ mapped, read-only ═══════ worker 1, 2, …
      │                                             ▲
      ▼                                             │
   Shared ── as an argument: its number ──▶ Shared ─┘ get()
```

The buffers of the object (above all numpy arrays) are in the system's memory once,
however many processes read them. A handle is sent as a number; the descriptor of the
memory is sent to each worker ahead of the first call that has the handle.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import sys
import threading
import weakref
from types import GenericAlias

from parallelize.process.wire.memfd import mapped, nameless_memory
from parallelize.runtime import locks, native
from parallelize.serialize import pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Generic, Self, TypeVar

    T = TypeVar("T")
else:  # importing typing takes about as long as all other imports of a worker
    Generic, T = {None: object}, None

_ALIGNMENT = 64
_NUMBER = 8  # bytes of each number at the head of the memory


class Shared(Generic[T]):
    """A handle on an object that was put into shared memory by `share`.

    Pass it to calls as an argument and call `get()` there. Each process, including the
    one that called `share`, builds the object once, on top of the shared memory, so
    that its arrays are views of that memory. Calls in threads share the object of
    their process. The object that was passed to `share` is not kept.

    The memory is freed when the handle and everything obtained from it are gone.
    """

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(GenericAlias)

    def __init__(self, id: int, memory: _Memory) -> None:
        """Called by `share`."""
        self._id: int = id
        self._memory: _Memory | None = memory
        self._value: Any = _NOT_MADE  # of type T, once it is made
        self._at_end: list[Callable[[int], object]] = []

    def get(self) -> T:
        """Return the object. Its arrays are read-only; writing to them raises.

        Other calls in the same process get the same object, so do not modify it.

        Raises:
            OSError: The memory did not arrive because this worker has no descriptor
                left for it, or it cannot be mapped.
        """
        if self._value is _NOT_MADE:
            self._value = self._made()
        value: T = self._value
        return value

    def _made(self) -> Any:
        with _arrived:
            _arrived.wait_for(lambda: self._memory is not None or self._id in _failed)
            memory, why = self._memory, _failed.get(self._id)
        if memory is None:
            msg = f"a shared object has not arrived in this worker: {why}"
            raise OSError(errno.EMFILE, msg) from why
        return memory.made()

    @property
    def nbytes(self) -> int:
        """Size of the shared memory in bytes."""
        return 0 if self._memory is None else self._memory.size

    def _descriptor(self) -> int:
        """Return the descriptor by which other processes map the memory."""
        if self._memory is None:
            msg = "the shared memory has not arrived yet"
            raise RuntimeError(msg)
        return self._memory.fd

    def _when_gone(self, tell: Callable[[int], object]) -> None:
        """Call ``tell(id)`` when the handle is collected, in whatever thread."""
        self._at_end.append(tell)

    def __reduce__(self) -> tuple[Callable[..., Shared[Any]], tuple[Any, ...]]:
        noted = _notes.shared
        if noted is not None:
            noted.append(self)
        elif self._id not in _received and self._id not in _inherited:
            msg = (
                "a Shared cannot be pickled, except as an argument of a call in one "
                "of parallelize's process pools"
            )
            raise TypeError(msg)
        if isinstance(self._memory, _Copies):
            return _copy_of, (self._id, self._memory.content())
        return _handle_of, (self._id,)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<Shared {self._id:#x} of {self.nbytes} bytes>"

    def __del__(self) -> None:
        try:
            for tell in self._at_end:
                tell(self._id)
        except Exception:  # noqa: BLE001 - modules may be gone at exit
            pass


_NOT_MADE = object()


def share(obj: T) -> Shared[T]:
    """Put an object into shared memory, once, for all workers to read.

    Use it for a large array (or a data frame, a model, a dict of arrays) that many
    calls need: as an ordinary argument it would be copied for each call.

    Args:
        obj: Any object that can be pickled. The buffers that it passes out of band
            (pickle protocol 5), as numpy, pandas and pyarrow do, are shared; the small
            rest is unpickled once in each process.

    Returns:
        A handle to pass to calls as an argument; they call its ``get()``.

    Raises:
        SerializationError: The object cannot be pickled.
        MemoryError: There is not enough memory.
        OSError: No descriptor is left: each handle takes one.

    Example:
        >>> from parallelize import processed, share
        >>> table = share(list(range(1000)))
        >>> @processed
        ... def entry(handle, number):
        ...     return handle.get()[number]
        >>> entry(table, 7).result()
        7
    """
    parts = _pickled(obj)
    _join_picture()
    memory = _Memory.holding(parts) if sys.platform != "win32" else _Copies(parts)
    shared: Shared[T] = Shared(int.from_bytes(os.urandom(8), "little"), memory)
    _known[shared._id] = shared
    return shared


def _pickled(obj: object) -> Sequence[Any]:
    from parallelize.errors import SerializationError

    try:
        return pickling.dumps_buffers(obj)
    except Exception as error:
        msg = f"obj cannot be shared, it cannot be pickled: {error}"
        raise SerializationError(msg) from error


class _Memory:
    """Memory with the parts of a pickle, after a table of their starts and lengths.

    It takes one descriptor, and is mapped when its parts are requested.
    """

    def __init__(self, fd: int) -> None:
        self.fd: int = fd
        self.size: int = os.fstat(fd).st_size

    @classmethod
    def holding(cls, parts: Sequence[Any]) -> _Memory:
        """Allocate memory and copy these parts into it."""
        places = _places([memoryview(part).nbytes for part in parts])
        try:
            memory = cls(nameless_memory(max(sum(places[-1]), 1)))
            pages = mmap.mmap(memory.fd, 0)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise OSError(error.errno, _no_descriptor()) from error
            msg = f"there is no shared memory of {sum(places[-1])} bytes: {error}"
            raise MemoryError(msg) from error
        with pages:
            head = [len(places), *(number for place in places for number in place)]
            struct.pack_into(f"={len(head)}Q", pages, 0, *head)
            with memoryview(pages) as view:
                for (start, length), part in zip(places, parts, strict=True):
                    view[start : start + length] = memoryview(part).cast("B")
        return memory

    def parts(self) -> list[memoryview]:
        """Return read-only views of the parts."""
        view = mapped(self.fd, self.size, writable=False)
        (count,) = struct.unpack_from("=Q", view)
        numbers = struct.unpack_from(f"={2 * count}Q", view, _NUMBER)
        places = zip(numbers[::2], numbers[1::2], strict=True)
        return [view[start : start + length] for start, length in places]

    def made(self) -> Any:
        """Build the object on top of the parts."""
        return pickling.loads(self.parts())

    _close = staticmethod(os.close)  # `os` may be gone at exit

    def __del__(self) -> None:
        self._close(self.fd)


def _no_descriptor() -> str:
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        "no descriptor is left for a shared object: each handle of share() takes one "
        f"as long as it lives, and this process may have {most} files open. Share "
        "several objects as one, a list or dict of them, drop handles that are not "
        "needed, or raise the limit (ulimit -n)"
    )


class _Elsewhere(_Memory):
    """No memory of this module: another engine provides the object."""

    def __init__(self, make: Callable[[], Any], size: int) -> None:
        self.made = make  # type: ignore[method-assign]
        self.fd: int = -1
        self.size: int = size

    def __del__(self) -> None:
        """There is nothing to close."""


class _Copies(_Memory):
    """The parts themselves, on systems where descriptors cannot be passed."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts: list[memoryview] = [memoryview(bytes(part)) for part in parts]
        self.fd: int = -1
        self.size: int = sum(part.nbytes for part in self._parts)

    def content(self) -> list[bytes]:
        """Return copies of the parts, for pickling."""
        return [bytes(part) for part in self._parts]

    def parts(self) -> list[memoryview]:
        return self._parts

    def __del__(self) -> None:
        """There is nothing to close."""


def _places(lengths: list[int]) -> list[tuple[int, int]]:
    """Return the places of parts of these lengths, after the table at the start."""
    places: list[tuple[int, int]] = []
    end = _NUMBER * (1 + 2 * len(lengths))
    for length in lengths:
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
        places.append((start, length))
        end = start + length
    return places


# -- Handles being sent --------------------------------------------------------------


class _Notes(threading.local):
    shared: list[Shared[Any]] | None = None  # the handles found while pickling


_notes = _Notes()

#: Handles by their numbers: those made in this process, and those sent to this worker.
_known: weakref.WeakValueDictionary[int, Shared[Any]] = weakref.WeakValueDictionary()
_received: dict[int, Shared[Any]] = {}
_failed: dict[int, Exception] = {}
_expecting = False  # whether this is a worker
_inherited: frozenset[int] = (
    frozenset()
)  # those that a forked worker inherited from its parent

# Its lock guards `_received` in a worker; nothing is locked under it.
_arrived = native.Condition(locks.reentrant("shares", native.RLock)())


class noting_shared:  # noqa: N801 - reads as a function in a with statement
    """Within the block, handles can be pickled and are recorded in a list."""

    __slots__ = ("_outer",)

    def __enter__(self) -> list[Shared[Any]]:
        self._outer = _notes.shared
        found: list[Shared[Any]] = []
        _notes.shared = found
        return found

    def __exit__(self, *_: object) -> None:
        _notes.shared = self._outer


def _note(handles: Sequence[Shared[Any]]) -> None:
    """Record handles that the current pickle holds in parts pickled earlier."""
    if _notes.shared is not None:
        _notes.shared += handles


def _join_picture() -> None:
    """Support handles among the globals of the script."""
    from parallelize.serialize.main.picture import world

    world.noting_handles = noting_shared
    world.note_handles = _note


def _handle_of(id: int) -> Shared[Any]:
    """Find a handle, or create one whose memory has not arrived yet."""
    known = _known.get(id)
    if known is not None:
        return known
    with _arrived:
        if id not in _received and not _expecting:
            msg = "the handle of a shared object has come back after it was dropped"
            raise LookupError(msg)
        return _received.setdefault(id, _awaited(id))


def _copy_of(id: int, parts: list[bytes]) -> Shared[Any]:
    known = _known.get(id)
    if known is not None:
        return known
    with _arrived:
        if id not in _received:
            _received[id] = Shared(id, _Copies(parts))
        return _received[id]


def _awaited(id: int) -> Shared[Any]:
    handle: Shared[Any] = Shared.__new__(Shared)
    handle._id, handle._memory, handle._value, handle._at_end = id, None, _NOT_MADE, []
    return handle


def stand_in(id: int, make: Callable[[], T], nbytes: int) -> Shared[T]:
    """Return a handle on an object that is provided in another way.

    It is found by its number as long as it lives. In the process that called `share`,
    this is the original handle.

    Args:
        id: The number by which the handle is sent.
        make: Makes the object.
        nbytes: The size of the object.
    """
    known = _known.get(id)
    if known is not None:
        return known
    handle: Shared[T] = Shared(id, _Elsewhere(make, nbytes))
    _known[id] = handle
    return handle


def expect() -> None:
    """In a worker: allow handles whose memory has not arrived yet."""
    global _expecting, _inherited
    _expecting, _inherited = True, frozenset(_known)


def adopt_none(id: int, why: Exception) -> None:
    """In a worker: the memory of a handle will not come."""
    with _arrived:
        _failed[id] = why
        _arrived.notify_all()


def adopt(id: int, fd: int) -> None:
    """In a worker: take ownership of the memory of a handle.

    Raises:
        OSError: Its size cannot be read.
    """
    memory = _Memory(fd)
    with _arrived:
        _received.setdefault(id, _awaited(id))._memory = memory
        _arrived.notify_all()


def forget(id: int) -> None:
    """In a worker: drop a handle that the parent process no longer has."""
    with _arrived:
        _received.pop(id, None)
        _failed.pop(id, None)
