"""Draws the README's badges, of what pyproject.toml says."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from benchmarks.front.tables import DOCS

if TYPE_CHECKING:
    from pathlib import Path

#: The Pythons whose tests must pass before a change is merged: see tox.ini.
TESTED = "3.11, 3.12, 3.13, 3.14, 3.15"
WIDE = 6.4  # pixels of a letter, on average


def badges() -> dict[str, tuple[str, str]]:
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
    return {
        "version": ("version", f"{project['version']} (not released yet)"),
        "python": ("Python", f"{project['requires-python'].strip('>=')} to 3.15"),
        "tests": ("tested on", f"Linux, CPython {TESTED}"),
        "types": ("types", "mypy and pyright, strict"),
    }


def draw_all(folder: Path) -> None:
    for name, (left, right) in badges().items():
        path = folder / f"badge-{name}.svg"
        path.write_text(svg(left, right), encoding="utf-8")


def svg(left: str, right: str) -> str:
    first, second = len(left) * WIDE + 14, len(right) * WIDE + 14
    whole = first + second
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0f}" height="20"'
        f' viewBox="0 0 {whole:.0f} 20" role="img" fill="#fff" font-size="11"'
        ' font-family="Verdana, DejaVu Sans, sans-serif" text-anchor="middle">\n'
        f"<title>{left}: {right}</title>\n"
        f'<rect width="{whole:.0f}" height="20" rx="3" fill="#24578a"/>\n'
        f'<path d="M0 3a3 3 0 0 1 3-3h{first - 3:.0f}v20H3a3 3 0 0 1-3-3z"'
        ' fill="#4a4a4a"/>\n'
        f'<text x="{first / 2:.0f}" y="14">{left}</text>\n'
        f'<text x="{first + second / 2:.0f}" y="14">{right}</text>\n</svg>\n'
    )
