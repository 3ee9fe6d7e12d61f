"""a script's `functools.singledispatch` function is an argument"""

import functools

from benchmarks.faults import check, pool


@functools.singledispatch
def kind(x):
    return "other"


@kind.register
def _(x: int):
    return "int"


def call(fn, x):
    return fn(x)


if __name__ == "__main__":
    check(pool(), [(call, kind, 1), (call, kind, "")], ["int", "other"])
