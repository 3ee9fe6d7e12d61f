"""Whether a row has reached what it is to reach, and how that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.peers import PROCESSES, THREADS
from benchmarks.rows import ROWS

if TYPE_CHECKING:
    from benchmarks.results import Results
    from benchmarks.rows.base import Row, Target


class Verdict(NamedTuple):
    """What came of a target."""

    target: str
    outcome: str  # met, missed or not measured


def verdicts(results: Results, row: str) -> list[Verdict]:
    return [judged(results, row, target) for target in ROWS[row].targets]


def judged(results: Results, row: str, target: Target) -> Verdict:
    text = wording(ROWS[row], target)
    cell = results.ours(row)
    value = cell.value if cell else None
    other = results.named(row, target.of) if target.of else 1.0
    if value is None or other is None:
        return Verdict(text, "not measured")
    limit = target.factor * other
    met = value >= limit if ROWS[row].more else value <= limit
    is_now = f" ({value / other:.2f})" if target.of and other else ""
    return Verdict(text, ("met" if met else "missed") + is_now)


def wording(row: Row, target: Target) -> str:
    """Say a target in words, as `≤ 0.25 x concurrent.futures`."""
    sign = "≥" if row.more else "≤"
    kind = "aim: " if target.further else ""
    if not target.of:
        return f"{kind}{sign} {target.factor:g} {row.unit}"
    return f"{kind}{sign} {target.factor:g} x {title(row, target.of)}"


def title(row: Row, name: str) -> str:
    """Return the full name of a peer; what is no peer is called as it is."""
    peers = THREADS if row.threads else PROCESSES
    return peers[name].title if name in peers else name
