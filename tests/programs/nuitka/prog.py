"""A program that Nuitka compiles, with a module of its own."""

import helper

from parallelize import process_map, processed, threaded

FACTOR = 3


class Point:
    def __init__(self, x):
        self.x = x

    @processed
    def moved(self, by):
        return Point(self.x + by)


@processed
def scaled(n):
    return FACTOR * n


@threaded
def double(n):
    return 2 * n


@processed
def count(n):
    yield from range(n)


@processed
async def later(n):
    return n + 1


def try_lambda():
    try:
        return processed(lambda: FACTOR)().result()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    print(double(3).result(), scaled(4).result(), list(scaled.map(range(3))))
    print(Point(1).moved(2).result().x, type(Point(1).moved(2).result()) is Point)
    print(list(count(3)), later(4).result())
    print(helper.price(4).result(), list(process_map(helper.negative, range(3))))
    print(try_lambda())
