"""Anonymous memory that processes share by passing a descriptor.

The system frees it when its last user is gone, however that user ended, and the limits
that containers set on /dev/shm do not apply to it.
"""

from __future__ import annotations

import mmap
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Mappings keep a copy of their descriptor, which they need only to be resized; before
# Python 3.13 this cannot be prevented.
UNTRACKED: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}


def nameless_memory(size: int) -> int:
    """Return the descriptor of ``size`` bytes of new, zeroed memory.

    The memory is allocated when this returns. If it were not, accessing it when the
    system has run out would end the process by a signal.

    Raises:
        OSError: No descriptor or no memory is available.
    """
    fd = _nameless_file()
    try:
        os.ftruncate(fd, size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def mapped(fd: int, size: int, *, writable: bool) -> memoryview:
    """Map memory without keeping a descriptor of it.

    The memory stays mapped as long as the view, or another view of it, exists.

    Args:
        fd: The descriptor of the memory; the caller may close it afterwards.
        size: Its size in bytes.
        writable: Whether the view can be written to.

    Raises:
        OSError: It cannot be mapped.
    """
    if not UNTRACKED:
        try:
            return _mapped_by_libc(fd, size, writable=writable)
        except ImportError:  # a Python without ctypes: it keeps a descriptor
            pass
    access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
    return memoryview(mmap.mmap(fd, size, access=access, **UNTRACKED))


def _mapped_by_libc(fd: int, size: int, *, writable: bool) -> memoryview:
    import ctypes
    import weakref

    libc = ctypes.CDLL(None, use_errno=True)
    number = ctypes.c_int
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        *(ctypes.c_void_p, ctypes.c_size_t, number, number, number),
        ctypes.c_long,
    )
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    rights = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    address = libc.mmap(None, size, rights, mmap.MAP_SHARED, fd, 0)
    if address == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    array = (ctypes.c_ubyte * size).from_address(address)
    # Not at exit: there may still be views.
    weakref.finalize(array, libc.munmap, address, size).atexit = False
    view = memoryview(array).cast("B")
    return view if writable else view.toreadonly()


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("parallelize", os.MFD_CLOEXEC)
    import tempfile

    fd, name = tempfile.mkstemp()  # mode 0600, close-on-exec
    os.unlink(name)
    return fd
