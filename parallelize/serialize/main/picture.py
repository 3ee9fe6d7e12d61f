"""The program's side of `replica`: pictures of `__main__` for workers.

```
 space: names ──▶ records ──────────────▶ units ────────────▶ Picture ──▶ a task
                  looks: what to compare   names that share    all units
                  held: objects inside     objects form        at one time
                  wanted: names it needs   one unit
```

A picture contains all functions, classes, modules and constants of the script, and
other values once a call needs them. A call needs the names that its function mentions,
and those that these mention in turn. Each of them is checked again at every call: by a
cheap comparison if its parts can be compared, else by pickling it.

Large values are sent to a worker only with a call that needs them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
import types
import weakref
from functools import partial

from parallelize.runtime import locks
from parallelize.serialize.reducers import replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Iterable,
        Mapping,
        Sequence,
    )
    from contextlib import AbstractContextManager
    from typing import Any, Self, TypeGuard

    from parallelize.serialize.changes.looks import Looks
    from parallelize.serialize.changes.units import Pickled
    from parallelize.serialize.main.watch import ModuleWatch
    from parallelize.serialize.reducers.replica import Unit

    Holder = Callable[[], object]

#: Units larger than this, in bytes, are sent only to workers that need them.
LARGE = 1 << 16

#: The largest number of plans that are kept.
MOST_PLANS = 512

#: Containers of at most this many items are sent even if no call needs them.
SHORT = 100

_ABSENT = object()

# Names that every module has.
_OF_MODULES = frozenset(
    ("__builtins__", "__cached__", "__loader__", "__name__", "__spec__", "__file__")
)


def held(value: object, gone: Callable[[object], object] | None = None) -> Holder:
    """Refer to a value without keeping it alive, if possible.

    Args:
        value: The value.
        gone: Called when the value has been collected.
    """
    try:
        return weakref.ref(value, gone)
    except TypeError:  # no weak references to its type, such as a list
        return lambda: value


def _holds(holder: Holder, value: object) -> bool:
    """Whether a holder refers to this value, not to a collected one."""
    return holder() is value and (value is not None or type(holder) is not weakref.ref)


class NameRecord:
    """The state of a name when it was last pickled.

    It does not keep the name's value alive, and becomes void when that is collected.
    """

    __slots__ = ("_value", "handles", "looks", "pickled", "unit")

    def __init__(
        self,
        value: object,
        forget: Callable[[], object],
        *,
        has_no_looks: bool = False,
    ) -> None:
        """Create a record.

        Args:
            value: The name's value.
            forget: Called when the value is collected; in any thread, under any lock.
            has_no_looks: Whether it is known that only its pickle shows changes.
        """
        self._value = held(value, partial(self._forget, forget))
        self.handles: Sequence[Any] = ()  # of shared memory, in the value
        self.looks: Looks | None = None if has_no_looks else _looks_of(value)
        self.pickled: Pickled | None = None  # None: yet to be pickled
        self.unit: Unit | None = None

    def _forget(self, forget: Callable[[], object], _: object) -> None:
        self.pickled = self.looks = None
        forget()

    @property
    def value(self) -> object:
        """The name's value; None if it has been collected."""
        return self._value()

    @property
    def has_looks(self) -> bool:
        """Whether the contents of the value matter, not only its identity."""
        refused = self.pickled is not None and self.pickled.is_refused
        return self.value is not _ABSENT and not refused

    @property
    def is_opaque(self) -> bool:
        """Whether only its pickle shows whether it has changed."""
        if self.pickled is None or self.pickled.looks_around:
            return True
        return self.looks is None and self.has_looks

    def is_of(self, value: object) -> bool:
        """Whether the name still has the value that was pickled."""
        if value is not self.value or self.pickled is None:
            return False
        modules = self.pickled.modules
        if modules is not None and modules != len(sys.modules):
            return False  # code may find new submodules
        return not self.has_looks or (self.looks is not None and self.looks.hold())


def _looks_of(value: object) -> Looks | None:
    # Imported only if calls need names of the script.
    from parallelize.serialize.changes.looks import looks_of

    return looks_of(value)


class Picture:
    """All units at one time; the same object while nothing changes.

    Attributes:
        units: By name, in order of creation.
        large: The names of units that are sent only where they are needed.
    """

    __slots__ = ("large", "units")

    def __init__(self, units: Mapping[str, Unit]) -> None:
        self.units: Mapping[str, Unit] = units
        self.large: frozenset[str] = frozenset(
            name
            for name, unit in units.items()
            if len(unit[2]) > LARGE and replica.OF_MODULE not in name
        )


