"""Declared types of stopping: calls, groups.

Checked by mypy and pyright, both strict; never run.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from __future__ import annotations

from typing import assert_type

from parallelize import (
    TaskGroup,
    check_stop,
    drain_on_signal,
    stopping,
    threaded,
)


@threaded
def double(x: int) -> int:
    check_stop()
    return 2 * x


def in_group() -> int:
    with TaskGroup() as group:
        future = group.start(double, 3)
        group.cancel()
        return future.result()


assert_type(stopping(), bool)
assert_type(in_group(), int)
assert_type(double(3).kill(grace=2), bool)
double(3).kill(2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
double(3).kill(grace="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

drain_on_signal(15, grace=2, queued="drop")
drain_on_signal(queued="keep")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
