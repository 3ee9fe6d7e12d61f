"""Makes what the README and the first pages show, of runs and of the long tables.

    python -m benchmarks.front           # short tables, numbers, charts, badges
    python -m benchmarks.front --run     # besides the README's listing and picture

The long tables are those of docs/measurements.md and docs/faults.md. `--run` needs a
quiet machine: the times that the README shows are those of this run.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.faults import write_between
from benchmarks.front import badges, charts, tables
from benchmarks.front.tables import DOCS

README = DOCS.parent / "README.md"

#: What is made of the long tables: page, name of its comments, text.
PARTS = [
    (README, "numbers", tables.numbers),
    (README, "faults", tables.readme_faults),
    (README, "total", tables.total),
    (DOCS / "benchmarks.md", "speed", tables.speed_table),
    (DOCS / "guarantees.md", "faults", tables.fault_table),
    (DOCS / "guarantees.md", "total", tables.total),
]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.front")
    parser.add_argument("--run", action="store_true", help="run the listing, too")
    if parser.parse_args().run:
        from benchmarks.front import film  # needs Linux

        run_listing(README)
        (DOCS / "images" / "killed.svg").write_text(film.film(), encoding="utf-8")
    for page, name, make in PARTS:
        write_between(page, name, make())
    charts.draw_all(DOCS / "images")
    badges.draw_all(DOCS / "images")


def run_listing(page: Path) -> None:
    """Run the first listing of a page, and write what it prints below it."""
    text = page.read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert found, f"{page} has no listing with its output"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "listing.py"
        script.write_text(found[1], encoding="utf-8")
        printed = subprocess.run(
            [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    begin, end = found.span(2)
    page.write_text(f"{text[:begin]}{printed}{text[end:]}", encoding="utf-8")


if __name__ == "__main__":
    main()