class Needs:
    """What a task needs of `__main__`.

    Attributes:
        picture: The state of `__main__` when the call was submitted.
        large: The names of large values that it needs.
        handles: The handles of shared memory (`memory.shared`) in the picture.
    """

    __slots__ = (
        "handles",
        "large",
        "picture",
    )

    def __init__(
        self,
        picture: Picture,
        large: frozenset[str],
        handles: Sequence[Any] = (),
    ) -> None:
        self.picture: Picture = picture
        self.large: frozenset[str] = large
        self.handles: Sequence[Any] = handles


_new_lock = locks.reentrant("picture")


class Plan:
    """The conditions under which a call has the same needs as an earlier one.

    It is checked at each call, so the usual values are compared directly: functions
    without closures and attributes, modules, constants.

    Args:
        needs: The needs of the earlier call.
        records: The records of all names that it leads to.
        absent: Names that are mentioned but not defined by the script.
    """

    __slots__ = (
        "_absent",
        "_functions",
        "_holders",
        "_looks",
        "_modules",
        "_values",
        "needs",
    )

    def __init__(
        self, needs: Needs, records: Mapping[str, NameRecord], absent: frozenset[str]
    ) -> None:
        self.needs: Needs = needs
        self._absent = absent
        self._functions: list[tuple[str, int, object, object]] = []
        self._values: list[tuple[str, int]] = []
        self._looks: list[Looks] = []
        # An id cannot be reused: when a value is collected the plans are cleared.
        self._holders = [record._value for record in records.values()]
        modules = (r.pickled.modules for r in records.values() if r.pickled)
        self._modules = next((count for count in modules if count is not None), None)
        for name, record in records.items():
            self._note(name, record)

    def _note(self, name: str, record: NameRecord) -> None:
        value, looks = record.value, record.looks if record.has_looks else None
        count = looks.size() if looks else 0
        if count == 1 and _is_bare_function(value):
            parts = value.__code__, value.__defaults__
            self._functions.append((name, id(value), *parts))
            return
        self._values.append((name, id(value)))
        if looks and count:
            self._looks.append(looks)

    def holds(self, space: Mapping[str, Any]) -> bool:
        """Whether nothing that the call may use has changed."""
        for name, number, code, defaults in self._functions:
            fn: Any = replica.meaning_of(name, space)
            if id(fn) != number or fn.__code__ is not code:
                return False
            if fn.__defaults__ is not defaults or fn.__closure__ or fn.__dict__:
                return False
            if fn.__kwdefaults__:
                return False
        if self._absent and not self._absent.isdisjoint(space):
            return False
        if self._modules is not None and self._modules != len(sys.modules):
            return False
        for name, number in self._values:
            if id(replica.meaning_of(name, space, _ABSENT)) != number:
                return False
        return all(looks.hold() for looks in self._looks)


def _is_bare_function(value: Any) -> TypeGuard[types.FunctionType]:
    """Whether a function consists only of its code and positional defaults."""
    return type(value) is types.FunctionType and not (
        value.__closure__ or value.__kwdefaults__ or value.__dict__
    )


def _noting_nothing() -> AbstractContextManager[Sequence[Any]]:
    return contextlib.nullcontext(())


