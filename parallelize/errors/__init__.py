"""The exceptions of parallelize, and what each one means for the failed call.

```
ParallelizeError
├── WorkerDied          (also BrokenProcessPool)  the worker died while it ran the call
│   ├── WorkerStartError                          no worker could be started
│   └── ClusterLost                               the cluster of the call is gone
├── TaskTimeout         (also TimeoutError)       it ran longer than its timeout
├── TaskKilled                                    Future.kill() stopped it
├── QueueFull                                     there are max_pending calls already
├── SerializationError  (also PicklingError)      arguments or result cannot be pickled
├── PerWorkerError                                what a worker keeps was not made
├── RemoteError                                   replaces an unpicklable error
├── MissingExtraError   (also ImportError)        a dependency is not installed
└── CheckpointError                               a map cannot use its checkpoint
```

An error raised by the called function arrives in its own class, with the worker's
traceback as its ``__cause__`` (a `RemoteTraceback`).

`WorkerDied` and its subclasses are defined in `parallelize.errors.worker`, because
importing their base class loads multiprocessing; that module is imported on first use.
"""

from __future__ import annotations

import _pickle as pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parallelize.errors.worker import ClusterLost, WorkerDied, WorkerStartError

__all__ = (
    "CheckpointError",
    "ClusterLost",
    "MissingExtraError",
    "ParallelizeError",
    "PerWorkerError",
    "QueueFull",
    "RemoteError",
    "RemoteTraceback",
    "SerializationError",
    "TaskKilled",
    "TaskTimeout",
    "WorkerDied",
    "WorkerStartError",
)


class ParallelizeError(Exception):
    """The base class of errors that parallelize itself raises about a call."""


class TaskTimeout(ParallelizeError, TimeoutError):
    """A call ran longer than the ``timeout`` it was given.

    In a process the worker was killed at the deadline. If the call had looked at
    `stopping`, it was asked first, and killed if it ran for one more second. In a
    thread the call cannot be stopped: it runs on, and its result is dropped.
    """

    def __init__(self, task: str, timeout: float) -> None:
        super().__init__(task, timeout)
        self.task = task
        self.timeout = timeout

    def __str__(self) -> str:
        return f"{self.task} ran longer than its timeout of {self.timeout:g} seconds"


class QueueFull(ParallelizeError):
    """A call was not made, as the function has ``max_pending`` calls under way.

    Only callers in a running event loop get it, which must not wait: they can await
    some of those calls first. Other callers wait by themselves.
    """

    def __init__(self, task: str, count: int) -> None:
        super().__init__(task, count)
        self.task = task
        self.count = count

    def __str__(self) -> str:
        return (
            f"{self.task} has {self.count} calls under way, its max_pending: await "
            "some of them first"
        )


class TaskKilled(ParallelizeError):
    """The call was stopped by `Future.kill` before it was done.

    It is also raised for calls that had been sent to a worker but not begun when the
    executor's workers were stopped (by `kill_workers`, for instance). Calls that were
    running then fail with `WorkerDied`, as with the standard library's
    `BrokenProcessPool`.
    """

    def __init__(self, task: str) -> None:
        super().__init__(task)
        self.task = task

    def __str__(self) -> str:
        return f"{self.task} was killed while it ran"


class SerializationError(ParallelizeError, pickle.PicklingError):
    """An argument or a result cannot be pickled or unpickled.

    The original error is the ``__cause__``.
    """


class PerWorkerError(ParallelizeError):
    """A call needed an object of `per_worker` that could not be made.

    The error of the function that makes it is the ``__cause__``. The next call that
    needs the object tries again.

    Attributes:
        maker: The name of that function.
        place: The worker in which it failed.
    """

    def __init__(self, maker: str, place: str, cause: BaseException) -> None:
        super().__init__(maker, place, cause)
        self.maker: str = maker
        self.place: str = place
        # It is part of the pickle, which `__cause__` is not.
        self.__cause__: BaseException | None = cause

    def __str__(self) -> str:
        *_, cause = self.args
        return f"{self.maker}() failed {self.place}: {type(cause).__name__}: {cause}"


class RemoteError(ParallelizeError):
    """Replaces an error of the called function that cannot be pickled.

    Exceptions are sent between processes as pickles. One that cannot be pickled or
    unpickled arrives as a `RemoteError` instead.

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
        """The text, under the standard library's name."""
        return self.text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class MissingExtraError(ParallelizeError, ImportError):
    """An optional dependency is required but not installed.

    Attributes:
        what: What needs it.
        extra: The extra of parallelize that installs it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)
        self.what = what
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.what} needs more: pip install 'parallelize[{self.extra}]'"


class CheckpointError(ParallelizeError):
    """A map cannot use its checkpoint, or the text names the row that it cannot keep.

    Raised for a file that is damaged, in use, not writable or of another function; for
    a row whose arguments have no digest, and a result that cannot be pickled. The text
    says what to do.
    """


def __getattr__(name: str) -> type[ParallelizeError]:
    if name not in ("ClusterLost", "WorkerDied", "WorkerStartError"):
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from parallelize.errors import worker

    error: type[ParallelizeError] = getattr(worker, name)
    return error
