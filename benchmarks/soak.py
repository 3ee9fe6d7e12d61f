"""Mixed tasks by the hundred thousand while workers are killed: is any lost?

Nine kinds of tasks run on one `ProcessPoolExecutor`, and every 50 to 200 ms one of
its workers is killed by SIGKILL. Each task begins by appending a record to a log,
so that the log tells how often each was started, whatever became of it. At the end
everything must add up:

- lost: a call whose future never came to anything;
- wrong: one that came to something that its kind cannot come to;
- repeated: one that was started more often than once and once for each retry.

    python -m benchmarks.soak                        # 100 000 tasks
    python -m benchmarks.soak --tasks 5000 --seconds 20 --workers 2 --seed 7
    python -m benchmarks.soak --write docs/faults.md

The exit code is 1 if anything was lost, wrong or repeated. It needs Linux, whose
/proc tells which processes the workers are.
"""

from __future__ import annotations

# Each worker imports this file, hundreds of times in a run, for the tasks. So what
# only the program itself needs is imported where it is used.
import collections
import contextlib
import functools
import gc
import itertools
import os
import signal
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import parallelize

if TYPE_CHECKING:
    import argparse
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

RECORD = struct.Struct("=I")  # the number of a task that has begun
WINDOW = 400  # calls under way at once
ROWS = 50  # calls that one map makes
LARGE = 300_000  # bytes
RETRIES = 2
LIMIT = 0.03  # seconds that a call with a timeout is given
SETTLED = 30.0  # seconds after which a call that has not ended is lost

# -- What the workers run ---------------------------------------------------------


@functools.cache
def opened(path: str) -> int:
    """Open the log once in each worker."""
    return os.open(path, os.O_WRONLY | os.O_APPEND)


def begun(path: str, number: int) -> None:
    """Log a start; one write to the end of a file cannot mix with another."""
    os.write(opened(path), RECORD.pack(number))


def short(path: str, number: int) -> int:
    begun(path, number)
    return number


def long(path: str, number: int) -> int:
    begun(path, number)
    time.sleep(number % 20 / 1_000)
    return number


def large_argument(path: str, number: int, data: bytes) -> int:
    begun(path, number)
    return number if len(data) == LARGE and data[-1] == number % 256 else -1


def large_result(path: str, number: int) -> bytes:
    begun(path, number)
    return content(number)


def raising(path: str, number: int) -> int:
    begun(path, number)
    raise LookupError(number)


def unpicklable(path: str, number: int) -> object:
    begun(path, number)
    return threading.Lock()


def overlong(path: str, number: int) -> int:
    begun(path, number)
    time.sleep(LIMIT * (10 if number % 2 else 0))
    return number


def content(number: int) -> bytes:
    """Make what large tasks take or return."""
    return bytes(LARGE - 1) + bytes([number % 256])


# -- The kinds of tasks -----------------------------------------------------------


class Kind(NamedTuple):
    """What a task does and what may come of it, beside the death of its worker."""

    name: str
    share: int  # of a hundred draws
    fn: Callable[..., Any]
    error: str = ""  # what it fails with, by its nature
    returns: bool = True  # whether it may return
    retries: int = 0
    timeout: float | None = None


KINDS = (
    Kind("short", 38, short),
    Kind("long", 14, long),
    Kind("large argument", 6, large_argument),
    Kind("large result", 6, large_result),
    Kind("raising", 10, raising, "LookupError", returns=False),
    Kind("unpicklable result", 8, unpicklable, "SerializationError", returns=False),
    Kind("with 2 retries", 8, long, retries=RETRIES),
    Kind("raising, 2 retries", 2, raising, "LookupError", False, RETRIES),
    Kind("with a timeout", 2, overlong, "TaskTimeout", timeout=LIMIT),
)
ROW = Kind(f"row of a map of {ROWS}", 6, short)


class Task(NamedTuple):
    """One call that was made."""

    number: int
    kind: Kind
    future: parallelize.Future[Any]


class Tally:
    """What the tasks came to, each counted under its kind."""

    def __init__(self) -> None:
        self.kinds: list[Kind] = []  # of each task, by its number
        self.counts: dict[str, collections.Counter[str]] = collections.defaultdict(
            collections.Counter
        )
        self.done = bytearray()  # of each task whether it is, by its number
        self.oddities: list[str] = []  # what was wrong, in words

    def add(self, number: int, kind: Kind, came: Any) -> None:
        """Count what a call came to."""
        what = classified(number, kind, came)
        self.counts[kind.name][what] += 1
        if what == "done":
            self.done.extend(bytes(max(0, number + 1 - len(self.done))))
            self.done[number] = 1
        elif what in ("lost", "wrong"):
            self.note(f"{what}: task {number} ({kind.name}) came to {came!r:.200}")

    def note(self, text: str) -> None:
        self.oddities.append(text)

    def total(self, what: str) -> int:
        return sum(counts[what] for counts in self.counts.values())


class Lost:
    """Stands for the outcome of a call that never had one."""


