"""Unretrieved failures: reported when their future is garbage-collected.

```
 failed future ──▶ UnretrievedFailure ──▶ collected: queued unless retrieved
                          ▲                 └──▶ logged, in a separate thread
  result(), exception(), await, ...: retrieved
```

Garbage is collected in any thread, under any locks, for instance those of a log
handler. So the finaliser only records the failure.

Only a future that fails gets an `UnretrievedFailure`, so successful ones have no
finaliser and no overhead. Reading or forwarding the error marks it as retrieved.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import weakref
from collections import deque

from parallelize.runtime import lifecycle, raised
from parallelize.runtime.options import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeAlias

    from parallelize.runtime.options import CallOptions

    class Failed(Protocol):
        """The outcome of a call, in a form that is not yet opened."""

        def error_or_text(self) -> BaseException | str: ...

    Called: TypeAlias = tuple[Callable[..., Any], CallOptions]
    Noted: TypeAlias = tuple[int, BaseException | Failed, Called | None]

__all__ = ("UnretrievedFailure", "is_cancellation")

_log = logging.getLogger("parallelize")

_REPORT = "%s failed, and its exception was never retrieved"

#: Those that are neither retrieved nor reported. Objects that live until exit are
#: collected too late to be logged. Each operation on this dict is atomic.
_all: dict[int, weakref.ref[UnretrievedFailure]] = {}
_hooked = False  # a race is harmless


# Collected failures to be logged, each with its process id; and the id of the process
# that has requested a thread to log them, or 0. Accessed by atomic operations only;
# invalid in a forked child.
_noted: deque[Noted] = deque()
_asked_in = 0


class UnretrievedFailure:
    """Reports a failure when it is collected, unless it has been retrieved.

    Attributes:
        called: The function whose call failed, and its options, if known.
    """

    __slots__ = ("__weakref__", "_failure", "_process", "called")

    def __init__(self, failure: BaseException | Failed, called: Called | None) -> None:
        self._failure: BaseException | Failed | None = failure
        self._process = os.getpid()  # copies in forked children do not report
        self.called: Called | None = called
        _all[id(self)] = weakref.ref(self)
        if not _hooked:
            _report_at_the_end()

    def mark_retrieved(self) -> None:
        """Mark the failure as retrieved, so that it is not reported."""
        self._failure = None
        _all.pop(id(self), None)

    def note(self) -> bool:
        """Queue the failure for the log; False if retrieved or the parent's."""
        failure = self._failure
        if failure is None:
            return False
        self.mark_retrieved()
        if self._process != os.getpid() or _ends_badly():
            return False
        _noted.append((self._process, failure, self.called))
        return True

    def __del__(self) -> None:
        if self._failure is not None and self.note():
            _request_thread(self._process)


def _request_thread(process: int) -> None:
    global _asked_in
    if _asked_in != process:
        _asked_in = process
        lifecycle.later(_report_noted)


def _report_noted() -> None:
    """Log the queued failures, in the one thread that does so until it finds none."""
    global _asked_in
    try:
        while _noted:
            try:
                noted = _noted.popleft()
            except IndexError:  # another thread reports, too
                break
            _report_one(*noted)
    finally:
        _asked_in = 0
        if _noted:  # since the last look, by finalisers that saw this thread requested
            _request_thread(os.getpid())


def _report_one(
    process: int, failure: BaseException | Failed, called: Called | None
) -> None:
    if process == os.getpid():
        _report(failure, _name(called))


def _report(failure: BaseException | Failed, name: str) -> None:
    """Log the failure, unless it is a cancellation; also at exit."""
    if _ends_badly():
        return
    error = failure if isinstance(failure, BaseException) else failure.error_or_text()
    if not isinstance(error, BaseException):
        _log.error(f"{_REPORT}\n%s", name, error)
    elif is_cancellation(error):
        return
    elif raised.can_be_shown(error):
        shown = type(error), error, raised.traceback_of(error)
        _log.error(_REPORT, name, exc_info=shown)
    else:
        _log.error(f"{_REPORT}\n%s", name, raised.full_text_of(error))


def _name(called: Called | None) -> str:
    if called is None:
        return "a call"
    try:
        fn, options = called
        return name_of(getattr(fn, "traced_fn", fn), options)  # within a trace
    except Exception:  # noqa: BLE001 - a callable object's repr may fail
        return "a call"


def is_cancellation(error: BaseException) -> bool:
    """Whether an error means that a call was stopped, not that it failed."""
    from concurrent.futures import CancelledError

    from parallelize.errors import TaskKilled

    if raised.is_a(error, (CancelledError, TaskKilled)):
        return True
    # Without asyncio loaded there is no error of it.
    of_asyncio = getattr(sys.modules.get("asyncio"), "CancelledError", None)
    return of_asyncio is not None and raised.is_a(error, of_asyncio)


def _ends_badly() -> bool:
    # An error or Ctrl-C that ends the program makes calls fail, and is reported itself.
    # During finalisation a frozen thread may hold a lock of `logging`.
    return sys.is_finalizing() or lifecycle.is_abandoning()


def _report_at_the_end() -> None:
    global _hooked
    _hooked = True
    atexit.register(_report_all)


def _report_all() -> None:
    for reference in _all.copy().values():
        unretrieved = reference()
        if unretrieved is not None:
            unretrieved.note()
    if not _ends_badly():
        lifecycle.finish_what_is_left()  # a thread may still be logging
    _report_noted()
