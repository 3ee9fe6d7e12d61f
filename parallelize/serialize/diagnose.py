"""Finds what in a value cannot be pickled; loaded only after a failure.

```
 argument 'cfg' ──▶ attribute 'lock' ──▶ _thread.lock
   fails: search it     fails: search it      fails, but no part of it does: found
```

Pickle says that some lock cannot be pickled, but not where it is. So the value is taken
apart like pickle would, and each part is pickled by itself. Pickling runs the user's
code again, so the search is bounded in time and depth, and returns what it has found so
far.
"""

from __future__ import annotations

import functools
import types
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.runtime.clock import monotonic
from parallelize.runtime.locks import is_interrupt
from parallelize.serialize import pickling
from parallelize.serialize.changes import looks as main_looks
from parallelize.serialize.main import (
    pickler as main_pickler,
)
from parallelize.serialize.main import (
    reducers as main_reducers,
)
from parallelize.serialize.reducers import placeholders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Parts = Iterator[tuple[str, object]]

#: Seconds after which the search ends with what it has found.
LONGEST = 1.0

#: The largest number of steps in a path.
DEEPEST = 20

_ATOMS = frozenset((int, float, complex, bool, str, bytes, type(None)))


class Finding(NamedTuple):
    """The result of a search.

    Attributes:
        steps: The path to the culprit, from the outside.
        leaf: A description of the culprit.
        advice: How to avoid the failure.
    """

    steps: Sequence[str]
    leaf: str
    advice: str

    def text(self) -> str:
        """Return the path as text, with the advice."""
        way = " → ".join([*self.steps, self.leaf])
        return f"{way}; {self.advice}"


