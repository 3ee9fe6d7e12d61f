def babbling():
    yield 1
    for fd in range(3, 30):
        try:
            os.write(fd, b"nonsense" * 100)
        except OSError:
            pass
    yield 2
    time.sleep(60)


with executor(1) as pool:
    got, error = read(parallelized(pool)(babbling)())
    print(set(got) <= {1, 2} or got, error, list(parallelized(pool)(numbers)(3)))
