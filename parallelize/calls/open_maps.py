"""The unfinished maps of one executor, which are completed at its shutdown.

A map reads its input as its results are consumed. The standard library's map reads all
input at once, and programs rely on that: they leave the ``with`` block of a pool and
expect every call to have been submitted. So an executor that shuts down first makes its
unfinished maps submit the rest of their input.
"""

from __future__ import annotations

import weakref

from parallelize.runtime.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn


class LiveMap(Protocol):
    """A map that may have unread input."""

    def finish(self, *, unread_only: bool) -> None:
        """Read the rest of the input and start its calls."""

    def cancel(self) -> None:
        """Drop the rest of the input, and cancel the calls that have not begun."""

    def forget(self) -> None:
        """In a forked child: the calls are the parent's."""


class OpenMaps:
    """The maps of one executor, held weakly."""

    # The dictionary is accessed only by single operations, which are atomic with and
    # without the GIL. A lock could stay locked in a forked child, and a map's finaliser
    # may run wherever garbage is collected.

    __slots__ = ("_refs",)

    def __init__(self) -> None:
        self._refs: dict[int, weakref.ref[LiveMap]] = {}

    def __reduce__(self) -> NoReturn:
        # Executors themselves are pickled in the default way, by which those among a
        # script's or a module's names are known as plain objects: so this refuses.
        msg = (
            "an executor cannot be pickled or copied, as its workers belong to this "
            "process: create one where it is used"
        )
        raise TypeError(msg)

    def add(self, live: LiveMap) -> None:
        """Track a map until it is garbage-collected."""
        refs, key = self._refs, id(live)
        refs[key] = weakref.ref(live, lambda _: refs.pop(key, None) and None)

    def finish(self, *, unread_only: bool = False) -> None:
        """Make the maps submit the rest of their input.

        Args:
            unread_only: Only maps from which nothing has been read. At exit, a map that
                was read in part does not justify reading an input that may be endless.
        """
        for live in self._all():
            live.finish(unread_only=unread_only)

    def cancel(self) -> None:
        """Cancel the maps; calls that have begun continue."""
        for live in self._all():
            live.cancel()

    def forget(self) -> None:
        """In a forked child: close the maps without touching their calls."""
        for live in self._all():
            live.forget()
        self._refs.clear()

    def _all(self) -> Iterable[LiveMap]:
        alive = (ref() for ref in self._refs.copy().values())
        return [live for live in alive if live is not None]


class WithMaps:
    """An executor, as the holder of its maps and streams."""

    @property
    def _maps(self) -> OpenMaps:
        """The maps and streams that run here; made by the first thread to use it."""
        maps: OpenMaps = vars(self).setdefault("_live_maps", OpenMaps())
        return maps

    def _finish_maps(self, *, cancel: bool = False) -> None:
        """Let the maps submit the rest of their input, or end them.

        Every shutdown starts with this, while calls are still accepted.
        """
        if cancel:
            self._maps.cancel()
        else:
            self._maps.finish()
