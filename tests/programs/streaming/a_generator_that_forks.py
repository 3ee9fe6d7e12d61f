def forking():
    import warnings

    warnings.simplefilter("ignore")
    yield 1
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    yield 2
    yield 3


with executor(1) as pool:
    print(*parallelized(pool)(forking)())
