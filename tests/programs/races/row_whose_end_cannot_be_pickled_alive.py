class Bad:
    def __reduce__(self):
        os._exit(3)


class Worse(Exception):
    def __reduce__(self):
        os._exit(3)


def row(i):
    with open(RUNS, "a") as file:
        file.write(f"{i}\n")
    if i == 57:
        HOW
    return i


ex = executor(1)
got = list(ex.map(row, range(200), chunksize=200, return_exceptions=True))
print([i for i, x in enumerate(got) if type(x) is not int])
with open(RUNS) as file:
    ran = file.read().split()
print(sorted(x for x in set(ran) if ran.count(x) > 1))
ex.shutdown()
