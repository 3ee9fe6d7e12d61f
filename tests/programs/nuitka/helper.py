from parallelize import processed


@processed
def price(n):
    return 10 * n


def negative(n):
    return -n
