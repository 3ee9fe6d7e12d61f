"""`WorkerDied` and its subclasses, whose base class loads multiprocessing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from parallelize.errors import ParallelizeError
from parallelize.runtime.lifecycle import is_ending

if TYPE_CHECKING or "concurrent.futures.process" in sys.modules or not is_ending():
    from concurrent.futures.process import BrokenProcessPool
else:
    # That module cannot be imported once the interpreter has begun to end. If it is not
    # loaded, no code can have its class to catch it, so the parent class will do.
    from concurrent.futures import BrokenExecutor as BrokenProcessPool


class WorkerDied(ParallelizeError, BrokenProcessPool):
    """The worker process ended while it ran this call.

    Only the call that was running fails; the others run on another worker, and the pool
    remains usable. The class is a `BrokenProcessPool` so that code written for the
    standard library's pool catches it.

    Attributes:
        task: The qualified name of the function that was running.
        pid: The worker's process id, or None if unknown.
        exitcode: The exit code, or minus the signal's number; None if unknown.
        killed: Whether its pool killed it, as ``kill_workers`` does.
        reason: The traceback of the error that ended the worker outside of the call, or
            None.
    """

    def __init__(
        self,
        task: str,
        pid: int | None = None,
        exitcode: int | None = None,
        killed: bool = False,
        reason: str | None = None,
    ) -> None:
        super().__init__(task, pid, exitcode, killed, reason)
        self.task: str = task
        self.pid: int | None = pid
        self.exitcode: int | None = exitcode
        self.killed: bool = killed
        self.reason: str | None = reason

    def __str__(self) -> str:
        if self.pid is None:  # a worker of another engine: see the cause
            return f"the worker of {self.task} died under it{_cause_text(self)}"
        end = end_text(self.exitcode, self.reason, killed=self.killed)
        return f"worker {self.pid} died while it ran {self.task}: {end}"


class WorkerStartError(WorkerDied):
    """No worker could be started after several tries; the text gives the reason."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(task)
        self.args: tuple[Any, ...] = (task, reason)  # Any, as in BaseException
        self.reason: str | None = reason

    def __str__(self) -> str:
        return f"{self.task} was not run, no worker could be started: {self.reason}"


class ClusterLost(WorkerDied):
    """The cluster that ran a call is gone, or can no longer be reached.

    It is unknown whether and how far the call has run.
    """

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(task)
        self.args: tuple[Any, ...] = (task, reason)  # Any, as in BaseException
        self.reason: str | None = reason

    def __str__(self) -> str:
        return f"the cluster of {self.task} was lost: {self.reason}"


def _cause_text(error: BaseException) -> str:
    return f": {error.__cause__}" if error.__cause__ is not None else ""


def end_text(
    exitcode: int | None, reason: str | None = None, *, killed: bool = False
) -> str:
    """Describe how a process ended.

    Args:
        exitcode: Its exit code, or minus the signal's number.
        reason: The traceback of the error that ended it, or another reason.
        killed: Whether its pool killed it.
    """
    end = "its pool killed it" if killed else _code_text(exitcode)
    if reason is None:
        return end
    return f"{end}: {reason}" if killed else f"{end}, by an error of its own:\n{reason}"


def _code_text(exitcode: int | None) -> str:
    if exitcode is None:
        return "its exit code is not known"
    return f"exit code {exitcode}" if exitcode >= 0 else _signal_text(-exitcode)


def _signal_text(number: int) -> str:
    import signal

    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (possibly out of memory)" if name == "SIGKILL" else name
