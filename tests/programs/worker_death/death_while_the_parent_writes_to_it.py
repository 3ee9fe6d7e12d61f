import tracemalloc

with executor(1) as ex:
    pid = ex.submit(os.getpid).result(10)
    os.kill(pid, signal.SIGSTOP)  # so it takes no more than its buffer
    tracemalloc.start()
    begun = time.monotonic()
    future = ex.submit(len, bytes(64_000_000))
    print(time.monotonic() - begun < 2, future.done())
    os.kill(pid, signal.SIGKILL)
    print(outcome(future))
    print(outcome(ex.submit(abs, -1)))
    print(tracemalloc.get_traced_memory()[0] < 8_000_000 or "not freed")
