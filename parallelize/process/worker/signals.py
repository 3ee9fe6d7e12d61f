"""The signal at which a worker shows where it is, when it can do nothing else.

The watcher of a worker tells where its main thread is, unless C code holds the
interpreter. The signal is answered even then, without Python, on standard error.
"""

from __future__ import annotations

import contextlib
import signal

#: Who has no handler for this signal is not harmed by it. Windows has none such.
SHOW: int | None = getattr(signal, "SIGURG", None)


def show_at_signal() -> None:
    """From now on write the stacks of this process to its standard error when told."""
    import faulthandler

    if SHOW is not None:
        with contextlib.suppress(Exception):  # no usable stderr
            faulthandler.register(SHOW, all_threads=True)
