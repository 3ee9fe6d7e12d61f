"""a script's function finds others by `globals()[name]` and `import __main__`"""

from benchmarks.faults import check, pool


def double(x):
    return 2 * x


def call(name, x):
    import __main__

    return globals()[name](x) + getattr(__main__, name)(x)


if __name__ == "__main__":
    check(pool(), [(call, "double", 3)], [12])
