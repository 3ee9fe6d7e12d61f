"""A pool with nothing to do: does it sleep?"""

from __future__ import annotations

import time

from benchmarks.proc import family, wake_ups
from benchmarks.rows.base import VALUE, Bench, Found, Row, Target


def idle(bench: Bench) -> Found:
    """Count how often the threads of the program and its workers go to sleep."""
    period = bench.pick(5.0, 2.0)
    with bench.peer:
        time.sleep(0.5)  # what the last call left to do is done
        members = family()
        before = wake_ups(members)
        time.sleep(period)
        # One of them is that of this very sleep.
        return {VALUE: (wake_ups(members) - before - 1) / period}


ROWS = {
    "idle": Row(
        "idle pool: wake-ups of the program and its workers",
        "a second",
        idle,
        targets=(Target(0),),
    ),
}
