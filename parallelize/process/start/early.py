"""A server that boots while the program still loads the rest of the engine.

The first call of a pool needs an interpreter to fork workers from and the pool's
modules. Each takes some ten milliseconds, and neither needs the other:

```
 program  first call ── spawn ──▶ load the pool ── START ──▶
 server                   └─────▶ boot, load the worker ────▶ fork
```
"""

from __future__ import annotations

import contextlib
import os
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
        settings: How the pool is to be. Where workers are copies of the program,
            or nothing is to start if the initializer cannot be pickled, there will
            be no server early.

    Attributes:
        launcher: The hold on it; None if there is none, or it was adopted.

    Raises:
        RuntimeError: The interpreter is ending; nothing new may start.
    """

    def __init__(self, settings: Settings) -> None:
        self.launcher: launcher.Launcher | None = None
        lifecycle.register(self)
        if settings.method != "fork" and settings.initializer is None:
            # The pool tries once more, and then the call is told what is wrong.
            with contextlib.suppress(Exception):
                _look_for_room()
                self.launcher = launcher.launcher(settings.method)

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


__all__ = ("Prestart",)
