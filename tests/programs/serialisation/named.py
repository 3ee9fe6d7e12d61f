from parallelize import processed


@processed
def double(x):
    return 2 * x


class Thing:
    @processed
    def method(self, x):
        return 3 * x


@processed
def both(x):
    return double(x).result() + Thing().method(x).result()
