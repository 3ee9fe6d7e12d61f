"""Futures as arguments: the call waits for them without occupying a worker.

A future of this package may be an argument, or be in a container: a list, tuple, set,
frozenset, deque or dict (as a key, too), also of a subclass (a named tuple,
`OrderedDict`, `defaultdict`, `Counter` ...), or a field of a dataclass; at any depth.

Threads get copies of the containers that hold a future, with each future replaced by
its value; all other arguments are the caller's own objects. To a process the arguments
are sent at once (they are a snapshot) with a numbered placeholder for each future, and
the values follow when they are available. A future found elsewhere, in another object,
stays a future, see `process.wire.held`.
"""

from __future__ import annotations

import operator
from collections import deque
from copy import copy
from itertools import chain

from parallelize.futures.future import Failure, Future, error_of
from parallelize.runtime import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from typing import Any, TypeAlias

_new_lock = locks.reentrant("counting")

__all__ = (
    "HOLD_NO_FUTURES",
    "filled",
    "first_failure",
    "futures_in",
    "holds_futures",
    "may_hold",
    "when_done",
)

#: Types whose values neither are nor hold futures; all others are searched.
HOLD_NO_FUTURES = frozenset((int, float, bool, str, bytes, type(None)))

_SEQUENCES = (list, tuple, set, frozenset, deque)


def futures_in(args: Sequence[Any], kwargs: dict[str, Any]) -> list[Future[Any]]:
    """Return the futures among the arguments, also inside containers."""
    found = list(_search(args))
    if kwargs:
        found.extend(_search(kwargs.values()))
    return found


def may_hold(kinds: set[type]) -> bool:
    """Whether a value of one of these types may be, or hold, a future."""
    return not kinds <= HOLD_NO_FUTURES and any(map(_reader, kinds))


def holds_futures(values: Collection[Any]) -> bool:
    """Whether a future is among the values, or in containers among them."""
    # Containers of plain values, the usual case, need a few passes at C speed.
    for _ in range(3):
        readers = _readers(values)
        if readers is None:
            return False
        if _is_future in readers.values():
            return True
        values = _contents(values, readers)
    return any(True for _ in _search(values))


def _search(values: Collection[Any]) -> Iterator[Future[Any]]:
    seen: set[int] = set()  # ids of containers: one may be inside itself
    waiting = [values]  # no recursion: nesting may exceed Python's stack
    while waiting:
        values = waiting.pop()
        readers = _readers(values)
        if readers is None:
            continue
        for value in values:
            read = readers[type(value)]
            if read is _is_future:
                yield value
            elif read is not None and id(value) not in seen:
                seen.add(id(value))
                waiting.append(read(value))


# Returns the contents of a value; None for values without contents.
_Reader: TypeAlias = "Callable[[Any], Collection[Any]] | None"


def _readers(values: Collection[Any]) -> dict[type, _Reader] | None:
    """Return the reader for each type of the values; None if nothing can be read."""
    # One pass at C speed handles the usual case, in which there is nothing to find.
    kinds = set(map(type, values))
    if kinds <= HOLD_NO_FUTURES:
        return None
    readers = {kind: _reader(kind) for kind in kinds}
    return readers if any(readers.values()) else None


def _reader(kind: type) -> _Reader:
    if kind in HOLD_NO_FUTURES:
        return None
    if issubclass(kind, Future):
        return _is_future
    if issubclass(kind, dict):
        return _items
    if issubclass(kind, _SEQUENCES):
        return _itself
    return _fields if hasattr(kind, "__dataclass_fields__") else None


def _is_future(value: Any) -> Collection[Any]:
    return (value,)


def _itself(value: Any) -> Collection[Any]:
    return value  # type: ignore[no-any-return]


def _items(value: dict[Any, Any]) -> Collection[Any]:
    if set(map(type, value)) <= HOLD_NO_FUTURES:  # usual for keys
        return value.values()
    return [*value.keys(), *value.values()]


