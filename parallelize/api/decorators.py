"""The decorators: they check their options and make a `ParallelFunction`."""

from __future__ import annotations

import sys

from parallelize.api.function import ParallelFunction
from parallelize.api.options import UNCHANGED, changed
from parallelize.api.use import Placement
from parallelize.calls import preload
from parallelize.calls.targets import (
    check_function,
    innermost,
    is_generator,
    undecorated,
)
from parallelize.registry.kinds import adapt, inside_interpreter, inside_worker
from parallelize.runtime.options import DEFAULTS, CallOptions, Limit
from parallelize.runtime.typed import ParamSpec, TypeVar, overload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Coroutine,
        Generator,
        Iterator,
    )
    from multiprocessing.context import BaseContext
    from typing import Any, Never, Protocol, TypedDict, Unpack

    from parallelize.api.stream_function import StreamFunction
    from parallelize.pace.rate import RateLimit
    from parallelize.pace.waits import RetryWait
    from parallelize.registry.kinds import AnyExecutor

    class Closable(Protocol):
        """An object that is opened and closed: a file, a cursor, a response.

        Many of them are iterators, but functions return them like any other value.
        """

        @property
        def close(self) -> Callable[..., Any]: ...

    K = TypeVar("K", bound=Closable)

    class FunctionOptions(TypedDict, total=False):
        """The options given with a function, for type checkers; see `threaded`."""

        max_workers: int | None
        executor: AnyExecutor | None
        timeout: float | None
        retries: int
        retry_on: type[BaseException] | tuple[type[BaseException], ...]
        retry_wait: float | RetryWait | None
        limit: int | Limit | None
        rate: float | RateLimit | None
        max_pending: int | None
        kill_on_cancel: bool
        initializer: Callable[..., object] | None
        initargs: tuple[Any, ...]
        max_tasks_per_child: int | None
        max_memory_per_child: int | None
        idle_timeout: float | None
        mp_context: BaseContext | str | None
        name: str | None
        buffersize: int | None

    # What may stand in place of a function.
    E_contra = TypeVar("E_contra", bound=AnyExecutor | None, contravariant=True)

    class DecoratorFactory(Protocol[E_contra]):
        """What the decorators are for type checkers.

        That is `DecoratorFactory[None]`; but `parallelized` takes an executor, too.
        """

        __name__: str
        __qualname__: str

        @overload  # only functions that return Any (or never) match: keep Any
        def __call__(  # type: ignore[overload-overlap]
            self, fn: Callable[P, Never], /, **options: Unpack[FunctionOptions]
        ) -> ParallelFunction[P, Any, Any]: ...
        @overload
        def __call__(  # pyright: ignore[reportOverlappingOverload]
            self,
            fn: Callable[P, Coroutine[Any, Any, R]],
            /,
            **options: Unpack[FunctionOptions],
        ) -> ParallelFunction[P, R, Coroutine[Any, Any, R]]: ...
        @overload
        def __call__(
            self,
            fn: Callable[P, Generator[T, Any, Any]],
            /,
            **options: Unpack[FunctionOptions],
        ) -> StreamFunction[P, T, Generator[T, Any, Any]]: ...
        @overload
        def __call__(
            self,
            fn: Callable[P, AsyncGenerator[T, Any]],
            /,
            **options: Unpack[FunctionOptions],
        ) -> StreamFunction[P, T, AsyncGenerator[T, Any]]: ...
        @overload  # a file or cursor is an iterator, too, but is not a generator
        def __call__(
            self, fn: Callable[P, K], /, **options: Unpack[FunctionOptions]
        ) -> ParallelFunction[P, K, K]: ...
        @overload  # most generator functions are annotated like this
        def __call__(
            self, fn: Callable[P, Iterator[T]], /, **options: Unpack[FunctionOptions]
        ) -> StreamFunction[P, T, Iterator[T]]: ...
        @overload
        def __call__(
            self,
            fn: Callable[P, AsyncIterator[T]],
            /,
            **options: Unpack[FunctionOptions],
        ) -> StreamFunction[P, T, AsyncIterator[T]]: ...
        @overload
        def __call__(
            self, fn: Callable[P, R], /, **options: Unpack[FunctionOptions]
        ) -> ParallelFunction[P, R, R]: ...
        @overload
        def __call__(
            self, given: E_contra = ..., /, **options: Unpack[FunctionOptions]
        ) -> Decorator: ...


P = ParamSpec("P")
R = TypeVar("R")  # what the future holds
T = TypeVar("T")  # what a generator yields

