"""classes of a script register themselves by `__init_subclass__`"""

from benchmarks.faults import check, pool


class Shape:
    kinds = []

    def __init_subclass__(cls):
        Shape.kinds.append(cls)


class Square(Shape):
    pass


class Circle(Shape):
    pass


def call():
    return [each.__name__ for each in Shape.kinds], Shape.kinds[0] is Square


if __name__ == "__main__":
    check(pool(), [(call,)], [(["Square", "Circle"], True)])
