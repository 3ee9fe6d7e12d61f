"""The receiver's end of `segments`: views of the buffers of messages.

Messages to several workers may stand in one segment. A worker therefore maps it in
such a way that what it writes is its own, and drops what it has written there before
it looks at a message: a task that writes past the end of an array harms nobody else's.

A process that forks would share its views with the child, both ways. So before a
fork they are made its own: the same pages at the same addresses, of which the first
to write to one gets a copy. Such a segment is not used again.
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
        id: The segment in which it was.
        reusable: False if a forked child may have the views still.
        large: Whether much memory waits for this to be told.
    """

    __slots__ = ("id", "large", "reusable")

    def __init__(self, id: int, *, reusable: bool, large: bool) -> None:
        self.id: int = id
        self.reusable: bool = reusable
        self.large: bool = large


#: So many small releases are told at once; the sender has other pages meanwhile.
RELEASES_AT_ONCE = 16


class Releases:
    """What has to be told to a sender; told by whoever has the time."""

    def __init__(self) -> None:
        self._waiting: deque[Release] = deque()
        self._large = False

    def add(self, release: Release) -> None:
        """Note one, at any moment, in any thread."""
        self._waiting.append(release)
        if release.large:
            self._large = True

    @property
    def are_urgent(self) -> bool:
        """Whether the sender should get to know now."""
        return self._large or len(self._waiting) >= RELEASES_AT_ONCE

    def take(self) -> list[Release]:
        """Those that were noted, once."""
        self._large = False
        taken: list[Release] = []
        with contextlib.suppress(IndexError):  # also when another thread takes some
            while True:
                taken.append(self._waiting.popleft())
        return taken


class Received:
    """The segments of one sender, at the receiver's end.

    Args:
        released: Called with a `Release` when the last view of a message is
            collected: at any moment, in any thread.
        with_others: Whether there are others who read the same segments.
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
        """Map a segment; the descriptor is ours from now on.

        Raises:
            MemoryError: The system lets no more be mapped.
        """
        self._mapped[id] = _Mapped(fd, with_others=self._with_others)

    def drop(self, id: int) -> None:
        """The sender has given the segment up; views stay as they are."""
        self._mapped.pop(id, None)

    def views(
        self, id: int, places: Sequence[Place], *, copied: bool
    ) -> list[memoryview | bytearray]:
        """Return the buffers of one message.

        Args:
            id: The segment.
            places: Where the buffers are in it.
            copied: Whether they are to be copied, so that the segment keeps them.

        Raises:
            ProtocolError: There is no such segment, or a place is not within it.
        """
        mapped = self._mapped.get(id)
        end = max((start + length for start, length in places), default=0)
        if mapped is None or not 0 < end <= len(mapped.pages):
            msg = f"buffers up to {end} of segment {id}"
            raise ProtocolError(msg)
        if mapped.forked:
            mapped = self._mapped[id] = mapped.anew()
        mapped.refresh(places[0][0], end)
        lease = _Lease(id, mapped, self._released)
        views = [lease.view(*place) for place in places]
        return [*map(bytearray, views)] if copied else [*views]

    def close(self) -> None:
        """Drop all of them."""
        self._mapped.clear()


class _Mapped:
    """A segment's memory in this process."""

    def __init__(self, fd: int, *, with_others: bool) -> None:
        self.fd = fd
        self.forked = False  # what is sent later does not show any more
        size = os.fstat(fd).st_size
        # Elsewhere what was written could not be dropped.
        self.private: bool = (
            with_others and size == SHARED_SIZE and sys.platform == "linux"
        )
        try:
            if self.private:
                self.pages = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE)
            else:
                self.pages = mapping(fd, size)
        except (OSError, ValueError) as error:
            msg = f"{size} bytes do not fit into memory: {error}"
            raise MemoryError(msg) from error

    def anew(self) -> _Mapped:
        """The same segment, mapped once more."""
        return _Mapped(os.dup(self.fd), with_others=self.private)

    def refresh(self, start: int, end: int) -> None:
        """Forget what was written here to the place of a message, so that it shows."""
        if self.private:
            self.pages.madvise(mmap.MADV_DONTNEED, start, end - start)

    _close = staticmethod(os.close)  # `os` may be gone at exit

    def __del__(self) -> None:
        self._close(self.fd)


class _Lease:
    """The views of one message; each of them keeps this object."""

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
        with _forking:  # a fork waits, and sees it
            _live_leases().add(self)

    def view(self, start: int, length: int) -> memoryview:
        import ctypes

        # Whatever is made of the view holds this array, and so the lease.
        array = (ctypes.c_ubyte * length).from_buffer(self._mapped.pages, start)
        array.lease = self  # type: ignore[attr-defined]
        return memoryview(array).cast("B")

    def keep_from_child(self) -> None:
        """Map the same pages at the same place once more, for this process alone."""
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

# Held while a lease is noted, and by who forks, until the fork is done. The hooks
# and finalisers run under it; nothing else is locked then.
_forking = _new_lock()


def _live_leases() -> weakref.WeakSet[_Lease]:
    global _live
    if _live is None:
        _live = weakref.WeakSet()
        os.register_at_fork(
            before=_before_fork,
            after_in_parent=_after_fork_in_parent,
            after_in_child=_after_fork_in_child,
        )
    return _live


def _before_fork() -> None:
    _forking.acquire()
    for lease in list(_live or ()):
        with contextlib.suppress(Exception):  # the fork takes place all the same
            lease.keep_from_child()


def _after_fork_in_parent() -> None:
    _forking.release()


def _after_fork_in_child() -> None:
    global _forking
    _forking = _new_lock()


def _mmap_arguments(ctypes: Any) -> list[type]:
    number = ctypes.c_int
    return [ctypes.c_void_p, ctypes.c_size_t, number, number, number, ctypes.c_long]
