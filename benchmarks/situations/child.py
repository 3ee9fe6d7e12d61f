"""a pool in a child of multiprocessing that was spawned"""

import multiprocessing

from benchmarks.faults import check, pool


def double(x):
    return 2 * x


def child():
    check(pool(), [(double, 4)], [8])


if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
