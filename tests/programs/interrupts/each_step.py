def number(text):
    return int(text)


def submit(ex):
    return lambda: ex.submit(int, "3")


def timed(ex):
    return partial(parallelized(ex, timeout=60)(number), "3")


def waited(ex):
    return lambda: ex.submit(int, "3").result()


def cancelled(ex):
    return lambda: ex.submit(int, "3").cancel()


def killed(ex):
    return lambda: ex.submit(int, "3").kill()


def at_work(ex):
    """Threads of ours that are there, and that work."""
    return (
        (ex._engine._live, ex._engine._active) if POOL is ThreadPoolExecutor else (0, 0)
    )


def fail(*what):
    print(*what, flush=True)
    os._exit(1)


def close(ex):
    closed = in_time(lambda: ex.shutdown())
    if (closed, at_work(ex)) != ([None], (0, 0)):
        fail(steps, closed, at_work(ex))


def check(ex):
    futures = in_time(lambda: [ex.submit(int, "4") for _ in range(5)])
    values = in_time(lambda: [f.result(4) for f in futures[0]])
    if values != [[4] * 5]:
        fail(steps, values)


spare, ex = POOL(1), POOL(WORKERS)
steps = 0
more = True
while more:
    steps += 1
    call = MADE(ex)
    count(MADE(spare))
    more = interrupted(call, steps)
    check(ex)
    if FRESH:
        close(ex)
        ex = POOL(WORKERS)
close(ex)
print(steps > 10)