def classified(number: int, kind: Kind, came: Any) -> str:
    """Say what an outcome is: done, failed (and of what), lost or wrong."""
    if isinstance(came, Lost):
        return "lost"
    if isinstance(came, parallelize.WorkerStartError):
        return "no worker"
    if isinstance(came, parallelize.WorkerDied):
        return "worker died"
    if kind.error == type(came).__name__:
        return "own error"
    expected = content(number) if kind.fn is large_result else number
    return "done" if kind.returns and came == expected else "wrong"


def seeded(seed: int) -> random.Random:
    """Return a source of numbers that another run can repeat."""
    import random

    return random.Random(seed)  # noqa: S311 - nothing here is secret


# -- The run ----------------------------------------------------------------------


class Soak:
    """One pool, the calls under way, and what has come of the others."""

    def __init__(
        self, pool: parallelize.ProcessPoolExecutor, log: str, seed: int
    ) -> None:
        self.pool = pool
        self.log = log
        self.random = seeded(seed)
        self.tally = Tally()
        self.under_way: collections.deque[Task] = collections.deque()
        self.functions = {kind.name: self._function(kind) for kind in KINDS}
        self.megabytes: list[int] = []  # resident, after each tenth of the calls
        self.held = Held.now()  # at its end

    def _function(self, kind: Kind) -> Callable[..., parallelize.Future[Any]]:
        if kind.retries or kind.timeout:
            on_pool = parallelize.parallelized(
                self.pool, retries=kind.retries, timeout=kind.timeout
            )
            return on_pool(kind.fn)
        return functools.partial(self.pool.submit, kind.fn)

    def run(self, tasks: int, seconds: float) -> None:
        """Make that many calls, or as many as the time allows, and see them end."""
        end = time.monotonic() + seconds
        while len(self.tally.kinds) < tasks and time.monotonic() < end:
            kind = self._draw()
            if kind is ROW:
                self._map()
            else:
                self._call(kind)
            while len(self.under_way) > WINDOW:
                self._settle(self.under_way.popleft())
            if len(self.tally.kinds) >= tasks * (len(self.megabytes) + 1) // 10:
                self.megabytes.append(Held.now().megabytes)
        while self.under_way:
            self._settle(self.under_way.popleft())

    def _draw(self) -> Kind:
        # A map makes many calls, so it is drawn that much less often.
        kinds = (*KINDS, ROW)
        weights = [float(kind.share) for kind in KINDS] + [ROW.share / ROWS]
        return self.random.choices(kinds, weights)[0]

    def _number(self, kind: Kind) -> int:
        self.tally.kinds.append(kind)
        return len(self.tally.kinds) - 1

    def _call(self, kind: Kind) -> None:
        number = self._number(kind)
        more = [content(number)] if kind.fn is large_argument else []
        future = self.functions[kind.name](self.log, number, *more)
        self.under_way.append(Task(number, kind, future))

    def _map(self) -> None:
        numbers = [self._number(ROW) for _ in range(ROWS)]
        results = self.pool.map(
            ROW.fn,
            itertools.repeat(self.log),
            numbers,
            timeout=SETTLED,
            return_exceptions=True,
        )
        came = itertools.chain(results_of(results), itertools.repeat(Lost()))
        for number, what in zip(numbers, came, strict=False):
            self.tally.add(number, ROW, what)

    def _settle(self, task: Task) -> None:
        self.tally.add(task.number, task.kind, outcome(task.future))


def results_of(results: Iterator[Any]) -> Iterator[Any]:
    """Give the items of a map, and what ends it too early as the last of them."""
    try:
        yield from results
    except Exception as error:  # noqa: BLE001 - it is counted by what it is
        yield Lost() if type(error) is TimeoutError else error


def outcome(future: parallelize.Future[Any]) -> Any:
    """Return a call's value or error, or that it has none."""
    try:
        return future.result(SETTLED)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        # The wait's own error, when the call has not ended.
        return error if future.done() else Lost()


# -- The killing ------------------------------------------------------------------


class Killer(threading.Thread):
    """Kills one worker after another."""

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self.random = seeded(seed)
        self.killed = 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self.random.uniform(0.05, 0.2)):
            # The program's children are the servers, theirs are the workers.
            workers = [w for child in children(os.getpid()) for w in children(child)]
            if workers:
                self._kill(self.random.choice(workers))

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed += 1

    def stop(self) -> None:
        self._ended.set()
        self.join()


def children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    return found


# -- The report -------------------------------------------------------------------


class Held(NamedTuple):
    """What this process holds."""

    descriptors: int
    threads: int
    children: int
    megabytes: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return cls(
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            len(children(os.getpid())),
            pages * os.sysconf("SC_PAGESIZE") // 1_000_000,
        )


def starts(log: Path) -> collections.Counter[int]:
    """Count the starts of each task."""
    return collections.Counter(n for (n,) in RECORD.iter_unpack(log.read_bytes()))


def check_begun(tally: Tally, started: collections.Counter[int]) -> None:
    """Count results of tasks that never began as wrong: that proves the log, too."""
    for number, done in enumerate(tally.done):
        if not done or number in started:
            continue
        kind = tally.kinds[number]
        tally.counts[kind.name].update(done=-1, wrong=1)
        tally.note(f"wrong: task {number} ({kind.name}) is done and never began")


