"""The signal that makes a worker print its stacks when it cannot answer otherwise.

A worker's watcher thread reports the stacks, unless C code holds the interpreter. The
signal is handled even then: without Python code, on standard error.
"""

from __future__ import annotations

import contextlib
import signal

#: A signal that is ignored by a process without a handler. Windows has none.
SHOW: int | None = getattr(signal, "SIGURG", None)


def show_at_signal() -> None:
    """Write the stacks of this process to its standard error at the signal `SHOW`."""
    import faulthandler

    if SHOW is not None:
        with contextlib.suppress(Exception):  # no usable stderr
            faulthandler.register(SHOW, all_threads=True)
