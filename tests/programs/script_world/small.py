import sys
from parallelize import ProcessPoolExecutor, processed

MISSING = object()


class Kind:
    value = 1


def helper():
    return Kind.value


@processed
def call(a=MISSING):
    import __main__

    return a is MISSING, helper(), __name__, __main__.Kind is Kind


print(call().result(30), list(call.map([1])))
with ProcessPoolExecutor(1) as ex:
    print(
        ex.submit(lambda: Kind).result() is Kind,
        ex.submit(isinstance, Kind(), Kind).result(),
    )
