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
from typing import TYPE_CHECKING

from parallelize import lifecycle
from parallelize.process import launch

if TYPE_CHECKING:
    from typing import Self


class EarlyServer:
    """Owns a server until a pool adopts it; one that none adopts is closed.

    Args:
        method: How workers are started. What comes from a fork of the program is
            not started early: it is to have all that the program has by then.

    Attributes:
        launcher: The hold on it; None if there is none, or it was adopted.

    Raises:
        RuntimeError: The interpreter is ending; nothing new may start.
    """

    def __init__(self, method: str) -> None:
        self.launcher: launch.Launcher | None = None
        lifecycle.register(self)
        if method != "fork":
            # The pool tries once more, and then the call is told what is wrong.
            with contextlib.suppress(OSError):
                self.launcher = launch.launcher(method)

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


__all__ = ("EarlyServer",)
