values = [[i] for i in range(60)]
values[30] = AtUnpickle(HOW)


def shown(each):
    return each if type(each) is list else (type(each).__name__, each.exitcode)


with executor(2) as ex:
    futures = [ex.submit(give, value) for value in values]
    got = [shown(f.exception(10) or f.result()) for f in futures]
    print(got.pop(30), got == [[i] for i in range(60) if i != 30])
    rows = ex.map(give, values, chunksize=60, return_exceptions=True)
    got = [shown(row) for row in rows]
    print(got.pop(30), got == [[i] for i in range(60) if i != 30])
