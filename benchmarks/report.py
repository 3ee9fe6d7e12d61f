"""Writes the results as tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.machine import sentence
from benchmarks.peers import OURS, PROCESSES, THREADS, Entrant
from benchmarks.rows import ROWS
from benchmarks.targets import verdicts

if TYPE_CHECKING:
    from benchmarks.results import Cell, Results


def number(value: float) -> str:
    """Write three digits that count, and commas at the thousands."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def label(cell: Cell) -> str:
    """Name a cell's library and how it is tuned."""
    entrant = Entrant.read(cell.entrant)
    peer = (THREADS if ROWS[cell.row].threads else PROCESSES)[entrant.peer]
    how = f", {peer.tunings[entrant.tuning]}" if entrant.tuning else ""
    return f"{peer.title}{how}"


def ratio(cell: Cell, ours: Cell | None) -> str:
    """Say how many times better than this cell parallelize is."""
    mine, theirs = ours.value if ours else None, cell.value
    if not mine or not theirs or mine < 0 or theirs < 0 or cell is ours:
        return ""
    better = mine / theirs if ROWS[cell.row].more else theirs / mine
    return f"{number(better)}x"


def heading(name: str) -> str:
    return f"`{name}`: {ROWS[name].title}"


def shown(cell: Cell) -> str:
    return "-" if cell.value is None else number(cell.value)


# -- The tables -------------------------------------------------------------------


def report(results: Results) -> str:
    """Write both tables, and why cells are empty."""
    parts = [f"{sentence(results.setting)}.", summary(results), details(results)]
    return "\n\n".join(filter(None, [*parts, notes(results)]))


def summary(results: Results) -> str:
    """Write the table of parallelize, the best peer and the targets."""
    rows = [["what", "unit", OURS, "best peer", "better by", "target"]]
    rows.append(["---", "---", "---:", "---", "---:", "---"])
    rows += [summary_row(results, name) for name in results.rows()]
    return lines(rows)


def summary_row(results: Results, name: str) -> list[str]:
    ours, best = results.ours(name), results.best(name, lambda _: False)
    reached = "; ".join(f"{v.target}: {v.outcome}" for v in verdicts(results, name))
    return [
        heading(name),
        ROWS[name].unit,
        shown(ours) if ours else "-",
        f"{shown(best)} ({label(best)})" if best else "-",
        ratio(best, ours) if best else "",
        reached,
    ]


def details(results: Results) -> str:
    """Write the table of the values of all libraries."""
    rows = [["what", "unit", "library", "value", "parallelize is better by"]]
    rows.append(["---", "---", "---", "---:", "---:"])
    for name in results.rows():
        rows += detail_rows(results, name)
    return lines(rows)


def detail_rows(results: Results, name: str) -> list[list[str]]:
    ours = results.ours(name)
    rows = [["", "", label(c), shown(c), ratio(c, ours)] for c in results.of(name)]
    references = ours.references if ours else {}
    rows += [["", "", f"*{what}*", number(x), ""] for what, x in references.items()]
    rows[0][:2] = [heading(name), ROWS[name].unit]
    return rows


def notes(results: Results) -> str:
    """Say why cells are empty."""
    empty = [cell for cell in results.cells if cell.note]
    return "\n".join(f"- {c.row}, {label(c)}: {c.note}." for c in empty)


def lines(rows: list[list[str]]) -> str:
    """Write rows with columns of one width, but for the last."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    return "\n".join(f"| {' | '.join(padded(row, widths))} |" for row in rows)


def padded(cells: list[str], widths: list[int]) -> list[str]:
    return [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
