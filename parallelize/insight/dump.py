"""What every worker is running, for how long, and where in the code it is.

```
 dump() ── helper thread ──▶ pool: which call, since when (shared page)
   │                         worker's watcher: SHOW ──▶ SHOWN, its stacks
   │ waits, within a limit   no answer: a signal; faulthandler writes to stderr
   ▼
 standard error
```

It is used on programs that hang, so nothing here may wait without a limit: not for a
lock, not for a worker, not for the pool's own thread.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from parallelize.inside import stacks
from parallelize.process.parent.tasks.worker_handle import WorkerStage
from parallelize.process.wire.journal import BEGUN, NO_ROW, ROW, TASK
from parallelize.runtime import lifecycle, native
from parallelize.runtime.clock import LONGEST_WAIT, bounded, monotonic
from parallelize.runtime.locks import Latch
from parallelize.runtime.options import check_signal, check_wait
from parallelize.tracing.labels import label_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import TextIO

    from parallelize.process.parent.pool import Pool
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle
    from parallelize.threads.engine import Engine
    from parallelize.threads.workers import ThreadWorker

__all__ = ("dump", "dump_on_signal")

#: Seconds that the rest of a dump may take after the workers' time is over.
_MARGIN = 1.0

_OWN_THREADS = ("parallelize-dump", "parallelize-dispatcher", "parallelize-deadlines")


def dump(file: TextIO | None = None, *, timeout: float = 2.0) -> None:
    """Write what every worker is running, for how long, and its stacks.

    This covers all executors of this program, their processes and threads, and the
    other threads of the program. Nothing is stopped.

    A process whose C code holds the GIL cannot answer. It is sent a signal, and
    writes its stacks to its own standard error.

    Args:
        file: Where to write; None is standard error.
        timeout: Seconds to wait for processes that do not answer.

    Raises:
        TypeError: ``timeout`` is not a number of seconds.

    Example:
        >>> import io, parallelize
        >>> text = io.StringIO()
        >>> parallelize.dump(text)
        >>> "MainThread" in text.getvalue()
        True
    """
    given = check_wait(timeout)
    seconds = LONGEST_WAIT if given is None else bounded(given)
    parts: list[str] = []
    # In a separate thread: this one may hold a lock that is needed, if it was
    # interrupted by a signal or runs a callback of a future.
    asking = threading.get_ident()
    thread = threading.Thread(
        target=_collect,
        args=(parts, seconds, asking),
        name="parallelize-dump",
        daemon=lifecycle.daemons,
    )
    try:
        native.start(thread)
    except RuntimeError:  # the program is ending, or cannot start a thread
        _collect(parts, seconds, asking)
    else:
        thread.join(seconds + _MARGIN)
        if thread.is_alive():
            parts.append("(some of it could not be collected in time)\n")
    _write(file, "".join(parts))


def dump_on_signal(number: int | None = None, file: TextIO | None = None) -> None:
    """Call `dump` when this process receives a signal, as by ``kill -USR1 PID``.

    Must be called in the main thread, once, at the start of a program. It replaces
    the previous handler of the signal.

    Args:
        number: The signal; None is ``SIGUSR1``.
        file: Where to write; None is standard error.

    Raises:
        ValueError: There is no such signal on this system, or this is not the main
            thread.

    Example:
        >>> import parallelize
        >>> parallelize.dump_on_signal()
    """
    import signal

    if number is None:
        number = getattr(signal, "SIGUSR1", None)
    if number is None:
        msg = "number must be given: this system has no SIGUSR1"
        raise ValueError(msg)
    number = check_signal(number)

    def handler(_: int, __: FrameType | None) -> None:
        # The interrupted thread continues at once, whatever locks it holds.
        thread = threading.Thread(
            target=dump, args=(file,), name="parallelize-dump", daemon=lifecycle.daemons
        )
        try:
            thread.start()
        except RuntimeError:  # no thread can be started
            dump(file)

    signal.signal(number, handler)


def _write(file: TextIO | None, text: str) -> None:
    out = sys.stderr if file is None else file
    if out is not None:  # it is None in a program without a console
        out.write(text)
        out.flush()


def _collect(parts: list[str], seconds: float, asking: int) -> None:
    until = monotonic() + seconds
    parts.append(f"parallelize: what process {os.getpid()} runs\n")
    owners: list[Any] = lifecycle.owners()
    pools = [each for each in owners if _is_a("process.parent.pool", "Pool", each)]
    engines = [each for each in owners if _is_a("threads.engine", "Engine", each)]
    asked = [_ask(pool, until) for pool in pools]  # the rest is of the same moment
    shown: set[int | None] = set()
    of_threads = [text for engine in engines for text in _of_threads(engine, shown)]
    of_threads += _of_others(shown, asking)
    for head, looks in asked:
        parts.append(head)
        for look in looks:
            parts.extend(look.describe(until))
    parts += of_threads


def _is_a(module: str, name: str, owner: object) -> bool:
    """isinstance, by name; if the module is not loaded there are no instances."""
    kind = getattr(sys.modules.get(f"parallelize.{module}"), name, None)
    return kind is not None and isinstance(owner, kind)


# Processes.


def _ask(pool: Pool, until: float) -> tuple[str, list[_Look]]:
    """Ask all workers of a pool for their stacks; describe the pool."""
    scheduler = pool.scheduler
    if not scheduler.lock.acquire(timeout=max(until - monotonic(), 0)):
        return "a pool of processes, whose lock is held\n", []
    try:
        looks = [_Look(worker) for worker in scheduler.workers.values()]
        waiting = _waiting(len(scheduler.queue))
        return f"pool of {len(looks)} processes, {waiting}\n", looks
    finally:
        scheduler.lock.release()


def _waiting(count: int) -> str:
    return f"{count} {'task waits' if count == 1 else 'tasks wait'} for a worker"


class _Look:
    """The state of one worker; made under the pool's lock."""

    def __init__(self, worker: WorkerHandle) -> None:
        self._worker = worker
        self._says = _what_runs(worker)
        self._answered = Latch()
        self._text = ""
        self._is_asked = bool(worker.tasks)
        if self._is_asked:
            worker.show(self._answer)

    def _answer(self, text: str) -> None:
        self._text = text
        self._answered.set()

    def describe(self, until: float) -> Iterator[str]:
        """What the worker is running, and where in the code it is."""
        yield f"  worker {self._worker.pid} {self._says}\n"
        if not self._is_asked:
            return
        if self._answered.wait(max(until - monotonic(), 0)):
            yield _indented(self._text)
        elif self._worker.show_by_signal():
            yield "    does not answer; it was asked to write to its standard error\n"
        else:
            yield "    does not answer\n"


