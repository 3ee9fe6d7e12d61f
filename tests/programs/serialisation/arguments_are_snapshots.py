from functools import partial


class Adder:
    def __init__(self, items):
        self.items = items

    def total(self, more=()):
        return sum(self.items) + sum(more)


def total(*args, **kwargs):
    return sum(map(sum, args)) + sum(map(sum, kwargs.values()))


factor = [1]


def times():
    return factor[0]


with executor(1) as ex:
    blocker = ex.submit(time.sleep, 0.2)  # so that all of them wait
    items, buffer = [1, 1], bytearray(b"\1" * 200_000)
    adder = Adder([1, 1])
    futures = [
        ex.submit(total, items),
        ex.submit(total, key=items),
        ex.submit(partial(total, items)),
        ex.submit(adder.total),
        ex.submit(adder.total, more=items),
        ex.submit(sum, buffer),
        ex.submit(times),
    ]
    held = ex.submit(total, items, ex.submit(give, [5]))
    rows = ex.map(total, [items, items], [[1], [2]])
    items += [100]
    adder.items += [100]
    buffer[:] = bytes(200_000)
    factor[0] = 100
    print([outcome(f) for f in futures], outcome(held), list(rows))
