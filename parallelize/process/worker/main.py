"""The worker's side of the wire: receive, unpickle, run, pickle, send.

```
            task socket                          control socket
 pool ══════ frames ═════▶ main thread   pool ═══ RECLAIM ═══▶ watcher thread
      ◀═════ frames ══════     │              ◀══ RECLAIMED ══      │
                               ▼                                    │
                     inbox: tasks, taken from                       │
                     the left by the main thread, ◀── the right ────┘
```

Only the main thread runs tasks, except for coroutines: it passes these to an event loop
in a thread of its own, see `loop`, while it waits for more. The watcher blocks on the
control socket: it gives back the tasks that have not begun when the pool asks for
them, and ends the process when the parent is gone (only the parent has the other end).
"""

from __future__ import annotations

import _pickle as pickle
import _signal as signal
import contextlib
import functools
import os
import sys
import threading
from functools import partial

from parallelize.inside import place
from parallelize.process.wire import (
    inheritance,
    interpreter_state,
    messages,
    surroundings,
)
from parallelize.process.wire.carried import carried
from parallelize.process.wire.frames import (
    DoesNotFitError,
    FdReader,
    NoDescriptorError,
    PoolGoneError,
)
from parallelize.process.wire.journal import ASKED, BEGUN, NO_ROW, ROW, TASK, Journal
from parallelize.process.worker import folder, last_words, reports
from parallelize.process.worker.blas_threads import cap_threads
from parallelize.process.worker.inbox import Inbox
from parallelize.process.worker.kinship import Kinship
from parallelize.process.worker.rows import RowsRunner
from parallelize.process.worker.segments import Exchange
from parallelize.process.worker.sender import Sender, pickled_result
from parallelize.process.worker.stops import Stops
from parallelize.process.worker.stream import Credit, StreamSender
from parallelize.runtime import locks, native
from parallelize.runtime.clock import monotonic_ns
from parallelize.serialize import pickling
from parallelize.serialize.reducers import origins, placeholders, replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from parallelize.process.wire.frames import Frame, Part
    from parallelize.process.worker.loop import WorkerLoop

#: Seconds for which a worker keeps running its task when its parent is gone.
ORPHAN_GRACE = 0.5

#: Nanoseconds for loading the function of a call and its modules; after that the
#: deadline of the call counts in any case.
LOADING = 30_000_000_000

_NAME = "a worker of parallelize"

_inside = False

#: The initializer and its arguments, in workers that are forks of the parent process.
inherited: tuple[Callable[..., object], tuple[Any, ...]] | None = None


def inside_worker() -> bool:
    """Return whether this process is a worker of a process pool."""
    return _inside


def main(task_fd: int, control_fd: int, page_fd: int, *more_fds: int) -> NoReturn:
    """Run a worker on these descriptors until the pool releases it."""
    try:
        for fd in (task_fd, control_fd, *more_fds):
            os.set_inheritable(fd, False)
        inheritance.received.extend(more_fds)
        tasks = native.socket_at(task_fd)
        control = native.socket_at(control_fd)
        page = Journal(page_fd)
        os.close(page_fd)
        serve(tasks, control, page)
    except BaseException:  # noqa: BLE001 - no other code would report it
        last_words.end(_NAME)


def serve(tasks: native.Socket, control: native.Socket, page: Journal) -> NoReturn:
    """Run a worker on these sockets until the pool releases it."""
    global _inside
    _inside = True
    native.signal(signal.SIGINT, _ignore)  # the parent process handles Ctrl-C
    _show_at_signal()
    worker = WorkerProcess(tasks, control, page)
    worker.end_if_it_fails(lambda: os._exit(worker.run()))
    os._exit(1)


def _ignore(*_: object) -> None:
    """Handle a signal by doing nothing."""


def _show_at_signal() -> None:
    """Write the stacks to standard error at the signal, even while C code runs."""
    import faulthandler

    if messages.SHOW_SIGNAL is not None:
        with contextlib.suppress(Exception):  # no usable stderr
            faulthandler.register(messages.SHOW_SIGNAL, all_threads=True)


