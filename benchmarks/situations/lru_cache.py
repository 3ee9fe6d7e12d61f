"""a script's function calls one that `functools.lru_cache` has wrapped"""

import functools

from benchmarks.faults import check, pool


@functools.lru_cache
def price(item):
    return 2 * item


class Shop:
    @functools.cache
    def total(self, *items):
        return sum(map(price, items))


def call(*items):
    return Shop().total(*items)


if __name__ == "__main__":
    check(pool(), [(call, 1, 2), (price, 4)], [6, 8])