class World:
    """The program's `__main__` as last seen, see the module's docstring."""

    def __init__(self) -> None:
        # Guards all below. User code runs under it when values are pickled, in the
        # thread of the call, and may submit calls itself.
        self.lock: Any = _new_lock()  # a `ranked` one while debugging
        #: The first returns a context in which handles of shared memory may be pickled,
        #: and are recorded; the second records some again.
        #: `parallelize.process.memory.shared` sets both when it is loaded.
        self.noting_handles: Callable[[], AbstractContextManager[Sequence[Any]]] = (
            _noting_nothing
        )
        self.note_handles: Callable[[Sequence[Any]], object] = len
        self._space: dict[str, Any] | None = None
        self._renamed: set[str] = set()  # whose values were replaced
        self._watch: ModuleWatch | None = None  # of changes in other modules
        self._records: dict[str, NameRecord] = {}
        self._plans: dict[tuple[str, ...], Plan] = {}  # by the names given
        self._picture = Picture({})
        self._needs: dict[frozenset[str], Needs] = {}  # by large names, of _picture
        self._numbers = itertools.count(int.from_bytes(os.urandom(5), "little") << 20)

    # The namespace.

    def space(self) -> dict[str, Any]:
        """Return the namespace of the script.

        It is not that of ``sys.modules["__main__"]`` if a profiler, a debugger or
        doctest runs the script in its own dictionary.
        """
        if self._space is None:
            return vars(sys.modules["__main__"])
        return self._space

    def file(self) -> str | None:
        """Return the file of the script, if it has one."""
        file = self.space().get("__file__")
        return file if isinstance(file, str) else None

    def enter(self, space: dict[str, Any]) -> None:
        """Use the globals of a function of the script as the script's namespace."""
        if space is self.space():
            return
        with self.lock:
            own = space is vars(sys.modules["__main__"])
            self._space = None if own else space
            replica.find_in(self.space)

    # The needs of a call.

    def needs(self, names: Collection[str], *, everything: bool = False) -> Needs:
        """Update the picture for a call that needs these names; return its needs.

        Args:
            names: The names that the call mentions.
            everything: Whether it may access any name.
        """
        plan = self._plans.get(tuple(names))
        if plan is not None and not everything:
            space, watch = self.space(), self._watch
            if plan.holds(space) and (watch is None or watch.holds(space)):
                return plan.needs
        with self.lock:
            closure = self._updated(names, everything=everything)
            large = self._picture.large
            needed = frozenset(closure & large) if large else frozenset()
            known = self._needs.get(needed)
            if known is None:
                known = Needs(self._picture, needed, self._handles(self._records))
                self._needs[needed] = known
            self._note_plan(names, closure, known)
            return known

    def _note_plan(
        self, names: Collection[str], closure: set[str], needs: Needs
    ) -> None:
        """Record a plan for further calls with the same names, if possible."""
        key, records = tuple(names), {name: self._records[name] for name in closure}
        self._plans.pop(key, None)
        pickled = [r.pickled for r in records.values() if r.pickled]
        wanted = {*names, *(name for each in pickled for name in each.wanted)}
        if any(record.is_opaque for record in records.values()):
            return
        if len(self._plans) >= MOST_PLANS:
            self._plans.clear()
        self._plans[key] = Plan(needs, records, frozenset(wanted - closure))

    def _handles(self, names: Iterable[str]) -> list[Any]:
        records = (self._records[name] for name in names)
        return [each for record in records for each in record.handles]

    def definitions(self) -> list[str]:
        """Return the names of the script's functions and classes."""
        return [
            name
            for name, value in list(self.space().items())
            if isinstance(value, (types.FunctionType, type))
        ]

    def units_for(self, names: Iterable[str], *, everything: bool) -> list[Unit]:
        """Return all units that a self-contained pickle needs."""
        with self.lock:
            closure = self._updated(names, everything=everything)
            self.note_handles(self._handles(closure))
            units = self._picture.units
            return list({units[n][0]: units[n] for n in closure if n in units}.values())

    def _updated(self, names: Iterable[str], *, everything: bool) -> set[str]:
        """Check the names and all that these need for changes; return all of them."""
        space = self.space()
        if not self._records:
            self._look_at_definitions(space)
        names = [*names, *self._look_elsewhere(space)]
        closure = self._closure(names, space, everything=everything)
        if any(self._records[name].pickled is None for name in closure):
            self._look_at_definitions(space)
            # Pickling a name shows what it needs, which may have to be pickled, too.
            pickled: set[str] = set()
            while more := self._pickle_changed(space):
                pickled |= more
                closure = self._closure(
                    names, space, everything=everything, pickled=pickled
                )
            self._take_picture()
        return closure

    def _look_elsewhere(self, space: dict[str, Any]) -> set[str]:
        """Check what the script changes in other modules; return the names needed."""
        if self._watch is None:
            from parallelize.serialize.main.watch import ModuleWatch

            self._watch = ModuleWatch()
        if self._watch.holds(space):
            return set()
        wanted = self._watch.look(space, self._numbers)
        self._take_picture()
        return wanted

    def _closure(
        self,
        names: Iterable[str],
        space: dict[str, Any],
        *,
        everything: bool,
        pickled: Collection[str] = (),
    ) -> set[str]:
        records = self._records
        waiting = [*names, *self._all_names(space)] if everything else list(names)
        closure: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in closure:
                continue
            value = replica.meaning_of(name, space, _ABSENT)
            before = records.get(name)
            if name not in pickled and (before is None or not before.is_of(value)):
                if value is _ABSENT and (before is None or before.unit is None):
                    continue  # never defined here: a builtin, or the worker's own
                records[name] = self._looked_at(name, value, before)
            closure.add(name)
            record = records[name]
            if record.unit is not None:  # a worker builds it as a whole
                waiting += record.unit[1]
            known = record.pickled
            if known is not None:
                waiting += known.wanted
                if known.looks_around and not everything:
                    everything = True
                    waiting += self._all_names(space)
        return closure

    def _all_names(self, space: Mapping[str, Any]) -> list[str]:
        """Return the names that exist, and those that workers may still have."""
        return [name for name in (*space, *self._records) if name not in _OF_MODULES]

    def _looked_at(
        self, name: str, value: object, before: NameRecord | None
    ) -> NameRecord:
        """Return a record of a name's current value, yet to be pickled."""
        if before is None:
            return NameRecord(value, self._plans.clear)
        if before.value is not value and type(before.value) not in _CONSTANTS:
            self._renamed.add(name)
        had_none = before.pickled is not None and before.looks is None
        has_none = had_none and before.value is value
        record = NameRecord(value, self._plans.clear, has_no_looks=has_none)
        record.unit = before.unit
        return record

    def _look_at_definitions(self, space: dict[str, Any]) -> None:
        for name, value in list(space.items()):
            known = name in self._records or name in _OF_MODULES
            if not known and _is_definition(value):
                self._records[name] = NameRecord(value, self._plans.clear)

    # Units.

    def _pickle_changed(self, space: dict[str, Any]) -> set[str]:
        """Pickle the names that have changed, and return them."""
        self._note_outdated()
        changed = [name for name, r in self._records.items() if r.pickled is None]
        if not changed:
            return set()
        from parallelize.serialize.changes import units as main_units
        from parallelize.serialize.main import pickler

        for name in changed:
            record = self._records[name]
            if record.value is _ABSENT:
                record.pickled = main_units.DELETED
            else:
                with self.noting_handles() as handles:
                    record.pickled = pickler.define({name: record.value}, space)
                record.handles = tuple(handles)
        for name in changed:
            if self._is_alone(name):  # a loop variable, for instance
                self._set_unit((name,), self._pickled(name).data)
        self._make_units({n for n in changed if not self._is_alone(n)}, space)
        return set(changed)

    def _note_outdated(self) -> None:
        """Mark what refers to replaced names to be pickled again."""
        renamed = {name.rstrip(replica.INSIDE) for name in self._renamed}
        self._renamed.clear()
        for record in self._records.values() if renamed else ():
            if record.pickled and not renamed.isdisjoint(record.pickled.referred):
                record.pickled = None

    def _is_alone(self, name: str) -> bool:
        """Whether a name shares nothing with others, and never did."""
        record, pickled = self._records[name], self._pickled(name)
        had_others = record.unit is not None and len(record.unit[1]) > 1
        return not (pickled.held or pickled.referred or had_others)

    def _pickled(self, name: str) -> Pickled:
        pickled = self._records[name].pickled
        if pickled is None:
            msg = f"{name!r} was not pickled"
            raise LookupError(msg)
        return pickled

    def _make_units(self, changed: set[str], space: dict[str, Any]) -> None:
        from parallelize.serialize.changes import units as main_units
        from parallelize.serialize.main import pickler

        if not changed:
            return
        pickled = {name: r.pickled for name, r in self._records.items() if r.pickled}
        # A worker gets all names of a unit together, so all of them must be updated.
        for name in list(changed):
            before = self._records[name].unit
            changed.update(() if before is None else before[1])
        for names in main_units.components(pickled):
            if changed.isdisjoint(names):
                continue
            if len(names) == 1:
                (name,) = names
                data = pickled[name].data
            else:
                values = {name: self._records[name].value for name in names}
                with self.noting_handles():
                    data = pickler.define(values, space).data
            self._set_unit(names, data)

    def _set_unit(self, names: Sequence[str], data: bytes) -> None:
        before = self._records[names[0]].unit
        if before is not None and before[1:] == (tuple(names), data):
            unit = before  # changed objects, but an equal pickle
        else:
            unit = (next(self._numbers), tuple(names), data)
        for name in names:
            self._records[name].unit = unit

    def _take_picture(self) -> None:
        units = {n: r.unit for n, r in self._records.items() if r.unit is not None}
        if self._watch is not None:
            units.update(self._watch.units)
        if units != self._picture.units:
            self._picture = Picture(units)
            self._needs = {}
            self._plans.clear()

    # Workers that are forks of the program.

    def copied(self) -> dict[str, Holder]:
        """Return what a fork of the program has under each name."""
        return {name: held(value) for name, value in self.space().items()}

    def is_as_copied(self, unit: Unit, copied: Mapping[str, Holder]) -> bool:
        """Whether a fork of the program has the values that a unit defines."""
        return all(self._is_as_copied(name, copied) for name in unit[1])

    def _is_as_copied(self, name: str, copied: Mapping[str, Holder]) -> bool:
        if replica.OF_MODULE in name:
            return False
        value = self._records[name].value
        if name[-1] == replica.INSIDE:
            name = name[:-1]
            value = self.space().get(name)
        return name in copied and _holds(copied[name], value)


