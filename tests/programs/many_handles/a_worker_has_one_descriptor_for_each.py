import array
from parallelize import share


def files():
    return len(os.listdir("/dev/fd"))


def read(handle):
    return sum(handle.get())


handles = [share(array.array("q", [i] * 1000)) for i in range(100)]
with executor(1) as ex:
    # What it loads for the first one may open something for good.
    print(ex.submit(read, share(array.array("q", [1]))).result())
    before = ex.submit(files).result()
    print(list(ex.map(read, handles)) == [1000 * i for i in range(100)])
    print(ex.submit(files).result() - before <= 100)
