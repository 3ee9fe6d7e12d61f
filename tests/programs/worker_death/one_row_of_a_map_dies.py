KIND = THIS


def task(row):
    i = row if KIND != "pickled" else row["i"]
    note(i)
    if i == 1700:
        kill_me()
    return str(i) if KIND == "text" else i


with executor(2) as ex:
    rows = range(4000) if KIND != "pickled" else [{"i": i} for i in range(4000)]
    got = list(ex.map(task, rows, return_exceptions=True))
died = got.pop(1700)
print(type(died).__name__, died.exitcode)
print(list(map(int, got)) == [i for i in range(4000) if i != 1700])
print(sorted(map(int, runs())) == list(range(4000)))