def _fields(value: Any) -> Collection[Any]:
    names = type(value).__dataclass_fields__
    return [getattr(value, name) for name in names if hasattr(value, name)]


def _contents(values: Collection[Any], readers: dict[type, _Reader]) -> Collection[Any]:
    if len(readers) == 1 and _itself in readers.values():
        return list(chain.from_iterable(values))
    opened = ((readers[type(value)], value) for value in values)
    return list(chain.from_iterable(read(value) for read, value in opened if read))


def filled(value: Any) -> Any:
    """Return the value with each completed future in it replaced by its result.

    Containers that hold a future are copied; other objects are returned unchanged.
    """
    return _filled(value, {})


def _filled(value: Any, known: dict[int, Any]) -> Any:
    read = _reader(type(value))
    if read is None:
        return value
    if read is _is_future:
        return value.result()
    key = id(value)
    if key not in known:
        known[key] = value  # for a container inside itself
        known[key] = _copied(value, read, known)
    return known[key]


def _copied(value: Any, read: _Reader, known: dict[int, Any]) -> Any:
    if read is _items:
        pairs = [
            (_filled(key, known), _filled(each, known)) for key, each in value.items()
        ]
        old = [each for pair in value.items() for each in pair]
        new = [each for pair in pairs for each in pair]
        return value if _same(old, new) else _new_dict(value, pairs)
    if read is _fields:
        return _new_instance(value, known)
    old = list(value)
    new = [_filled(each, known) for each in old]
    return value if _same(old, new) else _new_sequence(value, new)


def _same(old: list[Any], new: list[Any]) -> bool:
    return all(map(operator.is_, old, new))


def _new_dict(value: Any, pairs: list[tuple[Any, Any]]) -> Any:
    if type(value) is dict:
        return dict(pairs)
    made = copy(value)  # keeps a `default_factory`, attributes ...
    made.clear()
    for key, each in pairs:
        made[key] = each
    return made


def _new_sequence(value: Any, items: list[Any]) -> Any:
    kind = type(value)
    if kind in _SEQUENCES and kind is not deque:
        return kind(items)
    if isinstance(value, (tuple, frozenset)):
        base: Any = tuple if isinstance(value, tuple) else frozenset
        made = base.__new__(kind, items)  # kind.__new__ may differ
        if hasattr(value, "__dict__"):
            vars(made).update(vars(value))
        return made
    made = copy(value)
    made.clear()
    if isinstance(value, set):
        made.update(items)
    else:
        made.extend(items)
    return made


def _new_instance(value: Any, known: dict[int, Any]) -> Any:
    """Return a dataclass instance, which may be frozen, with results filled in."""
    changes: dict[str, Any] = {}
    for name in type(value).__dataclass_fields__:
        if hasattr(value, name):
            old = getattr(value, name)
            new = _filled(old, known)
            if new is not old:
                changes[name] = new
    if not changes:
        return value
    made = copy(value)
    for name, new in changes.items():
        object.__setattr__(made, name, new)
    return made


def when_done(
    futures: Sequence[Future[Any]],
    ready: Callable[[], object],
    failed: Callable[[BaseException], object],
) -> None:
    """Call ``ready()`` once, when the last of the futures is done.

    Args:
        futures: The futures to wait for.
        ready: Called in the thread that completes the last of them.
        failed: Called with an error that ``ready()`` raised, which would otherwise be
            lost.
    """
    left = len(futures)
    lock = _new_lock()  # guards left; nothing is taken under it

    def one_done(_: object) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if not last:
            return
        try:
            ready()
        except BaseException as error:  # noqa: BLE001 - the waiting call must complete
            failed(error)

    for future in futures:
        future.add_done_callback(one_done)


def first_failure(futures: Sequence[Future[Any]]) -> Failure | None:
    """Return the failure of the first future that failed; all must be done."""
    for future in futures:
        error = error_of(future)
        if error is not None:
            failure = Failure(error)
            failure.traceback = future._traceback
            return failure
    return None