_CONSTANTS = (int, float, complex, str, bytes, type(None), type(...), types.ModuleType)
_CONTAINERS = (tuple, frozenset, list, dict, set)
_LONGEST = 1 << 10


def _is_definition(value: object) -> bool:
    """Whether a value is sent even if no call needs it, because that is cheap."""
    kind = type(value)
    if isinstance(value, (types.FunctionType, type)) or kind.__module__ == "typing":
        return True
    if kind in (str, bytes):
        return len(value) <= _LONGEST  # type: ignore[arg-type]
    if kind in _CONSTANTS or kind is bool or kind is object:
        return True
    if kind in _CONTAINERS:
        return len(value) <= SHORT and all(  # type: ignore[arg-type]
            type(each) in _CONSTANTS
            for each in value  # type: ignore[attr-defined]
        )
    return replica.attribute(value, "__wrapped__") is not None  # decorated


#: The instance of this process.
world: World = World()
replica.find_in(world.space)
locks.renew_in_child(vars(world), "lock", _new_lock)


# ------------------------------------------------------------ recording of needs


class _Noted(threading.local):
    names: dict[str, None] | None = None  # needed by what this thread pickles
    everything: bool = False


_noted = _Noted()


class noting:  # noqa: N801 - reads as a function in a with statement
    """Record names needed by values pickled in the block: the task sends the units."""

    __slots__ = ("_names", "_outer")

    def __enter__(self) -> Self:
        self._outer = _noted.names, _noted.everything
        self._names: dict[str, None] = {}
        _noted.names, _noted.everything = self._names, False
        return self

    def __exit__(self, *_: object) -> None:
        everything = _noted.everything
        _noted.names, _noted.everything = self._outer
        if everything:
            self._names[""] = None

    def needs(self) -> Needs | None:
        """Return the task's needs of `__main__` or None; call it after the block."""
        if not self._names:
            return None
        return world.needs(self._names, everything="" in self._names)


