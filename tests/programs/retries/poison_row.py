def task(i):
    note(i)
    if i in (0, 100, 199):
        os._exit(1)
    return i


with executor(2) as ex:
    call = processed(retries=2, executor=ex)(task)
    rows = call.map(range(200), chunksize=CHUNK, return_exceptions=True)
    got = [r if type(r) is int else type(r).__name__ for r in rows]
died = [i for i, each in enumerate(got) if each == "WorkerDied"]
print(died, sum(each == i for i, each in enumerate(got)))
print(runs() == sorted([*range(200), *[0, 100, 199] * 2]))
