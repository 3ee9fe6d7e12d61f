"""The decorated function: a callable whose calls run elsewhere.

A `ParallelFunction` is both the declared type of a decorated function and the
object itself. To the plain function (``__wrapped__``) that it holds as a facade it adds
a `shared_pools.Source` that names the executor for each call, and the options of a
call, which were checked when the decorator ran; so a call is one look-up and one
submit.
"""

from __future__ import annotations

from parallelize.api.function_calls import FunctionMaps
from parallelize.api.options import UNCHANGED, changed
from parallelize.calls.targets import AsyncTarget, is_async, names_of, undecorated
from parallelize.registry.kinds import inside_worker
from parallelize.runtime.options import DEFAULTS, check_flag
from parallelize.runtime.typed import Generic, ParamSpec, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import BaseContext
    from typing import Any, ClassVar, Concatenate, Self, overload

    from typing_extensions import TypeVar as DefaultTypeVar

    from parallelize.api.use import Placement
    from parallelize.futures.future import Future
    from parallelize.inside.per_worker import PerWorker
    from parallelize.pace.rate import RateLimit
    from parallelize.pace.waits import RetryWait
    from parallelize.registry.kinds import AnyExecutor
    from parallelize.runtime.options import CallOptions, Limit

    A = TypeVar("A")
    Q = ParamSpec("Q")  # P without the bound first parameter
    W = DefaultTypeVar("W", default=Any)  # what the plain function returns
else:
    W = TypeVar("W")

P = ParamSpec("P")
R = TypeVar("R")  # what the future holds: W, or the result of a coroutine W

__all__ = ("ParallelFunction", "row_target")


