"""Detects what a script changes in other modules after its pools have started.

The text of the script names these places (see `changes.patches`). At each call their
values are compared with the recorded ones. What has changed becomes a unit under a name
that no script has, so that each worker receives it once, before the call, and only in
its latest version.
"""

from __future__ import annotations

import _pickle as pickle
import itertools
import sys
import weakref
from operator import is_

from parallelize.serialize.changes import patches, texts
from parallelize.serialize.changes.patches import NOWHERE
from parallelize.serialize.main import pickler
from parallelize.serialize.reducers import replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from parallelize.serialize.changes.patches import Patch, PatchedPlace
    from parallelize.serialize.changes.texts import Target
    from parallelize.serialize.reducers.replica import Unit

#: Larger containers are compared only by their number of items.
_MOST_ITEMS = 1_000


class ModuleWatch:
    """Detects changes of what the text of a script names in other modules.

    Attributes:
        units: By name, what has changed since the first look. The values at that time
            are sent when a pool starts.
    """

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        self._targets: Sequence[Target] | None = None
        self._known: dict[Target, tuple[PatchedPlace, _Seen]] = {}
        self._firsts: tuple[str, ...] = ()  # the targets' first names,
        self._ids: list[int] = []  # the ids of their values,
        self._roots: list[object] = []  # and references to these
        self._cells = 0  # number of notebook cells
        self._modules = 0  # number of loaded modules

    def holds(self, space: Mapping[str, Any]) -> bool:
        """Whether nothing has changed since the last look."""
        if self._cells != texts.number_of_cells(space):
            return False
        if not self._targets:
            return self._targets is not None
        return (
            self._modules == len(sys.modules)
            and self._ids == [*map(id, map(space.get, self._firsts))]
            and all(
                seen.is_of(patches.now_at(place))
                for place, seen in self._known.values()
            )
        )

    def look(self, space: dict[str, Any], numbers: Iterator[int]) -> set[str]:
        """Create units for what has changed; return the names that these need.

        Args:
            space: The names of the script.
            numbers: Yields the numbers of new units.
        """
        wanted: set[str] = set()
        for module, name, value in self._changes(space):
            try:
                pickled = pickler.define({name: value}, space)
            except Exception:  # noqa: BLE001, S112 - a call that needs it will fail
                continue
            place = f"{module}{replica.OF_MODULE}{name or len(self.units)}"
            patch = _Patch(module, name, pickled.data)
            data = pickle.dumps({place: patch}, 5)
            self.units[place] = next(numbers), (place,), data
            wanted |= pickled.wanted
        return wanted

    def _changes(self, space: Mapping[str, Any]) -> list[Patch]:
        is_first = self._targets is None
        cells = texts.number_of_cells(space)
        if self._targets is None or self._cells != cells:
            self._cells = cells
            self._targets = list(texts.targets(texts.text_of(space)))
        self._modules = len(sys.modules)
        self._note_roots(space, self._targets)
        changed: list[Patch] = []
        for target in self._targets:
            place = patches.place_of(target, space)
            if place is None:
                continue
            now = patches.now_at(place)
            known = self._known.get(target)
            if known is not None and known[0] == place and known[1].is_of(now):
                continue
            self._known[target] = place, _Seen(now)
            if not is_first and now is not NOWHERE:
                changed += patches.patches(place, now)
        return changed

    def _note_roots(self, space: Mapping[str, Any], targets: Iterable[Target]) -> None:
        self._firsts = tuple({target.first: None for target in targets if target.first})
        roots = [*map(space.get, self._firsts)]
        self._ids = [*map(id, roots)]
        self._roots = [self._reference(root) for root in roots]

    def _reference(self, root: object) -> object:
        try:
            return weakref.ref(root, self._forget)
        except TypeError:
            return root

    def _forget(self, _: object) -> None:
        self._ids = []  # an id may have been reused


class _Patch:
    """Pickles as the assignment of a value in a module."""

    def __init__(self, module: str, name: str, data: bytes) -> None:
        self._args = replica.only_value, module, name, data

    def __reduce__(self) -> tuple[Any, ...]:
        return replica.patch, self._args


class _Seen:
    """A snapshot of a value, which is not kept alive if possible."""

    __slots__ = ("_contents", "_ref")

    def __init__(self, value: object) -> None:
        self._ref: Callable[[], object]
        try:
            self._ref = weakref.ref(value)
        except TypeError:
            self._ref = lambda: value
        self._contents = _contents(value)

    def is_of(self, now: object) -> bool:
        """Whether a value is the same object with the same contents."""
        is_gone = now is None and type(self._ref) is weakref.ref
        if type(now) is not tuple and (is_gone or self._ref() is not now):
            return False
        contents = _contents(now)
        if contents is None or self._contents is None:
            return contents is self._contents
        return len(contents) == len(self._contents) and all(
            map(is_, contents, self._contents)
        )


def _contents(value: Any) -> list[Any] | None:
    if type(value) is tuple:  # registrations, in a new list each time
        parts = (each if type(each) is tuple else (each,) for each in value)
        return [*itertools.chain.from_iterable(parts)]
    if type(value) not in (dict, list, set):
        return None
    if len(value) > _MOST_ITEMS:
        return [None] * len(value)
    return [*value, *value.values()] if type(value) is dict else list(value)
