import collections
from parallelize.serialize.main import pickler as main_pickler

defined = []
define = main_pickler.define


def counting(values, space):
    defined.extend(values)
    return define(values, space)


main_pickler.define = counting


class Point:
    scale = 1

    def __init__(self, x):
        self.x = x


class Frame:
    """Pickles as DataFrames do, by what its class makes of it."""

    def __init__(self, columns):
        self.columns = columns

    def __reduce__(self):
        return Frame, (self.columns,)


rows = [{"n": n, "text": str(n)} for n in range(6000)]
points = [Point(n) for n in range(6000)]
frame = Frame({"a": [[1], [2]], "b": bytearray(100)})
settings = {"frame": frame, "counts": collections.Counter("abca")}
mark = object()
marked = collections.deque([mark, [1]])
steps = collections.deque([len, Point, lambda: 1])


def f_rows():
    return rows[17]["n"], len(rows), rows[-1]


def f_points():
    return points[17].x, points[0].scale, type(points[5]) is Point


def f_frame():
    return frame.columns["a"], frame.columns["b"][7], settings["frame"] is frame


def f_settings():
    return settings["counts"].most_common(1), sorted(settings)


def f_marked():
    return marked[0] is mark, marked[1]


def f_steps():
    return [step([]) if step is len else step.__name__ for step in steps]


functions = (f_rows, f_points, f_frame, f_settings, f_marked, f_steps)


def look():
    for function in functions:
        check(function)


look()
defined.clear()
look()
print(sorted({"rows", "points", "frame", "settings"} & {*defined}))
rows[17]["n"] = "changed"
points[17].x = "changed"
frame.columns["a"][1].append(3)
settings["counts"]["c"] += 5
marked[1].append(2)
look()
rows.append("more")
Point.scale = 7
frame.columns["b"][7] = 1
marked[0] = object()
steps[1] = Frame
look()
mark = marked[0]
settings["frame"] = Frame({"a": 1, "b": bytes(8)})
look()
points[17].__class__ = type("Point", (Point,), {"scale": 8})
check(lambda: (points[17].scale, type(points[17]).__name__))
try:
    import numpy
except ImportError:
    numpy = None
else:
    objects = numpy.array([[1], "two", 3.0, None], dtype=object)
    texts = numpy.array([f"text {n}" for n in range(100)], dtype=object)
    records = numpy.array([(1, [2])], dtype=[("n", int), ("o", object)])

    def f_objects():
        return objects.tolist(), records.tolist()

    def f_texts():
        return texts[5]

    check(f_objects)
    check(f_texts)
    objects[0].append(2)
    records["o"][0].append(3)
    check(f_objects)
    for n in range(20):  # what was let go leaves its place to what comes
        texts[5] = "x" * (n + 1)
        check(f_texts)
