"""How many descriptors one more worker takes from its program."""

import os
import resource
import sys
import tempfile
import time

from parallelize import ProcessPoolExecutor

METHOD, FEWER, MORE = sys.argv[1], 25, 45


def stay(folder):
    """Hold this worker until all have come."""
    open(f"{folder}/{os.getpid()}", "x").close()
    while not os.path.exists(f"{folder}/end"):
        time.sleep(0.01)


def descriptors_of(workers):
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(workers, METHOD) as pool:
            for _ in range(workers):
                pool.submit(stay, folder)
            while len(os.listdir(folder)) < workers:
                time.sleep(0.01)
            count = len(os.listdir("/dev/fd"))
            open(f"{folder}/end", "x").close()
        return count


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # On Python 3.11 and 3.12 it is two from an eighth of the limit on.
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    more = descriptors_of(MORE) - descriptors_of(FEWER)
    print(more / (MORE - FEWER))
