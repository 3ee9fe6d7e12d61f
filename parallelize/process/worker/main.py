"""The worker's side of the wire: receive, unpickle, run, pickle, send.

```
            task socket                          control socket
 pool ══════ frames ═════▶ main thread   pool ══ GIVE_BACK ══▶ watcher thread
      ◀═════ frames ══════     │               ◀═ GIVEN_BACK ══     │
                               ▼                                    │
                     tasks: deque, taken from                       │
                     the left by the main thread, ◀── the right ────┘
```

The main thread alone runs tasks, but for coroutines: these it hands to a loop in a
thread of its own, see `loop`, while it waits for more. The watcher sleeps on
the control socket: it returns what has not begun when the pool asks for it, and when
the parent is gone (only the parent holds the other end) it ends the process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from collections import deque
from functools import partial

from parallelize.process.wire import inheritance, interpreter_state, messages
from parallelize.process.wire.frames import (
    DoesNotFitError,
    FdReader,
    FrameReader,
    NoDescriptorError,
    PoolGoneError,
    ProtocolError,
)
from parallelize.process.wire.journal import BEGUN, NO_ROW, ROW, TASK, Journal
from parallelize.process.wire.spin import AdaptiveSpin, Readiness
from parallelize.process.worker import folder, last_words, reports
from parallelize.process.worker.blas_threads import cap_threads
from parallelize.process.worker.kinship import Kinship
from parallelize.process.worker.rows import Rows
from parallelize.process.worker.segments import Exchange
from parallelize.process.worker.sender import Sender, pickled_result
from parallelize.process.worker.signals import show_at_signal
from parallelize.process.worker.stream import Credit, Outlet
from parallelize.runtime import locks, native
from parallelize.runtime.clock import monotonic_ns
from parallelize.serialize import pickling
from parallelize.serialize.reducers import origins, placeholders, replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from parallelize.process.wire.frames import Frame, Part
    from parallelize.process.worker.loop import WorkerLoop

_new_lock = locks.plain("reading", native.Lock)

#: Seconds a worker goes on with what it runs when its parent is gone.
ORPHAN_GRACE = 0.5

#: Nanoseconds that a worker may take to load the function of a call, with the modules
#: that this needs, before the time of the call begins in any case.
LOADING = 30_000_000_000

_NAME = "a worker of parallelize"

_inside = False

#: The initializer and its arguments, where the worker is a copy of the program.
inherited: tuple[Callable[..., object], tuple[Any, ...]] | None = None


def inside_worker() -> bool:
    """Whether this process is a worker of a process pool."""
    return _inside


def main(task_fd: int, control_fd: int, page_fd: int, *more_fds: int) -> NoReturn:
    """Be a worker on these descriptors, until the pool lets it go."""
    try:
        for fd in (task_fd, control_fd, *more_fds):
            os.set_inheritable(fd, False)
        inheritance.received.extend(more_fds)
        tasks = native.socket_at(task_fd)
        control = native.socket_at(control_fd)
        page = Journal(page_fd)
        os.close(page_fd)
        serve(tasks, control, page)
    except BaseException:  # noqa: BLE001 - nobody else is there to say it
        last_words.end(_NAME)


def serve(tasks: socket.socket, control: socket.socket, page: Journal) -> NoReturn:
    """Be a worker on these sockets, until the pool lets it go."""
    global _inside
    _inside = True
    native.signal(signal.SIGINT, _ignore)  # Ctrl-C is the program's affair
    show_at_signal()
    worker = Worker(tasks, control, page)
    worker.end_if_it_fails(lambda: os._exit(worker.run()))
    os._exit(1)


def _ignore(*_: object) -> None:
    """Let a signal pass."""


class Worker:
    """One worker process."""

    def __init__(
        self, sock: socket.socket, control: socket.socket, page: Journal
    ) -> None:
        self._sock = sock
        self._control = control
        self._words = page.words
        self._reader = FrameReader()
        # Held by who reads the task socket: the main thread when it has nothing to
        # run, else the watcher. Nothing is locked under it.
        self._reading = _new_lock()
        self._trouble: ProtocolError | None = None  # what the watcher met there
        self._eye = Readiness(sock)
        self._patience = AdaptiveSpin()
        self._tasks: deque[Frame] = deque()
        # Guards the order of what is added to _tasks: the watcher puts definitions back
        # that stood among the tasks that it gave back. Nothing is locked under it.
        self._adding = locks.plain("adding", native.Lock)()
        self._run: Rows | None = None  # the rows that are running
        self._outlet: Outlet | None = None  # of the generator that is running
        self._credit = Credit()
        self._exchange = Exchange(control)
        self._sender = Sender(sock, page, self._exchange.place)
        self._kinship = Kinship(lambda what: self._exchange.tell(messages.ASK, what))
        self._loop: WorkerLoop | None = None  # from the first coroutine on

    def end_if_it_fails(self, step: Callable[[], object]) -> None:
        """Do something outside of calls; an error of it ends the worker.

        It says why, unless it is that the pool has gone.
        """
        try:
            step()
        except PoolGoneError:
            os._exit(1)
        except BaseException:  # noqa: BLE001 - the pool is told
            text = last_words.write(_NAME).encode(errors="replace")
            with contextlib.suppress(Exception):  # its sockets may be what has failed
                self._exchange.tell(messages.FAULT, 0, [text])
            os._exit(1)

    def run(self) -> int:
        """Serve until the pool closes the task socket; return the exit code."""
        self._watch_for_fork()
        frame = self._next_frame()
        if frame is None:
            return 1
        settings = pickle.loads(frame.parts[0])
        if settings["bootstrap"] is None:
            return self._live(settings)
        from parallelize.process.worker import bootstrap

        sys.path[:] = settings["path"]
        folder.begin(*settings["folder"])  # a tool may write files there
        return bootstrap.run(settings["bootstrap"], lambda: self._live(settings))

    def _live(self, settings: dict[str, Any]) -> int:
        if not self._start(settings):
            return 1
        self._serve()
        if self._loop is not None:
            self._loop.close()
        return _leave()

    def _start(self, settings: dict[str, Any]) -> bool:
        try:
            self._exchange.at_most(settings["segments"], settings["kept"])
            reports.begin(settings["reports"], self._sender.report)
            # Before the initializer, which may wait for what the pool answers.
            native.Thread(lambda: self.end_if_it_fails(self._watch)).start()
            names, is_copy = settings["names"], settings["copy"]
            self._kinship.begin(names, self._control.fileno(), is_copy=is_copy)
            _settle_in(settings)
        except BaseException as error:  # noqa: BLE001 - it is sent to the pool
            failure = messages.encode_failure(error)
            self._sender.send(messages.START_FAILED, 0, [failure])
            self._sender.flush()
            _leave()  # what the initializer has put into queues gets there
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
            self._patience.spin(self._eye.poll)
            try:
                frames = self._reader.read(self._sock)
            except ConnectionError:
                frames = None  # the pool was killed while there was more to be read
            if self._patience.done() > folder.SOON or folder.is_due():
                folder.hold()
        with self._adding:
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
        if error.kind in (messages.CALL, messages.COROUTINE):
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
                self._exchange.tell_released()
                if not self._read():
                    return
                continue
            if frame.kind == messages.ROWS:
                self._rows(frame)
            elif frame.kind & messages.ASYNC:
                self._coroutine(frame)
            elif frame.kind & messages.STREAM:
                self._stream(frame)
            elif frame.kind == messages.DEFINE:
                replica.receive(frame.parts[0])
            else:
                self._call(frame)

    def _coroutine(self, frame: Frame) -> None:
        """Begin a coroutine, or cancel one."""
        if self._loop is None:
            from parallelize.process.worker.loop import WorkerLoop

            self._loop = WorkerLoop(
                self._words,
                self._sender,
                self._exchange,
                self._unpacked,
                self.end_if_it_fails,
            )
        self._loop.take(frame)

    # One call.

    def _call(self, frame: Frame) -> None:
        begun = monotonic_ns()
        timed = frame.micros & messages.TIMED
        self._words[BEGUN] = begun + LOADING if timed else begun
        self._words[ROW] = 0
        self._words[TASK] = frame.id
        if frame.micros & messages.TRACED:
            self._sender.tell_begun(frame.id, begun)
        kind, parts, simple = self._run_call(frame)
        now = monotonic_ns()
        took = messages.micros(now - begun)
        self._sender.send(kind, frame.id, parts, simple, took)
        self._sender.flush_if_due(now)
        if frame.kind & messages.BIG:
            self._exchange.tell_if_urgent()

    def _run_call(self, frame: Frame) -> tuple[int, Sequence[Part], int]:
        """Run one call; return kind and parts of its answer, and 1 if it is simple."""
        try:
            fn, args, kwargs = self._unpacked(frame)
            result = fn(*args, **kwargs)
            simple = pickling.dumps_if_simple(result)
            if simple is not None:
                return messages.DONE, [simple], 1
            return messages.DONE, pickled_result(result, self._exchange.place), 0
        except BaseException as error:  # noqa: BLE001 - it belongs to the call
            return messages.FAILED, [messages.encode_failure(error)], 0

    def _unpacked(
        self, frame: Frame
    ) -> tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]:
        """The function of a call and its arguments."""
        arguments = self._arguments_of(frame)
        fn = pickling.decode_function(bytes(frame.parts[0]))
        if frame.micros or frame.kind & messages.STREAM:  # its time begins
            self._words[BEGUN] = monotonic_ns()
        return fn, *self._unpickled(frame, arguments)

    def _arguments_of(self, frame: Frame) -> Sequence[Part]:
        """The pickle of the arguments, and their buffers."""
        arguments = frame.parts[1 : 1 + frame.extra]
        if frame.kind & messages.BIG:
            arguments = [arguments[0], *self._exchange.views(arguments[1])]
        return arguments

    def _unpickled(
        self, frame: Frame, arguments: Sequence[Part]
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        values = frame.parts[1 + frame.extra :]
        if not values:
            args, kwargs = pickling.loads(arguments)
            return args, kwargs
        with placeholders.substitute_results(pickling.loads(values)):
            args, kwargs = pickling.loads(arguments)
        return args, kwargs

    # A generator.

    def _stream(self, frame: Frame) -> None:
        begun = monotonic_ns()
        self._words[BEGUN] = begun + LOADING
        self._words[ROW] = 0
        self._words[TASK] = frame.id
        outlet = Outlet(
            frame, self._words, self._sender, self._exchange.place, self._credit
        )
        self._outlet = outlet
        kind, part = self._run_stream(frame, outlet)
        self._outlet = None
        outlet.flush()
        took = messages.micros(monotonic_ns() - begun)
        self._sender.send(kind, frame.id, [part], int(kind == messages.DONE), took)
        self._sender.flush()
        if frame.kind & messages.BIG:
            self._exchange.tell_if_urgent()

    def _run_stream(self, frame: Frame, outlet: Outlet) -> tuple[int, bytes]:
        from parallelize.streams.pump import pump

        try:
            fn, args, kwargs = self._unpacked(frame)
            if not outlet.is_closed:
                source = fn(*args, **kwargs)
                del args, kwargs  # they are the generator's
                pump(source, outlet)
            return messages.DONE, pickle.dumps(None)
        except BaseException as error:  # noqa: BLE001 - it belongs to the stream
            return messages.FAILED, messages.encode_failure(error)

    # Many calls of one function.

    def _rows(self, frame: Frame) -> None:
        run = Rows(frame, self._words, self._sender)
        self._run = run
        run.run()
        self._run = None

    # The watcher thread.

    def _watch(self) -> None:
        reader = FdReader()
        while True:
            try:
                frames = reader.read(self._control)
            except OSError:
                frames = None
            if frames is None:
                _end_as_orphan()
            for frame in frames:
                # If the pool has gone the next look at the socket tells so.
                with contextlib.suppress(PoolGoneError):
                    self._hear(frame, reader)

    def _hear(self, frame: Frame, reader: FdReader) -> None:
        if frame.kind == messages.RECLAIM:
            self._give_back()
        elif frame.kind in (messages.CREDIT, messages.CLOSE):
            self._credit.hear(frame)
        elif frame.kind == messages.ANSWER:
            self._kinship.hear(frame.id, _answer_in(frame, reader))
        elif frame.kind == messages.SHOW:
            self._show(frame.id)
        else:
            self._exchange.hear(frame, reader)

    def _give_back(self) -> None:
        """Return every task that has not begun, newest first, and send results."""
        self._take_in()
        with self._adding:
            returned = self._take_back()
        run = self._run
        rows = (run.id, run.give_up()) if run is not None else (0, 0)
        outlet = self._outlet
        if outlet is not None:
            outlet.flush_for_pool()
        self._sender.flush_copy()
        answer = messages.encode_given_back(*rows, returned)
        self._exchange.tell(messages.RECLAIMED, 0, [answer])

    def _take_back(self) -> list[int]:
        """Take all tasks that have not begun, but leave what defines names."""
        returned, definitions = [], []
        while True:
            try:
                frame = self._tasks.pop()
            except IndexError:
                break
            if frame.kind == messages.DEFINE:
                definitions.append(frame)
            else:
                returned.append(frame.id)
        self._tasks.extend(reversed(definitions))
        return returned

    def _show(self, question: int) -> None:
        """Tell where the threads of this process are."""
        from parallelize.runtime import stacks

        try:
            text = stacks.of_worker().encode(errors="replace")
        except Exception as error:  # noqa: BLE001 - the pool waits for an answer
            text = f"it cannot tell where it is: {error!r}\n".encode()
        self._exchange.tell(messages.SHOWN, question, [text])

    def _take_in(self) -> None:
        """Read what has arrived while the main thread runs something long."""
        if not self._reading.acquire(blocking=False):
            return  # it waits for tasks itself: it runs nothing
        try:
            while (
                self._eye.poll()
                and (frames := self._reader.read(self._sock)) is not None
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
            if self._outlet is not None:
                self._outlet.forked()

        os.register_at_fork(after_in_child=in_child)


def _settle_in(settings: dict[str, Any]) -> None:
    """Make the process what the pool wants it to be, then run the initializer."""
    sys.path[:] = settings["path"]
    sys.__dict__.setdefault("argv", [])[:] = settings["argv"]
    cap_threads(settings["threads"])
    origins.begin_worker(is_copy=settings["copy"])
    if settings["copy"]:
        replica.begin_as_copy()
    else:
        replica.begin_empty()
    folder.begin(*settings["folder"])
    if settings["state"] is not None:
        interpreter_state.apply(settings["state"])
    for each in settings["patches"]:
        with contextlib.suppress(Exception):  # a call that needs it will fail
            replica.patch(pickling.loads, *each)
    try:
        _initialize(settings["initializer"])
    except BaseException:
        import logging

        # Where, and in the words, that the standard library has for it.
        log = logging.getLogger("concurrent.futures")
        log.critical("Exception in initializer:", exc_info=True)
        raise


def _initialize(encoded: Sequence[bytes] | None) -> None:
    if inherited is not None:
        initializer, initargs = inherited
        initializer(*initargs)
    elif encoded:
        fn, *arguments = encoded
        pickling.decode_function(fn)(*pickling.loads(arguments))


def _answer_in(frame: Frame, reader: FdReader) -> int | bytes | None:
    """What the pool says: bytes, or a descriptor; None if it has none."""
    if frame.parts:
        return bytes(frame.parts[0])
    try:
        return reader.fd()
    except NoDescriptorError:
        return None


def _leave() -> int:
    """End as an interpreter does: threads, exit functions, open streams."""
    import atexit

    for step in (
        threading._shutdown,  # type: ignore[attr-defined]
        _leave_multiprocessing,
        atexit._run_exitfuncs,
        partial(_flush, "stdout"),
        partial(_flush, "stderr"),
    ):
        try:
            step()
        except BaseException:  # noqa: BLE001, S112 - nobody is left to hear of it
            continue
    return 0


def _flush(name: str) -> None:
    stream = getattr(sys, name)
    if stream is not None:  # a call may have taken it away
        stream.flush()


def _leave_multiprocessing() -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._exit_function()


def _end_as_orphan() -> NoReturn:
    """End when the parent has gone, after a grace for what is running."""
    native.sleep(ORPHAN_GRACE)
    os._exit(1)
