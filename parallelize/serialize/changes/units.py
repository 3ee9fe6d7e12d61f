"""Groups the names of `__main__` into units.

Two names belong to one unit if they share an object, because only within one pickle
does it keep its identity, or if each refers to the other, like a class and the registry
in its base class: then neither can be built first.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Pickled:
    """The pickle of a name, or of several together.

    Attributes:
        data: The pickle of a dictionary of names.
        wanted: The names that the pickled objects need.
        referred: Those of them to which the pickle itself refers.
        held: By id, the objects in it that other names may share.
        looks_around: Whether code in it may access any name.
        modules: The number of loaded modules, if code in it names submodules.
        is_refused: Whether the value belongs to this process only.
    """

    __slots__ = (
        "data",
        "held",
        "is_refused",
        "looks_around",
        "modules",
        "referred",
        "wanted",
    )

    def __init__(
        self,
        data: bytes,
        wanted: frozenset[str],
        referred: frozenset[str],
        held: Mapping[int, object],
        looks_around: bool,
        modules: int | None = None,
        is_refused: bool = False,
    ) -> None:
        self.data: bytes = data
        self.wanted: frozenset[str] = wanted
        self.referred: frozenset[str] = referred
        self.held: Mapping[int, object] = held
        self.looks_around: bool = looks_around
        self.modules: int | None = modules
        self.is_refused: bool = is_refused


#: For a name that the script has deleted.
DELETED = Pickled(b"", frozenset(), frozenset(), {}, looks_around=False)


def components(pickled: Mapping[str, Pickled]) -> Iterator[tuple[str, ...]]:
    """Divide names into groups that have to be pickled together."""
    parents = {name: name for name in pickled}

    def root(name: str) -> str:
        while parents[name] != name:
            parents[name] = name = parents[parents[name]]
        return name

    for together in (*_holders(pickled), *_circles(pickled)):
        first, *others = together
        for other in others:
            parents[root(other)] = root(first)
    grouped: dict[str, list[str]] = {}
    for name in pickled:
        grouped.setdefault(root(name), []).append(name)
    return (tuple(sorted(names)) for names in grouped.values())


def _holders(pickled: Mapping[str, Pickled]) -> Iterable[list[str]]:
    """Return, for each shared object, the names that share it."""
    holders: dict[int, list[str]] = {}
    for name, each in pickled.items():
        for id in each.held:
            holders.setdefault(id, []).append(name)
    return (names for names in holders.values() if len(names) > 1)


def _circles(pickled: Mapping[str, Pickled]) -> Iterable[list[str]]:
    """Yield groups of names that refer to each other (Tarjan's algorithm)."""
    numbers: dict[str, int] = {}
    lows: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    for start in pickled:
        if start in numbers:
            continue
        work = [(start, iter(sorted(pickled[start].referred & pickled.keys())))]
        numbers[start] = lows[start] = len(numbers)
        path.append(start)
        on_path.add(start)
        while work:
            name, targets = work[-1]
            for target in targets:
                if target not in numbers:
                    numbers[target] = lows[target] = len(numbers)
                    path.append(target)
                    on_path.add(target)
                    more = pickled[target].referred & pickled.keys()
                    work.append((target, iter(sorted(more))))
                    break
                if target in on_path:
                    lows[name] = min(lows[name], numbers[target])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    lows[above] = min(lows[above], lows[name])
                if lows[name] == numbers[name]:
                    at = path.index(name)
                    circle, path[at:] = path[at:], []
                    on_path.difference_update(circle)
                    yield circle
