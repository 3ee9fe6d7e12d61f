"""`gather`: one future of the results of many.

```
 members, in any thread          the whole
 one succeeds ────────▶ counted; the last ends it ─┐
 one fails    ────────▶ ends it                    ├──▶ opened by who reads it
 cancel(), kill() ◀──── of every member ◀──────────┴─── cancel(), kill()
```

What the members came to is opened by whoever reads the whole, not by the thread that
brings it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from parallelize.ended import (
    Settled,
    called_of,
    has_failed,
    look_at,
    name_failure,
    stop,
)
from parallelize.futures import Future, Outcome, error_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future as AnyFuture
    from typing import Literal, overload

__all__ = ("gather",)

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")

# Futures of different types give a list of either; five and more of them, of Any.

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
    """Return one future of the results of many, in their order.

    It fails as soon as one of ``futures`` does, or is cancelled, unless
    ``return_exceptions``; the others go on. To cancel or kill it is to cancel or kill
    each of them.

    Args:
        *futures: Futures of any kind that PEP 3148 describes, of `gather` too.
        return_exceptions: Put errors in the list instead of raising the first.

    Returns:
        A future of the list.

    Raises:
        TypeError: What is given is no future, but a list of them for instance.

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
        self._needs = members  # they have to end before it does; until it has
        self._return_exceptions = return_exceptions
        self._left = len(members)
        self._counting = threading.Lock()  # guards _left; nothing is taken under it

    def one_done(self, future: AnyFuture[Any]) -> None:
        """Note that a member has ended; called by each, in any thread."""
        members = self._needs
        if has_failed(future) and not self._return_exceptions:
            self._fail_as(future)
        look_at(future)  # as the whole stands for it now
        with self._counting:
            self._left -= 1
            last = self._left == 0
        if last:
            outcome = _Gathered(members, self._return_exceptions)
            self.set_outcome(outcome, failed=False)

    def _fail_as(self, future: AnyFuture[Any]) -> None:
        called = called_of(future)
        self.set_outcome(Settled(future), failed=True)
        if called is not None:
            name_failure(self, *called)

    def cancel(self) -> bool:
        """End this future, and cancel the members that have not begun.

        Returns:
            True, but if it has ended before.
        """
        members = self._needs
        if not super().cancel():
            return False
        for member in members:
            member.cancel()
        return True

    def kill(self) -> bool:
        """End this future, and cancel or kill every member.

        Returns:
            True, but if it has ended before.
        """
        members = self._needs
        if not super().cancel():
            return False
        for member in members:
            stop(member)
        return True


class _Gathered(Outcome):
    """What all members came to."""

    __slots__ = ("_members", "_return_exceptions")

    def __init__(
        self,
        members: Sequence[AnyFuture[Any]],
        return_exceptions: bool,
    ) -> None:
        self._members = members
        self._return_exceptions = return_exceptions

    @property
    def weight(self) -> int:
        sealed = [getattr(member, "_sealed", None) for member in self._members]
        return sum(each.weight for each in sealed if each is not None)

    def open(self) -> tuple[Any, BaseException | None]:
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
