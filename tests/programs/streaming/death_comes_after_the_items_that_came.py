def dying(count):
    yield from range(count)
    END


with executor(1) as pool:
    for count in (0, 1, 3):
        got, error = read(parallelized(pool)(dying)(count))
        print(got == list(range(len(got))), len(got) <= count, error)
    print(*parallelized(pool)(numbers)(3))
