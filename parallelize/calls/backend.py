"""What a map asks of the executor on which it runs; a file for type checkers alone."""

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

    Each row that a map starts ends exactly once: its future ends, or its outcome is
    delivered, from any thread, also where a worker dies or the executor shuts down.
    """

    #: The word for executors of this kind: what a chunk costs depends on it.
    kind: ClassVar[str]

    @property
    def _max_workers(self) -> int:
        """How many calls run at once."""
        ...

    @property
    def _maps(self) -> OpenMaps:
        """Where a map is entered; each shutdown begins with those in here."""
        ...

    @property
    def _entry(
        self,
    ) -> Callable[
        [Callable[..., Any], tuple[Any, ...], dict[str, Any], CallOptions], Future[Any]
    ]:
        """Start one call; raise RuntimeError after shutdown."""
        ...

    def _start_rows(self, rows: Rows) -> SubmittedRows:
        """Start rows of calls that hold no futures; raise RuntimeError likewise."""
        ...

    def _is_watched(self) -> bool:
        """Whether a `submit` of the user's is to see each call: then no rows."""
        ...

    def _loop_is_here(self) -> bool:
        """Whether this thread runs a loop of the executor, and may not be held up."""
        ...
