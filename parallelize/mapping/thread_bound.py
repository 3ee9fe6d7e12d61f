"""Inputs that belong to the thread in which they were created.

A cursor of sqlite3 refuses other threads, a query of Django has a connection for each
thread, a `threading.local` differs in each, a held `threading.RLock` can be released
only where it was acquired, and a token of a context variable only used in its context.
Where an input refers to such an object, only the reader's thread reads it. What an
input refers to is found the way the garbage collector finds it, and in the code of a
generator by the names that it uses.
"""

from __future__ import annotations

import gc
import sys
import threading
from _thread import RLock
from collections import deque
from contextlib import suppress
from contextvars import Token
from itertools import islice
from types import FunctionType, GeneratorType, ModuleType
from typing import TYPE_CHECKING, Any

from parallelize.runtime import locks

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("is_bound",)

#: The number of steps from the iterator to the object, and of objects looked at.
_DEEPEST, _MOST = 4, 500

#: What refers to nearly everything.
_TOO_WIDE = (type, ModuleType)

#: Containers that may be large.
_CONTAINERS = (list, tuple, set, frozenset, deque)


def is_bound(iterator: object) -> bool:
    """Whether reading an iterator is known to need the current thread."""
    kinds = _bound_kinds()
    seen: set[int] = set()
    level: list[object] = [iterator]
    for _ in range(_DEEPEST):
        deeper: list[object] = []
        for each in islice(level, _MOST):
            if id(each) in seen:
                continue
            seen.add(id(each))
            if issubclass(type(each), kinds) or _is_of_this_thread(each):
                return True
            with suppress(RuntimeError):  # another thread changes a container
                deeper.extend(islice(_referents(each), _MOST))
        level = deeper
    return False


def _bound_kinds() -> tuple[type, ...]:
    kinds: list[type] = [threading.local, Token]
    sqlite3 = sys.modules.get("sqlite3")
    for name in ("Connection", "Cursor"):
        kind = getattr(sqlite3, name, None)
        if isinstance(kind, type):
            kinds.append(kind)
    return tuple(kinds)


def _is_of_this_thread(each: Any) -> bool:
    if type(each) is RLock:
        return locks.depth(each) > 0
    return str(type(each).__module__).startswith("django.db.")


def _referents(each: Any) -> Iterable[object]:
    kind = type(each)
    if kind in _CONTAINERS:
        return each  # type: ignore[no-any-return]
    if kind is dict:
        return each.values()  # type: ignore[no-any-return]
    if isinstance(each, GeneratorType):
        return _used_by_generator(each)
    if isinstance(each, FunctionType):
        return _used_by_function(each)
    if isinstance(each, _TOO_WIDE):
        return ()
    return gc.get_referents(each)


def _used_by_generator(generator: GeneratorType[Any, Any, Any]) -> list[object]:
    frame = generator.gi_frame
    if frame is None:
        return []
    used = list(frame.f_locals.values())
    used.extend(_named(frame.f_code.co_names, frame.f_globals))
    used.append(generator.gi_yieldfrom)
    return used


def _used_by_function(function: FunctionType) -> list[object]:
    used: list[object] = list(function.__closure__ or ())
    used.extend(_named(function.__code__.co_names, function.__globals__))
    return used


def _named(names: Iterable[str], namespace: dict[str, Any]) -> list[object]:
    return [namespace[name] for name in names if name in namespace]
