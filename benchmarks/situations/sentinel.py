"""a script's function has a sentinel as default: `default is MISSING`"""

from benchmarks.faults import check, pool

MISSING = object()


def get(key, default=MISSING):
    return "none" if default is MISSING else "given"


if __name__ == "__main__":
    check(pool(), [(get, "k")], ["none"])
