def stuck():
    yield 1
    time.sleep(60)


with executor(2) as pool:
    stream = parallelized(pool)(stuck).options(timeout=0.3)()
    other = parallelized(pool)(numbers)(1000)
    print(read(stream), len(list(other)))
