"""The outer side: one interpreter, the thread it runs in, and how to send it requests.

```
 worker thread (of a thread pool)          interpreter's thread
 ask ── request ══════ pipe ═════════▶  interpreter: serve()
     ◀═════════════════ pipe ══ answer ─┘  or the question whether to stop
```

Entering an interpreter takes many times as long as a message, so each is entered
once, by a thread that stays in it. A handle belongs to one worker thread: when that
ends, it closes its handle, and the interpreter ends.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any

from parallelize.inside.stopping import stopping
from parallelize.interpreters.inner import END, QUESTION
from parallelize.interpreters.wire import receive, send
from parallelize.runtime import native
from parallelize.runtime.clock import monotonic
from parallelize.runtime.raised import text_of
from parallelize.serialize.reducers import origins

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds between checks whether a thread has ended that greenlets cannot wait for.
_TURN = 0.002

#: The number of descriptors of an interpreter: two pipes.
DESCRIPTORS_EACH = 4

#: Runs in the new interpreter, which shares no state with this one.
_SCRIPT = """
import sys
sys.path[:] = {path!r}
sys.argv[:] = {argv!r}
from parallelize.interpreters.inner import serve
serve({requests}, {answers}, {index}, {count})
"""


class InterpreterHandle:
    """One interpreter, for one call at a time."""

    _closed = True  # until the pipes are open

    def __init__(self, name: str, index: int, count: int) -> None:
        self._pid = os.getpid()
        theirs, self._requests = os.pipe()
        try:
            self._answers, answers = os.pipe()
        except BaseException:
            os.close(theirs)
            os.close(self._requests)
            raise
        self._closed = False
        self.host: InterpreterThread = InterpreterThread(
            name, theirs, answers, (index, count)
        )

    def start(self) -> None:
        """Start the thread of the interpreter.

        Raises:
            RuntimeError: The system cannot start another thread.
        """
        try:
            self.host.start()
        except BaseException:
            if not self.host.has_started:
                self.host.close()
            raise

    def await_start(self) -> None:
        """Wait until the interpreter, whose thread was started, accepts requests.

        Raises:
            RuntimeError: It cannot be started.
        """
        try:
            self._receive()
        except EOFError:
            self.host.join()
            msg = f"an interpreter could not be started: {self.host.why}"
            raise RuntimeError(msg) from self.host.why

    def ask(self, *request: object) -> Any:
        """Send a request and wait for its answer.

        Raises:
            RuntimeError: The interpreter has ended.
        """
        self.host.busy = True
        try:
            send(self._requests, request)
            return self._answer()
        except (EOFError, OSError) as error:
            why = self.host.why
            text = repr(error) if why is None else text_of(why)
            msg = f"the interpreter ended under the call: {text}"
            raise RuntimeError(msg) from why
        finally:
            self.host.busy = False

    def _answer(self) -> Any:
        while (answer := self._receive()) is QUESTION:
            send(self._requests, stopping())
        return answer

    def _receive(self) -> Any:
        if native.is_patched():  # let other greenlets run
            select.select([self._answers], [], [])
        return receive(self._answers)

    def close(self) -> None:
        """Make the interpreter end."""
        if self._closed:
            return
        self._closed = True
        # A forked child has a copy of the pipe, but no interpreter at the other end.
        if self._pid == os.getpid():
            with contextlib.suppress(Exception):  # closing the pipe is enough
                send(self._requests, (END,))
        os.close(self._requests)
        os.close(self._answers)

    def __del__(self) -> None:
        self.close()


class InterpreterThread:
    """The thread in which an interpreter runs, from its start to its end.

    It is a native thread, as all waits for it are native.

    Attributes:
        busy: Whether a request is being served.
        why: The error that ended it, if any.
    """

    def __init__(
        self, name: str, requests: int, answers: int, place: tuple[int, int]
    ) -> None:
        self._thread = native.thread(self._serve, f"{name}-interpreter")
        self.busy: bool = False
        self.why: BaseException | None = None
        self._requests = requests
        self._answers = answers
        self._place = place

    def start(self) -> None:
        """Start the thread; raise RuntimeError if the system cannot start another."""
        native.start(self._thread)

    @property
    def has_started(self) -> bool:
        """Whether the thread was started, also if Ctrl-C interrupted `start`."""
        return self._thread.ident is not None

    def is_alive(self) -> bool:
        """Whether the interpreter is still running."""
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, for at most this many seconds."""
        if native.is_patched():
            self._join_beside_greenlets(timeout)
        else:
            self._thread.join(timeout)

    def _join_beside_greenlets(self, timeout: float | None) -> None:
        """Wait for the end while other greenlets run; it may depend on one of them."""
        until = monotonic() + (math.inf if timeout is None else timeout)
        while self.is_alive() and monotonic() < until:
            time.sleep(_TURN)

    def _serve(self) -> None:
        """Serve requests in an interpreter until it is asked to end."""
        try:
            origins.workers_have(sys.path)
            self._run(self._script())
        except BaseException as error:  # noqa: BLE001 - raised where a request is made
            self.why = error
        finally:
            self.close()

    def _script(self) -> str:
        return _SCRIPT.format(
            path=_plain(sys.path),
            argv=_plain(getattr(sys, "argv", ())),  # an embedding program may set none
            requests=self._requests,
            answers=self._answers,
            index=self._place[0],
            count=self._place[1],
        )

    def close(self) -> None:
        """Close the ends used by the interpreter, which serves no more."""
        os.close(self._requests)
        os.close(self._answers)

    def _run(self, script: str) -> None:
        from importlib import import_module

        module: Any = import_module("concurrent.interpreters")  # of Python 3.14
        interpreter = module.create()
        try:
            interpreter.exec(script)
        finally:
            interpreter.close()


def _plain(texts: Sequence[str]) -> list[str]:
    return [str(each) for each in texts]
