from functools import partial
from operator import itemgetter

ex = executor(2)


def closure(n):
    return lambda x: x + n


class Thing:
    def __init__(self, n=0):
        self.n = n

    def method(self, x):
        return self.n + x

    @classmethod
    def of_class(cls, x):
        return cls.__name__, x

    @staticmethod
    def of_nothing(x):
        return x

    def __call__(self, x):
        return -x

    @processed(executor=ex)
    def decorated(self, x):
        return self.n * x


@processed(executor=ex)
def decorated(x):
    return x + 1


def recursive(n):
    return 0 if n == 0 else 1 + recursive(n - 1)


def uses_decorated(x):
    return decorated.__wrapped__(x) * 2


thing = Thing(10)
for fn, *args in [
    (lambda x: x * 2, 3),
    (closure(5), 3),
    (thing.method, 3),
    (Thing.of_class, 3),
    (Thing.of_nothing, 3),
    (Thing(), 3),
    (partial(pow, 2), 3),
    (partial(thing.method), 3),
    (recursive, 3),
    (uses_decorated, 3),
    (decorated.__wrapped__, 3),
    (str.upper, "a"),
    ("abc".__add__, "d"),
    (itemgetter(0), "abc"),
    (int, "3"),
    (dict.fromkeys, "ab"),
    ([1].index, 1),
]:
    here = fn(*args)
    if outcome(ex.submit(fn, *args)) != here:
        print("call", fn, outcome(ex.submit(fn, *args)))
    if list(ex.map(fn, args * 2, return_exceptions=True)) != [here] * 2:
        print("map", fn, list(ex.map(fn, args * 2, return_exceptions=True)))
print(outcome(decorated(1)), list(decorated.map([1, 2])))
print(outcome(thing.decorated(3)), list(thing.decorated.map([1, 2])))
print(outcome(ex.submit(give, decorated)) is not None)
ex.shutdown()
