good, sys.executable = sys.executable, PYTHON
files = open_files()
with executor(2) as ex:
    print({outcome(ex.submit(abs, -1)).split(":")[0] for _ in range(3)})
    rows = ex.map(abs, range(-9, 0), chunksize=3, return_exceptions=True)
    print({isinstance(each, Exception) for each in rows})
    sys.executable = good
    print([outcome(ex.submit(abs, -i)) for i in range(3)])
    print(list(ex.map(abs, range(-3, 0), chunksize=3, timeout=10)))
    print(
        outcome(ex.submit(abs, -1)),
        len(ex._pool.scheduler.queue),
        [len(w.tasks) for w in ex._pool.scheduler.workers.values()].count(0) >= 1,
    )
print(nothing_left(files))
