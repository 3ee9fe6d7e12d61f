"""A server that boots while the parent process still imports the rest of the engine.

The first call of a pool needs an interpreter to fork workers from, and the pool's
modules. Each takes about ten milliseconds, and neither depends on the other:

```
 parent   first call ── spawn ──▶ import executor, pool ── START ──▶ encode the call
 server                   └─────▶ boot, import the worker ───▶ fork
 worker                                                          └──▶ begin to serve
```
"""

from __future__ import annotations

import contextlib
import os
import sys

from parallelize.process.start import launcher
from parallelize.runtime import lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from parallelize.process.start.config import PoolSettings


#: File descriptors that a pool needs for one worker, with a few to spare.
DESCRIPTORS = 16


class Prestart:
    """Owns a server until a pool adopts it; closes it if no pool does.

    Args:
        method: The start method of the workers; None starts no server.

    Attributes:
        method: How its workers are started; None if there is no server.
        launcher: The handle on the server; None if there is none or it was adopted.

    Raises:
        RuntimeError: The interpreter is ending; nothing new may start.
    """

    def __init__(self, method: str | None) -> None:
        self.method: str | None = method
        self.launcher: launcher.Launcher | None = None
        lifecycle.register(self)
        if method is not None:
            # The pool tries again; if that fails, too, the call reports the error.
            with contextlib.suppress(Exception):
                _look_for_room()
                self.launcher = launcher.launcher(method)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Release the server."""
        if self.launcher is not None:
            self.launcher.close()

    abandon = finish

    def forget(self) -> None:
        """In a forked child: the server is the parent's."""
        if self.launcher is not None:
            self.launcher.forget()
        self.launcher = None


def prestart(settings: PoolSettings) -> Prestart:
    """Start the server of a pool with these settings.

    None is started if workers are forks of this process, or if there is an
    initializer: it may turn out that it cannot be pickled.
    """
    is_possible = settings.method != "fork" and settings.initializer is None
    return Prestart(settings.method if is_possible else None)


def prestart_default() -> Prestart:
    """Start the server of a pool that is made without arguments.

    None is started if another start method may have been set in multiprocessing.
    """
    method = launcher.possible(launcher.METHODS[0])
    is_settled = "multiprocessing" not in sys.modules
    return Prestart(method if is_settled and method != "fork" else None)


def _look_for_room() -> None:
    """Raise OSError if there are too few descriptors for a pool.

    Otherwise the server's interpreter, which has the same limit, would fail to start
    and print an error.
    """
    spare = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while len(spare) < DESCRIPTORS:
            spare.append(os.dup(spare[0]))
    finally:
        for fd in spare:
            os.close(fd)


__all__ = ("Prestart", "prestart", "prestart_default")
