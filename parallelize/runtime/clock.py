"""The system's clock, even while a test has replaced it.

freezegun and others replace the functions of `time`, in that module and in each module
that imported them by name; a module first imported meanwhile gets the replacements.
Deadlines must be met in real time all the same, in the program and in its workers,
whose times are compared. So the functions here come from a private copy of the `time`
module: no other code can reach and replace these objects.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False  # workers need not load `typing`
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

#: The longest single wait, in seconds; after it the clock is read again. Longer waits
#: may be refused: by epoll from 24.8 days on, by a lock on Windows from 49 days on.
LONGEST_WAIT = 86_400.0


def bounded(seconds: float) -> float:
    """Clip the remaining seconds to what a single wait can take."""
    return min(max(seconds, 0.0), LONGEST_WAIT)


def wait_for(
    condition: threading.Condition, predicate: Callable[[], object], seconds: float
) -> bool:
    """Wait until the predicate is true, like `Condition.wait_for`, by this clock.

    The caller holds the condition.

    Args:
        condition: Notified when the predicate may have become true.
        predicate: What is waited for.
        seconds: The longest wait; any number, infinity included.

    Returns:
        False if the time ran out first.
    """
    until = monotonic() + seconds
    while not predicate():
        left = until - monotonic()
        if left <= 0:
            return False
        condition.wait(bounded(left))
    return True


def _own_copy() -> ModuleType:
    """Return a fresh copy of the module `time`, as the interpreter creates it."""
    spec = time.__spec__
    try:
        assert spec is not None
        assert spec.loader is not None
        module = spec.loader.create_module(spec)
        assert module is not None
        spec.loader.exec_module(module)
    except Exception:  # noqa: BLE001 - a Python whose `time` is not built in
        return time
    return module


if not TYPE_CHECKING:
    _time = _own_copy()
    monotonic = _time.monotonic
    monotonic_ns = _time.monotonic_ns
    perf_counter = _time.perf_counter
    sleep = _time.sleep
