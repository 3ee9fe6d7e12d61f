import resource


def name(future):
    error = future.exception(10)
    return type(error).__name__ if error else future.result()


with executor(2) as ex:
    [ex.submit(abs, -1).result(10) for _ in range(4)]
    slow = ex.submit(lambda: time.sleep(0.5) or "slow")
    used = int(open("/proc/self/statm").read().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = used * resource.getpagesize() + 100_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    if FORM == "call":
        print(name(ex.submit(bytes, 300_000_000)))
    else:
        rows = ex.map(bytes, [300_000_000], timeout=10, return_exceptions=True)
        print(type(next(rows)).__name__)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    print(name(slow), [outcome(ex.submit(pow, i, 2)) for i in range(4)])
