"""Measures one row with one library, in a process that does nothing else.

    python -m benchmarks.child latency pool
    python -m benchmarks.child map pool:map --quick

It prints one line of JSON: what was found, or why there was nothing to find.
Workers of some libraries import this file, so it imports nothing by itself.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers take it; typing need not be imported
if TYPE_CHECKING:
    import argparse

    from benchmarks.rows.base import Bench


def main() -> None:
    """Measure what the command line names."""
    import json

    from benchmarks.peers.base import Skip
    from benchmarks.rows import ROWS

    chosen = options()
    try:
        told: object = ROWS[chosen.row].measure(bench(chosen))
    except Skip as skip:
        told = {"skipped": str(skip)}
    print(json.dumps(told), flush=True)


def options() -> argparse.Namespace:
    """Read the command line."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m benchmarks.child")
    parser.add_argument("row")
    parser.add_argument("entrant")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--loops", type=int, default=20_000)
    return parser.parse_args()


def bench(chosen: argparse.Namespace) -> Bench:
    """Put together what a measurement is given."""
    from benchmarks.peers import OURS, PROCESSES, THREADS, Entrant
    from benchmarks.rows import ROWS
    from benchmarks.rows.base import Bench

    row, entrant = ROWS[chosen.row], Entrant.read(chosen.entrant)
    kind = (THREADS if row.threads else PROCESSES)[entrant.peer]
    return Bench(
        make=lambda workers: kind(workers, entrant.tuning, row.chunk),
        ours=entrant.peer == OURS,
        tuned=bool(entrant.tuning),
        quick=chosen.quick,
        loops=chosen.loops,
    )


if __name__ == "__main__":
    main()
