"""`WorkerDied`, apart from `errors` as its base class loads multiprocessing."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from typing import Any

from parallelize.errors import ParallelizeError


class WorkerDied(ParallelizeError, BrokenProcessPool):
    """The worker process ended while it ran this call.

    Only the call that was running fails; the others run on another worker, and
    the pool lives on. The class is a `BrokenProcessPool` so that code written
    for the standard library's pool catches it.

    Attributes:
        task: The qualified name of the function that was running.
        pid: The worker's process id, or None where it is not known.
        exitcode: The exit code, or minus the signal's number; None where unknown.
    """

    def __init__(
        self, task: str, pid: int | None = None, exitcode: int | None = None
    ) -> None:
        super().__init__(task, pid, exitcode)
        self.task = task
        self.pid = pid
        self.exitcode = exitcode

    def __str__(self) -> str:
        return f"worker {self.pid} died while it ran {self.task}: {self._reason()}"

    def _reason(self) -> str:
        if self.exitcode is None:
            return "its exit code is not known"
        if self.exitcode >= 0:
            return f"exit code {self.exitcode}"
        return _signal_text(-self.exitcode)


class WorkerStartError(WorkerDied):
    """No worker could be started, after several tries; the reason is in the text."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(task)
        self.args: tuple[Any, ...] = (task, reason)  # Any, as in BaseException
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.task} was not run, no worker could be started: {self.reason}"


def _signal_text(number: int) -> str:
    import signal

    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (possibly out of memory)" if name == "SIGKILL" else name
