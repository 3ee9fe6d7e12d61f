"""What is measured: the rows of the table, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.rows import (
    arrays,
    awaits,
    calls,
    flows,
    idle,
    maps,
    nesting,
    pace,
    shared,
    starts,
    streams,
)

if TYPE_CHECKING:
    from benchmarks.rows.base import Row

ROWS: dict[str, Row] = {
    **calls.ROWS,
    **maps.ROWS,
    **flows.ROWS,
    **arrays.ROWS,
    **shared.ROWS,
    **starts.ROWS,
    **idle.ROWS,
    **calls.THREAD_ROWS,
    **maps.THREAD_ROWS,
    **flows.THREAD_ROWS,
    **nesting.ROWS,
    **awaits.ROWS,
    **pace.ROWS,
    **streams.ROWS,
}
