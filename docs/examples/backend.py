"""An executor of your own: each call has a new thread, which no other call has used."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from functools import partial
from math import isqrt
from threading import BoundedSemaphore, Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from parallelize import processed, register_executor, using

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class NewThreads(Executor):
    """Runs calls in new threads, at most ``max_workers`` at once."""

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = max_workers or 4
        self._places = BoundedSemaphore(self.max_workers)
        self._calls: dict[Future[Any], Thread] = {}
        self._lock, self._closed = Lock(), False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        run = partial(self._run, future, partial(fn, *args, **kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._calls[future] = Thread(target=run)
            self._calls[future].start()
        return future

    def _run(self, future: Future[T], call: Callable[[], T]) -> None:
        with self._places:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # it is for the caller
                    future.set_exception(error)
        self._calls.pop(future)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._closed, calls = True, self._calls.copy()
        for future in calls if cancel_futures else ():
            future.cancel()
        for thread in calls.values() if wait else ():
            thread.join()


root = processed(isqrt)
print(root.options(executor=NewThreads())(49).result())
register_executor("new-threads", NewThreads)
with using("new-threads"):
    print(list(root.map([1, 4, 9])))
