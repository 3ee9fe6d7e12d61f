"""100 000 calls in a chain, each with the future before it as argument; the first fails (decorated functions)"""

import sys

from benchmarks.faults import finish, pool, tell

if __name__ == "__main__" and sys.argv[1] != "parallelize":
    tell(absent="no futures as arguments")
elif __name__ == "__main__":
    from parallelize import threaded

    @threaded
    def fail():
        raise ValueError("first")

    @threaded
    def step(x):
        return x + 1

    future = fail()
    for _ in range(100_000):
        future = step(future)
    finish(None, type(future.exception(60)).__name__, "ValueError")
