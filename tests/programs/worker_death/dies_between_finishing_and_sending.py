def task(i):
    note(i)
    if i == 90:
        kill_me()
    engine()._sender.due = 1 << 62  # nothing is sent before its time
    return [i]


with executor(1) as ex:
    got = [outcome(f) for f in [ex.submit(task, i) for i in range(100)]]
    print(got.pop(90)[:11], got == [[i] for i in range(100) if i != 90])
    rows = ex.map(task, range(100), chunksize=100, return_exceptions=True)
    got = list(rows)
    print(type(got.pop(90)).__name__)
    print(got == [[i] for i in range(100) if i != 90])
print(sorted(map(int, runs())) == sorted([*range(100), *range(100)]))
