with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    future = ex.submit(give, VALUE)
    print(future.done(), outcome(future))
    print(name(ex.submit(give, key=VALUE)))
    print(outcome(ex.submit(give, value=1)))
    rows = ex.map(give, [1, VALUE, 3], chunksize=3, return_exceptions=True)
    print([r if type(r) is int else type(r).__name__ for r in rows])
    print(survives(ex, pid))
