def dying():
    yield 1
    os.kill(os.getpid(), 9)


with executor(2) as pool:
    calls = [pool.submit(abs, -n) for n in range(200)]
    streams = [parallelized(pool)(dying)() for _ in range(4)]
    others = [parallelized(pool)(numbers)(50) for _ in range(4)]
    print({read(stream)[1] for stream in streams})
    print({len(read(stream)[0]) for stream in others})
    print(sum(call.result() for call in calls))
