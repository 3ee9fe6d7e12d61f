import atexit
from parallelize import threaded


@threaded
def f(x):
    return x


def late():
    try:
        f(1).result(5)
    except RuntimeError as error:
        print(error)


f(1).result()
atexit.register(late)
