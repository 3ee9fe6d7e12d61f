"""The worker's side of the wire: receive, unpickle, run, pickle, send.

```
            task socket                          control socket
 pool ══════ frames ═════▶ main thread   pool ══ GIVE_BACK ══▶ watcher thread
      ◀═════ frames ══════     │               ◀═ GIVEN_BACK ══     │
                               ▼                                    │
                     tasks: deque, taken from                       │
                     the left by the main thread, ◀── the right ────┘
```

The main thread alone runs tasks. The watcher sleeps on the control socket: it
returns what has not begun when the pool asks for it, and when the parent is
gone (only the parent holds the other end) it ends the process.

Whatever a task does, what it came to is in the shared `Page` before the next
task begins; it is sent when there is nothing to run, or after a millisecond.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import select
import signal
import sys
import threading
import time
from collections import deque
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from parallelize import gaps
from parallelize.process import inheritance, main_module, messages, pickling
from parallelize.process.page import (
    BASE,
    BEGUN,
    COUNT,
    FIRST,
    JOURNAL_SIZE,
    JOURNALED,
    NO_ROW,
    ROW,
    TASK,
    Page,
)
from parallelize.process.transport import (
    DoesNotFitError,
    FrameReader,
    ProtocolError,
    pack,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from parallelize.process.transport import Frame, Part

#: Results are sent at the latest so many nanoseconds after they are there, if
#: another task ends; the watcher sends them when the pool asks.
SEND_AFTER = 1_000_000

#: Nanoseconds that a run of rows may take between two looks at the clock.
CLOCK_EVERY = 100_000

#: Seconds a worker goes on with what it runs when its parent is gone.
ORPHAN_GRACE = 0.5

_inside = False

#: The initializer and its arguments, where the worker is a copy of the program.
inherited: tuple[Callable[..., object], tuple[Any, ...]] | None = None


def inside_worker() -> bool:
    """Whether this process is a worker of a process pool."""
    return _inside


def main(task_fd: int, control_fd: int, page_fd: int, *more_fds: int) -> NoReturn:
    """Be a worker on these descriptors, until the pool lets it go."""
    import socket

    try:
        for fd in (task_fd, control_fd, *more_fds):
            os.set_inheritable(fd, False)
        inheritance.received.extend(more_fds)
        tasks = socket.socket(fileno=task_fd)
        control = socket.socket(fileno=control_fd)
        page = Page(page_fd)
        os.close(page_fd)
        serve(tasks, control, page)
    finally:
        os._exit(1)


def serve(tasks: socket.socket, control: socket.socket, page: Page) -> NoReturn:
    """Be a worker on these sockets, until the pool lets it go."""
    global _inside
    _inside = True
    signal.signal(signal.SIGINT, _ignore)  # Ctrl-C is the program's affair
    code = 1
    try:
        code = Worker(tasks, control, page).run()
    finally:
        os._exit(code)


def _ignore(*_: object) -> None:
    """Let a signal pass."""


class Worker:
    """One worker process."""

    def __init__(self, sock: socket.socket, control: socket.socket, page: Page) -> None:
        self._sock = sock
        self._control = control
        self._words = page.words
        self._reader = FrameReader()
        # Held by who reads the task socket: the main thread when it has nothing to
        # run, else the watcher. Nothing is locked under it.
        self._reading = threading.Lock()
        self._trouble: ProtocolError | None = None  # what the watcher met there
        self._tasks: deque[Frame] = deque()
        self._run: _Rows | None = None  # the rows that are running
        self._sender = _Sender(sock, page)

    def run(self) -> int:
        """Serve until the pool closes the task socket; return the exit code."""
        self._watch_for_fork()
        if not self._start():
            return 1
        self._serve()
        return _leave()

    def _start(self) -> bool:
        frame = self._next_frame()
        if frame is None:
            return False
        try:
            _settle_in(pickle.loads(frame.parts[0]), self._control.fileno())
            threading.Thread(target=self._watch, name="watcher", daemon=True).start()
        except BaseException as error:  # noqa: BLE001 - it is sent to the pool
            failure = messages.encode_failure(error)
            self._sender.send(messages.START_FAILED, 0, [failure])
            self._sender.flush()
            return False
        self._sender.send(messages.READY, 0, [])
        self._sender.flush()
        return True

    def _next_frame(self) -> Frame | None:
        while not self._tasks:
            if not self._read():
                return None
        return self._tasks.popleft()

    def _read(self) -> bool:
        """Wait for tasks and take them; False if the pool sends no more."""
        with self._reading:
            if self._trouble is not None:
                raise self._trouble
            frames = self._reader.read(self._sock)
        self._tasks.extend(frames or ())
        return frames is not None

    def _serve(self) -> None:
        try:
            self._serve_frames()
        except DoesNotFitError as error:
            self._refuse(error)

    def _refuse(self, error: DoesNotFitError) -> None:
        """Answer a task that is too large, and leave: its bytes are in the stream."""
        self._words[ROW] = NO_ROW
        self._words[TASK] = error.id
        if error.kind == messages.CALL:
            text = f"the arguments do not fit into the worker's memory: {error}"
            failure = messages.encode_failure(MemoryError(text))
            self._sender.send(messages.FAILED, error.id, [failure])
        self._sender.flush()

    def _serve_frames(self) -> None:
        tasks = self._tasks
        while True:
            try:
                frame = tasks.popleft()
            except IndexError:
                self._sender.flush()
                if not self._read():
                    return
                continue
            if frame.kind == messages.CALL:
                self._call(frame)
            else:
                self._rows(frame)

    # One call.

    def _call(self, frame: Frame) -> None:
        begun = monotonic_ns()
        self._words[BEGUN] = begun
        self._words[ROW] = 0
        self._words[TASK] = frame.id
        kind, parts = _run_call(frame)
        now = monotonic_ns()
        self._sender.send(kind, frame.id, parts, micros=messages.micros(now - begun))
        self._sender.flush_if_due(now)

    # Many calls of one function.

    def _rows(self, frame: Frame) -> None:
        run = _Rows(frame, self._words, self._sender)
        self._run = run
        run.run()
        self._run = None

    # The watcher thread.

    def _watch(self) -> None:
        reader = FrameReader()
        while True:
            try:
                frames = reader.read(self._control)
            except OSError:
                frames = None
            if frames is None:
                _end_as_orphan()
            for _ in frames:
                self._give_back()

    def _give_back(self) -> None:
        """Return every task that has not begun, newest first, and send results."""
        self._take_in()
        returned = []
        while True:
            try:
                returned.append(self._tasks.pop().id)
            except IndexError:
                break
        run = self._run
        rows = (run.id, run.give_up()) if run is not None else (0, 0)
        self._sender.flush_copy()
        answer = messages.encode_given_back(*rows, returned)
        self._control.sendall(b"".join(pack(messages.GIVEN_BACK, 0, [answer])))

    def _take_in(self) -> None:
        """Read what has arrived while the main thread runs something long."""
        if not self._reading.acquire(blocking=False):
            return  # it waits for tasks itself: it runs nothing
        try:
            poll = select.poll()
            poll.register(self._sock, select.POLLIN)
            while (
                poll.poll(0) and (frames := self._reader.read(self._sock)) is not None
            ):
                self._tasks.extend(frames)
        except ProtocolError as error:
            self._trouble = error
        except OSError:  # the main thread will meet that, too
            pass
        finally:
            self._reading.release()

    def _watch_for_fork(self) -> None:
        """Let a copy of this process, forked by a task, never reach the pool."""
        if not hasattr(os, "register_at_fork"):
            return

        def in_child() -> None:
            self._sock.close()
            self._control.close()
            self._sender.forked()

        os.register_at_fork(after_in_child=in_child)


def _run_call(frame: Frame) -> tuple[int, Sequence[Part]]:
    """Run one call; return the kind and parts of its answer."""
    try:
        fn = pickling.decode_function(bytes(frame.parts[0]))
        args, kwargs = _arguments(frame)
        return messages.DONE, _pickled(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - it belongs to the call
        return messages.FAILED, [messages.encode_failure(error)]


def _pickled(result: object) -> list[Part]:
    try:
        return pickling.dumps_back(result)
    except BaseException as error:
        raise _refusal(result, error) from error


def _refusal(result: object, error: BaseException) -> BaseException:
    from parallelize.errors import SerializationError

    kind = type(result).__qualname__
    advice = _ADVICE.get(kind, "")
    text = messages.text_of(error)
    why = f"{type(error).__name__}: {text}{advice}"
    return SerializationError(f"the result, a {kind}, cannot be pickled: {why}")


_ADVICE = {
    "generator": "; return a list, or let the caller iterate over calls",
    "coroutine": "; decorate the async function itself, or await it in the call",
    "async_generator": "; return a list, or let the caller iterate over calls",
}


def _arguments(frame: Frame) -> tuple[Sequence[Any], dict[str, Any]]:
    after = 1 + frame.extra
    arguments = frame.parts[1:after]
    if after == len(frame.parts):
        args, kwargs = pickling.loads(arguments)
        return args, kwargs
    with gaps.filling_gaps(pickling.loads(frame.parts[after:])):
        args, kwargs = pickling.loads(arguments)
    return args, kwargs


class _Rows:
    """Calls one function with many rows of arguments."""

    def __init__(self, frame: Frame, words: memoryview, sender: _Sender) -> None:
        self.id = frame.id
        self._encoded = bytes(frame.parts[0])
        self._flat = pickle.loads(frame.parts[1])  # plain types only: cannot fail
        self._arity = frame.extra
        self._timed = bool(frame.micros)  # the pool watches how long each row runs
        self._words = words
        self._sender = sender
        self._rows: deque[Any] = deque()

    def run(self) -> None:
        self._words[ROW] = NO_ROW
        self._words[TASK] = self.id
        try:
            fn = pickling.decode_function(self._encoded)
        except BaseException as error:  # noqa: BLE001 - it belongs to every row
            self._fail_all(error)
            return
        # The watcher may give rows up from here on: the deque stays the same one.
        if self._arity:
            columns = [iter(self._flat)] * self._arity
            self._rows = deque(zip(*columns, strict=True))
            self._run_plain(fn)
        else:
            self._rows = deque(zip(self._flat, strict=True))
            self._run_pickled(fn)
        self._sender.close_block()

    def give_up(self) -> int:
        """Give up the rows that have not begun; return how many (from the end)."""
        count = 0
        while True:
            try:
                self._rows.pop()
            except IndexError:
                return count
            count += 1

    def _run_plain(self, fn: Callable[..., Any]) -> None:
        """Run rows whose arguments are there: the fast loop.

        The clock is read every so many rows, as many as run in `CLOCK_EVERY`;
        where calls have a deadline, before every row.
        """
        take, words, sender, id = self._rows.popleft, self._words, self._sender, self.id
        row, check, stride = 0, 0, 1
        begun = monotonic_ns()
        while True:
            try:
                args = take()
            except IndexError:
                return
            if row >= check:
                now = monotonic_ns()
                stride = self._stride(stride, now - begun)
                check = row + stride
                words[BEGUN] = begun = now
                if now >= sender.due:
                    sender.flush()
            words[ROW] = row
            try:
                result = fn(*args)
            except BaseException as error:  # noqa: BLE001 - it belongs to the row
                sender.row_failed(id, row, error, begun)
            else:
                sender.row_done(id, row, result, begun)
            row += 1

    def _stride(self, stride: int, took: int) -> int:
        """How many rows to run until the clock is read again."""
        if self._timed:
            return 1
        return min(stride * 2, 256) if took < CLOCK_EVERY else max(stride // 4, 1)

    def _run_pickled(self, fn: Callable[..., Any]) -> None:
        """Run rows whose arguments are pickled, each on its own."""

        def unpickled(data: bytes) -> Any:
            return fn(*pickling.loads([data]))

        self._run_plain(unpickled)

    def _fail_all(self, error: BaseException) -> None:
        failure = [messages.encode_failure(error)]
        for row in range(len(self._flat) // (self._arity or 1)):
            self._sender.send(messages.ROW_FAILED, self.id, failure, row)


class _Block:
    """Results of rows that follow each other: what the journal holds, once more."""

    __slots__ = ("begun", "first", "id", "results")

    def __init__(self) -> None:
        self.id = 0
        self.first = 0
        self.begun = 0
        self.results: list[Any] = []


class _Sender:
    """Owns the stream to the pool: the page's outbox and journal, and the socket.

    Attributes:
        due: When the outbox is to be sent, in nanoseconds of the monotonic clock.
    """

    def __init__(self, sock: socket.socket, page: Page) -> None:
        self.due = 0
        self._sock = sock
        self._page = page
        self._words = page.words
        self._block = _Block()
        self._forked = False
        # Guards the stream (outbox and socket) between the main thread and the
        # watcher. The journal and the block are the main thread's: the watcher
        # only copies. Nothing is locked under it.
        self._lock = threading.RLock()

    def forked(self) -> None:
        """Note that this process is a copy made by a task: it may not send."""
        self._forked = True
        self._lock = threading.RLock()

    def send(
        self, kind: int, id: int, parts: Sequence[Part], extra: int = 0, micros: int = 0
    ) -> None:
        """Add a frame to the stream."""
        if self._forked:
            os._exit(0)
        buffers = pack(kind, id, parts, extra, micros)
        with self._lock:
            if len(buffers) == 1 and self._page.append(buffers[0]):
                return
            self._flush()
            if len(buffers) == 1 and self._page.append(buffers[0]):
                return
            for buffer in buffers:
                self._sock.sendall(buffer)
                self._words[BASE] += memoryview(buffer).nbytes

    def row_done(self, id: int, row: int, result: object, begun: int) -> None:
        """Add the result of one row; the main thread alone does."""
        if self._forked:
            os._exit(0)
        block = self._block
        slot = len(block.results)
        if slot < JOURNAL_SIZE and self._page.note(slot, result):
            if slot == 0:
                self._words[FIRST] = block.first = row
                block.id, block.begun = id, begun
            block.results.append(result)
            self._words[COUNT] = slot + 1
        else:
            self._row_done_slowly(id, row, result, begun)

    def _row_done_slowly(self, id: int, row: int, result: object, begun: int) -> None:
        self.close_block()
        if type(result) in JOURNALED and self._page.note(0, result):
            self.row_done(id, row, result, begun)  # the journal was full
            return
        try:
            parts = _pickled(result)
        except BaseException as error:  # noqa: BLE001 - it belongs to the row
            self.row_failed(id, row, error, begun)
            return
        self._send_row(messages.ROW_DONE, id, row, parts, begun)

    def row_failed(self, id: int, row: int, error: BaseException, begun: int) -> None:
        """Add the error of one row."""
        parts = [messages.encode_failure(error)]
        self._send_row(messages.ROW_FAILED, id, row, parts, begun)

    def _send_row(
        self, kind: int, id: int, row: int, parts: Sequence[Part], begun: int
    ) -> None:
        self.close_block()
        micros = messages.micros(monotonic_ns() - begun)
        self.send(kind, id, parts, row, micros)

    def close_block(self) -> None:
        """Move the results in the journal into a frame; the main thread alone does."""
        block = self._block
        if block.results:
            with self._lock:
                self._send_block(block, block.results)
                self._words[COUNT] = 0
                self._block = _Block()

    def _send_block(self, block: _Block, results: list[Any]) -> None:
        micros = messages.micros(monotonic_ns() - block.begun)
        parts = [pickle.dumps(results, 5)]
        self.send(messages.BLOCK, block.id, parts, block.first, micros)

    def flush_copy(self) -> None:
        """Send everything from the watcher, while the main thread goes on.

        Rows in the journal are sent as a copy: they stay there, and are sent
        once more when the main thread comes to it. The pool knows them by number.
        """
        with self._lock:
            block = self._block
            results = block.results.copy()
            if results:
                self._send_block(block, results)
            self._flush()

    def flush_if_due(self, now: int) -> None:
        """Send what is there unless something was sent a moment ago."""
        if now >= self.due:
            self.flush()

    def flush(self) -> None:
        """Send everything; the main thread alone does."""
        self.close_block()
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        unsent = self._page.unsent()
        if len(unsent):
            self._sock.sendall(unsent)
            self._page.sent()
        self.due = monotonic_ns() + SEND_AFTER


def _settle_in(settings: dict[str, Any], control_fd: int) -> None:
    """Make the process what the pool wants it to be, then run the initializer."""
    sys.path[:] = settings["path"]
    sys.argv[:] = settings["argv"]
    if settings["copy"]:
        main_module.begin_as_copy()
    else:
        main_module.begin_empty()
    if settings["cwd"] is not None:
        # Gone, or not to be entered: stay where the server was started.
        with contextlib.suppress(OSError):
            os.chdir(settings["cwd"])
    if settings["multiprocessing"] is not None:
        _name_process(control_fd, *settings["multiprocessing"])
    if inherited is not None:
        initializer, initargs = inherited
        initializer(*initargs)
    elif settings["initializer"]:
        fn, *arguments = settings["initializer"]
        pickling.decode_function(fn)(*pickling.loads(arguments))


def _name_process(
    control_fd: int, name: str, authkey: bytes, parent: str, parent_pid: int
) -> None:
    """Show multiprocessing that this is a child, as its own workers are."""
    process: Any = importlib.import_module("multiprocessing.process")
    current = process.current_process()
    current.name = name
    current.authkey = authkey
    process._parent_process = process._ParentProcess(parent, parent_pid, control_fd)


def _leave() -> int:
    """End as an interpreter does: threads, exit functions, open streams."""
    import atexit

    for step in (
        threading._shutdown,  # type: ignore[attr-defined]
        _leave_multiprocessing,
        atexit._run_exitfuncs,
        sys.stdout.flush,
        sys.stderr.flush,
    ):
        try:
            step()
        except BaseException:  # noqa: BLE001, S112 - nobody is left to hear of it
            continue
    return 0


def _leave_multiprocessing() -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._exit_function()


def _end_as_orphan() -> NoReturn:
    """End when the parent has gone, after a grace for what is running."""
    time.sleep(ORPHAN_GRACE)
    os._exit(1)