class WorkerProcess:
    """One worker process."""

    def __init__(
        self, sock: native.Socket, control: native.Socket, page: Journal
    ) -> None:
        self._sock = sock
        self._control = control
        self._words = page.words
        self._stops = Stops(page)
        place.asked = self._is_asked
        self._inbox = Inbox(sock)
        self._run: RowsRunner | None = None  # the rows that are running
        self._holds_calls = False  # whether results of calls may not be sent yet
        self._answered = 0  # the last request to give back tasks that was answered
        self._sink: StreamSender | None = None  # of the generator that is running
        self._credit = Credit()
        self._exchange = Exchange(control)
        self._sender = Sender(sock, page, self._exchange.place)
        self._kinship = Kinship(lambda what: self._exchange.send(messages.ASK, what))
        self._loop: WorkerLoop | None = None  # from the first coroutine on

    def end_if_it_fails(self, step: Callable[[], object]) -> None:
        """Run a step that belongs to no call; an error in it ends the worker.

        The worker reports the error, unless the pool is gone.
        """
        try:
            step()
        except PoolGoneError:
            os._exit(1)
        except BaseException:  # noqa: BLE001 - it is sent to the pool
            text = last_words.write(_NAME).encode(errors="replace")
            with contextlib.suppress(Exception):  # its sockets may be what has failed
                self._exchange.send(messages.FAULT, 0, [text])
            os._exit(1)

    def run(self) -> int:
        """Serve until the pool closes the task socket; return the exit code."""
        self._watch_for_fork()
        frame = self._inbox.next()
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
        self._clean_up()
        return _leave()

    def _clean_up(self) -> None:
        """End the loop and what calls keep; the pool waits for that."""
        keeps = "parallelize.inside.kept" in sys.modules
        if keeps:
            self._exchange.send(messages.CLEANING, 1)
        if self._loop is not None:
            self._loop.close()
        if keeps:
            _drop_kept()
            self._exchange.send(messages.CLEANING, 0)

    def _start(self, settings: dict[str, Any]) -> bool:
        try:
            place.begin(*settings["place"])
            self._exchange.at_most(settings["segments"], settings["kept"])
            reports.begin(settings["reports"], self._sender.report)
            # Before the initializer, which may wait for an answer of the pool.
            watcher = native.Thread(lambda: self.end_if_it_fails(self._watch))
            native.start_unsignalled(watcher)
            names, is_copy = settings["names"], settings["copy"]
            self._kinship.begin(names, self._control.fileno(), is_copy=is_copy)
            _settle_in(settings)
        except BaseException as error:  # noqa: BLE001 - it is sent to the pool
            failure = messages.encode_failure(error)
            self._sender.send(messages.START_FAILED, 0, [failure])
            self._sender.flush()
            _leave()  # this flushes what the initializer has put into queues
            return False
        self._sender.send(messages.READY, 0, [])
        self._sender.flush()
        return True

    def _serve(self) -> None:
        try:
            self._serve_frames()
        except DoesNotFitError as error:
            self._refuse(error)

    def _refuse(self, error: DoesNotFitError) -> None:
        """Fail a task that is too large, and end: its bytes are still in the stream."""
        self._words[ROW] = NO_ROW
        self._words[TASK] = error.id
        if error.kind in (messages.CALL, messages.COROUTINE):
            text = f"the arguments do not fit into the worker's memory: {error}"
            failure = messages.encode_failure(MemoryError(text))
            self._sender.send(messages.FAILED, error.id, [failure])
        self._sender.flush()

    def _serve_frames(self) -> None:
        inbox = self._inbox
        tasks = inbox.tasks
        while True:
            try:
                frame = tasks.popleft()
            except IndexError:
                self._sender.flush()
                self._exchange.send_released()
                if not inbox.read():
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
        """Start or cancel a coroutine."""
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
            self._sender.send_begun(frame.id, begun)
        kind, parts, simple = self._run_call(frame)
        now = monotonic_ns()
        took = messages.micros(now - begun)
        self._sender.send(kind, frame.id, parts, simple, took)
        self._holds_calls = not self._sender.flush_if_due(now)
        if frame.kind & messages.BIG:
            self._exchange.send_released_if_urgent()

    def _run_call(self, frame: Frame) -> tuple[int, Sequence[Part], int]:
        """Run a call; return the answer: kind, parts, and 1 if the result is simple."""
        try:
            within = carried(frame) if frame.micros & messages.CARRIED else None
            fn, args, kwargs = self._unpacked(frame)
            if within is not None:
                fn = within.wrap(fn)
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
        """Unpickle the function of a call and its arguments."""
        arguments = self._arguments_of(frame)
        fn = pickling.decode_function(bytes(frame.parts[0]))
        if frame.micros or frame.kind & messages.STREAM:  # its time counts from here
            self._words[BEGUN] = monotonic_ns()
        return fn, *self._unpickled(frame, arguments)

    def _arguments_of(self, frame: Frame) -> Sequence[Part]:
        """Return the pickle of the arguments and their buffers."""
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
        sink = StreamSender(
            frame, self._words, self._sender, self._exchange.place, self._credit
        )
        self._sink = sink
        kind, part = self._run_stream(frame, sink)
        self._sink = None
        sink.flush()
        took = messages.micros(monotonic_ns() - begun)
        self._sender.send(kind, frame.id, [part], int(kind == messages.DONE), took)
        self._sender.flush()
        if frame.kind & messages.BIG:
            self._exchange.send_released_if_urgent()

    def _run_stream(self, frame: Frame, sink: StreamSender) -> tuple[int, bytes]:
        from parallelize.streams.pump import pump

        try:
            fn, args, kwargs = self._unpacked(frame)
            if not sink.is_closed:
                source = fn(*args, **kwargs)
                del args, kwargs  # only the generator holds them from here on
                pump(source, sink)
            return messages.DONE, pickle.dumps(None)
        except BaseException as error:  # noqa: BLE001 - it belongs to the stream
            return messages.FAILED, messages.encode_failure(error)

    def _is_asked(self) -> bool:
        """Whether what runs in this thread was asked to stop."""
        loop, sink = self._loop, self._sink
        if loop is not None and loop.is_here():
            return loop.is_asked() or self._stops.asked(loop.running())
        if sink is not None and sink.is_closed:
            return True
        return self._stops.asked()

    # Many calls of one function.

    def _rows(self, frame: Frame) -> None:
        run = RowsRunner(frame, self._words, self._sender, self._give_back)
        if self._holds_calls and not run.is_prompt:  # rows might take a while
            self._sender.flush()
        self._run = run
        run.run()
        self._run = None
        self._holds_calls = run.is_prompt

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
                # If the pool is gone, the next read from the socket shows it.
                with contextlib.suppress(PoolGoneError):
                    self._on_frame(frame, reader)

    def _on_frame(self, frame: Frame, reader: FdReader) -> None:
        if frame.kind == messages.RECLAIM:
            if frame.id > self._answered:
                self._answered = frame.id
                self._give_back_from(self._sender.flush_copy)
        elif frame.kind in (messages.CREDIT, messages.CLOSE):
            self._credit.on_frame(frame)
        elif frame.kind == messages.ANSWER:
            self._kinship.on_answer(frame.id, _answer_in(frame, reader))
        elif frame.kind == messages.SHOW:
            self._show(frame.id)
        elif frame.kind == messages.STOP:
            self._stops.add(frame)
        else:
            self._exchange.on_frame(frame, reader)

    def _give_back(self) -> None:
        """Do in the main thread, between two rows, what the pool has requested.

        The watcher would have to wait for the interpreter's lock, again and again.
        Should both do it, each sends what it has found.
        """
        asked = self._words[ASKED]
        if asked > self._answered:
            self._answered = asked
            self._give_back_from(self._sender.flush)

    def _give_back_from(self, flush: Callable[[], object]) -> None:
        """Send the results so far, and give back all tasks that have not begun."""
        returned = self._inbox.take_back()
        run = self._run
        rows = (run.id, run.give_up()) if run is not None else (0, 0)
        sink = self._sink
        if sink is not None:
            sink.flush_for_pool()
        flush()
        answer = messages.encode_reclaimed(*rows, returned)
        self._exchange.send(messages.RECLAIMED, 0, [answer])

    def _show(self, question: int) -> None:
        """Send the stacks of this process's threads."""
        from parallelize.inside import stacks

        try:
            text = stacks.of_worker().encode(errors="replace")
        except Exception as error:  # noqa: BLE001 - the pool waits for an answer
            text = f"it cannot tell where it is: {error!r}\n".encode()
        looks = int(self._stops.are_looked_at())
        self._exchange.send(messages.SHOWN, question, [text], looks)

    def _watch_for_fork(self) -> None:
        """Make sure that a process forked by a task never writes to the pool."""

        def before() -> None:
            if sys.version_info >= (3, 12) and threading.active_count() == 1:
                _excuse_watcher()

        def in_child() -> None:
            self._sock.close()
            self._control.close()
            self._sender.forked()
            if self._sink is not None:
                self._sink.forked()

        locks.at_fork(before=before, after_in_child=in_child)


