with executor(1, initializer=limited) as ex:
    ex.submit(abs, -1).result(10)
    big = bytes(400_000_000)
    if FORM == "call":
        future = ex.submit(len, big)
    elif FORM == "row":
        future = None
        rows = ex.map(len, [b"1", big, b"123"], timeout=8, return_exceptions=True)
    else:
        future = None
        rows = ex.map(
            len, [b"1", big, b"123"], timeout=8, chunksize=3, return_exceptions=True
        )
    try:
        if future:
            print(type(future.exception(8)).__name__)
        else:
            print([r if type(r) is int else type(r).__name__ for r in rows])
        print(outcome(ex.submit(abs, -1)), len(runs()) <= 8)
    except TimeoutError:
        print("endless:", len(runs()), "workers")
        ex.kill_workers()