class ParallelFunction(FunctionMaps[P, R, W], Generic[P, R, W]):
    """A function whose calls run in a worker and return futures.

    Made by `threaded`, `processed` and `parallelized`; their docstrings explain the
    options. Its name, signature, docstring and attributes are those of the
    plain function, which is ``__wrapped__``.

    Annotate a parameter that takes such a function by its behaviour,
    ``Callable[[int], Future[str]]``, rather than with this class.

    Example:
        >>> from parallelize import threaded
        >>> @threaded
        ... def power(base: int, exponent: int = 2) -> int:
        ...     return base**exponent
        >>> power(3).result()
        9
        >>> list(power.map([1, 2, 3]))
        [1, 4, 9]
        >>> power.__wrapped__(3)
        9
    """

    _gives_futures: ClassVar[bool] = True
    _not_pickled: ClassVar[tuple[str, ...]] = ("_source", "__call__")

    if not TYPE_CHECKING:
        # inspect would take the class's annotations for those of its instances.
        del __annotations__  # noqa: F821

    def warm(self, *objects: PerWorker[Any], wait: bool = True) -> None:
        """Start all workers of the function's pool now.

        So that no call has to wait for that. Each runs its initializer, and makes the
        objects of `per_worker` that the function itself names. A worker that runs a
        call meanwhile makes them when a call needs them. For a coroutine function in
        threads, the first event loop starts.

        Args:
            *objects: More functions that `per_worker` has decorated.
            wait: Return when that is done; else at once.

        Raises:
            TypeError: An object is not made by `per_worker`; or it belongs to an event
                loop, and the function is no coroutine function.
            Exception: A worker could not start, or an object could not be made. Without
                ``wait`` such an error is logged.

        Example:
            >>> from parallelize import threaded
            >>> double = threaded(lambda x: 2 * x, max_workers=2)
            >>> double.warm()
            >>> double(21).result()
            42
        """
        from parallelize.inside.warming import maker_of, named_in

        on_loop = self._target is None
        named = named_in(self.__wrapped__)
        if not on_loop:
            named = (each for each in named if not each._is_async())
        make = maker_of((*named, *objects), on_loop=on_loop)
        self._source.open_executor()._warm_by(make, wait=check_flag(wait, "wait"))

    def options(
        self,
        *,
        max_workers: int | None = UNCHANGED,
        executor: AnyExecutor | None = UNCHANGED,
        timeout: float | None = UNCHANGED,
        retries: int = UNCHANGED,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = UNCHANGED,
        retry_wait: float | RetryWait | None = UNCHANGED,
        limit: int | Limit | None = UNCHANGED,
        rate: float | RateLimit | None = UNCHANGED,
        max_pending: int | None = UNCHANGED,
        kill_on_cancel: bool = UNCHANGED,
        initializer: Callable[..., object] | None = UNCHANGED,
        initargs: tuple[Any, ...] = UNCHANGED,
        max_tasks_per_child: int | None = UNCHANGED,
        max_memory_per_child: int | None = UNCHANGED,
        idle_timeout: float | None = UNCHANGED,
        mp_context: BaseContext | str | None = UNCHANGED,
        name: str | None = UNCHANGED,
        buffersize: int | None = UNCHANGED,
    ) -> Self:
        """Return a copy of the function with other options.

        Options that are not given keep their values; a ``limit``, a ``rate`` and a
        private pool are then shared with the original. An executor replaces a private
        pool, and vice versa.

        Args:
            max_workers: As in `threaded` and `processed`, like all the others.
            executor: An executor or the name of a kind.
            timeout: Seconds that each attempt of a call may run.
            retries: Number of retries after a failed attempt.
            retry_on: The error class, or a tuple of classes, that is retried.
            retry_wait: The seconds before each retry, or a function that returns them.
            limit: The maximum number of calls of this function that run at once; or
                a `Limit` shared by several functions.
            rate: The number of calls of this function that may start in a second; or
                a `RateLimit`.
            max_pending: The number of calls that may be under way.
            kill_on_cancel: Whether cancelling a task that awaits a call kills the call.
            initializer: Called in each worker of its private pool, when it starts.
            initargs: The arguments of ``initializer``.
            max_tasks_per_child: Calls after which a worker process is replaced.
            max_memory_per_child: Bytes of memory beyond which it is replaced.
            idle_timeout: Seconds after which an idle worker of a private pool ends.
            mp_context: How the worker processes of a private pool are started.
            name: The name of the function in errors.
            buffersize: The number of calls that a map starts ahead of its reader.

        Returns:
            The copy.

        Example:
            >>> from parallelize import threaded
            >>> double = threaded(lambda x: 2 * x)
            >>> patient = double.options(retries=3, timeout=60)
            >>> patient(21).result()
            42
        """
        self._refuse_lost_class("options")
        return self._variant(
            *changed(
                self._where,
                self._options,
                max_workers=max_workers,
                executor=executor,
                initializer=initializer,
                initargs=initargs,
                max_tasks_per_child=max_tasks_per_child,
                max_memory_per_child=max_memory_per_child,
                idle_timeout=idle_timeout,
                mp_context=mp_context,
                timeout=timeout,
                retries=retries,
                retry_on=retry_on,
                retry_wait=retry_wait,
                limit=limit,
                rate=rate,
                max_pending=max_pending,
                kill_on_cancel=kill_on_cancel,
                name=name,
                buffersize=buffersize,
            )
        )

    def _variant(self, where: Placement, options: CallOptions) -> Self:
        copy = self._copy(_where=where, _options=options)
        if where is not self._where:
            copy._source = where.source()
        copy._show_signature()
        return copy

    def _settings(self) -> tuple[Placement, CallOptions]:
        return self._where, self._options

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle it so that also the pools of other packages can run it."""
        from parallelize.serialize.reducers.placeholders import collecting

        reduced = super().__reduce__()
        if collecting():  # for a worker of this library
            return reduced
        from parallelize.api.arrived import arriving

        return arriving(self.__module__, reduced)

    def _unpickled(self) -> None:
        self._source = self._where.source()
        if not inside_worker():
            from parallelize.api.arrived import source_of_arrived

            self._source = source_of_arrived(self._source)
        super()._unpickled()

    # Methods: five cases, distinguished by what the first parameter accepts. `self`
    # is typed as a callable, not as ParallelFunction[...], whose arguments type
    # checkers compare by identity only.

    if TYPE_CHECKING:  # the facade binds

        @overload  # anything at all: a static method
        def __get__(  # type: ignore[misc]
            self: Callable[Concatenate[object, ...], Any],
            instance: object,
            owner: Any = None,
            /,
        ) -> ParallelFunction[P, R, W]: ...
        @overload  # the class: a class method
        def __get__(  # type: ignore[misc]
            self: Callable[Concatenate[type[A], Q], Future[R]],
            instance: A | None,
            owner: type[A],
            /,
        ) -> ParallelFunction[Q, R, W]: ...
        @overload  # looked up on the class: not bound
        def __get__(self, instance: None, owner: Any, /) -> Self: ...
        @overload  # the instance: a method
        def __get__(
            self: Callable[Concatenate[A, Q], Future[R]],
            instance: A,
            owner: Any = None,
            /,
        ) -> ParallelFunction[Q, R, W]: ...
        @overload  # something else: a static method
        def __get__(self, instance: object, owner: Any = None, /) -> Self: ...
        def __get__(self, instance: object, owner: Any = None, /) -> Any: ...


def row_target(fn: Callable[..., Any]) -> tuple[Callable[..., Any], CallOptions]:
    """Return what a map over ``fn`` submits, and the options of its calls.

    Args:
        fn: Any callable, plain or decorated.
    """
    if isinstance(fn, ParallelFunction):
        return fn._row_target(), fn._named_options()
    if undecorated(fn) is not None:
        return fn, DEFAULTS  # a map handles these itself
    if is_async(fn):
        _, qualname, module = names_of(fn)
        name = f"{module}.{qualname}"
        return AsyncTarget(fn), DEFAULTS._replace(name=name)
    return fn, DEFAULTS
