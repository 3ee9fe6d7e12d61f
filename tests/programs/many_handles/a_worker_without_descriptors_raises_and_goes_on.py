import array, resource
from parallelize import share


def fill():
    keep.clear()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            keep.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return len(keep) > 10


keep = []


def free():
    for fd in keep:
        os.close(fd)
    keep.clear()


def read(handle):
    return sum(handle.get())


with executor(1) as ex:
    print(ex.submit(fill).result())
    print(outcome(ex.submit(read, share(array.array("q", [1, 2]))))[:60])
    print(outcome(ex.submit(read, share(array.array("q", [1, 2]))))[:7])
    ex.submit(free).result()
    print(outcome(ex.submit(read, share(array.array("q", [1, 2])))))
