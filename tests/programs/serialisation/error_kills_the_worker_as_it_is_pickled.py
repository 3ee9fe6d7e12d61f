class DiesAtPickle(Exception):
    def __reduce__(self):
        os._exit(4)


class DiesAtUnpickle(Exception):
    def __reduce__(self):
        return os._exit, (5,)


def fails(kind):
    raise kind


with executor(2) as ex:
    for kind in (DiesAtPickle, DiesAtUnpickle):
        futures = [ex.submit(pow, i, 2) for i in range(20)]
        error = ex.submit(fails, kind).exception(10)
        print(type(error).__name__, error.exitcode)
        print([outcome(f) for f in futures] == [i * i for i in range(20)])
