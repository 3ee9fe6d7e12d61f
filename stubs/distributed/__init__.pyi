# What parallelize uses of dask.distributed, which has annotations for little of it.
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from distributed import security as security
from distributed.security import Security

class Future:
    key: str
    status: str
    type: type | None

class _Loop:
    def add_callback(
        self, callback: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None: ...

class _Scheduler:
    address: str
    def ncores(self) -> Awaitable[dict[str, int]]: ...
    def call_stack(
        self, *, keys: Iterable[str]
    ) -> Awaitable[dict[str, dict[str, Any]]]: ...
    def get_task_status(
        self, *, keys: Iterable[str]
    ) -> Awaitable[dict[str, str | None]]: ...

class Client:
    id: str
    status: str
    loop: _Loop
    scheduler: _Scheduler
    futures: dict[str, Any]
    cluster: object
    @property
    def asynchronous(self) -> bool: ...
    def __init__(
        self,
        address: Any = ...,
        *,
        set_as_default: bool = ...,
        direct_to_workers: bool | None = ...,
        security: Security | None = ...,
    ) -> None: ...
    def submit(
        self,
        func: Callable[..., Any],
        *args: Any,
        key: str | None = ...,
        retries: int | None = ...,
        pure: bool = ...,
    ) -> Future: ...
    def gather(self, futures: Any, *, asynchronous: bool) -> Awaitable[Any]: ...
    def scatter(
        self, data: Any, *, hash: bool, timeout: float, asynchronous: bool
    ) -> Awaitable[Future]: ...
    def cancel(
        self, futures: Sequence[Future], asynchronous: bool | None = ...
    ) -> Any: ...
    def subscribe_topic(
        self, topic: str, handler: Callable[[tuple[float, Any]], object]
    ) -> None: ...
    def unsubscribe_topic(self, topic: str) -> None: ...
    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        workers: list[str],
        asynchronous: bool,
    ) -> Awaitable[Any]: ...
    def as_current(self) -> AbstractContextManager[Any]: ...
    def close(self) -> None: ...

class Worker:
    def log_event(self, topic: str | Collection[str], msg: Any) -> None: ...
    def get_current_task(self) -> str: ...

class LocalCluster(AbstractContextManager[LocalCluster]):
    scheduler_address: str
    worker_spec: Mapping[int, Any]
    workers: Mapping[int, Any]
    def scale(self, n: int) -> object: ...
    def __init__(
        self,
        *,
        n_workers: int | None = ...,
        threads_per_worker: int | None = ...,
        host: str | None = ...,
        protocol: str | None = ...,
        security: Security | None = ...,
        dashboard_address: str | None = ...,
        scheduler_kwargs: dict[str, Any] | None = ...,
        local_directory: str | None = ...,
        silence_logs: int = ...,
    ) -> None: ...
    def __exit__(self, *args: object) -> None: ...

def get_worker() -> Worker: ...
def wait(fs: Iterable[Future]) -> Awaitable[Any]: ...
