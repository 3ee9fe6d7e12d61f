"""Calls that are made one right after the other, of all ends."""

import os
import time

from parallelize import gather, processed, wait


@processed
def end(number):
    if number % 10 == 3:
        raise ValueError(number)
    return b"x" * ((2 << 20) if number % 30 == 7 else number)


@processed
def length(value):
    return len(value)


futures = [end(number) for number in range(120)]
lengths = [length(futures[number]) for number in (7, 8)]
ends = gather(*futures, return_exceptions=True).result(60)
errors = [each for each in ends if isinstance(each, ValueError)]
print(len(errors), sum(len(each) for each in ends if isinstance(each, bytes)))
print(*gather(*lengths).result(60))
some = [processed(os.getpid)() for _ in range(30)]
stopped = [future for future in some if future.cancel()]
print(not wait(some, 60).not_done and all(each.cancelled() for each in stopped))

from ray.util.client import ray

held = ray.get_context().client_worker.reference_count
del futures, lengths, some, stopped
limit = time.monotonic() + 20
while len(held) > 20 and time.monotonic() < limit:
    time.sleep(0.02)
print(len(held) <= 20)
