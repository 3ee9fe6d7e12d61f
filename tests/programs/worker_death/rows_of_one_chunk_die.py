DEADLY = {0, 499, 500, 501, 999, 1000, 1999}


def task(i):
    note(i)
    if i in DEADLY:
        os._exit(5)
    if i % 7 == 0:
        raise ValueError(i)
    return None if i % 2 else i / 2


with executor(2) as ex:
    got = list(ex.map(task, range(2000), chunksize=1000, return_exceptions=True))
died = {i for i, each in enumerate(got) if type(each).__name__ == "WorkerDied"}
print(died == DEADLY)
failed = {each.args[0] for each in got if isinstance(each, ValueError)}
print(failed == {i for i in range(2000) if i % 7 == 0} - DEADLY)
rest = set(range(2000)) - DEADLY - failed
print(all(got[i] == (None if i % 2 else i / 2) for i in rest))
print(sorted(map(int, runs())) == list(range(2000)))
