def megabytes():
    while True:
        yield bytes(1 << 20)


def rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


with executor(1) as pool:
    stream = parallelized(pool)(megabytes).options(buffersize=4)()
    for _ in range(20):
        next(stream)
    before = rss()
    for _ in range(300):
        next(stream)
    print(rss() - before < 50_000)
    stream.close()
