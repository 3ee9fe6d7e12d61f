HANG = {0, 500, 501, 1999}


def task(i):
    note(i)
    if i in HANG:
        time.sleep(60)
    return i


with warm(2) as ex:
    call = processed(timeout=0.3, executor=ex)(task)
    rows = call.map(range(2000), chunksize=CHUNK, return_exceptions=True)
    got = [r if type(r) is int else type(r).__name__ for r in rows]
print({i for i, each in enumerate(got) if each == "TaskTimeout"} == HANG)
print(all(got[i] == i for i in range(2000) if i not in HANG))
print(runs() == list(range(2000)))
