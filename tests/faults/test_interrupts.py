"""Ctrl-C between any two steps of a call: the pool goes on.

A signal comes at some moment. So a trace function raises in its place: where Python
looks for signals first in `submit`, then where it does so next, and so on. It looks
when a function begins, when one written in C has returned, and when a loop goes round.
"""

from __future__ import annotations

from typing import Any

import pytest
from harness import run

from parallelize import ProcessPoolExecutor
from parallelize.process.parent import dispatcher
from support.interrupts import at_each_step
from support.programs import program
from support.waiting import wait_until

INTERRUPTED = program("shared/steps") + program("interrupts/interrupted")


@pytest.mark.parametrize(
    ("call", "workers"),
    [
        ("submit", 1),
        ("submit", 2),
        ("timed", 1),
        ("waited", 2),
        ("cancelled", 1),
        ("killed", 2),
    ],
)
@pytest.mark.parametrize(
    ("pool", "fresh"),
    [
        ("ThreadPoolExecutor", True),
        ("ThreadPoolExecutor", False),
        ("ProcessPoolExecutor", False),
    ],
)
def test_ctrl_c_at_each_step(pool: str, fresh: bool, call: str, workers: int) -> None:
    """A worker of the pool is to be started (it is fresh), or has to be woken."""
    calls = program(
        "interrupts/each_step", POOL=pool, FRESH=fresh, WORKERS=workers, MADE=call
    )
    done = run(INTERRUPTED + calls, timeout=60)
    assert done.lines == ["True"]
    assert (done.code, done.err) == (0, "")


def test_no_call_is_run_twice_after_ctrl_c() -> None:
    """The signal may come when the call has been sent, and before that is known."""
    done = run(INTERRUPTED + program("interrupts/no_call_is_run_twice"), timeout=60)
    assert done.lines == ["True set()"], done.out
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("pool", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
def test_ctrl_c_at_each_step_of_a_reader_leaves_the_map_to_others(pool: str) -> None:
    """They end, even if what was at hand is lost."""
    maps = program("interrupts/reader_of_a_map", POOL=pool)
    done = run(INTERRUPTED + maps, timeout=60)
    assert done.lines[-1:] == ["True"], done.out


@pytest.mark.parametrize("pool", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
def test_ctrl_c_at_each_step_of_a_reader_leaves_it_its_stream(pool: str) -> None:
    """It reads on where it was."""
    streams = program("interrupts/reader_of_a_stream", POOL=pool)
    done = run(INTERRUPTED + streams, timeout=60)
    assert done.lines[-1:] == ["True"], done.out


@pytest.mark.parametrize(
    ("method", "pool", "what", "inside"),
    [
        ("forkserver", "executor(1)", "opened", "PoolLife._open"),
        ("fork", "executor(1)", "opened", "PoolLife._open"),
        ("", "ThreadPoolExecutor(1)", "coroutine", "Loops._start_loop"),
    ],
)
def test_ctrl_c_at_each_step_of_the_start_of_a_thread(
    method: str, pool: str, what: str, inside: str
) -> None:
    """It runs, or never will: nothing that it uses is closed under it."""
    words = {"POOL": pool, "WHAT": what, "INSIDE": repr(inside)}
    opening = program("interrupts/opening", **words)
    done = run(INTERRUPTED + opening, method, timeout=58)
    assert done.lines == ["True"], done.out
    assert (done.code, done.err) == (0, "")


def test_ctrl_c_at_each_step_of_waking_the_dispatcher() -> None:
    """The next message reaches it."""
    with ProcessPoolExecutor(1) as ex:
        assert ex.submit(int, "2").result() == 2
        scheduler = ex._pool.scheduler
        waker: Any = scheduler.waker

        def wake() -> None:
            with scheduler.lock:
                scheduler.wake()

        step = 0
        while at_each_step(wake, dispatcher)(step):
            wake()
            wait_until(lambda: not waker._is_woken)
            step += 1
    assert step > 5
