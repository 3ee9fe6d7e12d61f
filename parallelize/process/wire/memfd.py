"""Anonymous memory that processes share by passing a descriptor.

The system frees it when its last user is gone, however that user ended, and the limits
that containers set on /dev/shm do not apply to it.
"""

from __future__ import annotations

import os


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


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("parallelize", os.MFD_CLOEXEC)
    import tempfile

    fd, name = tempfile.mkstemp()  # mode 0600, close-on-exec
    os.unlink(name)
    return fd
