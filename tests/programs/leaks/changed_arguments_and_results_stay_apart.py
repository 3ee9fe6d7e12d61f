import numpy


def spoil(array):
    first = int(array[0])
    array[:] = 7
    return first


def same(array):
    return array


with executor(1) as ex:
    array = numpy.zeros(100_000)
    print(
        [f.result() for f in [ex.submit(spoil, array) for _ in range(3)]], array.max()
    )
    a, b = ex.submit(same, array).result(), ex.submit(same, array).result()
    a[:] = 9
    print(b.max(), array.max(), ex.submit(same, array).result().max())
