with executor(2) as ex:
    odd = 0
    for _ in range(300):
        f = ex.submit(abs, -1)
        cancelled = f.cancel()
        value = outcome(f)
        odd += value != ("CancelledError: " if cancelled else 1)
    fs = [ex.submit(abs, -1) for _ in range(300)]
    cancelled = [f.cancel() for f in reversed(fs)][::-1]
    odd += sum(
        outcome(f) != ("CancelledError: " if c else 1) for f, c in zip(fs, cancelled)
    )
    print(odd, outcome(ex.submit(abs, -2)))