def note(names: Iterable[str], *, everything: bool = False) -> bool:
    """Record names that a pickle needs; return False outside of a `noting` block."""
    if _noted.names is None:
        return False
    _noted.names.update(dict.fromkeys(names))
    _noted.everything = _noted.everything or everything
    return True


class Knowledge:
    """The units that one worker has; guarded by the pool's lock.

    Args:
        copied: If the worker is a fork of the program, the values inherited from it.
    """

    __slots__ = ("_copied", "_known", "_last")

    def __init__(self, copied: Mapping[str, Holder] | None = None) -> None:
        self._copied = copied
        self._known: dict[str, int] = {}
        self._last: Needs | None = None

    def lacks(self, needs: Needs) -> list[Unit]:
        """Return the units that a worker lacks for a task, and record them as sent."""
        if needs is self._last:
            return []
        self._last = needs
        lacking: dict[int, Unit] = {}
        picture, known = needs.picture, self._known
        for name, unit in picture.units.items():
            if known.get(name) == unit[0]:
                continue
            if name in picture.large and name not in needs.large:
                continue
            if not unit[2] and name not in known:
                continue  # deleted, and never sent
            copied = self._copied if name not in known else None
            known[name] = unit[0]
            if copied is not None and world.is_as_copied(unit, copied):
                continue
            lacking[unit[0]] = unit
        return list(lacking.values())

    def forget(self) -> None:
        """Record that the units may not have arrived, so that they are sent again."""
        self._known.clear()
        self._last = None