__all__ = (
    "Decorator",
    "ParallelFunction",
    "interpreted",
    "parallelized",
    "processed",
    "threaded",
)


class Decorator:
    """Returned by a decorator that is called with options; takes the function."""

    def __init__(self, where: Placement, options: CallOptions) -> None:
        self._where = where
        self._options = options

    @overload  # only functions that return Any (or never) match: keep Any
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[P, Never], /
    ) -> ParallelFunction[P, Any, Any]: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> ParallelFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, fn: Callable[P, Generator[T, Any, Any]], /
    ) -> StreamFunction[P, T, Generator[T, Any, Any]]: ...
    @overload
    def __call__(
        self, fn: Callable[P, AsyncGenerator[T, Any]], /
    ) -> StreamFunction[P, T, AsyncGenerator[T, Any]]: ...
    @overload  # a file or cursor is an iterator, too, but is not a generator
    def __call__(self, fn: Callable[P, K], /) -> ParallelFunction[P, K, K]: ...
    @overload  # most generator functions are annotated like this
    def __call__(
        self, fn: Callable[P, Iterator[T]], /
    ) -> StreamFunction[P, T, Iterator[T]]: ...
    @overload
    def __call__(
        self, fn: Callable[P, AsyncIterator[T]], /
    ) -> StreamFunction[P, T, AsyncIterator[T]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> ParallelFunction[P, R, R]: ...
    def __call__(self, fn: Callable[..., Any], /) -> ParallelFunction[..., Any, Any]:
        """Decorate the function."""
        check_function(fn)
        # A callable object may inherit being decorated from its class.
        if isinstance(innermost(fn), ParallelFunction) or undecorated(fn) is not None:
            msg = (
                f"{fn!r} is decorated already, and a future of a future is of no use: "
                "change it by its .options(), or decorate its .__wrapped__"
            )
            raise TypeError(msg)
        options = self._options
        # Not in workers: they should start quickly, and have no such pools.
        if not (inside_worker() or inside_interpreter()):
            preload.load_for(fn, self._where.word())
        options = options.for_function()
        if not is_generator(fn):
            return ParallelFunction(fn, self._where, options)
        from parallelize.api.stream_function import StreamFunction

        stream: Any = StreamFunction(fn, self._where, options)
        return stream  # type: ignore[no-any-return]


def _documented(
    resolve: Callable[[Any, Any], tuple[Placement, Any, Any]],
) -> Callable[[Callable[..., Any]], Any]:
    """Make a decorator of the name and the docstring of a function.

    Args:
        resolve: Takes the function, or what stands in its place, and the executor;
            returns where calls run, the function if there is one, and the executor.
    """

    def named(documented: Callable[..., Any]) -> Any:
        def decorate(
            fn: Any = None,  # or what stands in its place
            /,
            *,
            max_workers: int | None = None,
            executor: AnyExecutor | None = None,
            timeout: float | None = None,
            retries: int = 0,
            retry_on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
            retry_wait: float | RetryWait | None = None,
            limit: int | Limit | None = None,
            rate: float | RateLimit | None = None,
            max_pending: int | None = None,
            kill_on_cancel: bool = False,
            initializer: Callable[..., object] | None = None,
            initargs: tuple[Any, ...] = (),
            max_tasks_per_child: int | None = None,
            max_memory_per_child: int | None = None,
            idle_timeout: float | None = UNCHANGED,
            mp_context: BaseContext | str | None = None,
            name: str | None = None,
            buffersize: int | None = None,
        ) -> ParallelFunction[..., Any, Any] | Decorator:
            where, fn, executor = resolve(fn, executor)
            made = Decorator(
                *changed(
                    where,
                    DEFAULTS,
                    max_workers=max_workers,
                    executor=executor,
                    timeout=timeout,
                    retries=retries,
                    retry_on=retry_on,
                    retry_wait=retry_wait,
                    limit=limit,
                    rate=rate,
                    max_pending=max_pending,
                    kill_on_cancel=kill_on_cancel,
                    initializer=initializer,
                    initargs=initargs,
                    max_tasks_per_child=max_tasks_per_child,
                    max_memory_per_child=max_memory_per_child,
                    idle_timeout=idle_timeout,
                    mp_context=mp_context,
                    name=name,
                    buffersize=buffersize,
                )
            )
            return made if fn is None else made(fn)

        decorate.__name__ = documented.__name__
        decorate.__qualname__ = documented.__qualname__
        decorate.__doc__ = documented.__doc__
        return decorate

    return named


def _in_executor(kind: str) -> Callable[[Callable[..., Any]], DecoratorFactory[None]]:
    """Make a decorator for one kind of worker."""
    return _documented(lambda fn, executor: (Placement(kind), fn, executor))


@_in_executor("threads")
def threaded(fn: Any = None, /, **options: Unpack[FunctionOptions]) -> Any:
    """Make the calls of a function run in threads.

    Suited to functions that wait (for a network, a disk, another program) or that
    compute outside of Python (as numpy does). Use it with or without options, on
    functions, methods, coroutine functions and other callables; with
    ``@classmethod``, place it above that.

    Args:
        fn: The function. If omitted, a decorator is returned.
        max_workers: Use a private pool of this many threads instead of the shared one.
        executor: The executor for the calls: any PEP 3148 executor, or the name of a
            kind. `use` and ``PARALLELIZE_EXECUTOR`` do not redirect these calls.
        timeout: Seconds that each attempt of a call may run; after that the attempt
            fails with `TaskTimeout`. A thread cannot be stopped: the attempt itself
            runs on, beside the next one if there is one.
        retries: Number of retries after a failed attempt. `Future.cancel` and
            anything else that stops a call ends the retries, too.
        retry_on: The error class, or a tuple of classes, that is retried.
        retry_wait: The seconds before each retry; or a function of the number of the
            failed attempt, from 1, and its error that returns them, or None for no
            retry, such as `backoff` and `retry_after`. None: random waits that grow
            from 0.1 to 10 seconds, and none after the death of a worker.
        limit: The maximum number of calls of this function that run at once; or a
            `Limit` shared by several functions.
        rate: The number of calls of this function that may start in a second; or a
            `RateLimit`, which several functions may share. Calls that come too early
            wait in the calling process, without a worker.
        max_pending: The number of calls of this function that may be under way. A
            further call waits until one is done, and raises `QueueFull` where an
            event loop runs, which must not wait. None: any number.
        kill_on_cancel: Whether a running call is killed when a task that awaits it is
            cancelled; else it runs on. A plain function in a thread runs on in any
            case, as it cannot be stopped.
        initializer: Called in each worker when it starts; the function gets
            a private pool.
        initargs: The arguments of ``initializer``.
        max_tasks_per_child: For worker processes only.
        max_memory_per_child: For worker processes only.
        idle_timeout: Seconds after which an idle worker of the private pool ends; None:
            never.
        mp_context: For worker processes only.
        name: The name of the function in errors, instead of its own.
        buffersize: The number of calls that a map starts ahead of its reader; for a
            generator function, the number of items it may be ahead. None: chosen
            automatically.

    Returns:
        The decorated function; without ``fn``, a decorator.

    Raises:
        TypeError: An option, or the decorated object, is of the wrong type.
        ValueError: An option has an invalid value.

    Example:
        >>> from parallelize import threaded
        >>> @threaded(retries=2, retry_on=OSError)
        ... def size(path: str) -> int:
        ...     with open(path, "rb") as file:
        ...         return len(file.read())
        >>> future = size(__file__)  # the file is being read
        >>> future.result() > 0
        True
    """


@_in_executor("processes")
def processed(fn: Any = None, /, **options: Unpack[FunctionOptions]) -> Any:
    """Make the calls of a function run in processes.

    Suited to CPU-bound Python functions: each process has a CPU to itself.
    Arguments and results are copied. Functions of ``__main__``, lambdas and
    closures work, and a script needs no ``if __name__ == "__main__":``. Use it
    with or without options, on functions, methods, coroutine functions and other
    callables; with ``@classmethod``, place it above that.

    Args:
        fn: The function. If omitted, a decorator is returned.
        max_workers: Use a private pool of this many processes instead of the shared
            one.
        executor: The executor for the calls: any PEP 3148 executor, or the name of a
            kind. `use` and ``PARALLELIZE_EXECUTOR`` do not redirect these calls.
        timeout: Seconds that each attempt of a call may run; after that its worker
            is killed and replaced, and the attempt fails with `TaskTimeout`.
        retries: Number of retries after a failed attempt. `Future.cancel` and
            anything else that stops a call ends the retries, too.
        retry_on: The error class, or a tuple of classes, that is retried; the death
            of a worker always is.
        retry_wait: The seconds before each retry; or a function of the number of the
            failed attempt, from 1, and its error that returns them, or None for no
            retry, such as `backoff` and `retry_after`. None: random waits that grow
            from 0.1 to 10 seconds, and none after the death of a worker.
        limit: The maximum number of calls of this function that run at once; or a
            `Limit` shared by several functions.
        rate: The number of calls of this function that may start in a second; or a
            `RateLimit`, which several functions may share. Calls that come too early
            wait in the calling process, without a worker.
        max_pending: The number of calls of this function that may be under way. A
            further call waits until one is done, and raises `QueueFull` where an
            event loop runs, which must not wait. None: any number.
        kill_on_cancel: Whether a running call is killed, by killing its worker, when a
            task that awaits it is cancelled; else it runs on.
        initializer: Called in each worker when it starts; the function gets
            a private pool.
        initargs: The arguments of ``initializer``.
        max_tasks_per_child: The number of calls after which a worker process is
            replaced; None: no limit. Like the three that follow, it gives the function
            a private pool.
        max_memory_per_child: Bytes of resident memory beyond which a worker process is
            replaced when its call has ended; None: no limit. Linux only.
        idle_timeout: Seconds after which an idle worker ends; None: never.
        mp_context: How worker processes are started: "forkserver", "spawn", "fork", or
            a context of multiprocessing; None: as `ProcessPoolExecutor` chooses.
        name: The name of the function in errors, instead of its own.
        buffersize: The number of calls that a map starts ahead of its reader; for a
            generator function, the number of items it may be ahead. None: chosen
            automatically.

    Returns:
        The decorated function; without ``fn``, a decorator.

    Raises:
        TypeError: An option, or the decorated object, is of the wrong type.
        ValueError: An option has an invalid value.

    Example:
        >>> from parallelize import processed
        >>> @processed(timeout=60)
        ... def count_primes(end: int) -> int:
        ...     return sum(all(n % d for d in range(2, n)) for n in range(2, end))
        >>> list(count_primes.map([10, 100]))
        [4, 25]
    """


@_in_executor("interpreters")
def interpreted(fn: Any = None, /, **options: Unpack[FunctionOptions]) -> Any:
    """Make the calls of a function run in interpreters beside the main one.

    For Python 3.14 and later. Suited to CPU-bound Python functions that need only
    modules which such an interpreter can load: each has a CPU to itself, and no
    process is started. Arguments and results are copied, and functions are sent by
    name or by value, as they are to processes. A decorated function that is called
    inside such a call runs in place.

    Args:
        fn: The function. If omitted, a decorator is returned.
        max_workers: Use a private pool of this many interpreters instead of the
            shared one.
        executor: The executor for the calls: any PEP 3148 executor, or the name of a
            kind. `use` and ``PARALLELIZE_EXECUTOR`` do not redirect these calls.
        timeout: Seconds that each attempt of a call may run; after that the attempt
            fails with `TaskTimeout`. It cannot be stopped: it runs on, beside the
            next one if there is one.
        retries: Number of retries after a failed attempt. `Future.cancel` and
            anything else that stops a call ends the retries, too.
        retry_on: The error class, or a tuple of classes, that is retried.
        retry_wait: The seconds before each retry; or a function of the number of the
            failed attempt, from 1, and its error that returns them, or None for no
            retry, such as `backoff` and `retry_after`. None: random waits that grow
            from 0.1 to 10 seconds, and none after the death of a worker.
        limit: The maximum number of calls of this function that run at once; or a
            `Limit` shared by several functions.
        rate: The number of calls of this function that may start in a second; or a
            `RateLimit`, which several functions may share. Calls that come too early
            wait in the calling process, without a worker.
        max_pending: The number of calls of this function that may be under way. A
            further call waits until one is done, and raises `QueueFull` where an
            event loop runs, which must not wait. None: any number.
        kill_on_cancel: As in `processed`; without effect, as no call can be stopped.
        initializer: Called in each interpreter when it starts; the function gets
            a private pool.
        initargs: The arguments of ``initializer``.
        max_tasks_per_child: For worker processes only.
        max_memory_per_child: For worker processes only.
        idle_timeout: Seconds after which an idle worker of the private pool ends; None:
            never.
        mp_context: For worker processes only.
        name: The name of the function in errors, instead of its own.
        buffersize: The number of calls that a map starts ahead of its reader. None:
            chosen automatically.

    Returns:
        The decorated function; without ``fn``, a decorator. On older Pythons its
        calls raise NotImplementedError, unless `use` redirects them.

    Raises:
        TypeError: An option, or the decorated object, is of the wrong type.
        ValueError: An option has an invalid value.

    Example:
        >>> from parallelize import interpreted
        >>> @interpreted
        ... def count_primes(end: int) -> int:
        ...     return sum(all(n % d for d in range(2, n)) for n in range(2, end))
        >>> list(count_primes.map([10, 100]))  # doctest: +SKIP
        [4, 25]
    """


def _on_all_cpus(
    given: Any, executor: AnyExecutor | None
) -> tuple[Placement, Any, Any]:
    """Tell an executor from a function; choose an executor if there is none."""
    fn = given if _is_function(given) else None
    if fn is None:
        executor = _one_executor(given, executor)
    chosen = _kind_for_cpus() if executor is None else adapt(executor)
    where = Placement(chosen if isinstance(chosen, str) else "threads")
    return where, fn, None if executor is None else chosen


def _parallelized(documented: Callable[..., Any]) -> DecoratorFactory[AnyExecutor]:
    made: DecoratorFactory[AnyExecutor] = _documented(_on_all_cpus)(documented)
    return made


@_parallelized
def parallelized(fn: Any = None, /, **options: Unpack[FunctionOptions]) -> Any:
    """Make the calls of a function run in the given executor, or on all CPUs.

    ``@parallelized(executor)`` names the executor. Without one, as ``@parallelized`` or
    with options alone, the calls use all CPUs: they run in threads if this Python runs
    without the global interpreter lock when the function is decorated, otherwise in
    processes, as with `threaded` and `processed`.

    Args:
        fn: The function. In its place may stand an executor of parallelize, any other
            PEP 3148 executor, or the name of a kind: "threads", "processes",
            "interpreters", "serial". `use` and ``PARALLELIZE_EXECUTOR`` do not
            redirect it.
        executor: The executor, given by name.
        max_workers: Use a private pool of this many workers; only for the name of a
            kind.
        timeout: Seconds that each attempt of a call may run; after that the attempt
            fails with `TaskTimeout`.
        retries: Number of retries after a failed attempt.
        retry_on: The error class, or a tuple of classes, that is retried.
        retry_wait: The seconds before each retry; or a function of the number of the
            failed attempt, from 1, and its error that returns them, or None for no
            retry, such as `backoff` and `retry_after`. None: random waits that grow
            from 0.1 to 10 seconds, and none after the death of a worker.
        limit: The maximum number of calls of this function that run at once; or a
            `Limit` shared by several functions.
        rate: The number of calls of this function that may start in a second; or a
            `RateLimit`, which several functions may share. Calls that come too early
            wait in the calling process, without a worker.
        max_pending: The number of calls of this function that may be under way. A
            further call waits until one is done, and raises `QueueFull` where an
            event loop runs, which must not wait. None: any number.
        kill_on_cancel: Whether a running call is killed, where that is possible, when
            a task that awaits it is cancelled; else it runs on.
        initializer: Called in each worker when it starts; only for the name of a kind.
        initargs: The arguments of ``initializer``.
        max_tasks_per_child: The number of calls after which a worker process is
            replaced; None: no limit. Like the three that follow, it gives the function
            a private pool.
        max_memory_per_child: Bytes of resident memory beyond which a worker process is
            replaced when its call has ended; None: no limit. Linux only.
        idle_timeout: Seconds after which an idle worker ends; None: never.
        mp_context: How worker processes are started: "forkserver", "spawn", "fork", or
            a context of multiprocessing; None: as `ProcessPoolExecutor` chooses.
        name: The name of the function in errors, instead of its own.
        buffersize: The number of calls that a map starts ahead of its reader; for a
            generator function, the number of items it may be ahead. None: chosen
            automatically.

    Returns:
        A decorator; the decorated function if it was given.

    Raises:
        TypeError: An option, or the decorated object, is of the wrong type.
        ValueError: An option has an invalid value.

    Example:
        >>> from parallelize import ThreadPoolExecutor, parallelized
        >>> pool = ThreadPoolExecutor(2)
        >>> @parallelized(pool)
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double(21).result()
        42
        >>> pool.shutdown()
        >>> @parallelized
        ... def triple(x: int) -> int:
        ...     return 3 * x
        >>> triple(14).result()
        42
    """


def _is_function(given: Any) -> bool:  # what a user gives
    """Whether this is to be decorated, and not an executor or the name of a kind."""
    if isinstance(given, type) or hasattr(given, "submit"):
        return False
    return callable(given) or isinstance(given, (classmethod, staticmethod))


def _kind_for_cpus() -> str:
    """Return the kind of worker that uses all CPUs in this Python."""
    has_lock: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return "processes" if has_lock() else "threads"


def _one_executor(positional: Any, named: AnyExecutor | None) -> AnyExecutor | None:
    if positional is None:
        return named
    if named is not None:
        msg = "executor must be given once: by position or by keyword"
        raise TypeError(msg)
    executor: AnyExecutor = positional
    return executor
