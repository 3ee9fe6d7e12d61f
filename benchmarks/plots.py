"""Draws a row as horizontal bars: an SVG file that light and dark pages can show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from benchmarks.peers import OURS
from benchmarks.report import label, number
from benchmarks.rows import ROWS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Results

WIDTH, LABELS, BARS, STEP, TOP = 760, 300, 370, 26, 44  # pixels
TEXT = "#808080"  # is read on white and on black alike
COLOURS = {"ours": "#2a7fd4", "peer": "#9a9a9a", "reference": "none"}


class Bar(NamedTuple):
    """One bar of a plot."""

    label: str
    value: float
    kind: str  # ours, peer or reference


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw each row that has something to compare; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name in results.rows():
        found = bars(results, name)
        if len(found) > 1:
            path = folder / f"{name}.svg"
            path.write_text(svg(name, found))
            drawn.append(path)
    return drawn


def bars(results: Results, name: str) -> list[Bar]:
    """Return ours, the others in their order, and what they are measured by."""
    found = [
        Bar(label(cell), cell.value, "ours" if cell.peer == OURS else "peer")
        for cell in results.of(name)
        if cell.value is not None
    ]
    ours = results.ours(name)
    references = ours.references if ours else {}
    return found + [Bar(what, value, "reference") for what, value in references.items()]


def svg(name: str, found: list[Bar]) -> str:
    """Write the file."""
    longest = max(*(bar.value for bar in found), 1e-9)
    height = TOP + STEP * len(found) + 6
    parts = [heading(name)]
    parts += [
        drawn_bar(bar, TOP + STEP * i, max(bar.value, 0) / longest)
        for i, bar in enumerate(found)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" fill="{TEXT}"'
        ' font-family="system-ui, sans-serif" font-size="13">\n'
        f"{''.join(parts)}</svg>\n"
    )


def heading(name: str) -> str:
    row = ROWS[name]
    better = "more is better" if row.more else "less is better"
    return (
        f"<title>{escape(row.title)}</title>\n"
        f'<text x="8" y="18" font-weight="600">{escape(row.title)}</text>\n'
        f'<text x="8" y="35" font-size="11">{escape(row.unit)}, {better}</text>\n'
    )


def drawn_bar(bar: Bar, top: int, share: float) -> str:
    """Draw a bar with its name before it and its value behind it."""
    length = max(1.0, BARS * share)
    weight = ' font-weight="600"' if bar.kind == "ours" else ""
    border = f' stroke="{TEXT}" stroke-dasharray="3 2"' * (bar.kind == "reference")
    return (
        f'<text x="{LABELS - 8}" y="{top + 16}" text-anchor="end"{weight}>'
        f"{escape(bar.label)}</text>\n"
        f'<rect x="{LABELS}" y="{top + 3}" width="{length:.1f}" height="18" rx="2"'
        f' fill="{COLOURS[bar.kind]}"{border}/>\n'
        f'<text x="{LABELS + length + 6:.1f}" y="{top + 16}"{weight}>'
        f"{number(bar.value)}</text>\n"
    )
