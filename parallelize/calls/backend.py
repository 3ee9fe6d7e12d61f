"""What a map asks of an executor of this library; for type checkers only.

Other executors need no more than `submit` and `shutdown`: `executors.foreign` has the
rest for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.calls.call import Rows, SubmittedRows
    from parallelize.calls.open_maps import OpenMaps
    from parallelize.futures.future import Future
    from parallelize.runtime.options import CallOptions

__all__ = ("MapBackend",)


class MapBackend(Protocol):
    """An executor as maps see it.

    Each row that a map starts completes exactly once: its future is done or its outcome
    delivered, from any thread, even if a worker dies or the executor shuts down.
    """

    #: The name of this kind of executor, on which the cost of a chunk depends.
    kind: ClassVar[str]

    @property
    def _max_workers(self) -> int:
        """The number of calls that run at once."""
        ...

    @property
    def _maps(self) -> OpenMaps:
        """The open maps, with which each shutdown begins."""
        ...

    @property
    def _entry(
        self,
    ) -> Callable[
        [Callable[..., Any], tuple[Any, ...], dict[str, Any], CallOptions], Future[Any]
    ]:
        """A function that starts one call; it raises RuntimeError after shutdown."""
        ...

    def _start_rows(self, rows: Rows) -> SubmittedRows:
        """Start rows of calls without futures; raise RuntimeError after shutdown."""
        ...

    def _is_watched(self) -> bool:
        """Whether a user's `submit` must see each call, so that no rows are used."""
        ...

    def _loop_is_here(self) -> bool:
        """Whether this thread runs a loop of the executor, and so must not block."""
        ...
