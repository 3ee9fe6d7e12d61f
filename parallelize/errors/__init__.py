"""The errors of parallelize, and what each one says of the call that failed.

```
ParallelizeError
├── WorkerDied          (also BrokenProcessPool)  the worker ended under the call
│   ├── WorkerStartError                          no worker could be started
│   └── ClusterLost                               the cluster under the call is gone
├── TaskTimeout         (also TimeoutError)       it ran longer than its timeout
├── TaskKilled                                    Future.kill() stopped it
├── SerializationError  (also PicklingError)      arguments or result cannot travel
├── RemoteError                                   stands for an error that cannot
└── MissingExtraError   (also ImportError)        a dependency is not installed
```

An error raised by the called function itself arrives in its own class, with
the worker's traceback as its ``__cause__`` (a `RemoteTraceback`).

`WorkerDied` lives in `parallelize.errors.worker`, because its base class comes with
the whole of multiprocessing; it is loaded when it is first named.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parallelize.errors.worker import ClusterLost, WorkerDied, WorkerStartError

__all__ = (
    "ClusterLost",
    "MissingExtraError",
    "ParallelizeError",
    "RemoteError",
    "RemoteTraceback",
    "SerializationError",
    "TaskKilled",
    "TaskTimeout",
    "WorkerDied",
    "WorkerStartError",
)


class ParallelizeError(Exception):
    """The base of every error that parallelize itself raises about a call."""


class TaskTimeout(ParallelizeError, TimeoutError):
    """A call ran longer than the ``timeout`` it was given.

    In a process the worker was killed at the deadline. In a thread the call
    cannot be stopped: it runs on, and what it returns is dropped.
    """

    def __init__(self, task: str, timeout: float) -> None:
        super().__init__(task, timeout)
        self.task = task
        self.timeout = timeout

    def __str__(self) -> str:
        return f"{self.task} ran longer than its timeout of {self.timeout:g} seconds"


class TaskKilled(ParallelizeError):
    """The call was stopped by `Future.kill`, before its end.

    Also what a worker had been given and had not begun when the workers of its
    executor were stopped (by `kill_workers`, for instance). The calls that they ran
    fail with `WorkerDied` then, as with the standard library's `BrokenProcessPool`.
    """

    def __init__(self, task: str) -> None:
        super().__init__(task)
        self.task = task

    def __str__(self) -> str:
        return f"{self.task} was killed while it ran"


class SerializationError(ParallelizeError, pickle.PicklingError):
    """Something cannot travel between processes: an argument or a result.

    The error that pickle raised is the ``__cause__``.
    """


class RemoteError(ParallelizeError):
    """Stands in for an error of the called function that cannot travel.

    An exception travels pickled. One that cannot be pickled, or cannot be
    built again from its pickle, arrives as a `RemoteError` instead.

    Attributes:
        type_name: The qualified name of the original error's class.
        message: The original error's text.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(type_name, message)
        self.type_name = type_name
        self.message = message

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class RemoteTraceback(Exception):
    """The traceback in the worker, as text: the ``__cause__`` of a call's error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def tb(self) -> str:
        """The text, by the name that it has in the standard library."""
        return self.text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class MissingExtraError(ParallelizeError, ImportError):
    """An optional dependency is needed and not installed.

    Attributes:
        what: What needs it.
        extra: The extra of parallelize that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)
        self.what = what
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.what} needs more: pip install 'parallelize[{self.extra}]'"


def __getattr__(name: str) -> type[ParallelizeError]:
    if name not in ("ClusterLost", "WorkerDied", "WorkerStartError"):
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from parallelize.errors import worker

    error: type[ParallelizeError] = getattr(worker, name)
    return error
