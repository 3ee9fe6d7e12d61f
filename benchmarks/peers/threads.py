"""The pools of threads, under the names of the libraries that they are from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.peers.base import ExecutorPeer
from benchmarks.peers.processes import FuturesBuffered, Multiprocessing, Streamable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator


class ParallelizeThreads(ExecutorPeer):
    title = "parallelize"
    package = "parallelize"

    def open(self) -> None:
        from parallelize import ThreadPoolExecutor

        self.executor = ThreadPoolExecutor(self.workers)

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return iter(self.executor.map(fn, items))

    def function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        from parallelize import threaded

        return threaded(executor=self.executor)(fn)

    def awaitable(self, fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        return self.function(fn)


class FuturesThreads(ExecutorPeer):
    """Its map takes a size of chunks, and ignores it."""

    title = "concurrent.futures"
    package = "concurrent.futures"

    def open(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self.executor = ThreadPoolExecutor(self.workers)


class FuturesBufferedThreads(FuturesThreads):
    title = FuturesBuffered.title
    everywhere = False
    map = FuturesBuffered.map


class StreamableThreads(FuturesThreads):
    title = Streamable.title
    package = Streamable.package
    everywhere = False
    map = Streamable.map


class MultiprocessingThreads(Multiprocessing):
    title = "multiprocessing.ThreadPool"

    def open(self) -> None:
        from multiprocessing.pool import ThreadPool

        self.pool = ThreadPool(self.workers)
