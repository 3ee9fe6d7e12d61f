executor(1).submit(int).result()
gc.collect()
nothing_left(100)
files = open_files()
with executor(2) as pool:
    fn = parallelized(pool)(numbers)
    for turn in range(30):
        list(fn(100))  # read to its end,
        fn(10**9).close()  # closed at once,
        next(fn(10**9))  # dropped half-way,
        with fn(10**9) as stream:
            next(stream)
        read(parallelized(pool)(lambda: (yield 1 / 0))())
    print(pool.submit(int, "7").result())
    del stream
    gc.collect()
print(nothing_left(files))
