"""Measures parallelize beside other libraries, and says what reaches its target.

    python -m benchmarks                                  # all of it
    python -m benchmarks --quick                          # about a minute
    python -m benchmarks --rows map,latency --peers parallelize,pool --rounds 3
    python -m benchmarks --json results.json --write docs/measurements.md \
        --plots docs/images
    python -m benchmarks --from results.json --plots docs/images   # nothing is run

Each measurement is a process of its own (`benchmarks.child`); `benchmarks.runner`
starts them in turns. It needs Linux, whose /proc tells of memory and wake-ups.
"""

from __future__ import annotations

import argparse
import functools
import os
from pathlib import Path

from benchmarks import machine, plots, report, runner
from benchmarks.faults import names, write_between
from benchmarks.peers import PROCESSES, installed
from benchmarks.results import Results
from benchmarks.rows import ROWS


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure parallelize and other libraries side by side; "
        "print the results as tables in Markdown.",
        epilog=f"Rows: {', '.join(ROWS)}. Peers: {', '.join(PROCESSES)}.",
    )
    add_choices(parser)
    add_files(parser)
    chosen = parser.parse_args()
    for given, known in ((chosen.rows, ROWS), (chosen.peers, PROCESSES)):
        for name in set(given) - set(known):
            parser.error(f"{name} is not one of: {', '.join(known)}")
    return chosen


def add_choices(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--quick", action="store_true", help="one round, less of everything")
    add("--rows", type=names, default=[], metavar="ROW,...", help="these, not all")
    add("--peers", type=names, default=[], metavar="NAME,...", help="these, not all")
    add("--rounds", type=int, help="how often each is measured (5; quick: 1)")


def add_files(parser: argparse.ArgumentParser) -> None:
    add = functools.partial(parser.add_argument, type=Path)
    add("--json", metavar="FILE", help="write all values")
    add("--from", dest="read", metavar="FILE", help="run nothing, show such a file")
    add("--write", metavar="PAGE", help="put all between the page's comments")
    add("--plots", metavar="FOLDER", help="draw a plot of each row")


def planned(chosen: argparse.Namespace) -> runner.Plan:
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    rows = [name for name in ROWS if name in (chosen.rows or ROWS)]
    return runner.Plan(rows, chosen.peers, rounds, chosen.quick)


def command(plan: runner.Plan, chosen: argparse.Namespace) -> str:
    """Return the command that measures the same, without the files it writes."""
    parts = ["python -m benchmarks", *(["--quick"] if plan.quick else [])]
    parts += [f"--rows {','.join(chosen.rows)}"] if chosen.rows else []
    parts += [f"--peers {','.join(chosen.peers)}"] if chosen.peers else []
    return " ".join([*parts, f"--rounds {plan.rounds}"])


def measure(chosen: argparse.Namespace) -> Results:
    """Run a plan with a progress bar."""
    from tqdm import tqdm

    plan = planned(chosen)
    todo = runner.cells(plan)
    with tqdm(total=plan.rounds * len(todo), unit="run") as bar:
        for cell in runner.fill(plan, todo):
            bar.set_postfix_str(f"{cell.row} {cell.entrant}")
            bar.update()
    packages = ["numpy", *(p.package for p in PROCESSES.values() if installed(p))]
    return Results(machine.setting(packages, command(plan, chosen)), todo)


def main() -> None:
    """Do what the command line asks for."""
    chosen = options()
    results = Results.read(chosen.read) if chosen.read else measure(chosen)
    if chosen.json:
        results.write(chosen.json)
    text = report.report(results)
    drawn = plots.draw_all(results, chosen.plots) if chosen.plots else []
    if chosen.write:
        write_between(chosen.write, "benchmarks", text)
        write_between(chosen.write, "plots", images(drawn, chosen.write))
    print(text)


def images(drawn: list[Path], page: Path) -> str:
    """Write the links from a page to its plots."""
    links = []
    for path in drawn:
        link = Path(os.path.relpath(path, page.parent)).as_posix()
        links.append(f"![{ROWS[path.stem].title}]({link})")
    return "\n\n".join(links)


if __name__ == "__main__":
    main()
