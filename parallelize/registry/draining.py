"""`drain_on_signal`: a signal ends the program, after the calls that run.

```
 signal ──▶ handler, in the main thread ── SystemExit ──▶ finally blocks, exit functions
              └─ thread: pools take no more calls          └─▶ the signal's own end
                         after the grace: the rest is killed, the signal sent again
```
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from parallelize.runtime import lifecycle, native
from parallelize.runtime.clock import monotonic
from parallelize.runtime.options import check_grace, check_signal

if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Literal

__all__ = ("drain_on_signal",)

#: Seconds that killed workers have to end, before the program does.
LAST_WAIT = 1.0


def drain_on_signal(
    number: int | None = None,
    *,
    grace: float = 25.0,
    queued: Literal["finish", "drop"] = "finish",
) -> None:
    """End the program in order when it receives a signal, as by a service manager.

    At the signal, pools take no new calls, and `stopping` becomes true in those that
    run. `SystemExit` is raised in the main thread, so that ``finally`` blocks and exit
    functions run. When the calls have ended, the process ends by the signal itself,
    which is what a service manager expects. After the grace, or at a second signal,
    it does so at once, and what still runs is killed.

    If the program has a handler for the signal already, as the workers of servers such
    as gunicorn do, that one is called instead of raising `SystemExit`, and decides what
    ends when; pools take the calls of requests that are still served. The grace counts
    all the same.

    Must be called in the main thread, once in a process.

    Args:
        number: The signal; None is ``SIGTERM``.
        grace: Seconds from the signal to the end at the latest.
        queued: What happens to calls that have not begun: they are finished within the
            grace, or cancelled.

    Raises:
        TypeError: ``number`` or ``grace`` is not a number.
        ValueError: ``queued`` or ``grace`` has an invalid value, there is no such
            signal, or this is not the main thread.

    Example:
        >>> import parallelize
        >>> parallelize.drain_on_signal(grace=20, queued="drop")
    """
    if queued not in ("finish", "drop"):
        msg = f"queued must be 'finish' or 'drop', not {queued!r}"
        raise ValueError(msg)
    number = signal.SIGTERM if number is None else check_signal(number)
    drain = _Drain(number, check_grace(grace), drop=queued == "drop")
    drain.before = signal.signal(number, drain.on_signal)


class _Drain:
    """The end of this process by one signal."""

    def __init__(self, number: int, grace: float, *, drop: bool) -> None:
        self._number = number
        self._grace = grace
        self._drop = drop
        self._has_begun = False
        self._is_over = False  # the grace is over
        self._pid = os.getpid()
        self.before: Any = None  # what the signal did before: a handler, or a constant

    def on_signal(self, _: int, frame: FrameType | None) -> None:
        """Begin to end; at the second signal, end."""
        serves = callable(self.before) and self.before is not signal.default_int_handler
        is_first = not self._has_begun and os.getpid() == self._pid
        is_on_its_way = lifecycle.is_ending()
        if is_first:
            self._has_begun = True
            self._begin(serves=serves)
        if serves and not self._is_over:
            self.before(self._number, frame)
        elif not is_first:  # or in a forked child
            self._end()
        elif not is_on_its_way:
            raise SystemExit(128 + self._number)

    def _begin(self, *, serves: bool) -> None:
        if not serves:
            # It is called before the exit functions that there are, and calls these.
            atexit.register(self._end_at_exit)
        # Not in this thread, which may hold any lock.
        run = partial(self._run, serves=serves)
        thread = threading.Thread(
            target=run, name="parallelize-drain", daemon=lifecycle.daemons
        )
        with contextlib.suppress(RuntimeError):  # no thread can be started
            thread.start()

    def _run(self, *, serves: bool) -> None:
        until = monotonic() + self._grace
        if not serves:
            lifecycle.stop_taking(drop=self._drop)
        native.sleep(max(0.0, until - monotonic()))
        lifecycle.abandon_all()
        native.sleep(LAST_WAIT)
        self._is_over = True
        os.kill(os.getpid(), self._number)  # the handler then ends the process

    def _end_at_exit(self) -> None:
        atexit.unregister(self._end_at_exit)
        atexit._run_exitfuncs()
        if os.getpid() == self._pid:
            self._end()

    def _end(self) -> None:
        """End the process by the signal."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # it is None, or closed
                stream.flush()
        signal.signal(self._number, signal.SIG_DFL)
        signal.raise_signal(self._number)
