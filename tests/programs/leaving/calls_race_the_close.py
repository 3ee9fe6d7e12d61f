files = open_files()
for _ in range(4):
    ex = executor(2)
    ex.submit(abs, -1).result()
    barrier, outcomes = threading.Barrier(21), []

    def call():
        barrier.wait()
        for _ in range(20):
            try:
                f = ex.submit(abs, -1)
            except RuntimeError:
                outcomes.append("refused")
            else:
                outcomes.append(str(outcome(f)))

    threads = [threading.Thread(target=call) for _ in range(20)]
    for t in threads:
        t.start()
    barrier.wait()
    ex.shutdown(cancel_futures=CANCEL)
    for t in threads:
        t.join(10)
    known = {"1", "refused"} | ({"CancelledError: "} if CANCEL else set())
    print(len(outcomes), set(outcomes) - known)
del ex
print(nothing_left(files))
