"""A child that is forked within a map with a checkpoint closes the map and ends."""

import os
import sys

from parallelize import thread_map


def square(row):
    return row * row


with thread_map(square, range(500), checkpoint=sys.argv[1]) as results:
    assert next(results) == 0
    child = os.fork()
    if child == 0:
        results.close()
        del results
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert list(results) == [row * row for row in range(1, 500)]