@functools.cache
def _excuse_watcher() -> None:
    """Ignore that the process has threads: the task does not know of this one."""
    import warnings

    text = r"This process \(pid=\d+\) is multi-threaded, use of fork"
    warnings.filterwarnings("ignore", text, DeprecationWarning)


def _settle_in(settings: dict[str, Any]) -> None:
    """Set the process up as the pool requires, then run the initializer."""
    sys.path[:] = settings["path"]
    sys.__dict__.setdefault("argv", [])[:] = settings["argv"]
    cap_threads(settings["threads"])
    origins.begin_worker(is_copy=settings["copy"])
    if settings["copy"]:
        replica.begin_as_copy()
        surroundings.begin_copy()
    else:
        replica.begin_empty(settings["script"])
    folder.begin(*settings["folder"])
    if settings["state"] is not None:
        interpreter_state.apply(settings["state"])
    surroundings.begin(settings["surroundings"])
    for each in settings["patches"]:
        with contextlib.suppress(Exception):  # a call that needs it will fail
            replica.patch(pickling.loads, *each)
    try:
        _initialize(settings["initializer"])
    except BaseException:
        import logging

        # The same logger and message as in the standard library.
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
    """Return the pool's answer: bytes or a descriptor; None if there is neither."""
    if frame.parts:
        return bytes(frame.parts[0])
    try:
        return reader.fd()
    except NoDescriptorError:
        return None


def _leave() -> int:
    """Shut down as an interpreter does: threads, exit functions, open streams."""
    import atexit

    for step in (
        _drop_kept,
        threading._shutdown,  # type: ignore[attr-defined]
        _leave_multiprocessing,
        atexit._run_exitfuncs,
        partial(_flush, "stdout"),
        partial(_flush, "stderr"),
    ):
        try:
            step()
        except BaseException:  # noqa: BLE001, S112 - there is no way left to report it
            continue
    return 0


def _drop_kept() -> None:
    kept = sys.modules.get("parallelize.inside.kept")
    if kept is not None:
        kept.close_program()


def _flush(name: str) -> None:
    stream = getattr(sys, name)
    if stream is not None:  # a call may have removed it
        stream.flush()


def _leave_multiprocessing() -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._exit_function()


def _end_as_orphan() -> NoReturn:
    """End because the parent is gone, after a grace period for the running task."""
    native.sleep(ORPHAN_GRACE)
    os._exit(1)
