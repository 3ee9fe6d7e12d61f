def task():
    import resource

    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, hard))
    try:
        return len(bytes(1_000_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    print(outcome(ex.submit(task)), outcome(ex.submit(os.getpid)) == pid)
    print(
        [
            type(e).__name__
            for e in ex.map(lambda _: task(), range(2), return_exceptions=True)
        ]
    )
