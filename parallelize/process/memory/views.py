"""The receiver's side of `segments`: views of the buffers of messages.

A segment may hold messages to several workers. A worker therefore maps it
copy-on-write, and drops what it has written to the place of a message before it reads
the message: a task that writes past the end of an array cannot damage other messages.

After a fork, parent and child would see each other's writes to the views. So before a
fork the views are made private: the same pages at the same addresses, but
copy-on-write. Such a segment is not reused.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import weakref
from collections import deque

from parallelize.process.memory.segments import SHARED_SIZE, mapping
from parallelize.process.wire.frames import ProtocolError
from parallelize.process.wire.memfd import UNTRACKED
from parallelize.runtime import locks, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from parallelize.process.memory.segments import Place

_new_lock = locks.reentrant("leases", native.RLock)

_MAP_FIXED = 0x10  # on Linux, macOS and the BSDs; Python has no name for it


class Release:
    """The views of one message are gone.

    Attributes:
        id: The id of the segment in which the message was.
        reusable: False if a forked child may still have the views.
        large: Whether much memory cannot be reused until the sender is notified.
    """

    __slots__ = ("id", "large", "reusable")

    def __init__(self, id: int, *, reusable: bool, large: bool) -> None:
        self.id: int = id
        self.reusable: bool = reusable
        self.large: bool = large


#: This many small releases are sent together; the sender has other pages meanwhile.
RELEASES_AT_ONCE = 16


class Releases:
    """Releases that have not been sent to the sender of the segments yet."""

    def __init__(self) -> None:
        self._waiting: deque[Release] = deque()
        self._large = False

    def add(self, release: Release) -> None:
        """Add a release. Thread-safe and lock-free; callable from finalizers."""
        self._waiting.append(release)
        if release.large:
            self._large = True

    @property
    def are_urgent(self) -> bool:
        """Whether the sender should be notified now."""
        return self._large or len(self._waiting) >= RELEASES_AT_ONCE

    def take(self) -> list[Release]:
        """Remove and return the releases that were added."""
        self._large = False
        taken: list[Release] = []
        with contextlib.suppress(IndexError):  # another thread may take some, too
            while True:
                taken.append(self._waiting.popleft())
        return taken


class Received:
    """The segments of one sender, on the receiver's side.

    Args:
        released: Called with a `Release` when the last view of a message is
            collected: at any time, in any thread.
        with_others: Whether other processes read the same segments.
    """

    def __init__(
        self, released: Callable[[Release], object], *, with_others: bool = False
    ) -> None:
        self._released = released
        self._with_others = with_others
        self._mapped: dict[int, _Mapped] = {}

    def __contains__(self, id: int) -> bool:
        return id in self._mapped

    def __len__(self) -> int:
        return len(self._mapped)

    def add(self, id: int, fd: int) -> None:
        """Map a segment and take ownership of its descriptor.

        Raises:
            MemoryError: The system does not allow more mappings.
        """
        self._mapped[id] = _Mapped(fd, with_others=self._with_others)

    def drop(self, id: int) -> None:
        """Drop a segment that the sender has given up; its views stay valid."""
        self._mapped.pop(id, None)

    def views(
        self, id: int, places: Sequence[Place], *, copied: bool
    ) -> list[memoryview | bytearray]:
        """Return the buffers of one message.

        Args:
            id: The segment.
            places: Where the buffers are in it.
            copied: Whether to copy them, so that the segment's content is kept.

        Raises:
            ProtocolError: There is no such segment, or a place is not within it.
        """
        mapped = self._mapped.get(id)
        end = max((start + length for start, length in places), default=0)
        if mapped is None or not 0 < end <= len(mapped.pages):
            msg = f"buffers up to {end} of segment {id}"
            raise ProtocolError(msg)
        if mapped.forked:
            mapped = self._mapped[id] = mapped.map_again()
        mapped.refresh(places[0][0], end)
        lease = _Lease(id, mapped, self._released)
        views = [lease.view(*place) for place in places]
        return [*map(bytearray, views)] if copied else [*views]

    def close(self) -> None:
        """Drop all segments."""
        self._mapped.clear()


class _Mapped:
    """A segment's memory in this process."""

    def __init__(self, fd: int, *, with_others: bool) -> None:
        self.fd = fd
        self.forked = False  # if True, messages sent later are not visible here
        size = os.fstat(fd).st_size
        # Other systems cannot drop what was written (see `refresh`).
        self.private: bool = (
            with_others and size == SHARED_SIZE and sys.platform == "linux"
        )
        try:
            if self.private:
                self.pages = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, **UNTRACKED)
            else:
                self.pages = mapping(fd, size)
        except (OSError, ValueError) as error:
            msg = f"{size} bytes do not fit into memory: {error}"
            raise MemoryError(msg) from error

    def map_again(self) -> _Mapped:
        """Map the same segment again."""
        return _Mapped(os.dup(self.fd), with_others=self.private)

    def refresh(self, start: int, end: int) -> None:
        """Drop local writes to the place of a message, so that it becomes visible."""
        if self.private:
            self.pages.madvise(mmap.MADV_DONTNEED, start, end - start)

    _close = staticmethod(os.close)  # `os` may be gone at exit

    def __del__(self) -> None:
        self._close(self.fd)