def in_call(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[str, Finding]:
    """Search a call: first its function, then its arguments.

    Returns:
        What cannot be pickled, "function" or "arguments", and the finding.
    """
    search = _Search(_pickle_for_worker)
    if not _encodes(fn):
        return "function", search.within(fn)
    return "arguments", search.among(_named(fn, args, kwargs), tuple(args))


def in_values(values: Sequence[Any]) -> Finding:
    """Search the values of futures that were among the arguments of a call."""
    named = (("the value of a future", value) for value in values)
    return _Search(_pickle_for_worker).among(named, values)


def in_result(value: object) -> Finding:
    """Search, in a worker, a result or an error that is sent back."""
    return _Search(pickling.dumps_back).within(value)


def why_not_rebuilt(error: BaseException) -> str:
    """Explain, in a worker, why an error cannot be sent in its own class."""
    try:
        parts = pickling.dumps_back(error)
    except BaseException:  # noqa: BLE001 - the error's own code may raise anything
        return f"it cannot be pickled: {in_result(error).text()}"
    try:
        pickling.loads(parts)
    except BaseException as cause:  # noqa: BLE001 - likewise
        text = f"it cannot be built again from its pickle: {type(cause).__name__}"
        return f"{text}; its class may need a __reduce__ of its own"
    return "what is built from its pickle is something else"


class _Search:
    """One search, with the pickler that failed."""

    def __init__(self, pickle: Callable[[object], object]) -> None:
        self._pickle = pickle
        self._until = monotonic() + LONGEST
        self._seen: dict[int, object] = {}  # by id; kept alive, so that no id is reused

    def within(self, value: object) -> Finding:
        """Search a value that cannot be pickled."""
        return self._follow(value, []) or _finding([], value)

    def among(self, named: Parts, whole: object) -> Finding:
        """Search the first of some named values that cannot be pickled."""
        for name, value in named:
            if not self._travels(value):
                return self._follow(value, [name]) or _finding([name], value)
        return _finding([], whole)  # each can be pickled alone, but not all together

    def _follow(self, value: object, steps: list[str]) -> Finding | None:
        """Search a failing value; None if it fails because of one being searched."""
        self._seen[id(value)] = value
        innocent = False
        if len(steps) < DEEPEST:
            for name, part in self._failing(value):
                if id(part) in self._seen:  # a cycle
                    innocent = True
                elif found := self._follow(part, [*steps, name]):
                    return found
        return None if innocent else _finding(steps, value)

    def _failing(self, value: object) -> Parts:
        try:
            for name, part in _parts(value):
                if not self._travels(part):
                    yield name, part
        except BaseException as error:
            if is_interrupt(error):
                raise

    def _travels(self, value: object) -> bool:
        if type(value) in _ATOMS or monotonic() > self._until:
            return True
        try:
            self._pickle(value)
        except BaseException as error:
            if is_interrupt(error):
                raise
            return False
        return True


def _pickle_for_worker(value: object) -> object:
    with placeholders.collect_futures():  # futures can be sent
        return pickling.dumps(value, lambda _: b"")  # large buffers need no copy


def _encodes(fn: Callable[..., Any]) -> bool:
    try:
        pickling.encode_function(fn)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return False
    return True


def _named(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Parts:
    """Return the arguments, named after their parameters."""
    import inspect

    try:
        bound = inspect.signature(fn).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):  # it has no readable signature
        numbered = [(f"argument {n}", each) for n, each in enumerate(args, 1)]
        return iter([*numbered, *((f"argument {k!r}", v) for k, v in kwargs.items())])
    return ((f"argument {name!r}", value) for name, value in bound.items())


# The parts into which pickle would take a value apart.


def _parts(value: object) -> Parts:
    for kind, parts in _KINDS:
        if isinstance(value, kind):
            return parts(value)
    return _parts_of_object(value)


def _parts_of_function(fn: types.FunctionType) -> Parts:
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
        for content in main_looks.contents(cell):
            yield f"closure variable {name!r}", content
    names = fn.__code__.co_varnames[: fn.__code__.co_argcount]
    defaults = fn.__defaults__ or ()
    for name, default in zip(
        names[len(names) - len(defaults) :], defaults, strict=True
    ):
        yield f"default of {name!r}", default
    for name, default in (fn.__kwdefaults__ or {}).items():
        yield f"default of {name!r}", default
    for name in main_pickler.global_names(fn.__code__):
        if name in fn.__globals__:
            yield f"global {name!r}", fn.__globals__[name]
    for name, attribute in vars(fn).items():
        yield f"attribute {name!r}", attribute


def _parts_of_method(method: types.MethodType) -> Parts:
    yield "instance", method.__self__
    yield "function", method.__func__


def _parts_of_partial(partial: functools.partial[Any]) -> Parts:
    yield "function", partial.func
    for number, each in enumerate(partial.args, 1):
        yield f"argument {number}", each
    for name, each in partial.keywords.items():
        yield f"argument {name!r}", each


def _parts_of_class(cls: type) -> Parts:
    for name, attribute in vars(cls).items():
        if name not in ("__dict__", "__weakref__"):
            yield f"class attribute {name!r}", attribute
    for base in cls.__bases__:
        yield "base class", base


def _parts_of_dict(values: dict[Any, Any]) -> Parts:
    for key, value in values.items():
        yield "key", key
        yield f"key {_short(key)}", value


def _parts_of_sequence(values: Sequence[Any]) -> Parts:
    for number, value in enumerate(values):
        yield f"item {number}", value


def _parts_of_set(values: set[Any]) -> Parts:
    for value in values:
        yield "item", value


_KINDS: Sequence[tuple[Any, Callable[[Any], Parts]]] = (
    (types.FunctionType, _parts_of_function),
    (types.MethodType, _parts_of_method),
    (functools.partial, _parts_of_partial),
    (type, _parts_of_class),
    (staticmethod, lambda method: iter([("function", method.__func__)])),
    (classmethod, lambda method: iter([("function", method.__func__)])),
)

#: Exact types only, because subclasses may have more parts.
_CONTAINERS: dict[type, Callable[[Any], Parts]] = {
    dict: _parts_of_dict,
    list: _parts_of_sequence,
    tuple: _parts_of_sequence,
    deque: _parts_of_sequence,
    set: _parts_of_set,
    frozenset: _parts_of_set,
}


def _parts_of_object(value: object) -> Parts:
    container = _CONTAINERS.get(type(value))
    if container is not None:
        yield from container(value)
        return
    reduced = _reduced(value)
    if not isinstance(reduced, tuple):
        return
    parts: tuple[Any, ...] = (*reduced, None, None, None, None)
    make, args, state, items, pairs = parts[:5]
    yield from _parts_of_state(state)
    # `copyreg.__newobj__` takes the class first: that is not an argument of the user's.
    given = args[1:] if args and args[0] is type(value) else args
    yield from ((f"part {n}", each) for n, each in enumerate(given or (), 1))
    yield from ((f"item {n}", each) for n, each in enumerate(items or ()))
    yield from ((f"key {_short(key)}", each) for key, each in pairs or ())
    yield "class", type(value)
    yield "what makes it", make


def _reduced(value: object) -> object:
    import copyreg

    reducer = copyreg.dispatch_table.get(type(value))
    return value.__reduce_ex__(5) if reducer is None else reducer(value)


def _parts_of_state(state: object) -> Parts:
    states = state if isinstance(state, tuple) else (state,)
    for each in states:
        if isinstance(each, dict):
            yield from ((f"attribute {name!r}", part) for name, part in each.items())
        elif each is not None:
            yield "state", each


def _short(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 40 else f"{text[:37]}..."


# The description and the advice.


def _finding(steps: Sequence[str], leaf: object) -> Finding:
    kind = type(leaf)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    name = f"{module}{kind.__qualname__}"
    if isinstance(leaf, (type, types.FunctionType)):
        name = f"{kind.__qualname__} {leaf.__qualname__!r}"
    return Finding(steps, name, main_reducers.advice_for(leaf))
