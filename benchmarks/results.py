"""What a run found: the values of each cell, and how they are kept in a file."""

from __future__ import annotations

import dataclasses
import json
import statistics
from typing import TYPE_CHECKING, Any

from benchmarks.peers import OURS, Entrant
from benchmarks.rows import ROWS
from benchmarks.rows.base import EVERY_PEER, NO_FORK, VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@dataclasses.dataclass
class Cell:
    """What the rounds found for one row and one entrant."""

    row: str
    entrant: str
    found: list[dict[str, float]] = dataclasses.field(default_factory=list)
    note: str = ""  # why there is nothing, or no more

    @property
    def peer(self) -> str:
        return Entrant.read(self.entrant).peer

    @property
    def value(self) -> float | None:
        return self.median(VALUE)

    def median(self, name: str) -> float | None:
        values = [found[name] for found in self.found if name in found]
        return statistics.median(values) if values else None

    @property
    def references(self) -> dict[str, float]:
        """What the measurement referred to, such as the time of a plain copy."""
        names = {name: None for found in self.found for name in found}
        medians = {name: self.median(name) for name in names if name != VALUE}
        return {name: value for name, value in medians.items() if value is not None}


@dataclasses.dataclass
class Results:
    """A whole run."""

    setting: dict[str, Any]
    cells: list[Cell]

    def rows(self) -> list[str]:
        """Return the rows that were measured, in the order of the table."""
        measured = {cell.row for cell in self.cells}
        return [row for row in ROWS if row in measured]

    def of(self, row: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.row == row]

    def ours(self, row: str) -> Cell | None:
        return next((cell for cell in self.of(row) if cell.entrant == OURS), None)

    def best(self, row: str, without: Callable[[Cell], bool]) -> Cell | None:
        """Return the best cell of the others."""
        others = [
            (cell.value, cell)
            for cell in self.of(row)
            if cell.peer != OURS and cell.value is not None and not without(cell)
        ]
        choose = max if ROWS[row].more else min
        return choose(others, key=lambda pair: pair[0], default=(None, None))[1]

    def named(self, row: str, name: str) -> float | None:
        """Return the value that a target names."""
        if name in {EVERY_PEER, NO_FORK}:
            best = self.best(row, lambda cell: name == NO_FORK and forks(cell))
            return best.value if best else None
        ours = self.ours(row)
        if ours and name in ours.references:
            return ours.references[name]
        return next((c.value for c in self.of(row) if c.entrant == name), None)

    def write(self, path: Path) -> None:
        cells = [
            {**dataclasses.asdict(cell), VALUE: cell.value, "unit": ROWS[cell.row].unit}
            for cell in self.cells
        ]
        found = {"setting": self.setting, "cells": cells}
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        told = json.loads(path.read_text())
        return cls(told["setting"], list(read_cells(told["cells"])))


def read_cells(told: Iterable[dict[str, Any]]) -> Iterable[Cell]:
    names = [field.name for field in dataclasses.fields(Cell)]
    return (Cell(**{name: cell[name] for name in names}) for cell in told)


def forks(cell: Cell) -> bool:
    return cell.peer.endswith("-fork")
