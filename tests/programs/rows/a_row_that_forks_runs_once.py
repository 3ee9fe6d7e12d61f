import warnings

warnings.simplefilter("ignore")


def task(i):
    note(i)
    if i % 100 == 50:
        warnings.simplefilter("ignore")
        pid = os.fork()
        if not pid:
            return -1 if i < 200 else "other" if i < 300 else 1 / 0
        os.waitpid(pid, 0)
    return i


with executor(1) as ex:
    print(list(ex.map(task, range(500), chunksize=250)) == list(range(500)))
print(sorted(map(int, runs())) == list(range(500)))
