"""Reads the long tables of the documentation, and makes short ones of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[2] / "docs"

OURS, STANDARD = "parallelize", "concurrent.futures"

#: The rows of the short table of speed, with the words of a reader.
SPEED = {
    "latency": "one call, from submit to its result",
    "submits": "many small calls, until all have answered",
    "map": "a map of tiny tasks",
    "cpu-10ms": "a map of tasks of 10 ms, share of the ideal",
    "memory": "memory for a map of 10 million numbers",
    "argument": "an array of 100 MiB as argument",
    "result": "an array of 100 MiB as result",
    "script": "a script with one call, from start to end",
    "import": "`import`",
    "thread-latency": "threads: one call, from submit to its result",
    "thread-submits": "threads: many small calls",
    "async-process-latency": "asyncio: one call in a process, awaited",
}

#: The rows of the short table of faults: how each begins in the long one.
FAULTS = {
    "1 of 8 tasks: its worker is killed": "a worker is killed (out of memory)",
    "1 of 8 tasks: segfault": "a task crashes (segmentation fault)",
    "1 of 8 tasks: returns what raises when unpickled": "a result cannot be unpickled",
    "1 of 8 tasks: raises an error that cannot": "an error cannot be unpickled",
    "a call is given 0.5 s": "a call takes longer than its timeout",
    "Ctrl-C, workers busy": "Ctrl-C while the workers are busy",
    "program killed (SIGKILL), workers busy": "the program is killed",
    "unhandled error in the program": "the program fails, a task still runs",
    "`os.fork()` after use": "a call in a child of `os.fork()`",
    "map over endless input": "a map over endless input",
    "`break` in a loop over a map": "`break` in a loop over a map",
    "argument changed right after": "an argument is changed after the call",
    "a script's function, lambda": "lambdas, closures, no `__main__` guard",
    "a done-callback waits": "a done-callback waits for another call",
    "a pool made and used inside": "a pool inside a worker",
}

#: The five of them that the README shows, and what the words are there.
README_FAULTS = [list(FAULTS)[n] for n in (0, 2, 4, 6, 9)]
HEAVY = ["never answers", "pool broken", "only the wait", "of 7 others"]
README_PEERS = [OURS, STANDARD, "joblib", "multiprocessing.Pool", "pebble"]


class Speed(NamedTuple):
    """A row of the long table of speed."""

    title: str
    unit: str
    values: dict[str, float]  # by library and how it is tuned

    def of(self, library: str) -> float | None:
        """Return the best value of a library, however tuned, but for forks."""
        return self.best({n: v for n, v in self.values.items() if base(n) == library})

    def best(self, values: dict[str, float]) -> float | None:
        choose = max if self.more else min
        return choose(values.values(), default=None)

    @property
    def others(self) -> tuple[str, float]:
        """Return the best of the other libraries."""
        values = {n: v for n, v in self.values.items() if base(n) != OURS}
        best = self.best(values)
        return next((name, value) for name, value in values.items() if value == best)

    @property
    def more(self) -> bool:
        return self.unit.endswith("/s") or self.unit == "of the ideal"


def base(name: str) -> str:
    """Return the library; one whose workers are forks is not that library."""
    return name if ", fork" in name else name.partition(",")[0]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def between(page: str, name: str) -> list[str]:
    """Return the lines between the two comments of that name in a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    _, _, rest = text.partition(f"<!-- {name}: begin -->")
    return rest.partition(f"<!-- {name}: end -->")[0].splitlines()


def speeds() -> dict[str, Speed]:
    """Return the rows of the long table, without references."""
    lines = between("measurements.md", "benchmarks")
    start = next(n for n, line in enumerate(lines) if "better by |" in line and n > 5)
    found: dict[str, Speed] = {}
    row = Speed("", "", {})
    for what, unit, library, value, *_ in map(
        cells, filter(is_row, lines[start + 2 :])
    ):
        if what:
            name, _, title = what.partition(": ")
            row = found[name.strip("`")] = Speed(title, unit, {})
        if value != "-" and not library.startswith("*"):
            row.values[library] = float(value.replace(",", ""))
    return found


