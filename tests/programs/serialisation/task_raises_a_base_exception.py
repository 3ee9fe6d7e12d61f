def fails(_=None):
    raise ERROR


with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    print(name(ex.submit(fails)))
    rows = ex.map(fails, range(3), chunksize=3, return_exceptions=True)
    print([type(each).__name__ for each in rows])
    print(survives(ex, pid))
