import abc, collections, contextvars, ctypes, dataclasses, enum, functools, itertools
import logging, pickle, queue, sqlite3, struct, sys, threading, typing, weakref

MISSING = object()


class Sentinel:
    def __repr__(self):
        return "S"


UNSET = Sentinel()


def d1(x=MISSING, *, y=UNSET):
    return x is MISSING, y is UNSET


check(d1)
check(d1, MISSING)


def d2(x):
    return x is MISSING, x is UNSET


check(d2, MISSING)
check(d2, UNSET)
print(
    ex.submit(lambda: MISSING).result() is MISSING,
    ex.submit(lambda: UNSET).result() is UNSET,
    ex.submit(lambda: [UNSET, (MISSING,)]).result()[0] is UNSET,
)
SHARED = []


class Holder:
    items = SHARED
    table = {"a": SHARED}

    def __init__(self):
        self.mine = SHARED


H = Holder()


def d3():
    return (
        Holder.items is SHARED,
        Holder.table["a"] is SHARED,
        H.mine is SHARED,
        Holder().mine is SHARED,
    )


check(d3)


def mk(reg):
    def inner():
        return reg is SHARED

    return inner


check(mk(SHARED))
inner2 = mk(SHARED)
check(inner2)
check(functools.partial(lambda a: a is SHARED, SHARED))


def kw(*, s=SHARED):
    return s is SHARED


check(kw)
kw.attr = SHARED
check(lambda: kw.attr is SHARED)
A = B = {"x": [1]}
C = A["x"]
check(lambda: (A is B, C is A["x"]))
alias = d1
check(lambda: alias is d1)
lam = lambda: lam
check(lambda: lam() is lam)


# Objects that pickle themselves in a way of their own.


class Slotted:
    __slots__ = ("x",)

    def __getstate__(self):
        return 0

    def __setstate__(self, state):
        pass


class Reduced:
    def __reduce__(self):
        return Reduced, ()


SLOTTED, REDUCED = Slotted(), Reduced()
PLACES = [SLOTTED, {"a": REDUCED}]


def own(a=SLOTTED, *, b=REDUCED):
    return a is SLOTTED, b is REDUCED, PLACES[0] is SLOTTED, PLACES[1]["a"] is REDUCED


check(own)


class Operation(enum.Enum):
    ADD = enum.member(lambda a, b: a + b)

    def __call__(self, *args):
        return self.value(*args)


check(lambda operation: (operation is Operation.ADD, operation(1, 2)), Operation.ADD)
print(ex.submit(lambda: Operation.ADD).result() is Operation.ADD)
