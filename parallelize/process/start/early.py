"""A server that boots while the program still loads the rest of the engine.

The first call of a pool needs an interpreter to fork workers from and the pool's
modules. Each takes some ten milliseconds, and neither needs the other:

```
 program  first call ── spawn ──▶ load executor and pool ── START ──▶ encode the call
 server                   └─────▶ boot, load the worker ─────▶ fork
 worker                                                          └──▶ begin to serve
```
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from parallelize.process.start import launcher
from parallelize.runtime import lifecycle

if TYPE_CHECKING:
    from typing import Self

    from parallelize.process.start.config import Settings


#: What a pool needs of them to have one worker, and a little more.
DESCRIPTORS = 16


class Prestart:
    """Owns a server until a pool adopts it; one that none adopts is closed.

    Args:
        method: How workers are started; None starts no server.

    Attributes:
        launcher: The hold on it; None if there is none, or it was adopted.

    Raises:
        RuntimeError: The interpreter is ending; nothing new may start.
    """

    def __init__(self, method: str | None) -> None:
        self.method: str | None = method
        self.launcher: launcher.Launcher | None = None
        lifecycle.register(self)
        if method is not None:
            # The pool tries again, and what fails there is an error of the call.
            with contextlib.suppress(Exception):
                _look_for_room()
                self.launcher = launcher.launcher(method)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Let the server go."""
        if self.launcher is not None:
            self.launcher.close()

    abandon = finish

    def forget(self) -> None:
        """In a forked child: the server is the parent's."""
        if self.launcher is not None:
            self.launcher.forget()
        self.launcher = None


def prestart(settings: Settings) -> Prestart:
    """Start the server of a pool.

    There is none where workers are copies of the program, nor before it is known
    that the initializer can be pickled.
    """
    is_possible = settings.method != "fork" and settings.initializer is None
    return Prestart(settings.method if is_possible else None)


def prestart_default() -> Prestart:
    """Start the server of a pool that is made without arguments.

    There is none if the program may have asked multiprocessing for another method.
    """
    method = launcher.possible(launcher.METHODS[0])
    is_settled = "multiprocessing" not in sys.modules
    return Prestart(method if is_settled and method != "fork" else None)


def _look_for_room() -> None:
    """Raise OSError if there are too few descriptors for a pool.

    An interpreter that starts under the same limit would fail, and print why.
    """
    spare = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while len(spare) < DESCRIPTORS:
            spare.append(os.dup(spare[0]))
    finally:
        for fd in spare:
            os.close(fd)


__all__ = ("Prestart", "prestart", "prestart_default")