def _what_runs(worker: WorkerHandle) -> str:
    words = worker.channel.page.words
    task = worker.tasks.get(words[TASK])
    if task is None or words[ROW] == NO_ROW:
        return "starts" if worker.stage is WorkerStage.STARTING else "is idle"
    row = worker.channel.page.running() if task.is_rows else 0
    name = task.call_at(row).name()
    which = f" (call {row + 1} of {task.size})" if task.size > 1 else ""
    more = len(worker.tasks) - 1
    behind = f"; {more} more behind it" if more else ""
    seconds = max(monotonic() - words[BEGUN] / 1e9, 0)
    return f"runs {name}{which} for {seconds:.1f} s{behind}"


# Threads.


def _of_threads(engine: Engine, shown: set[int | None]) -> Iterator[str]:
    now = sys._current_frames()
    threads: list[Any] = sorted(engine.threads, key=lambda thread: thread.name)
    waiting = _waiting(len(engine._queue))
    yield f"pool of {len(threads)} threads, {waiting}\n"
    for thread in threads:
        shown.add(thread.ident)
        yield from _of_thread(thread, now.get(thread.ident))


def _of_thread(worker: ThreadWorker, frame: FrameType | None) -> Iterator[str]:
    if worker.running is None or frame is None:
        yield f"  thread {worker.name} is idle\n"
        return
    seconds = max(monotonic() - worker.since, 0)
    name = _name_in(frame) or "a call"
    # The start of each call is not recorded, as every call would pay for that.
    yield f"  thread {worker.name} runs {name} for at most {seconds:.1f} s\n"
    yield _indented(stacks.text_of(frame))
    del frame


def _name_in(frame: FrameType | None) -> str | None:
    """The name of the call that a pool's thread runs, found in its innermost frames."""
    from parallelize.threads.tasks import ThreadTask

    code = ThreadTask.run.__code__
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    fn = None if frame is None else frame.f_locals.get("fn")
    return None if fn is None else label_of(fn)[0]


def _of_others(shown: set[int | None], asking: int) -> Iterator[str]:
    for thread, frame in stacks.frames():
        if thread.ident in shown or thread.name in _OWN_THREADS:
            continue
        here = ", which asks" if thread.ident == asking else ""
        yield f"thread {thread.name} of the program{here}\n"
        yield _indented(stacks.text_of(frame))


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())
