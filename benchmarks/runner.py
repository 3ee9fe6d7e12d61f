"""Runs the measurements: each in a process of its own, in turns, bounded in time."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.faults import environment, kill_all, read_facts
from benchmarks.peers import OURS, PROCESSES, THREADS, Entrant, installed
from benchmarks.results import Cell
from benchmarks.rows import ROWS
from benchmarks.rows.base import VALUE, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.rows.base import Row


class Plan(NamedTuple):
    """What is to be measured, and how thoroughly."""

    rows: list[str]
    peers: list[str]  # empty: all
    rounds: int
    quick: bool

    @property
    def limit(self) -> float:
        """Return the seconds that one measurement may take."""
        return 15.0 if self.quick else 120.0


def entrants(row: Row, plan: Plan) -> list[Entrant]:
    """Return the libraries that take part in a row."""
    if plan.quick and not plan.peers:
        known = [Entrant.read(text) for text in row.quick]
    else:
        known = list(all_entrants(row))
    peers = THREADS if row.threads else PROCESSES
    wanted = [OURS] if row.alone else plan.peers or list(peers)
    return [e for e in known if e.peer in wanted and installed(peers[e.peer])]


def all_entrants(row: Row) -> Iterator[Entrant]:
    for name, peer in (THREADS if row.threads else PROCESSES).items():
        if name in row.without or not (peer.everywhere or name in row.besides):
            continue
        if name == OURS or not row.tuned_only:
            yield Entrant(name)
        if row.chunk:
            yield from (Entrant(name, tuning) for tuning in peer.tunings)


def cells(plan: Plan) -> list[Cell]:
    """Return the cells that a plan is to fill, row by row."""
    return [
        Cell(name, str(entrant))
        for name in plan.rows
        for entrant in entrants(ROWS[name], plan)
    ]


def fill(plan: Plan, todo: Sequence[Cell]) -> Iterator[Cell]:
    """Measure all, round by round; give each cell when it has one value more.

    Within a round the cells of a row come one after another, so that what is
    compared was measured in the same minute; the first one changes with the round.
    """
    loops = calibrated()
    for number in range(plan.rounds):
        for name in plan.rows:
            row = [cell for cell in todo if cell.row == name]
            first = number % len(row) if row else 0
            for cell in row[first:] + row[:first]:
                yield measured(cell, plan, loops)


def calibrated() -> int:
    """Return how many loops of `tasks.spin` take a millisecond."""
    from benchmarks import tasks

    loops = 200_000
    best = min(seconds(lambda: tasks.spin(loops)) for _ in range(5))
    return round(loops * 1e-3 / best)


def measured(cell: Cell, plan: Plan, loops: int) -> Cell:
    """Measure a cell once more, unless it has failed before."""
    if not cell.note:
        facts = run_child(cell, plan, loops)
        if VALUE in facts:
            cell.found.append(facts)
        else:
            cell.note = facts["skipped"]
    return cell


def run_child(cell: Cell, plan: Plan, loops: int) -> dict[str, Any]:
    """Run one measurement, and make sure that nothing of it outlives this."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        child = start(cell, plan, loops, Path(folder), mark)
        code: int | None = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.wait(plan.limit)
        finally:
            kill_all(child, mark)
        return read_facts(Path(folder, "out")) or {
            "skipped": failure(code, plan, Path(folder, "err"))
        }


def start(
    cell: Cell, plan: Plan, loops: int, folder: Path, mark: str
) -> subprocess.Popen[bytes]:
    """Start a measuring process, in a session of its own."""
    command = [sys.executable, "-m", "benchmarks.child", cell.row, cell.entrant]
    command += [f"--loops={loops}", *(["--quick"] if plan.quick else [])]
    # Into files: an orphan that holds a pipe would keep its reader waiting.
    with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
        return subprocess.Popen(  # noqa: S603 - it is this program's own text
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=folder,
            env=environment(mark),
            start_new_session=True,
        )


def failure(code: int | None, plan: Plan, errors: Path) -> str:
    """Say why a measurement found nothing."""
    if code is None:
        return f"took more than {plan.limit:.0f} s"
    told = [line for line in errors.read_text(errors="replace").splitlines() if line]
    return f"failed: {told[-1] if told else f'exit code {code}'}"
