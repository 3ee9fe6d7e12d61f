"""a script sets `decimal.getcontext().prec = 50` at its top"""

import decimal

from benchmarks.faults import check, pool

decimal.getcontext().prec = 50


def third():
    return len(str(decimal.Decimal(1) / 3))


if __name__ == "__main__":
    check(pool(), [(third,)], [52])
