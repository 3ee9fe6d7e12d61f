"""The surroundings in which the program wants a task to run, such as its trace."""

from __future__ import annotations

import _pickle as pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from parallelize.process.wire.frames import Frame

    class Surroundings(Protocol):
        """What was pickled by the program."""

        def wrap(self, fn: Callable[..., Any]) -> Callable[..., Any]:
            """Return a function that runs in them."""
            ...

        def enter(self) -> None:
            """Enter them for the rest of the running task of the loop."""


def carried(frame: Frame) -> Surroundings | Nothing:
    """Take the surroundings out of a frame; none if they cannot be had here."""
    *frame.parts, data = frame.parts
    try:
        surroundings: Surroundings = pickle.loads(data)
    except Exception:  # noqa: BLE001 - a package is missing here: the call runs anyway
        return Nothing()
    return surroundings


class Nothing:
    """No surroundings."""

    def wrap(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself."""
        return fn

    def enter(self) -> None:
        """Do nothing."""
