def big(n):
    return np.ones(n, "u1")


ex = executor(1)
ex.submit(big, 10).result()
taken = exhausted()
f = done(ex.submit(big, 3 << 20))
free(taken)
told = outcome(f, 3)
print(len(told) == 3 << 20 or "no descriptor is left" in told)
print(len(outcome(ex.submit(big, 20), 3)))
ex.shutdown()
