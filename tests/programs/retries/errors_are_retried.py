def task(i):
    note(i)
    if i % 10 == 3 and runs().count(i) < 3:
        raise OSError(i)
    if i % 10 == 7:
        raise ValueError(i)
    return i


with executor(2) as ex:
    call = processed(retries=4, retry_on=OSError, executor=ex)(task)
    if FORM == "calls":
        got = [name(f) for f in [call(i) for i in range(50)]]
    else:
        rows = call.map(range(50), chunksize=25, return_exceptions=True)
        got = [r if type(r) is int else type(r).__name__ for r in rows]
print([i for i, each in enumerate(got) if each == "ValueError"])
print(sum(each == i for i, each in enumerate(got)))
again = [i for i in range(50) if i % 10 == 3] * 2
print(runs() == sorted([*range(50), *again]))
