import dataclasses, os, pickle, sys, typing
import parallelize
from parallelize import ProcessPoolExecutor, processed

model, cache, setting = None, {}, 1


def load(weights):
    global model, late
    model, late = f"loaded {weights}", "set in the worker alone"


def use(i):
    return model, late, i


def put(key):
    cache[key] = 1
    return len(cache)


def read_setting():
    return setting


@dataclasses.dataclass
class Point:
    x: int
    next: "Point | None" = None


class Counter:
    count = 0

    def add(self):
        Counter.count += 1
        return Counter.count


class Annotated:
    class Inner:
        pass

    def plain(self, x: Inner) -> int:
        return x

    @processed
    def decorated(self, x: Inner) -> int:
        return x


class Odd:
    pass


class Even:
    pass


Odd.other, Even.other = Even, Odd


def is_even(n):
    return n == 0 or is_odd(n - 1)


def is_odd(n):
    return n != 0 and is_even(n - 1)


class Refused(Exception):
    def __init__(self, why, code):
        super().__init__(why, code)
        self.code = code


def refuse():
    raise Refused("no", 7)


def adder(n):
    def add(x):
        return x + n + setting

    return add


def factorial():
    def of(n):
        return 1 if n == 0 else n * of(n - 1)

    return of


@processed
def fib(n):
    return n if n < 2 else fib(n - 1).result() + fib(n - 2).result()


def inside():
    point = pickle.loads(pickle.dumps(Point(1)))
    hints = typing.get_type_hints(Point)
    return type(point) is Point, hints["next"] == (Point | None)


with ProcessPoolExecutor(1, METHOD, load, ("weights",)) as ex:

    def call(fn, *args):
        return ex.submit(fn, *args).result(20)

    WHAT
