"""The pools of processes, each with its own best tuning."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks import tasks
from benchmarks.peers.base import ExecutorPeer, Peer, Skip, guarded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from benchmarks.peers.base import Get

CHUNKS = {"chunks": "by chunks"}


class Parallelize(ExecutorPeer):
    """Ours. It is not tuned: it has to do well by itself."""

    title = "parallelize"
    package = "parallelize"
    imports = "import parallelize"
    script = (
        "from parallelize import ProcessPoolExecutor\n\n"
        "with ProcessPoolExecutor(2) as pool:\n"
        "    assert pool.submit(abs, -1).result() == 1\n"
    )

    def open(self) -> None:
        from parallelize import ProcessPoolExecutor

        self.executor = ProcessPoolExecutor(self.workers)

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return iter(self.executor.map(fn, items))

    def function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        from parallelize import processed

        return processed(executor=self.executor)(fn)

    def awaitable(self, fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        return self.function(fn)

    def share(self, make: Callable[[], Any]) -> Any:
        import parallelize

        if not hasattr(parallelize, "share"):
            msg = "this version of parallelize has no share()"
            raise Skip(msg)
        return parallelize.share(make())


class Inheriting(Peer):
    """What can start workers by a fork, which share what was there before it."""

    method: ClassVar[str] = "forkserver"

    @property
    def context(self) -> Any:
        import multiprocessing

        return multiprocessing.get_context(self.method)

    def share(self, make: Callable[[], Any]) -> Any:
        if self.method != "fork":
            return super().share(make)
        tasks.inherited = make()
        return None


class Futures(ExecutorPeer, Inheriting):
    title = "concurrent.futures"
    package = "concurrent.futures"
    tunings = CHUNKS
    imports = "from concurrent.futures import ProcessPoolExecutor"
    script = guarded(
        f"import multiprocessing\n{imports}",
        'context = multiprocessing.get_context("forkserver")',
        "with ProcessPoolExecutor(2, context) as pool:",
        "    assert pool.submit(abs, -1).result() == 1",
    )

    def open(self) -> None:
        from concurrent.futures import ProcessPoolExecutor

        self.executor = ProcessPoolExecutor(self.workers, self.context)


class FuturesFork(Futures):
    title = "concurrent.futures, fork"
    method = "fork"
    script = Futures.script.replace("forkserver", "fork")


class FuturesBuffered(Futures):
    """Its map reads no further ahead than its workers can use; from Python 3.14 on."""

    title = "concurrent.futures, buffersize"
    everywhere = False

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        if sys.version_info < (3, 14):
            msg = "map has a buffersize from Python 3.14 on"
            raise Skip(msg)
        return iter(self.executor.map(fn, items, buffersize=self.workers))


class Streamable(Futures):
    """Maps on an executor of the standard library."""

    title = "streamable"
    package = "streamable"
    everywhere = False

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        from streamable import stream

        return iter(stream(items).map(fn, concurrency=self.executor))


class Multiprocessing(Inheriting):
    title = "multiprocessing.Pool"
    package = "multiprocessing"
    tunings: ClassVar = {"imap": "imap by chunks", "map": "map by chunks"}
    imports = "from multiprocessing import Pool"
    script = guarded(
        "import multiprocessing",
        'context = multiprocessing.get_context("forkserver")',
        "with context.Pool(2) as pool:",
        "    assert pool.apply(abs, (-1,)) == 1",
    )

    def open(self) -> None:
        self.pool = self.context.Pool(self.workers)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        get: Get = self.pool.apply_async(fn, args).get
        return get

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.pool.apply(fn, args)

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        if self.tuning == "map":
            return iter(self.pool.map(fn, items, self.chunk))
        results: Iterator[Any] = self.pool.imap(fn, items, self.chunk)
        return results

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class MultiprocessingFork(Multiprocessing):
    title = "multiprocessing.Pool, fork"
    method = "fork"
    script = Multiprocessing.script.replace("forkserver", "fork")


class Loky(ExecutorPeer):
    title = "loky"
    package = "loky"
    tunings = CHUNKS
    imports = "import loky"
    script = guarded(
        imports,
        "pool = loky.get_reusable_executor(max_workers=2)",
        "assert pool.submit(abs, -1).result() == 1",
    )

    def open(self) -> None:
        import loky

        self.executor = loky.get_reusable_executor(max_workers=self.workers)


class Joblib(Peer):
    """Has maps alone, no futures; one call is a map of one."""

    title = "joblib"
    package = "joblib"
    tunings = CHUNKS
    imports = "import joblib"
    script = guarded(
        imports,
        "calls = [joblib.delayed(abs)(-1)] * 2",
        "assert joblib.Parallel(n_jobs=2)(calls) == [1, 1]",
    )

    def open(self) -> None:
        from joblib import Parallel

        options: dict[str, Any] = {}
        if self.tuning:
            options = {"batch_size": self.chunk, "pre_dispatch": 8 * self.chunk}
        self.parallel = Parallel(self.workers, return_as="generator", **options)

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        from joblib import delayed

        delayed_fn = delayed(fn)
        return iter(self.parallel(delayed_fn(item) for item in items))

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        from joblib import delayed

        (result,) = self.parallel([delayed(fn)(*args)])
        return result

    def share(self, make: Callable[[], Any]) -> Any:
        return make()  # which it puts into a file that the workers map

    def warm(self) -> None:
        for _ in self.map(tasks.wake, [0.05] * self.workers):
            pass

    def close(self) -> None:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown()


class Pebble(Peer):
    title = "pebble"
    package = "pebble"
    tunings = CHUNKS
    imports = "import pebble"
    script = guarded(
        f"import multiprocessing\n{imports}",
        'context = multiprocessing.get_context("forkserver")',
        "with pebble.ProcessPool(2, context=context) as pool:",
        "    assert pool.schedule(abs, args=(-1,)).result() == 1",
    )

    def open(self) -> None:
        import multiprocessing

        import pebble

        context = multiprocessing.get_context("forkserver")
        self.pool = pebble.ProcessPool(self.workers, context=context)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        get: Get = self.pool.schedule(fn, args=args).result
        return get

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return iter(self.pool.map(fn, items, chunksize=self.chunk).result())

    def awaitable(self, fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        import asyncio

        return lambda *args: asyncio.wrap_future(self.pool.schedule(fn, args=args))

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Mpire(Peer):
    """Picks its chunks by itself where it is told no number."""

    title = "mpire"
    package = "mpire"
    tunings = CHUNKS
    imports = "import mpire"
    script = guarded(
        imports,
        'with mpire.WorkerPool(2, start_method="forkserver") as pool:',
        "    assert pool.apply(abs, (-1,)) == 1",
    )

    def open(self) -> None:
        import mpire

        self.pool = mpire.WorkerPool(
            self.workers, start_method="forkserver", keep_alive=True
        )

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        get: Get = self.pool.apply_async(fn, args).get
        return get

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self.pool.apply(fn, args)

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        # A row that is a tuple would be taken for several arguments.
        calls = ((item,) for item in items)
        sized = {"iterable_len": len(items)} if hasattr(items, "__len__") else {}
        chunk = self.chunk if self.tuning else None
        return iter(self.pool.imap(fn, calls, chunk_size=chunk, **sized))

    def close(self) -> None:
        self.pool.stop_and_join()


class Ray(Peer):
    """Has no map, so a tuned one is written by hand: a call for each chunk."""

    title = "ray"
    package = "ray"
    imports = "import ray"
    script = guarded(
        imports,
        'ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")',
        "assert ray.get(ray.remote(abs).remote(-1)) == 1",
    )

    def open(self) -> None:
        import ray

        if not ray.is_initialized():
            ray.init(
                num_cpus=self.workers, include_dashboard=False, logging_level="ERROR"
            )
        self.remote: dict[Any, Any] = {}

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        import ray

        if fn not in self.remote:
            # It takes no built-in function as it is.
            self.remote[fn] = ray.remote(lambda *args: fn(*args))  # noqa: PLW0108
        reference = self.remote[fn].remote(*args)
        return lambda: ray.get(reference)

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        gets = [self.submit(fn, item) for item in items]
        return (get() for get in gets)

    def close(self) -> None:
        import ray

        ray.shutdown()
