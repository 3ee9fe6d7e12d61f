"""The outer side: one interpreter, the thread in which it runs, and who asks it.

```
 worker thread (of a thread pool)          station's thread
 ask ── request ══════ pipe ═════════▶  interpreter: serve()
     ◀═════════════════ pipe ══ answer ─┘
```

To enter an interpreter takes many times as long as a message does, so each is
entered once, by a thread that stays in it. A station belongs to one worker thread:
when that ends, in whatever way, its station is collected and the interpreter ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from parallelize.interpreters.serving import END
from parallelize.interpreters.wire import receive, send
from parallelize.process import origins
from parallelize.raised import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What an interpreter runs: nothing of this one's state is there, so it is told.
_SCRIPT = """
import sys
sys.path[:] = {path!r}
sys.argv[:] = {argv!r}
from parallelize.interpreters.serving import serve
serve({requests}, {answers})
"""


class Station:
    """One interpreter, for calls that come one at a time."""

    _closed = True  # until there is something to close

    def __init__(self, name: str) -> None:
        self._pid = os.getpid()
        theirs, self._requests = os.pipe()
        try:
            self._answers, answers = os.pipe()
        except BaseException:
            os.close(theirs)
            os.close(self._requests)
            raise
        self._closed = False
        self.host: Host = Host(name, theirs, answers)

    def start(self) -> None:
        """Start the thread of the interpreter.

        Raises:
            RuntimeError: The system has no thread left.
        """
        try:
            self.host.start()
        except Exception:  # not Ctrl-C, which may come when it has started
            self.host.close()
            raise

    def await_start(self) -> None:
        """Return when the interpreter, whose host was started, can be asked.

        Raises:
            RuntimeError: It cannot be started.
        """
        try:
            receive(self._answers)
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
            return receive(self._answers)
        except (EOFError, OSError) as error:
            why = self.host.why
            text = repr(error) if why is None else text_of(why)
            msg = f"the interpreter ended under the call: {text}"
            raise RuntimeError(msg) from why
        finally:
            self.host.busy = False

    def close(self) -> None:
        """Let the interpreter end."""
        if self._closed:
            return
        self._closed = True
        # A forked child has a copy of the pipe, but no interpreter at its end.
        if self._pid == os.getpid():
            with contextlib.suppress(OSError):
                send(self._requests, (END,))
        os.close(self._requests)
        os.close(self._answers)

    def __del__(self) -> None:
        self.close()


class Host(threading.Thread):
    """The thread in which an interpreter runs, from its start to its end.

    Attributes:
        busy: Whether it is being asked.
        why: What ended it, if that was an error.
    """

    def __init__(self, name: str, requests: int, answers: int) -> None:
        super().__init__(name=f"{name}-interpreter", daemon=True)
        self.busy: bool = False
        self.why: BaseException | None = None
        self._requests = requests
        self._answers = answers

    def run(self) -> None:
        """Serve in an interpreter until it is told to end."""
        origins.workers_have(sys.path)
        script = _SCRIPT.format(
            path=_plain(sys.path),
            argv=_plain(sys.argv),
            requests=self._requests,
            answers=self._answers,
        )
        try:
            self._run(script)
        except BaseException as error:  # noqa: BLE001 - whoever asks gets it
            self.why = error
        finally:
            self.close()

    def close(self) -> None:
        """Close its ends; nothing is served any more."""
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
