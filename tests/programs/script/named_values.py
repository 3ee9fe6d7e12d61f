import abc, collections, contextvars, ctypes, dataclasses, enum, functools, itertools
import logging, pickle, queue, sqlite3, struct, sys, threading, typing, weakref


@functools.lru_cache(maxsize=10)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


fib(5)
print(ex.submit(lambda: fib.cache_info().currsize).result())  # it arrives empty
check(fib, 20)


class Cached:
    def __init__(self, n):
        self.n = n

    @functools.lru_cache(None)
    def f(self, x):
        return x + self.n

    @functools.cached_property
    def prop(self):
        return self.n * 2

    @functools.singledispatchmethod
    def sd(self, x):
        return "any"

    @sd.register
    def _(self, x: int):
        return "int"

    @functools.cache
    @staticmethod
    def st(x):
        return x


def m2():
    return Cached(1).f(2), Cached(3).prop, Cached(1).sd(3), Cached(1).sd("")


check(m2)
c = Cached(5)
check(lambda o: (o.f(1), o.prop, o.sd(1)), c)
check(c.f, 3)


@functools.singledispatch
def area(x):
    return "?"


@area.register(int)
def _(x):
    return "int"


@area.register
def _(x: list):
    return "list"


check(area, 1)
check(area, [])
check(area, "")
check(lambda x: area(x), [])
check(lambda f, x: f(x), area, 1)
check(lambda f, x: f(x), fib, 9)
UserId = typing.NewType("UserId", int)
check(lambda: (UserId(3), UserId.__supertype__, UserId.__name__))
check(lambda u: u is UserId, UserId)
T = typing.TypeVar("T", bound=int)
P = typing.ParamSpec("P")
Ts = typing.TypeVarTuple("Ts")


class Box(typing.Generic[T]):
    def get(self) -> T: ...


class Fn(typing.Generic[P, T]): ...


check(
    lambda: (
        Box.__parameters__ == (T,),
        Fn.__parameters__ == (P, T),
        Ts.__name__,
        T.__bound__,
    )
)


class Singleton:
    def __reduce__(self):
        return "SINGLE"


SINGLE = Singleton()
check(lambda: SINGLE is SINGLE)
check(lambda s: s is SINGLE, SINGLE)
print(ex.submit(lambda: SINGLE).result() is SINGLE)


def outer():
    @functools.cache
    def q(x):
        return x * 3

    return lambda x: q(x)


check(outer(), 4)
compose = functools.partial(fib)
check(compose, 6)
