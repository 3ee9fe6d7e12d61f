import resource, sys
from parallelize import ProcessPoolExecutor


def make(n):
    data = bytes([n % 256]) * (1 << 20)
    return lambda: len(data)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20


with ProcessPoolExecutor(1) as ex:
    before = resident(), ex.submit(resident).result()
    assert all(ex.submit(make(n)).result() == 1 << 20 for n in range(150))
    after = resident(), ex.submit(resident).result()
print([new - old < 100 for new, old in zip(after, before)])
