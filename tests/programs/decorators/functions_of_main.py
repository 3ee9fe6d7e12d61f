import pickle
import cloudpickle
from parallelize import processed, shutdown, using

OFFSET = 5


@processed
def fib(n):
    return n if n < 2 else fib(n - 1).result() + fib(n - 2).result()


@processed
async def later(x):
    return x + OFFSET


class C:
    base = 3

    @processed
    def m(self, x):
        return self.base + x + OFFSET

    @processed
    @classmethod
    def c(cls, x):
        return cls.__name__, x


print(fib(8).result(), list(fib.map([5, 6])))
print(later(1).result(), list(later.map([1, 2])))
print(C().m(1).result(), list(C().m.map([1, 2])), C.c(1).result(), list(C.c.map([1])))
again = cloudpickle.loads(cloudpickle.dumps(fib))
print(again(7).result(), cloudpickle.loads(cloudpickle.dumps(C().m))(1).result())
print(pickle.loads(pickle.dumps(fib)) is fib)
