"""Tasks that use multiprocessing, and no guard: the script must not run again."""

import concurrent.futures
import multiprocessing

print("begins", flush=True)


class Point:
    def __init__(self, x):
        self.x = x


OFFSET = Point(10)


def moved(point):
    return Point(point.x + OFFSET.x)


def by_a_child_of(point, method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.map(moved, [point])[0]


def by_grandchildren(point):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(by_a_child_of, point, "spawn").result(20)


with executor(1) as ex:
    for method in ("forkserver", "spawn"):
        print(ex.submit(by_a_child_of, OFFSET, method).result(20).x)
    point = ex.submit(by_grandchildren, OFFSET).result(20)
    print(point.x, type(point) is Point)
print("ends")