def is_row(line: str) -> bool:
    return line.startswith("|")


def faults() -> dict[str, dict[str, str]]:
    """Return the cells of the long table, by fault and library."""
    heads, _, *rows = map(cells, filter(is_row, between("faults.md", "faults")))
    return {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in rows}


# -- The short ones ---------------------------------------------------------------


def speed_table() -> str:
    """Write the rows of `SPEED`: ours, the standard library's, the best other."""
    rows = [["", OURS, "standard library", "the best of the others"]]
    rows.append(["---", *["---:"] * 3])
    found = speeds()
    for name, words in SPEED.items():
        row = found[name]
        best, value = row.others
        ours, standard = shown(row.of(OURS)), shown(row.of(STANDARD))
        best = best.replace(STANDARD, "standard library").split(".")[-1]
        unit = "" if row.unit == "of the ideal" else f", {row.unit}"
        rows.append([words + unit, f"**{ours}**", standard, f"{shown(value)} ({best})"])
    return table(rows)


def shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"


def numbers() -> str:
    """Write the three numbers of the README."""
    rows = speeds()
    return "\n".join(
        [
            number(rows["submits"], "{} small calls a second", "{}"),
            number(rows["argument"], "{} ms for an argument of 100 MiB", "{} ms"),
            number(rows["latency"], "{} µs from a call to its result", "{} µs"),
        ]
    )


def number(row: Speed, words: str, other: str) -> str:
    """Write one of them: ours beside the standard library's and the best other."""
    best, value = row.others
    texts = [
        f"{v:,g}" for v in (row.of(OURS), row.of(STANDARD), value) if v is not None
    ]
    ours, standard, theirs = texts
    return (
        f"- **{words.format(ours)}** (`concurrent.futures`: {other.format(standard)}; "
        f"the best of the others, {best}: {other.format(theirs)})"
    )


def fault_table() -> str:
    """Write the rows of `FAULTS`, signs only, and how many of all rows are good."""
    found = faults()
    peers = list(next(iter(found.values())))
    rows = [["what happens", *peers], ["---", *[":-:"] * len(peers)]]
    for begin, words in FAULTS.items():
        row = fault(found, begin)
        rows.append([words, *(row[peer][0] for peer in peers)])
    total = next(title for title in found if title.startswith("**"))
    rows.append([f"**✓ of all {total.split()[-1]}", *found[total].values()])
    return table(rows)


def readme_faults() -> str:
    """Write five rows with the words of each cell."""
    found = faults()
    rows = [["what happens", *README_PEERS], ["---"] * (1 + len(README_PEERS))]
    for begin in README_FAULTS:
        row = fault(found, begin)
        rows.append([FAULTS[begin], *(brief(row[peer]) for peer in README_PEERS)])
    return table(rows)


def brief(cell: str) -> str:
    """Keep the sign of a cell, and the part of it that weighs most."""
    parts = cell[2:].split("; ")
    heaviest = (part for word in HEAVY for part in parts if word in part)
    return f"{cell[0]} {next(heaviest, parts[0]).partition(',')[0]}"


def fault(found: dict[str, dict[str, str]], begin: str) -> dict[str, str]:
    (title,) = [title for title in found if title.startswith(begin)]
    return found[title]


def total() -> str:
    """Write how many of all rows are good, library by library."""
    found = faults()
    title = next(title for title in found if title.startswith("**"))
    peers = {peer: int(cell.strip("*")) for peer, cell in found[title].items()}
    ours = peers.pop(OURS)
    best = max(peers, key=lambda peer: peers[peer])
    return (
        f"parallelize passes {ours} of {title.strip('*').split()[-1]} such experiments;"
        f" the best of the others, {best}, {peers[best]}."
    )


def table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
