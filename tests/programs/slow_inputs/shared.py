"""A function for each executor, and an input that waits before each item."""

import itertools
import time

from parallelize import KIND


@KIND
def double(x):
    return 2 * x


def waiting(count=None, longest=0.01):
    for number in itertools.count() if count is None else range(count):
        time.sleep(0.01 if number < 3 else longest)
        yield number
