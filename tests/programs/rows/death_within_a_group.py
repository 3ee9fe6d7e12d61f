kind, count = KIND, 400


def task(i, victim):
    note(i)
    if i == victim:
        os.kill(os.getpid(), 9)
    return KINDS[kind](i)


def one(i):
    return task(i, victim)


with executor(1) as ex:
    for victim in (0, 1, 4, 5, 21, 23, 70, 160, 199, 200, 333, 399):
        forget()
        rest = [[victim] * count] if MORE else []
        rows = ex.map(
            task if rest else one,
            range(count),
            *rest,
            chunksize=200,
            return_exceptions=True,
        )
        found = differences(list(rows), kind, victim, count)
        again = sorted(map(int, runs())) != list(range(count))
        if found != [(victim, "WorkerDied")] or again:
            print(victim, found, again)
print("compared")
