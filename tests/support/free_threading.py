"""What is different on a free-threaded Python, for the tests that would notice.

* An object is freed by the thread that has made it. Where another thread drops the last
  reference, that happens when the first one runs Python code again: a thread that waits
  for something does not. And functions, classes and modules are freed only by the
  garbage collector.
* The allocator reserves address space far ahead and gives memory back later. So a limit
  of a process's address space is no limit of what a call can allocate, and its resident
  memory says less of what it holds.
* A signal that arrives in the instant in which the main thread begins to wait for a lock
  is handled when that wait is over. It is the same with the futures of the standard
  library.
"""

import contextlib
import signal
import subprocess
import sys

import pytest

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


def _skipped(reason):
    return pytest.mark.skipif(FREE_THREADED, reason=f"free-threaded Python: {reason}")


freed_at_once = _skipped("objects are freed when the thread that made them runs again")
limited_memory = _skipped("its allocator reserves address space far ahead")


def again_if_unseen(process):
    """Press Ctrl-C once more if the program does not end by the first: see above."""
    if FREE_THREADED:
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                process.send_signal(signal.SIGINT)
