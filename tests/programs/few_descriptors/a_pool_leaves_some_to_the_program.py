"""A pool of many workers in a program that may open few files."""

import logging
import os
import resource
import sys
import threading
import time

from parallelize import ProcessPoolExecutor

METHOD, LIMIT, WORKERS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def nap(number):
    time.sleep(0.05)
    return number, os.getpid()


class Kept(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


if __name__ == "__main__":
    said = []
    logging.getLogger("parallelize").addHandler(Kept())
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    with ProcessPoolExecutor(WORKERS, mp_context=METHOD) as pool:
        done = [f.result() for f in [pool.submit(nap, i) for i in range(6 * WORKERS)]]
        print([number for number, _ in done] == list(range(6 * WORKERS)))
        workers = len({pid for _, pid in done})
        print(1 < workers < WORKERS, len(said), *said)
        # What is left serves the program.
        files = [open(os.devnull) for _ in range(LIMIT // 5)]  # noqa: SIM115
        print(list(pool.map(abs, range(-100, 0))) == list(range(100, 0, -1)))
        # Large buffers, both ways, although there is none left for them.
        large = [pool.submit(bytes.upper, b"a" * (1 << 21)) for _ in range(WORKERS)]
        print(all(f.result() == b"A" * (1 << 21) for f in large))
        for file in files:
            file.close()
    print(threading.active_count())
