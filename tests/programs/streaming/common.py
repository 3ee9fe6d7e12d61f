from parallelize import parallelized, processed, threaded, shutdown
import gc


def numbers(end):
    yield from range(end)


def pid_first():
    yield os.getpid()
    number = 0
    while True:
        yield number
        number += 1


def read(stream):
    got = []
    try:
        for item in stream:
            got.append(item)
    except BaseException as error:
        return got, type(error).__name__
    return got, None
