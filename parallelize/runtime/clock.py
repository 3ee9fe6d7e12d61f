"""The clock of the system, also where a test has put another in its place.

freezegun and others replace the functions of `time`, in that module and in each that
has imported them by name, and a module that is first imported meanwhile takes what it
finds there. A deadline must be met in real time all the same, in the program and in
its workers, whose moments are compared with each other. So the functions here come
from a copy of the module of our own: these objects nobody else has, or replaces.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False  # `typing` is more than workers need
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from time import monotonic, monotonic_ns, perf_counter, sleep
    from types import ModuleType

__all__ = (
    "LONGEST_WAIT",
    "bounded",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "sleep",
    "wait_for",
)

#: Seconds that a single wait takes at most; then the clock is looked at again. What
#: waits may refuse more: epoll does from 24.8 days on, and a lock, on Windows, from
#: 49 days on.
LONGEST_WAIT = 86_400.0


def bounded(seconds: float) -> float:
    """Return how long to wait at once, where so many seconds are left (or fewer)."""
    return min(max(seconds, 0.0), LONGEST_WAIT)


def wait_for(
    condition: threading.Condition, predicate: Callable[[], object], seconds: float
) -> bool:
    """Wait until the predicate is true, as `Condition.wait_for`, by this clock.

    The caller holds the condition.

    Args:
        condition: Notified when the predicate may have become true.
        predicate: What is waited for.
        seconds: The longest wait; any number, infinity included.

    Returns:
        False if the time was over before.
    """
    until = monotonic() + seconds
    while not predicate():
        left = until - monotonic()
        if left <= 0:
            return False
        condition.wait(bounded(left))
    return True


def _own_copy() -> ModuleType:
    """Return a copy of the module `time` as the interpreter makes it."""
    spec = time.__spec__
    try:
        assert spec is not None
        assert spec.loader is not None
        module = spec.loader.create_module(spec)
        assert module is not None
        spec.loader.exec_module(module)
    except Exception:  # noqa: BLE001 - a Python that has `time` from elsewhere
        return time
    return module


if not TYPE_CHECKING:
    _time = _own_copy()
    monotonic = _time.monotonic
    monotonic_ns = _time.monotonic_ns
    perf_counter = _time.perf_counter
    sleep = _time.sleep
