"""Starts: of a script, of an import, of one more worker."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from benchmarks import tasks
from benchmarks.rows.base import (
    NO_FORK,
    VALUE,
    Bench,
    Found,
    Row,
    Target,
    median_seconds,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def python(*arguments: str) -> Callable[[], object]:
    """Return what runs Python so, to its end."""
    command: Sequence[str] = [sys.executable, *arguments]
    return lambda: subprocess.run(command, check=True)  # noqa: S603 - our own text


def script(bench: Bench) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "script.py")
        with open(path, "w") as file:
            file.write(bench.peer.script)
        run = python(path)
        run()  # so that what it imports is compiled and read once
        return {VALUE: median_seconds(run, bench.pick(5, 2))}


def import_time(bench: Bench) -> Found:
    """Compare a program that imports the library with one that does nothing."""
    nothing, importing = python("-c", "pass"), python("-c", bench.peer.imports)
    importing()
    pairs = range(bench.pick(15, 5))
    extra = [seconds(importing) - seconds(nothing) for _ in pairs]
    return {VALUE: 1e3 * statistics.median(extra)}


def growth(bench: Bench) -> Found:
    """Ask for a second worker while the first is busy; wait until it has worked."""
    return {
        VALUE: 1e3 * statistics.median(grown(bench) for _ in range(bench.pick(5, 2)))
    }


def grown(bench: Bench) -> float:
    peer = bench.peer
    peer.open()  # not warm: no more workers are there than it starts by itself
    try:
        peer.call(abs, -1)
        busy = peer.submit(tasks.nap, 0.3)
        time.sleep(0.1)
        took = seconds(lambda: peer.call(abs, -1))
        busy()
        return took
    finally:
        peer.close()


ROWS = {
    "script": Row(
        "script that gets one result from a process, start to end",
        "s",
        script,
        targets=(Target(0.1), Target(1, NO_FORK)),
    ),
    "growth": Row(
        "one more worker, from the call that needs it to its result",
        "ms",
        growth,
        targets=(Target(10),),
        without=("joblib",),
    ),
    "import": Row(
        "import, over an empty program",
        "ms",
        import_time,
        targets=(Target(15),),
        without=("futures-fork", "pool-fork"),
    ),
}