def count_repeated(tally: Tally, started: collections.Counter[int]) -> None:
    """Count the tasks that were started too often, under their kinds."""
    for number, times in started.items():
        kind = tally.kinds[number]
        counts = tally.counts[kind.name]
        counts["most"] = max(counts["most"], times)
        if times > 1 + kind.retries:
            counts["repeated"] += 1
            tally.note(f"repeated: task {number} ({kind.name}) began {times} times")


COLUMNS = {
    "done": "done",
    "own error": "failed by its nature",
    "worker died": "`WorkerDied`",
    "no worker": "`WorkerStartError`",
    "lost": "lost",
    "wrong": "wrong",
    "repeated": "repeated",
}


def outcomes_table(tally: Tally) -> str:
    """Write what the tasks came to as a table in Markdown."""
    rows = [["task", "calls", *COLUMNS.values(), "most starts"]]
    rows.append(["---", *["---:"] * (len(rows[0]) - 1)])
    for kind in (*KINDS, ROW):
        counts = tally.counts[kind.name]
        calls = sum(known is kind for known in tally.kinds)
        rows.append(row(kind.name, calls, *map(counts.get, COLUMNS), counts["most"]))
    totals = [f"**{tally.total(what)}**" for what in COLUMNS]
    rows.append(row("**all**", f"**{len(tally.kinds)}**", *totals, ""))
    return lines(rows)


def held_table(before: Held, after: Held) -> str:
    """Write what this process held as a table in Markdown."""
    heads = ["descriptors", "threads", "child processes", "resident memory, MB"]
    rows = [["the program holds", *heads], ["---", *["---:"] * len(heads)]]
    rows += [row("before", *before), row("after", *after)]
    return lines(rows)


def row(*cells: object) -> list[str]:
    return [str(0 if cell is None else cell) for cell in cells]


def lines(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


# -- The program ------------------------------------------------------------------


def options() -> argparse.Namespace:
    """Read the command line."""
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Run mixed tasks while workers are killed; "
        "exit with 1 if any is lost, wrong or repeated.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for flag, kind, default, what in (
        ("--tasks", int, 100_000, "how many calls"),
        ("--seconds", float, 3_600.0, "make no more calls after so long"),
        ("--workers", int, 4, "worker processes"),
        ("--seed", int, 1, "of the tasks drawn and of the kills"),
        ("--write", Path, None, "a page that gets the tables between its comments"),
    ):
        parser.add_argument(flag, type=kind, default=default, help=what)
    return parser.parse_args()


def warm_up() -> None:
    """Load what a pool loads once, so that it does not count as growth."""
    with parallelize.ProcessPoolExecutor(1) as pool:
        pool.submit(abs, -1).result()
        list(pool.map(abs, [-1]))


def soak(chosen: argparse.Namespace, log: Path) -> tuple[Soak, int]:
    """Run the tasks and the killer; return the run and how many were killed."""
    log.touch()
    killer = Killer(chosen.seed)
    with parallelize.ProcessPoolExecutor(chosen.workers) as pool:
        run = Soak(pool, str(log), chosen.seed)
        killer.start()
        try:
            run.run(chosen.tasks, chosen.seconds)
        finally:
            killer.stop()
    run.held = Held.now()  # before the log is read into memory
    started = starts(log)
    check_begun(run.tally, started)
    count_repeated(run.tally, started)
    return run, killer.killed


def main() -> int:
    """Run what the command line asks for, print the tables, return the exit code."""
    import logging
    import tempfile
    from pathlib import Path

    chosen = options()
    # It tells of each worker that dies with nothing to do.
    logging.getLogger("parallelize").setLevel(logging.ERROR)
    warm_up()
    before, begun_at = Held.now(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run, killed = soak(chosen, Path(folder, "starts"))
    seconds = time.monotonic() - begun_at
    tally = run.tally
    summary = (
        f"{len(tally.kinds)} calls on {chosen.workers} workers in {seconds:.0f} s, "
        f"seed {chosen.seed}; {killed} workers were killed."
    )
    tables = outcomes_table(tally), held_table(before, run.held)
    course = (
        "Resident memory in its course, in MB, after each tenth of the calls: "
        f"{', '.join(map(str, run.megabytes))}."
    )
    report(chosen, "\n\n".join([summary, *tables, course]))
    for text in tally.oddities[:20]:
        print(text, file=sys.stderr)
    return 1 if tally.oddities else 0


def report(chosen: argparse.Namespace, text: str) -> None:
    """Print the tables, or put them where they were asked for."""
    from benchmarks.faults import setting, write_between

    if chosen.write:
        made_with = setting(["parallelize"])
        write_between(chosen.write, "soak", f"{made_with}. {text}")
    print(text)


if __name__ == "__main__":
    # By its true name: functions of __main__ would travel by value.
    from benchmarks.soak import main as run_soak

    sys.exit(run_soak())
