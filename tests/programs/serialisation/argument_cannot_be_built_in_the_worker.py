with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    caught = ex.submit(give, AtUnpickle(HOW)).exception(10)
    print(type(caught).__name__, "in act" in str(caught.__cause__))
    values = [[1], AtUnpickle(HOW), [3]]
    rows = ex.map(give, values, chunksize=3, return_exceptions=True)
    print([r if type(r) is list else type(r).__name__ for r in rows])
    print(survives(ex, pid))
