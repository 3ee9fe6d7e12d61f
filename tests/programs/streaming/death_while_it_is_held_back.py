with executor(1) as pool:
    stream = parallelized(pool)(pid_first).options(buffersize=4)()
    pid = next(stream)
    pool.submit(int).result()  # as it is held back
    os.kill(pid, signal.SIGKILL)
    got, error = read(stream)
    print(got == list(range(len(got))), 3 <= len(got) <= 4, error)
    print(pool.submit(int, "7").result(), pool._pool.scheduler.workers.slots)
