"""Who does the work? Doubles ten numbers and shows the process of each call."""

from __future__ import annotations

import os
from time import perf_counter, sleep

from parallelize import processed


@processed(max_workers=4)
def double(x: int) -> tuple[int, int]:
    """Return twice x, and the id of the process that worked it out."""
    sleep(0.1)  # stands for real work, so that every worker gets some
    return 2 * x, os.getpid()


start = perf_counter()
expected = [double.__wrapped__(x) for x in range(10)]  # the plain function, here
loop_seconds = perf_counter() - start

start = perf_counter()
for x, (doubled, pid) in enumerate(double.map(range(10))):
    print(f"double({x}) = {doubled:2}, by process {pid}")
    assert doubled == expected[x][0]
parallel_seconds = perf_counter() - start

print(f"this program is process {os.getpid()}")
print(f"plain loop  {loop_seconds:5.2f} s")
print(f"4 workers   {parallel_seconds:5.2f} s")
