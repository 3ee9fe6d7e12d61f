"""The maps of one executor that have not ended, and what becomes of them.

A map reads its input as its reader goes. The standard library's map reads all of
it at once, and programs rely on that: they leave the ``with`` block of a pool
and expect every call to have been made. So an executor that shuts down first
lets its live maps start what is left of their input.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class LiveMap(Protocol):
    """A map that may have input left."""

    def finish(self, *, unread_only: bool) -> None:
        """Read the rest of the input and start its calls."""

    def cancel(self) -> None:
        """Drop the rest of the input and the calls that have not begun."""

    def forget(self) -> None:
        """In a forked child: the calls are the parent's."""


class OpenMaps:
    """The maps of one executor, held weakly."""

    # The dictionary is only touched by single operations, each of which is atomic
    # with and without the interpreter lock. A lock might be held for ever in a
    # forked child, and a map may be dropped wherever garbage is collected.

    __slots__ = ("_refs",)

    def __init__(self) -> None:
        self._refs: dict[int, weakref.ref[LiveMap]] = {}

    def add(self, live: LiveMap) -> None:
        """Keep an eye on a map until it is collected."""
        refs, key = self._refs, id(live)
        refs[key] = weakref.ref(live, lambda _: refs.pop(key, None) and None)

    def finish(self, *, unread_only: bool = False) -> None:
        """Let the maps start what is left of their input.

        Args:
            unread_only: Only those that nobody has read from. At the end of the
                program a map that was read in part is not worth an input that
                may be endless.
        """
        for live in self._all():
            live.finish(unread_only=unread_only)

    def cancel(self) -> None:
        """End the maps; what they have begun goes on."""
        for live in self._all():
            live.cancel()

    def forget(self) -> None:
        """In a forked child: end the maps without touching their calls."""
        for live in self._all():
            live.forget()
        self._refs.clear()

    def _all(self) -> Iterable[LiveMap]:
        alive = (ref() for ref in self._refs.copy().values())
        return [live for live in alive if live is not None]
