import enum


class Colour(enum.IntEnum):
    RED = 1


class Real(float):
    pass


class Index:
    def __index__(self):
        return 5

    def __float__(self):
        return 5.0

    def __repr__(self):
        return "Index"


values = [
    7,
    True,
    Colour.RED,
    8,
    Index(),
    2.5,
    Real(3),
    float("inf"),
    -0.0,
    False,
    None,
    1 << 63,
    -(1 << 63),
    (1 << 63) - 1,
    -(1 << 63) - 1,
]


def task(i):
    return values[i % len(values)] if i % 40 < 20 else i


with executor(2) as ex:
    for size in (1, 3, 20, 1000):
        rows = list(ex.map(task, range(1000), chunksize=size))
        print(shown(rows) == shown(map(task, range(1000))))
