def deep(depth=100_000):
    value = []
    for _ in range(depth):
        value = [value]
    return value


with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    for future in (ex.submit(give, deep()), ex.submit(deep)):
        print(name(future), "recursion" in str(future.exception()).lower())
    values = [deep(1), deep(), deep(2)]
    rows = ex.map(give, values, chunksize=3, return_exceptions=True)
    print([r if type(r) is list else type(r).__name__ for r in rows])
    print(survives(ex, pid))
