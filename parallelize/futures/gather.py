"""`gather`: one future for the results of many.

```
 members, in any thread          the whole
 one succeeds ────▶ counted; the last completes it ─┐
 one fails    ────▶ fails it                        ├──▶ opened by the reader
 cancel(), kill() ◀──── of every member ◀───────────┴─── cancel(), kill()
```

Outcomes of members are opened by the reader of the whole, not by the thread that
completes it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from parallelize.futures.future import Failure, Future, Outcome, error_of
from parallelize.futures.peek import (
    ForwardedOutcome,
    called_of,
    has_failed,
    mark_retrieved,
    name_failure,
    stop,
)
from parallelize.runtime import locks
from parallelize.runtime.options import check_grace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future as AnyFuture
    from typing import Literal, overload

_new_lock = locks.reentrant("counting")

__all__ = ("gather",)

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")

# Futures of different types give a list of their union; five or more, of Any.

if TYPE_CHECKING:

    @overload
    def gather(
        *futures: AnyFuture[T], return_exceptions: Literal[False] = False
    ) -> Future[list[T]]: ...
    @overload
    def gather(
        *futures: AnyFuture[T], return_exceptions: bool
    ) -> Future[list[T | BaseException]]: ...
    @overload
    def gather(
        a: AnyFuture[A],
        b: AnyFuture[B],
        /,
        *,
        return_exceptions: Literal[False] = False,
    ) -> Future[list[A | B]]: ...
    @overload
    def gather(
        a: AnyFuture[A], b: AnyFuture[B], /, *, return_exceptions: bool
    ) -> Future[list[A | B | BaseException]]: ...
    @overload
    def gather(
        a: AnyFuture[A],
        b: AnyFuture[B],
        c: AnyFuture[C],
        /,
        *,
        return_exceptions: Literal[False] = False,
    ) -> Future[list[A | B | C]]: ...
    @overload
    def gather(
        a: AnyFuture[A],
        b: AnyFuture[B],
        c: AnyFuture[C],
        /,
        *,
        return_exceptions: bool,
    ) -> Future[list[A | B | C | BaseException]]: ...
    @overload
    def gather(
        a: AnyFuture[A],
        b: AnyFuture[B],
        c: AnyFuture[C],
        d: AnyFuture[D],
        /,
        *,
        return_exceptions: Literal[False] = False,
    ) -> Future[list[A | B | C | D]]: ...
    @overload
    def gather(
        a: AnyFuture[A],
        b: AnyFuture[B],
        c: AnyFuture[C],
        d: AnyFuture[D],
        /,
        *,
        return_exceptions: bool,
    ) -> Future[list[A | B | C | D | BaseException]]: ...
    @overload
    def gather(
        *futures: AnyFuture[Any], return_exceptions: bool = False
    ) -> Future[list[Any]]: ...


def gather(*futures: AnyFuture[Any], return_exceptions: bool = False) -> Future[Any]:
    """Return one future for the results of many, in their order.

    It fails as soon as one of ``futures`` fails or is cancelled, unless
    ``return_exceptions`` is true; the others go on. Cancelling or killing it cancels or
    kills each of them.

    Args:
        *futures: Futures of any kind (PEP 3148), also those returned by `gather`.
        return_exceptions: Put errors in the list instead of raising the first.

    Returns:
        A future of the list.

    Raises:
        TypeError: An argument is not a future but, for instance, a list of futures.

    Example:
        >>> from parallelize import gather, threaded
        >>> double = threaded(lambda x: 2 * x)
        >>> gather(double(1), double(2)).result()
        [2, 4]
    """
    for each in futures:
        if not hasattr(each, "add_done_callback"):
            msg = (
                f"gather takes futures, one by one as in gather(*futures), not {each!r}"
            )
            raise TypeError(msg)
    whole = _Whole(futures, return_exceptions)
    for future in futures:
        future.add_done_callback(whole.one_done)
    if not futures:
        whole.set_result([])
    return whole


class _Whole(Future[list[Any]]):
    """The future that `gather` returns."""

    def __init__(
        self,
        members: Sequence[AnyFuture[Any]],
        return_exceptions: bool,
    ) -> None:
        super().__init__()
        self._needs = members  # must be done before it; empty once it is done
        self._return_exceptions = return_exceptions
        self._left = len(members)
        self._counting = _new_lock()  # guards _left; nothing is taken under it

    def one_done(self, future: AnyFuture[Any]) -> None:
        """Count a completed member; called by each member, in any thread."""
        try:
            self._count(future)
        except BaseException as error:  # noqa: BLE001 - a member's class may be foreign
            self._set_outcome(Failure(error), failed=True)

    def _count(self, future: AnyFuture[Any]) -> None:
        members = self._needs
        if has_failed(future) and not self._return_exceptions:
            self._fail_as(future)
        mark_retrieved(future)  # the whole reports its failure from now on
        with self._counting:
            self._left -= 1
            last = self._left == 0
        if last:
            outcome = _Gathered(members, self._return_exceptions)
            self._set_outcome(outcome, failed=False)

    def _fail_as(self, future: AnyFuture[Any]) -> None:
        called = called_of(future)
        self._set_outcome(ForwardedOutcome(future), failed=True)
        if called is not None:
            name_failure(self, *called)

    def cancel(self) -> bool:
        """Cancel this future and the members that have not begun.

        Returns:
            True, unless it was done before.
        """
        return self._stop(_cancel)

    def kill(self, *, grace: float = 0.0) -> bool:
        """Cancel this future, and cancel or kill every member.

        Args:
            grace: Seconds that running members have to end by themselves.

        Returns:
            True, unless it was done before.
        """
        return self._stop(partial(stop, grace=check_grace(grace)))

    def _stop(self, each: Callable[[AnyFuture[Any]], object]) -> bool:
        members = self._needs
        if not super().cancel():
            return False
        # No recursion: nested gathers may exceed Python's stack.
        waiting = [*reversed(members)]
        while waiting:
            member = waiting.pop()
            if type(member) is not _Whole:
                each(member)
                continue
            below = member._needs
            if Future.cancel(member):
                waiting.extend(reversed(below))
        return True


def _cancel(future: AnyFuture[Any]) -> None:
    future.cancel()


class _Gathered(Outcome):
    """The outcomes of all members."""

    __slots__ = ("_members", "_return_exceptions")

    def __init__(
        self,
        members: Sequence[AnyFuture[Any]],
        return_exceptions: bool,
    ) -> None:
        self._members = members
        self._return_exceptions = return_exceptions

    @property
    def pickled_size(self) -> int:
        total = 0
        seen: set[int] = set()
        waiting = [self._members]
        while waiting:
            for member in waiting.pop():
                sealed = _sealed_of(member)
                if sealed is None or id(sealed) in seen:
                    continue
                seen.add(id(sealed))
                if type(sealed) is _Gathered:
                    waiting.append(sealed._members)
                else:
                    total += sealed.pickled_size
        return total

    def open(self) -> tuple[Any, BaseException | None]:
        self._open_below()
        results: list[Any] = []
        for member in self._members:
            error = error_of(member)
            if error is None:
                results.append(member.result())
            elif self._return_exceptions:
                results.append(error)
            else:
                return None, error
        return results, None

    def _open_below(self) -> None:
        """Open nested gathers, the innermost first.

        Each would open the next recursively, and nesting may exceed Python's stack.
        """
        waiting = [(member, False) for member in self._members]
        while waiting:
            member, is_next = waiting.pop()
            sealed = _sealed_of(member)
            if type(sealed) is not _Gathered:
                continue
            if is_next:
                error_of(member)
                continue
            waiting.append((member, True))
            waiting.extend((each, False) for each in sealed._members)


def _sealed_of(future: AnyFuture[Any]) -> Outcome | None:
    return future._sealed if isinstance(future, Future) else None
