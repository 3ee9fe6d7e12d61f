"""Streams whose workers all wait for the reader, when few descriptors are left."""

import os
import resource

from parallelize import ProcessPoolExecutor, processed

pool = ProcessPoolExecutor(2)


@processed(executor=pool, buffersize=1)
def numbers(first):
    yield from range(first, first + 50)


if __name__ == "__main__":
    files = [open(os.devnull) for _ in range(40)]  # noqa: SIM115
    print([len(list(each)) for each in [numbers(0), numbers(9)]] == [50, 50])
    most = len(os.listdir("/dev/fd")) * 4 // 3  # only those of the program are left
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    streams = [numbers(first) for first in range(4)]
    rows = list(zip(*streams, strict=True))
    print(rows == [tuple(range(i, i + 4)) for i in range(50)])
    pool.shutdown()
