"""What a library has to offer to take part, under names that are the same for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from benchmarks import tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    Get = Callable[[], Any]  # waits for what a call returns


class Skip(Exception):
    """A library has nothing that could be measured here; the text says what."""


class Peer:
    """A pool of one library.

    Args:
        workers: How many processes or threads.
        tuning: One of `tunings`; empty for what the library does by itself.
        chunk: How many tasks a tuned map hands over at once.
    """

    title: ClassVar[str]
    package: ClassVar[str]  # what has to be importable
    imports: ClassVar[str]  # what a program that uses it writes
    script: ClassVar[str]  # the least program that gets one result
    tunings: ClassVar[dict[str, str]] = {}  # of its map: name, and how it is shown
    everywhere: ClassVar[bool] = True  # else only in rows that name it in `besides`

    def __init__(self, workers: int, tuning: str = "", chunk: int = 1_000) -> None:
        self.workers = workers
        self.tuning = tuning
        self.chunk = chunk if tuning else 1

    def open(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        raise NotImplementedError

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Make a call and wait for it, in the library's shortest way."""
        return self.submit(fn, *args)()

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        raise NotImplementedError

    def function(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate a function."""
        msg = f"{self.title} has no decorator"
        raise Skip(msg)

    def awaitable(self, fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Return what a coroutine calls in place of the function, and awaits."""
        msg = f"{self.title} has no calls that can be awaited"
        raise Skip(msg)

    def share(self, make: Callable[[], Any]) -> Any:
        """Make an object and return what stands for it in a call; before `open`."""
        msg = f"{self.title} has no way to share an object"
        raise Skip(msg)

    def warm(self) -> None:
        """See to it that every worker has started."""
        gets = [self.submit(tasks.wake, 0.05) for _ in range(self.workers)]
        for get in gets:
            get()

    def __enter__(self) -> Self:
        self.open()
        self.warm()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class ExecutorPeer(Peer):
    """What follows PEP 3148."""

    executor: Any

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        get: Get = self.executor.submit(fn, *args).result
        return get

    def map(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return iter(self.executor.map(fn, items, chunksize=self.chunk))

    def awaitable(self, fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        import asyncio

        def call(*args: Any) -> Awaitable[Any]:
            loop = asyncio.get_running_loop()
            return loop.run_in_executor(self.executor, fn, *args)

        return call

    def close(self) -> None:
        self.executor.shutdown()


def guarded(imports: str, *body: str) -> str:
    """Write a script with the guard that most libraries need."""
    lines = "\n".join(f"    {line}" for line in body)
    return f'{imports}\n\nif __name__ == "__main__":\n{lines}\n'
