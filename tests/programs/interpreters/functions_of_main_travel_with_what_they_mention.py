from parallelize import interpreted

FACTOR = 7


def scale(x):
    return FACTOR * x


@interpreted
def work(x):
    return scale(x) + 1


print(*work.map(range(3)), work(10).result())