class _Lease:
    """The views of one message; each of them keeps this object alive."""

    def __init__(
        self,
        id: int,
        mapped: _Mapped,
        released: Callable[[Release], object],
    ) -> None:
        self._id = id
        self._mapped = mapped
        self._released = released
        self._reusable = True
        with _forking:  # a fork in another thread waits, and then finds it
            _live_leases().add(self)

    def view(self, start: int, length: int) -> memoryview:
        import ctypes

        # Everything derived from the view refers to this array, and so to the lease.
        array = (ctypes.c_ubyte * length).from_buffer(self._mapped.pages, start)
        array.lease = self  # type: ignore[attr-defined]
        return memoryview(array).cast("B")

    def keep_from_child(self) -> None:
        """Map the same pages again at the same address, private to this process."""
        import ctypes

        self._reusable = False
        if self._mapped.private or self._mapped.forked:
            return
        self._mapped.forked = True
        pages = self._mapped.pages
        address = ctypes.addressof(ctypes.c_ubyte.from_buffer(pages))
        libc_mmap = ctypes.CDLL(None).mmap
        libc_mmap.argtypes = _mmap_arguments(ctypes)
        flags = mmap.MAP_PRIVATE | _MAP_FIXED
        rights = mmap.PROT_READ | mmap.PROT_WRITE
        libc_mmap(address, len(pages), rights, flags, self._mapped.fd, 0)

    def __del__(self) -> None:
        try:
            large = len(self._mapped.pages) > SHARED_SIZE
            self._released(Release(self._id, reusable=self._reusable, large=large))
        except Exception:  # noqa: BLE001 - modules may be gone at exit
            pass


_live: weakref.WeakSet[_Lease] | None = None

# Held while a lease is registered, and by a thread that forks until the fork is done.
# Fork hooks and finalizers run under it; nothing else is locked meanwhile.
_forking = _new_lock()


def _live_leases() -> weakref.WeakSet[_Lease]:
    global _live
    if _live is None:
        _live = weakref.WeakSet()
        locks.at_fork(
            before=_before_fork,
            after_in_parent=_after_fork_in_parent,
            after_in_child=_after_fork_in_child,
        )
    return _live


def _before_fork() -> None:
    _forking.acquire()
    for lease in () if _live is None else locks.members(_live):
        with contextlib.suppress(Exception):  # the fork takes place anyway
            lease.keep_from_child()


def _after_fork_in_parent() -> None:
    _forking.release()


def _after_fork_in_child() -> None:
    global _forking
    _forking = _new_lock()


def _mmap_arguments(ctypes: Any) -> list[type]:
    number = ctypes.c_int
    return [ctypes.c_void_p, ctypes.c_size_t, number, number, number, ctypes.c_long]
