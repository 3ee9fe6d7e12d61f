"""Draws five rows of the long table as charts that fit a telephone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from benchmarks.front.tables import OURS, Speed, shown, speeds

if TYPE_CHECKING:
    from pathlib import Path

CHARTS = {
    "submits": "Small calls a second, until all have answered",
    "latency": "One call, from submit to its result",
    "argument": "An array of 100 MiB as argument",
    "memory": "Memory for a map of 10 million numbers",
    "cpu-10ms": "A map of tasks of 10 ms: share of the ideal",
}
LIBRARIES = [
    OURS,
    "concurrent.futures",
    "multiprocessing.Pool",
    "loky",
    "joblib",
    "pebble",
    "mpire",
]
WIDTH, LABELS, BARS, STEP, TOP = 400, 150, 170, 24, 46  # pixels
TEXT = "#767676"  # is read on white and on black alike


def draw_all(folder: Path) -> None:
    rows = speeds()
    for name, title in CHARTS.items():
        path = folder / f"chart-{name}.svg"
        path.write_text(svg(rows[name], title), encoding="utf-8")


def svg(row: Speed, title: str) -> str:
    """Draw the best value of each library."""
    found = [(library, row.of(library)) for library in LIBRARIES]
    bars = [(library, value) for library, value in found if value is not None]
    longest = max(value for _, value in bars)
    height = TOP + STEP * len(bars) + 4
    drawn = "".join(
        bar(library, value, TOP + STEP * i, value / longest)
        for i, (library, value) in enumerate(bars)
    )
    better = "more is better" if row.more else "less is better"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img" fill="{TEXT}"'
        ' font-family="system-ui, sans-serif" font-size="13">\n'
        f"<title>{escape(title)}</title>\n"
        f'<text x="4" y="17" font-weight="600">{escape(title)}</text>\n'
        f'<text x="4" y="35" font-size="12">{escape(row.unit)}, {better}</text>\n'
        f"{drawn}</svg>\n"
    )


def bar(library: str, value: float, top: int, share: float) -> str:
    ours = library == OURS
    weight = ' font-weight="600"' if ours else ""
    length = max(1.0, BARS * max(share, 0))
    return (
        f'<text x="{LABELS - 8}" y="{top + 15}" text-anchor="end"{weight}>'
        f"{escape(library)}</text>\n"
        f'<rect x="{LABELS}" y="{top + 3}" width="{length:.1f}" height="16" rx="2"'
        f' fill="{"#2a7fd4" if ours else "#9a9a9a"}"/>\n'
        f'<text x="{LABELS + length + 6:.1f}" y="{top + 15}"{weight}>'
        f"{shown(value)}</text>\n"
    )
