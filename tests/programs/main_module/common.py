from parallelize import Limit, processed, threaded

limit = Limit(1)


@threaded(limit=limit)
def first(n):
    return n


@processed(limit=limit)
def second(n):
    return 0 if n == 0 else second(n - 1).result() + 1


@threaded(limit=1)
def third(n):
    return n


@processed(limit=1)
def fourth(n):
    return fourth.__name__, n


class Settings:
    values = [1]

    @classmethod
    def get(cls):
        return cls.values


get, also = Settings.get, [Settings.get]


def look():
    return get() is also[0]() is Settings.values


print(second(3).result(), fourth(1).result(), processed(look)().result())
