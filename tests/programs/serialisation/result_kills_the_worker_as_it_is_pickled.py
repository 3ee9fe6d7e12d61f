def task(i):
    return AtPickle("dies") if i == 10 else i


with executor(2) as ex:
    got = [name(f) for f in [ex.submit(task, i) for i in range(40)]]
    print(got.pop(10), got == [i for i in range(40) if i != 10])
    rows = ex.map(task, range(40), chunksize=40, return_exceptions=True)
    got = list(rows)
    print(type(got.pop(10)).__name__, got == [i for i in range(40) if i != 10])
