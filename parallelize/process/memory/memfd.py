"""Memory that processes share by passing a descriptor, and that has no name.

Nothing is left of it when its last user has gone, however that came about, and
the limits that containers set on /dev/shm do not concern it.
"""

from __future__ import annotations

import os


def nameless_memory(size: int) -> int:
    """Return the descriptor of so many bytes of new memory, all zero.

    The memory is there when this returns. To touch what the system turns out not
    to have would end the process by a signal.

    Raises:
        OSError: No descriptor or no memory is to be had.
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
